"""Ignore files, as Git reads them (``gitignore(5)``, and ``wildmatch.c`` for what a pattern matches)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: What stands for folders, any number of them: ``**/``.
_FOLDERS = b"**/"
_POSIX = {
    b"alnum": rb"0-9A-Za-z", b"alpha": rb"A-Za-z", b"blank": rb" \t", b"cntrl": rb"\x00-\x1f\x7f",
    b"digit": rb"0-9", b"graph": rb"!-~", b"lower": rb"a-z", b"print": rb" -~",
    b"punct": rb"!-/:-@\[-`{-~", b"space": rb" \t\n\r", b"upper": rb"A-Z", b"xdigit": rb"0-9A-Fa-f",
}  # fmt: skip


class _Rule(NamedTuple):
    pattern: re.Pattern[bytes]
    ignores: bool
    folders_only: bool
    whole_path: bool


class IgnoreFile:
    """The patterns of one ignore file; of those that match an entry the last decides.

    Parameters
    ----------
    data : bytes
        The file's content; a byte order mark is no part of it.
    """

    def __init__(self, data: bytes) -> None:
        lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        rules = (_rule(_trimmed(line.removesuffix(b"\r"))) for line in lines)
        self._rules = [rule for rule in rules if rule is not None]

    def says(self, path: bytes, *, folder: bool) -> bool | None:
        """Tell whether an entry is left out; None if no pattern matches it.

        Parameters
        ----------
        path : bytes
            Relative to the ignore file's folder, as the system has it.
        folder : bool
            Whether it is a folder. What is below one that is left out cannot be taken back in.
        """
        name = path.rpartition(b"/")[2]
        for rule in reversed(self._rules):
            compared = path if rule.whole_path else name
            if (folder or not rule.folders_only) and rule.pattern.fullmatch(compared):
                return rule.ignores
        return None


def _rule(line: bytes) -> _Rule | None:
    if not line or line.startswith(b"#"):
        return None
    ignores = not line.startswith(b"!")
    body = line if ignores else line[1:]
    folders_only = body.endswith(b"/")
    body = body[:-1] if folders_only else body
    whole_path = b"/" in body
    pattern = _translated(body.removeprefix(b"/"), whole_path=whole_path) if body else None
    return None if pattern is None else _Rule(pattern, ignores, folders_only, whole_path)


def _trimmed(line: bytes) -> bytes:
    """Return a line without the spaces at its end, unless a backslash stands before them."""
    end = at = 0
    while at < len(line):
        step = 2 if line[at : at + 1] == b"\\" else 1
        if line[at : at + 1] != b" ":
            end = at + step
        at += step
    return line[:end]


def _translated(pattern: bytes, *, whole_path: bool) -> re.Pattern[bytes] | None:
    """Return a regular expression that matches what Git's wildmatch does; None if nothing can.

    What stands between two stars is searched once, from the left: further on it would match no more. So the
    time is bounded, whatever the pattern.
    """
    pieces: list[list[bytes]] = [[]]
    for token in _tokens(pattern, whole_path=whole_path):
        if token is None:
            return None
        if token == _FOLDERS:
            pieces.append([])
        else:
            pieces[-1].append(token)
    star = rb"[^/]*" if whole_path else rb".*"
    first, *middle = [_between(piece, star) for piece in pieces]
    last = [b"(?:[^/]*/)*" + middle.pop()] if middle else []
    out = [first, *(b"(?>(?:[^/]*/)*?" + piece + b")" for piece in middle), *last]
    return re.compile(b"".join(out), re.DOTALL)


def _between(tokens: Sequence[bytes], star: bytes) -> bytes:
    """Return the expression for tokens without runs of folders."""
    out, held, starred = b"", b"", False  # `held`: what stands behind the last star of a path's part
    for token in [*tokens, b""]:
        if token == b"*":
            out += b"(?>" + star + b"?" + held + b")" if starred else held
            held, starred = b"", True
        elif token in (b"/", b"", _REST):
            out += (star + held if starred else held) + token
            held, starred = b"", False
        else:
            held += token
    return out


_REST = rb"(?:.*)"


def _tokens(pattern: bytes, *, whole_path: bool) -> Iterator[bytes | None]:
    """Yield regular expressions for a pattern's pieces, stars and slashes as they are; None for a fault."""
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        at += 1
        if char == b"\\":
            if at == len(pattern):
                yield None
            yield re.escape(pattern[at : at + 1])
            at += 1
        elif char == b"?":
            yield rb"[^/]" if whole_path else rb"."
        elif char == b"[":
            found = _bracket(pattern, at)
            if found is None:
                yield None
                return
            piece, at = found
            yield (rb"(?!/)" if whole_path else b"") + piece
        elif char == b"*":
            begin = at - 1
            while pattern[at : at + 1] == b"*":
                at += 1
            before = begin == 0 or pattern[begin - 1 : begin] == b"/"
            behind = at == len(pattern) or pattern[at : at + 1] == b"/"
            if at - begin < 2 or not (whole_path and before and behind):
                yield b"*"
            elif at == len(pattern):
                yield _REST
            else:
                yield _FOLDERS
                at += 1
        else:
            yield char if char == b"/" else re.escape(char)


def _bracket(pattern: bytes, at: int) -> tuple[bytes, int] | None:
    """Return a set's regular expression and where it ends; None if nothing closes it, or it is at fault."""
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    out, first = b"", True
    low: int | None = None  # the character before, with which a range may begin
    while first or pattern[at : at + 1] != b"]":
        first = False
        if at >= len(pattern):
            return None
        if pattern[at : at + 2] == b"[:":
            end = pattern.find(b"]", at + 2)
            if end < 0:
                return None
            if pattern[end - 1 : end] == b":" and end - 1 >= at + 2:
                kind = _POSIX.get(pattern[at + 2 : end - 1])
                if kind is None:
                    return None
                out, low, at = out + kind, None, end + 1
                continue
        if pattern[at : at + 1] == b"-" and low is not None and pattern[at + 1 : at + 2] not in (b"", b"]"):
            at += 1
            if pattern[at : at + 1] == b"\\":
                at += 1
                if at == len(pattern):
                    return None
            high = pattern[at]
            out += b"%s-%s" % (_one(low), _one(high)) if low <= high else b""
            low, at = None, at + 1
            continue
        if pattern[at : at + 1] == b"\\":
            at += 1
            if at == len(pattern):
                return None
        low = pattern[at]
        out, at = out + _one(low), at + 1
    if not out:
        return (b"." if negated else rb"(?!)"), at + 1
    return b"[" + (b"^" if negated else b"") + out + b"]", at + 1


def _one(code: int) -> bytes:
    return b"\\x%02x" % code


#: The folder of an ignore file below the root, with a slash at its end; its name; its patterns.
Ignoring = tuple[bytes, str, IgnoreFile]


def ignoring(path: bytes, files: Sequence[Ignoring], *, folder: bool) -> str | None:
    """Return the name of the ignore file that leaves a path out: the deepest that says anything decides.

    Parameters
    ----------
    path : bytes
        Relative to the root.
    files : sequence of Ignoring
        Outermost first.
    """
    for above, name, rules in reversed(files):
        says = rules.says(path[len(above) :], folder=folder)
        if says is not None:
            return name if says else None
    return None
