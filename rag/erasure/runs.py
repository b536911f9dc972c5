"""Runs of bytes: whether any file holds a piece of texts that were erased.

A run is 48 bytes of a text in UTF-8: some eight words, long enough that no other text has the same by chance,
short enough that a sentence has several. A text is searched in three forms: as it is, and as JSON writes it
with and without escapes for letters beyond ASCII, since logs and stores hold it so. Runs that other documents
hold, too, such as a common footer, are left out: they are no trace. A text of fewer than 48 bytes is searched
as a whole, if it has at least 12.

Every run of 48 bytes covers a window of 24 bytes that begins at a multiple of 24 of the file. So a file is
read as windows side by side, each is hashed with three multiplications, and looked up among the hashes of the
windows at every offset of the texts; what is found there is compared byte by byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

#: Bytes of a run, of the windows by which it is found, and of the shortest text that is searched as a whole.
RUN, _WINDOW, SHORTEST = 48, 24, 12
#: Bytes of texts that are searched at once, and of other texts that are hashed at once.
_PART, _BLOCK = 16 << 20, _WINDOW * 350_000
#: Odd numbers with the bits of the golden ratio, pi and e, for multiplicative hashing (Knuth, TAOCP 3, 6.4).
_MIX = tuple(np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xC90FDAA22168C235, 0xADF85458A2BB4A9B))

Hashes = npt.NDArray[np.uint64]
Data = bytes | memoryview


class Runs:
    """The runs of some texts that no other text has.

    Parameters
    ----------
    texts : iterable of str
        What was erased.
    others : iterable of str
        What stays.

    Examples
    --------
    >>> runs = Runs(["Jane Doe earned 71,300 dollars in the year that she left the company."])
    >>> runs.find(b"... earned 71,300 dollars in the year that she left the c...")
    3
    >>> runs.find(b"She earned 71,300 dollars.") is None
    True
    """

    def __init__(self, texts: Iterable[str], others: Iterable[str] = ()) -> None:
        forms = {form for text in texts for form in _forms(text)}
        pieces = sorted(form for form in forms if len(form) >= RUN)
        short = sorted(form for form in forms if SHORTEST <= len(form) < RUN)
        self.unsearched = sum(len(form) < SHORTEST for form in forms)
        parts, whole = [_Part(each) for each in _grouped(pieces, _PART)], _Short(short)
        held: set[bytes] = set()
        for block in _grouped((form for text in others for form in _forms(text)), _BLOCK):
            joined = _BETWEEN.join(block)
            for part in parts:
                part.leave_out(joined)
            held |= {piece for _, piece in whole.among(joined)}
        for part in parts:
            part.finish()
        self._parts = [part for part in parts if len(part)]
        self._short = _Short([piece for piece in short if piece not in held])

    def __bool__(self) -> bool:
        return bool(self._parts or len(self._short))

    def find(self, data: Data) -> int | None:
        """Return where the first run that was found stands in some bytes; None if there is none."""
        for part in self._parts:
            at = part.find(data)
            if at is not None:
                return at
        return next((at for at, _ in self._short.among(data)), None)

    def in_text(self, text: str) -> bool:
        """Whether a text holds a run."""
        return bool(self) and self.find(text.encode(errors="surrogatepass")) is not None

    def in_value(self, value: Any) -> bool:
        """Whether a text inside of a value, such as JSON gives, holds a run."""
        texts = (text.encode(errors="surrogatepass") for text in _texts_in(value))
        return bool(self) and self.find(_BETWEEN.join(texts)) is not None

    def in_stream(self, pieces: Iterable[bytes]) -> bool:
        """Whether bytes that come in pieces hold a run."""
        kept = b""
        for piece in pieces:
            if self.find(kept + piece) is not None:
                return True
            kept = (kept + piece)[1 - RUN :]
        return False


#: Between texts that are joined, so that no run crosses their border; it is in no UTF-8.
_BETWEEN = b"\xff" * RUN


class _Part:
    """Some of the texts, joined, and the hashes of their windows."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._text = _BETWEEN.join(pieces)
        windows = _hashes(self._text)
        self._wholes = _joined(windows)
        self._common = np.zeros(len(self._wholes), bool)
        at = 0
        for piece in pieces[:-1]:  # a run that reaches into the border is none
            at += len(piece)
            self._common[at - RUN + 1 : at + RUN] = True
            at += RUN
        self._order = np.argsort(self._wholes, kind="stable")
        self._known = _Hashes(self._wholes[self._order])
        self._windows = windows

    def __len__(self) -> int:
        return len(self._places)

    def leave_out(self, other: bytes) -> None:
        """Leave out the runs that another text has."""
        if len(other) < RUN:
            return
        ours = self._known.sorted
        theirs = _joined(_hashes(other))
        both = np.unique(theirs[self._known.among(theirs)])
        first, end = np.searchsorted(ours, both), np.searchsorted(ours, both, side="right")
        marks = np.zeros(len(ours) + 1, np.int64)
        np.add.at(marks, first, 1)
        np.add.at(marks, end, -1)
        self._common[self._order[np.cumsum(marks[:-1]) > 0]] = True

    def finish(self) -> None:
        """Keep the windows that stand in a run that is left."""
        wanted = np.zeros(len(self._windows), np.int64)
        (left,) = np.nonzero(~self._common)
        np.add.at(wanted, left, 1)
        np.add.at(wanted, np.minimum(left + RUN - _WINDOW + 1, len(wanted) - 1), -1)
        covered = np.cumsum(wanted) > 0
        if len(left) and left[-1] + RUN - _WINDOW + 1 >= len(wanted):
            covered[left[-1] :] = True
        (self._places,) = np.nonzero(covered)
        hashes = self._windows[self._places]
        order = np.argsort(hashes, kind="stable")
        self._known, self._places = _Hashes(hashes[order]), self._places[order]
        del self._wholes, self._order, self._windows

    def find(self, data: Data) -> int | None:
        """Return where a run stands in some bytes."""
        for at in range(0, len(data), _BLOCK):
            block = data[at : at + _BLOCK]
            words = np.frombuffer(block, "<u8", len(block) // _WINDOW * 3).reshape(-1, 3)
            if not len(words):
                continue
            hashes = _mixed(words[:, 0], words[:, 1], words[:, 2])
            known = self._known.sorted
            for number in self._known.among(hashes).tolist():
                place = int(np.searchsorted(known, hashes[number]))
                while place < len(known) and known[place] == hashes[number]:
                    start = self._run(data, at + number * _WINDOW, int(self._places[place]))
                    if start is not None:
                        return start
                    place += 1
        return None

    def _run(self, data: Data, at: int, place: int) -> int | None:
        """Return where a run around equal windows begins in the data; None where they are not in one."""
        text, reach = self._text, RUN - _WINDOW
        before = min(reach, at, place)
        ours = text[place - before : place + RUN]
        theirs = bytes(data[at - before : at + RUN])
        size = min(len(ours), len(theirs))
        same = [ours[n] == theirs[n] for n in range(size)]
        if not all(same[before : before + _WINDOW]):
            return None
        low, high = before, before + _WINDOW
        while low > 0 and same[low - 1]:
            low -= 1
        while high < size and same[high]:
            high += 1
        for n in range(low, high - RUN + 1):
            if not self._common[place - before + n]:
                return at - before + n
        return None


class _Short:
    """Texts shorter than a run, searched as a whole: by their first eight bytes, at every offset."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces: dict[int, list[bytes]] = {}
        for piece in pieces:
            self._pieces.setdefault(int.from_bytes(piece[:8], "little"), []).append(piece)
        firsts = np.array([*self._pieces], np.uint64)
        self._known = _Hashes(np.sort(_mixed(firsts)))

    def __len__(self) -> int:
        return len(self._pieces)

    def among(self, data: Data) -> Iterator[tuple[int, bytes]]:
        """Yield the pieces that stand in some bytes, each with its place."""
        for at in range(0, len(data), _BLOCK) if self._pieces else ():
            block = data[at : at + _BLOCK + RUN]
            for start in range(min(8, max(len(block) - 7, 0))):
                words = np.frombuffer(block, "<u8", (len(block) - start) // 8, start)
                for number in self._known.among(_mixed(words)).tolist():
                    place = start + 8 * number
                    for piece in self._pieces.get(int(words[number]), ()):
                        if bytes(block[place : place + len(piece)]) == piece:
                            yield at + place, piece


class _Hashes:
    """Sorted hashes, and a table of their first bits, which rules out most others without a search."""

    def __init__(self, hashes: Hashes) -> None:
        self.sorted = hashes
        bits = min(max(len(hashes).bit_length() + 4, 8), 28)
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, bool)
        self._table[hashes >> self._shift] = True

    def among(self, hashes: Hashes) -> npt.NDArray[np.int64]:
        """Return the places of those that are among the sorted ones."""
        (maybe,) = np.nonzero(self._table[hashes >> self._shift])
        if not len(maybe):
            return maybe
        place = np.searchsorted(self.sorted, hashes[maybe])
        same = self.sorted[np.minimum(place, len(self.sorted) - 1)] == hashes[maybe]
        found: npt.NDArray[np.int64] = maybe[same]
        return found


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts_in(key)
            yield from _texts_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts_in(each)


def _forms(text: str) -> Iterator[bytes]:
    """Yield a text in UTF-8, and as it stands in JSON."""
    yield text.encode(errors="surrogatepass")
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode(errors="surrogatepass")
    yield json.dumps(text)[1:-1].encode()


def _grouped(pieces: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    held = 0
    for piece in pieces:
        group.append(piece)
        held += len(piece)
        if held >= size:
            yield group
            group, held = [], 0
    if group:
        yield group


def _hashes(data: bytes) -> Hashes:
    """Return the hash of the window at each offset."""
    count = len(data) - _WINDOW + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    out = np.empty(count, np.uint64)
    for start in range(min(8, count)):  # numbers that are aligned are read several times as fast
        whole = (len(data) - start) // 8
        words = np.frombuffer(data, "<u8", whole, start).copy()
        here = len(range(start, count, 8))
        out[start::8] = _mixed(words[:here], words[1 : 1 + here], words[2 : 2 + here])
    return out


def _joined(windows: Hashes) -> Hashes:
    """Return the hash of the run at each offset, from those of its two halves."""
    if len(windows) <= _WINDOW:
        return np.zeros(0, np.uint64)
    return _mixed(windows[:-_WINDOW], windows[_WINDOW:])


def _mixed(*words: Hashes) -> Hashes:
    """Return one hash of up to three words; multiplications wrap around."""
    total = words[0] * _MIX[0]
    for word, factor in zip(words[1:], _MIX[1:], strict=False):
        np.bitwise_xor(total, word, out=total)
        np.multiply(total, factor, out=total)
    return total
