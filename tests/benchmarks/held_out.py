"""Questions that nobody looked at while the ranking was chosen, and the texts that they are about.

``held_out.jsonl`` holds 120 questions with exact spans, written by readers of the texts who ran no
search over them: 40 on incident response, 40 on the PowerShell manual (7.4), 40 on abstracts of
scientific papers. ``dev.jsonl`` holds 110 on the other reference corpora (handbook, digital
identity), on which settings were chosen. Both hold offsets alone, no text of the reference data.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

from tests.benchmarks.scored import BENCH

QUESTIONS = Path(__file__).with_name("held_out.jsonl")


def corpus(folder: Path) -> Path:
    """Put the texts together as the questions name them."""
    shutil.copytree(BENCH.parent / "corpora" / "incident-response", folder / "incident-response")
    shutil.copytree(BENCH / "powershell" / "7.4", folder / "powershell")
    with gzip.open(BENCH / "scifact" / "corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file][:4000:25]
    (folder / "science").mkdir()
    text = "".join(f"{record['title']}\n\n{record['text']}\n\n" for record in records)
    (folder / "science" / "abstracts.md").write_text(text, encoding="utf-8", newline="")
    return folder
