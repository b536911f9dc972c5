"""The report of a trial, as Markdown and JSON, to send to whoever maintains the emulator.

It holds no documents, keys or account ids: texts are redacted as recordings are.
"""

from __future__ import annotations

import datetime as dt
import json
import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rag.core.errors import SourceError, UsageError
from rag.core.format import dollars
from rag.emulator.assumptions.assumption import Verdict
from rag.emulator.redacting import Redactor
from rag.emulator.trial.run import Trial

TRAFFIC, MARKDOWN, JSON = "traffic.jsonl", "report.md", "report.json"
_SDKS = ("bedrock-rag", "boto3", "botocore", "langchain-aws")


def folder_for(output: Path | None, region: str, today: dt.date) -> Path:
    """Return the report's folder, made, private to this user.

    Raises
    ------
    UsageError
        The folder holds something.
    SourceError
        It cannot be made.
    """
    name = f"rag-doctor-{region}-{today.isoformat()}"
    taken = (Path(f"{name}-{number}") for number in range(2, 1000))
    folder = output or next(path for path in (Path(name), *taken) if not path.exists())
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} holds files: name an empty or new folder with --output")
    except OSError as error:
        raise SourceError(f"cannot write to {folder} ({error.strerror}): name another folder") from None
    return folder


def write(folder: Path, trial: Trial, known: Sequence[str] = ()) -> dict[str, Any]:
    """Write both reports; return what the JSON holds.

    Parameters
    ----------
    folder : Path
    trial : Trial
    known : sequence of str
        More texts to remove.
    """
    redactor = Redactor((*known, *trial.hide))
    report: dict[str, Any] = redactor.value(_report(trial))
    (folder / JSON).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / MARKDOWN).write_text("\n".join(_markdown(report)) + "\n", encoding="utf-8")
    return report


def _report(trial: Trial) -> dict[str, Any]:
    world, verdicts = trial.world, trial.verdicts()
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), "region": world.region,
        "model": world.model, "base": world.base, "reranker": world.reranker,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _SDKS}},
        "spent_usd": round(world.spent(), 6), "limit_usd": world.max_usd,
        "counts": dict(Counter(verdict.state for verdict in verdicts)),
        "steps": [
            {"name": tried.step.name, "what": tried.step.what, "state": tried.finding.state,
             "found": tried.finding.found, "lines": list(tried.lines)}
            for tried in trial.tried
        ],
        "assumptions": [_verdict(verdict) for verdict in verdicts],
    }  # fmt: skip


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _verdict(verdict: Verdict) -> dict[str, Any]:
    assumption = verdict.assumption
    return {
        "id": assumption.id, "assumes": assumption.text, "source": assumption.source,
        "state": verdict.state, "differences": list(verdict.differences), "lines": list(verdict.lines),
    }  # fmt: skip


def _markdown(report: dict[str, Any]) -> Iterator[str]:
    counts = report["counts"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    yield from (
        f"# Amazon Bedrock in {report['region']}, compared with the emulator", "",
        f"{report['date']}; {report['model']}; {versions}.",
        f"It cost {dollars(report['spent_usd'])} of at most {dollars(report['limit_usd'])}.", "",
        ", ".join(f"{counts.get(state, 0)} {state}" for state in ("confirmed", "differs", "not tried")) + ".",
        "", "## Assumptions that differ", "",
    )  # fmt: skip
    differing = [row for row in report["assumptions"] if row["state"] == "differs"]
    for row in differing:
        yield f"- **{row['id']}**: {row['assumes']}"
        yield from (f"  - {difference}" for difference in row["differences"])
        yield f"  - source: {row['source']}; line{'s' * (len(row['lines']) > 1)} {_lines(row['lines'])}"
    if not differing:
        yield "None."
    yield from ("", "## Steps", "", "| step | state | found |", "|---|---|---|")
    for row in report["steps"]:
        yield f"| {row['name']} | {row['state']} | {_cell(row['found'])} |"
    yield from (
        "",
        "## All assumptions",
        "",
        "| id | verdict | the emulator assumes | source |",
        "|---|---|---|---|",
    )
    for row in report["assumptions"]:
        why = f": {row['differences'][0]}" if row["differences"] else ""
        cells = (row["id"], row["state"] + why, row["assumes"], row["source"])
        yield f"| {' | '.join(map(_cell, cells))} |"
    yield from (
        "", f"`{TRAFFIC}` holds the requests and replies, without keys, account ids and request ids; "
        f"`rag bedrock-emulator --replay {TRAFFIC}` answers from it.",
    )  # fmt: skip


def _lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return f"{shown}, …" if len(numbers) > 8 else shown


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
