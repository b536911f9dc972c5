"""Accept drafts of a golden set: from then on they are measured, and say who accepted them, and when."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Sequence
from pathlib import Path

from rag.core.errors import SourceError, UsageError, near_miss
from rag.evaluation.golden_set import Line, lines, question_of


def accept(path: str | Path, ids: Sequence[str], by: str, *, at: dt.datetime | None = None) -> None:
    """Clear `draft` in some lines of a golden set, and write who accepted them, and when.

    The file is replaced as a whole: a reader sees the old one or the new. Other lines keep every byte.

    Parameters
    ----------
    path : str or Path
    ids : sequence of str
        Of drafts.
    by : str
        Written as ``"accepted_by"``.
    at : datetime, optional
        Written as ``"accepted_at"``, in UTC; by default now.

    Raises
    ------
    UsageError
        An id is not in the file or is no draft, a draft does not say what answers it, or `by` is empty;
        nothing is changed then.
    SourceError
        The file cannot be read or written, or has changed meanwhile.

    Examples
    --------
    >>> accept("drafts.jsonl", ["draft-1f0c2a9b3d"], by="Ann")             # doctest: +SKIP
    """
    file = Path(path)
    if not by.strip():
        raise UsageError("who accepts is not said: give a name, as in --by Ann")
    rows = {_id(line): line for line in lines(file)}
    before = _stamp(file)
    when = (at or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).isoformat(timespec="seconds")
    new: dict[int, str] = {}
    for name in dict.fromkeys(ids):
        line = rows.get(name)
        if line is None:
            guess = near_miss(name, [key for key in rows if key])
            advice = guess if guess.startswith("did") else "check the id"
            raise UsageError(f"{file} has no question {name!r}: {advice}")
        new[line.number] = _accepted(line, by.strip(), when)
    texts = file.read_bytes().decode("utf-8-sig").split("\n")
    for number, text in new.items():
        ending = "\r" if texts[number - 1].endswith("\r") else ""
        texts[number - 1] = text + ending
    _replace(file, "\n".join(texts), before)


def _id(line: Line) -> str:
    name = line.row.get("id") if isinstance(line.row, dict) else None
    return str(name) if isinstance(name, str | int) and not isinstance(name, bool) else ""


def _accepted(line: Line, by: str, when: str) -> str:
    question = question_of(line)
    if not question.expected.draft:
        raise UsageError(f"{line.place}: {question.id!r} is no draft: leave it out")
    if not question.located and not question.expected.answer and question.expected.answerable is None:
        raise UsageError(
            f'{line.place}: {question.id!r} does not say what answers it: add "evidence", or '
            '"answerable": false if the documents do not'
        )
    row = {key: value for key, value in line.row.items() if key != "draft"}
    return json.dumps(
        {**row, "accepted_by": by, "accepted_at": when.replace("+00:00", "Z")}, ensure_ascii=False
    )


def _stamp(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _replace(file: Path, text: str, before: tuple[int, int, int]) -> None:
    temporary = file.with_name(f"{file.name}.new")
    try:
        mode = file.stat().st_mode & 0o777
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as sink:
                sink.write(text)
                sink.flush()
                os.fsync(sink.fileno())
            if _stamp(file) != before:
                raise SourceError(f"{file} has changed meanwhile: run the command again")
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise SourceError(f"{temporary} exists: another command is writing; if none is, delete it") from None
    except OSError as error:
        raise SourceError(f"cannot write {file}: {error.strerror}") from None
