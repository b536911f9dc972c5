"""Styles of OpenDocument files: how text is raised or hidden, and the numbers of lists and headings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rag.loading.formats.archive import local_name
from rag.loading.formats.numerals import numeral

#: Number formats of ODF 1.3, part 3, 19.500, as Word names them.
_FORMS = {"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_DEEPEST = 20


def attribute(element: Any, name: str) -> str | None:
    """Return an attribute by its name without the namespace."""
    wanted = next((value for key, value in element.attrib.items() if key.rsplit("}", 1)[-1] == name), None)
    return None if wanted is None else str(wanted)


def number(text: str | None, default: int) -> int:
    """Return a small whole number of an attribute."""
    return int(text) if text is not None and text.isdecimal() and len(text) < 8 else default


@dataclass(frozen=True)
class _Level:
    form: str
    prefix: str
    suffix: str
    shown: int
    start: int


class Counts:
    """How far each level of a list, or of the headings, is counted."""

    def __init__(self, levels: dict[int, _Level]) -> None:
        self._levels = levels
        self._counts: dict[int, int] = {}

    def begin(self, level: int) -> None:
        """Begin a list inside a list anew."""
        for deeper in [deep for deep in self._counts if deep >= level]:
            del self._counts[deeper]

    def mark(self, level: int, start: str | None) -> str:
        """Count an item of a level (from 1); return its number, empty for a bullet or none."""
        known = self._levels.get(level)
        first = number(start, known.start if known else 1)
        self._counts[level] = (
            first if start is not None or level not in self._counts else self._counts[level] + 1
        )
        self.begin(level + 1)
        if known is None or not known.form:
            return "" if known is None else (known.prefix + known.suffix).strip()
        shown = []
        for each in range(max(level - known.shown + 1, 1), level + 1):
            form = self._levels[each].form if each in self._levels else "1"
            if form:
                shown.append(numeral(self._counts.get(each, 1), _FORMS.get(form, "decimal")))
        return f"{known.prefix}{'.'.join(shown)}{known.suffix}".strip()


class Styles:
    """The styles of a document.

    Parameters
    ----------
    roots : iterable of element
        Of ``content.xml`` and ``styles.xml``, as far as they can be read.
    """

    def __init__(self, roots: Iterable[Any]) -> None:
        self._texts: dict[str, tuple[str, bool | None, int | None, str]] = {}
        self._lists: dict[str, dict[int, _Level]] = {}
        self.hidden_tables: set[str] = set()
        outline: dict[int, _Level] = {}
        for root in roots:
            for element in root.iter():
                name = local_name(element)
                if name == "style":
                    self._style(element)
                elif name == "list-style":
                    self._lists[attribute(element, "name") or ""] = _levels(element)
                elif name == "outline-style":
                    outline = _levels(element)
        self.headings = Counts(outline)

    def _style(self, element: Any) -> None:
        raised, hidden = None, None
        for inner in element:
            if local_name(inner) == "text-properties":
                position = (attribute(inner, "text-position") or "").split(" ")[0]
                if position:
                    raised = (
                        -1 if position == "sub" or position.startswith("-") else position not in ("0%", "")
                    )
                display = attribute(inner, "display")
                hidden = hidden if display is None else display == "none"
            elif local_name(inner) == "table-properties" and attribute(inner, "display") == "false":
                self.hidden_tables.add(attribute(element, "name") or "")
        self._texts[attribute(element, "name") or ""] = (
            attribute(element, "parent-style-name") or "", hidden, None if raised is None else int(raised),
            attribute(element, "list-style-name") or "",
        )  # fmt: skip

    def text(self, name: str | None) -> tuple[bool, int]:
        """Return whether a style hides its text, and whether that stands above (1) or below (-1) the line."""
        hidden, raised = None, None
        for _ in range(_DEEPEST):
            if name not in self._texts:
                break
            name, own_hidden, own_raised, _list = self._texts[name]
            hidden = own_hidden if hidden is None else hidden
            raised = own_raised if raised is None else raised
        return bool(hidden), raised or 0

    def counts(self, name: str | None) -> Counts:
        """Return a new count for a list of that style."""
        return Counts(self._lists.get(name or "", {}))


def _levels(style: Any) -> dict[int, _Level]:
    return {
        number(attribute(level, "level"), 1): _Level(
            attribute(level, "num-format") or "", attribute(level, "num-prefix") or "",
            attribute(level, "num-suffix") or "", number(attribute(level, "display-levels"), 1),
            number(attribute(level, "start-value"), 1),
        )
        for level in style
        if local_name(level) in ("list-level-style-number", "outline-level-style")
    }  # fmt: skip
