r"""Rewrite marks that a model writes itself, so that ``[n]`` in an answer is always a checked citation.

A model can write ``[1]`` because it was trained on such texts, because a passage contains it, or because
a passage asks for it. Such a mark has passed no check. It is shown in round brackets, ``(1)``: nothing is
lost, and neither plain text nor rendered Markdown can show it as a mark of ours (the escaped form
``\[1\]`` would be rendered as one). Full-width and other square brackets, footnotes (``[^1]``), lists
(``[1, 2]``), links (``[1](url)`` becomes ``(1)(url)``), escaped brackets, emphasis and invisible
characters inside are covered; this holds in code, too (``a[1]`` becomes ``a(1)``).
"""

from __future__ import annotations

import re

from rag.core.lookalikes import INVISIBLE

_LONGEST = 40  # characters between the brackets; no list of marks is longer
_OPEN, _CLOSE = "[\\[［【〔〖⁅〚]", "[\\]］】〕〗⁆〛]"
_INSIDE = rf"[\d²³¹⁰⁴-⁹\s,;?^*_`~'\"’–—&+#\-{INVISIBLE}]"
_LITERAL = re.compile(rf"\\?{_OPEN}({_INSIDE}{{1,{_LONGEST}}})\\?{_CLOSE}")
# The end of a text that more text could complete to a mark.
_BEGUN = re.compile(rf"(?:\\|\\?{_OPEN}{_INSIDE}{{0,{_LONGEST}}}\\?)\Z")
_DIGIT = re.compile(r"[\d²³¹⁰⁴-⁹]")


def without_marks(text: str) -> str:
    """Return a text whose marks are in round brackets.

    Examples
    --------
    >>> without_marks("Leave is 28 days [1], or 30 [2?].")
    'Leave is 28 days (1), or 30 (2?).'
    """
    return _LITERAL.sub(lambda match: f"({match[1]})" if _DIGIT.search(match[1]) else match[0], text)


class MarkFilter:
    """Does the same to a text that comes in pieces.

    Examples
    --------
    >>> pieces = MarkFilter()
    >>> [pieces.feed("Leave ["), pieces.feed("1] is"), pieces.close()]
    ['Leave ', '(1) is', '']
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Take more of the text; return what no further text can change."""
        text = self._held + text
        begun = _BEGUN.search(text)
        cut = begun.start() if begun else len(text)
        self._held = text[cut:]
        return without_marks(text[:cut])

    def close(self) -> str:
        """Return what was held back: no mark ends here."""
        held, self._held = self._held, ""
        return held
