"""What a check found: a line for people, and the same for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from rag.core.errors import RagError

State = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    name : str
        What was checked, e.g. ``"SQLite"``.
    state : {"ok", "warn", "fail", "skip"}
        ``"skip"``: it was not checked, and `found` says why.
    found : str
    advice : str
        What to do; empty where there is nothing to do.

    Examples
    --------
    >>> Finding("disk", "warn", "0.4 GB free", "make room").state
    'warn'
    """

    name: str
    state: State
    found: str
    advice: str = ""


def ok(name: str, found: str) -> Finding:
    """Return a finding of something in order."""
    return Finding(name, "ok", found)


def failed(findings: Iterable[Finding]) -> bool:
    """Whether anything failed."""
    return any(finding.state == "fail" for finding in findings)


def checked(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Yield what a check finds; where the check itself fails, a finding that says why.

    Examples
    --------
    >>> def check():
    ...     raise RagError("the file is damaged: delete it")
    >>> [finding.found for finding in checked("ledger", check)]
    ['the file is damaged: delete it']
    """
    try:
        yield from check()
    except RagError as error:
        yield Finding(name, "fail", str(error))
    except OSError as error:
        yield Finding(name, "fail", f"{error.filename or name}: {error.strerror or error}")
