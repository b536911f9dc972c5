"""The local models' tokenizer: texts to WordPiece ids, word by word with a memory.

`rag.embedding.bert` decides what a word's pieces are, and parts whole texts that hold anything
unusual. The rest, which is nearly all of English, is parted by one expression; each word is looked
up: several times faster for sentences, which a chunker counts by the hundred thousand. Both give the
same ids.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

from rag.embedding.bert import Bert

MODELS = Path(__file__).parent / "models"

#: Words remembered: about 50 MB when full.
_MOST = 1 << 18
# What BERT's tokenizer parts a lower-case text into, if it is of letters, digits, white space and
# punctuation alone: words, and every sign by itself.
_PIECE = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")
# Anything else (accents, other scripts, signs that are no punctuation, control characters), and the
# special tokens, which are found before a text is parted.
_UNUSUAL = re.compile(r"[^\t\n\r\x20-\x7e\xa0«»–—‘’“”…•]|\[(?:PAD|UNK|CLS|SEP|MASK)\]")


class _Words(dict[str, list[int]]):
    """The ids of each word's pieces."""

    def __missing__(self, word: str) -> list[int]:
        ids = bert().pieces(word)
        if len(self) < _MOST:
            self[word] = ids
        return ids


_WORDS = _Words()
#: Texts of the last calls: a chunker counts a sentence's tokens, and then has it embedded.
_RECENT: dict[str, list[int]] = {}
_MOST_RECENT = 8192


def token_ids(texts: Sequence[str]) -> list[list[int]]:
    """Return the texts' token ids, without special ones; not to be changed, as they are remembered.

    Examples
    --------
    >>> token_ids(["Who declares a SEV-1?"])
    [[2040, 18806, 1037, 7367, 2615, 1011, 1015, 1029]]
    """
    out: list[list[int]] = []
    for text in texts:
        known = _RECENT.get(text)
        if known is None:
            words = bert().words(text) if _UNUSUAL.search(text) else _PIECE.findall(text.lower())
            known = _RECENT[text] = list(chain.from_iterable(map(_WORDS.__getitem__, words)))
        out.append(known)
    if len(_RECENT) > _MOST_RECENT:
        _RECENT.clear()
    return out


@lru_cache(maxsize=1)
def bert() -> Bert:
    """Load the models' tokenizer, once."""
    return Bert(MODELS / "minilm")
