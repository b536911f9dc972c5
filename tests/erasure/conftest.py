"""An index with a history: a document that was changed, edited, removed from some versions, or held back."""

from __future__ import annotations

from pathlib import Path

import pytest

import rag

#: What the documents that are forgotten hold, and nothing else does.
SECRET = "Zaphira Quennel was paid 71,300 dollars for the settlement that she signed in Brevik harbour."
EARLIER = "Zaphira Quennel had asked for 90,000 dollars before the mediator from Tromsdal spoke to her."
TEXTS = {
    "jane.md": f"---\nowner: Zaphira Quennel\nyear: 2024\n---\n# Settlement\n\n{SECRET}\n",
    "leave.md": "---\nyear: 2024\n---\n# Leave\n\nStaff in Europe take 28 days of annual leave each year, says the policy.\n",
    "pay.md": "---\nyear: 2022\n---\n# Payroll\n\nSalaries are paid on the 25th, or on the working day before it.\n",
    "disk.md": "---\nyear: 2022\n---\n# Disks\n\nA disk that is nine tenths full pages whoever is on call that week.\n",
    "sev.md": "---\nyear: 2023\n---\n# Incidents\n\nAnyone may declare a SEV-1 incident, and nobody is blamed for it.\n",
}  # fmt: skip


def write(docs: Path, **texts: str) -> Path:
    docs.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (docs / name).write_text(text)
    return docs


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return write(tmp_path / "docs", **TEXTS)


@pytest.fixture
def path(docs: Path, tmp_path: Path) -> Path:
    """Four versions: an earlier wording of jane.md; sev.md changed; jane.md as it is; years edited."""
    index = tmp_path / "ix"
    write(docs, **{"jane.md": TEXTS["jane.md"].replace(SECRET, EARLIER)})
    rag.build(docs, index, embedder="static")
    write(docs, **{"sev.md": TEXTS["sev.md"] + "\nThe duty manager is told within five minutes of it.\n"})
    rag.build(docs, index, embedder="static")
    write(docs, **{"jane.md": TEXTS["jane.md"]})
    rag.build(docs, index, embedder="static")
    rag.Store(index).edit("year == 2024", {"status": "archived"})
    return index


def files_with(folder: Path, *words: str) -> list[str]:
    """The files below a folder that hold any of some words, in whichever case."""
    found = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = file.read_bytes().lower()
        if any(word.lower().encode() in data for word in words):
            found.append(file.relative_to(folder).as_posix())
    return found


def same_bytes(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
