"""Everything that `rag` raises on purpose, in one tree.

::

    RagError                      exit code 1
    ├── UsageError                exit code 2: what was asked for cannot be meant
    │   ├── ConfigError           rag.toml or a stage's arguments
    │   ├── WhereError            a filter: unknown field, wrong type, malformed
    │   ├── MissingExtraError     an optional package is not installed
    │   └── SourceError           the path to build from, or a metadata file
    ├── LoadError                 one file cannot be read (a build quarantines it)
    ├── EmbeddingError            a text could not be turned into a vector
    ├── GenerationError           the model gave no usable answer
    ├── BudgetError               the call would cost more than is left to spend
    ├── AuthError                 who calls is not known
    ├── TooManyError              a caller has reached a limit
    ├── ServerError               a server cannot be reached, or replies nothing of use
    ├── ReviewConflictError       an answer has been reviewed by someone else
    └── StoreError                the index on disk
        ├── StoreMissingError     no index there               (exit code 2)
        ├── StoreMismatchError    built with another embedder  (exit code 2)
        ├── StoreLockedError      another build is writing
        └── StoreCorruptError     a file is missing, short or altered

A message says what happened, to which file or field, and what to do about it.
"""

from __future__ import annotations

import difflib
import errno
import math
from collections.abc import Iterable


class RagError(Exception):
    """Base of all errors that `rag` raises on purpose.

    Attributes
    ----------
    request_id : str
        Of an error that a server replied, the id of the request, which its log has; else empty.
    """

    exit_code = 1
    request_id = ""


class UsageError(RagError):
    """What was asked for cannot be meant: a wrong name, value or path."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting in ``rag.toml``, or a stage's argument, is wrong."""


class WhereError(UsageError):
    """A filter names an unknown field, compares unlike types, or cannot be parsed."""


class MissingExtraError(UsageError):
    """A package that an extra of ``bedrock-rag`` brings is not installed.

    Parameters
    ----------
    reason : str
        Which module, e.g. ``"needs the Python module olefile, which is not installed"``.
    advice : str
        The command that installs it.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason}: {advice}")
        self.reason = reason
        self.advice = advice

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """Cross a process border with both fields."""
        return (type(self), (self.reason, self.advice))


class SourceError(UsageError):
    """The documents' path, or a metadata file beside it, cannot be used."""


class MissingSourceError(UsageError):
    """There is no such source, or the caller may not see it: it is not said which."""


class LoadError(RagError):
    """One file cannot be read; a build quarantines it and goes on.

    Parameters
    ----------
    reason : str
        What happened, e.g. ``"needs a password"``.
    advice : str
        What the user can do about it.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason}: {advice}")
        self.reason = reason
        self.advice = advice

    def __reduce__(self) -> tuple[type[LoadError], tuple[str, str]]:
        """Cross a process border with both fields."""
        return (type(self), (self.reason, self.advice))


class EmbeddingError(RagError):
    """A text could not be turned into a vector."""


class GenerationError(RagError):
    """The model gave no usable answer.

    Parameters
    ----------
    message : str
    code : str
        What failed, as `rag.bedrock.runtime.faults` names it; empty where that is not known.
    elsewhere : bool
        Whether another model may answer where this one failed.
    strike : bool
        Whether the failure says that the model is not well (for a circuit breaker).
    started : bool
        Whether part of an answer had been given out already.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        elsewhere: bool = True,
        strike: bool = True,
        started: bool = False,
    ) -> None:
        super().__init__(message)
        self.code, self.elsewhere, self.strike, self.started = code, elsewhere, strike, started


class BudgetError(RagError):
    """The call would cost more than is left to spend; it was not made."""


class AuthError(RagError):
    """Who calls is not known, or may not do this; the text holds no credential."""


class TooManyError(RagError):
    """A caller has reached a limit.

    Attributes
    ----------
    retry_after_s : int
        Seconds until there is room again.
    """

    def __init__(self, text: str, retry_after_s: float = 1) -> None:
        super().__init__(text)
        self.retry_after_s = max(math.ceil(retry_after_s), 1)


class ServerError(RagError):
    """A server of `rag serve` cannot be reached, or what it replies is no result.

    Parameters
    ----------
    text : str
    status : int, optional
        Of its reply, if there was one.
    """

    def __init__(self, text: str, *, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class ReviewConflictError(RagError):
    """An item of a review queue is in a state that does not allow this decision; nothing was changed."""


class StoreError(RagError):
    """The index on disk cannot be used."""


class StoreMissingError(StoreError):
    """There is no index at the path."""

    exit_code = 2


class StoreMismatchError(StoreError):
    """The index was built with another embedder, chunker or version of rag than is asked for."""

    exit_code = 2


class StoreLockedError(StoreError):
    """Another process is writing to the index."""


class StoreCorruptError(StoreError):
    """A file of the index is missing, short, or not what the manifest says it is."""


class RemoteError(StoreError):
    """An index on an object store cannot be reached, read or written."""


class NoRoomError(RemoteError):
    """The disk of a local copy has no room for a version; nothing was fetched."""


class StoreConflictError(StoreError):
    """Two writers of an index went separate ways: the other one's version would be lost."""


_SQLITE_FULL = 13  # https://www.sqlite.org/rescode.html#full
#: What a failed write for want of room says: of a disk, of a quota, and of a limit for files (ulimit -f).
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def is_full(error: BaseException | None) -> bool:
    """Tell whether an error, or one that led to it, is that a disk is full.

    Examples
    --------
    >>> is_full(OSError(errno.ENOSPC, "No space left on device")), is_full(OSError("other"))
    (True, False)
    """
    while error is not None:
        code = getattr(error, "sqlite_errorcode", None)
        if (isinstance(error, OSError) and error.errno in _FULL) or code == _SQLITE_FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def cannot_write(folder: object, error: OSError) -> StoreError:
    """Say that an index cannot be written, whether for want of room or of the right to."""
    said = error.strerror or " ".join(str(error).split())
    return StoreError(
        f"cannot write to {folder} ({said}): the index is as it was; make room or give yourself the "
        "right to write, and run the same again"
    )


def near_miss(word: str, known: Iterable[str]) -> str:
    """Name what was probably meant, as the end of an error message.

    Parameters
    ----------
    word : str
        What was written.
    known : iterable of str
        What could have been written.

    Returns
    -------
    str
        ``"did you mean 'x'?"``, or the list of what there is.

    Examples
    --------
    >>> near_miss("departmnt", ["department", "year"])
    "did you mean 'department'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there is: {', '.join(names)}" if names else "there is none"
