"""BERT's tokenizer in plain Python: what the text is parted into, and each word into WordPieces.

Gives the ids of the `tokenizers` library for the models' ``tokenizer.json`` (the tests compare every
character of Unicode), without that library and the 35 MB that it brings: it needs the client of a
model hub, and nothing here is ever downloaded.

Devlin et al., 2018, "BERT: Pre-training of Deep Bidirectional Transformers"; the greedy match of the
longest piece is that of Wu et al., 2016, section 4.1.
"""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_right
from pathlib import Path

#: Characters of a word; a longer one is unknown as a whole (``max_input_chars_per_word``).
_LONGEST_WORD = 100


class Bert:
    """The tokenizer of a folder with ``tokenizer.json`` and ``characters.json``.

    Parameters
    ----------
    folder : Path

    Examples
    --------
    >>> bert = Bert(MODELS / "minilm")                                   # doctest: +SKIP
    >>> bert.words("Café, [SEP]")                                        # doctest: +SKIP
    ['cafe', ',', '[SEP]']
    """

    def __init__(self, folder: Path) -> None:
        settings = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        ranges = json.loads((folder / "characters.json").read_text(encoding="utf-8"))
        self._vocabulary: dict[str, int] = settings["model"]["vocab"]
        self._unknown = [self._vocabulary[settings["model"]["unk_token"]]]
        self._longest = max(map(len, self._vocabulary))
        self._special = {token["content"] for token in settings["added_tokens"]}
        self._specials = re.compile("(" + "|".join(map(re.escape, sorted(self._special))) + ")")
        signs = "".join(f"{re.escape(chr(a))}-{re.escape(chr(b))}" for a, b in ranges["sign"])
        self._word = re.compile(f"[{signs}]|[^ {signs}]+")
        self._characters = _Characters(ranges)

    def words(self, text: str) -> list[str]:
        """Part a text into normalised words, signs and special tokens, in order."""
        out: list[str] = []
        for part in self._specials.split(text):
            out += [part] if part in self._special else self._word.findall(part.translate(self._characters))
        return out

    def pieces(self, word: str) -> list[int]:
        """Return the ids of a normalised word's pieces: each the longest that the vocabulary holds."""
        if word in self._special:
            return [self._vocabulary[word]]
        if len(word) > _LONGEST_WORD:
            return self._unknown
        ids: list[int] = []
        at, mark = 0, ""
        while at < len(word):
            for end in range(min(len(word), at + self._longest), at, -1):
                found = self._vocabulary.get(mark + word[at:end])
                if found is not None:
                    break
            else:
                return self._unknown
            ids.append(found)
            at, mark = end, "##"
        return ids


class _Characters(dict[int, str]):
    """What each character is read as, for `str.translate`; worked out when first met."""

    def __init__(self, ranges: dict[str, list[tuple[int, int]]]) -> None:
        self._removed, self._space, self._apart = (
            _Ranges(ranges[name]) for name in ("removed", "space", "apart")
        )

    def __missing__(self, number: int) -> str:
        if number in self._space:
            text = " "
        elif 0xD800 <= number < 0xE000:  # half of a pair: no text, removed as U+FFFD is
            text = ""
        else:
            bare = (c for c in unicodedata.normalize("NFD", chr(number)) if ord(c) not in self._removed)
            text = "".join(c.lower() for c in bare)
            if number in self._apart:
                text = f" {text} "
        self[number] = text
        return text


class _Ranges:
    """A set of characters, as ranges with both ends included."""

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self._starts = [start for start, _ in ranges]
        self._ends = [end for _, end in ranges]

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number <= self._ends[at]
