"""Texts of documents as they may be drawn: nothing in them is obeyed by what shows them."""

from __future__ import annotations

import re

#: What a terminal obeys or that makes a text look like another one: control characters but tab and line
#: feed (Unicode's class Cc), line separators, controls of direction (https://trojansource.codes; the mere
#: marks of Hebrew and Arabic stay), tags, and halves of pairs, which cannot be written at all.
OBEYED = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def drawn(text: str) -> str:
    r"""Return a text with U+FFFD for each character that a terminal would obey; its length stays.

    Examples
    --------
    >>> drawn("a\x1b[2Jb\u202ec")
    'a�[2Jb�c'
    """
    return OBEYED.sub("\N{REPLACEMENT CHARACTER}", text)
