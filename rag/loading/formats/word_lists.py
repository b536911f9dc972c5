"""Styles and list numbers of Word documents: ECMA-376, Part 1, 17.7 and 17.9."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from rag.loading.formats.numerals import numeral
from rag.loading.formats.ooxml import W

#: Styles that a style is based on, one after another, are followed this far.
_DEEPEST = 20
_PLACE = re.compile(r"%([1-9])")


def value(parent: Any, name: str) -> str | None:
    """Return the ``w:val`` of a child element; None without the child, empty without the value."""
    element = None if parent is None else parent.find(W + name)
    return None if element is None else str(element.get(W + "val") or "")


def switched(parent: Any, name: str) -> bool | None:
    """Tell whether a property is switched on; None where nothing is said of it."""
    setting = value(parent, name)
    return None if setting is None else setting not in ("0", "false", "off")


@dataclass(frozen=True)
class Style:
    """A style: its identifier, its name, and its element."""

    key: str
    name: str
    element: Any
    base: str


class Styles:
    """The styles of a document, each with those that it is based on."""

    def __init__(self, root: Any) -> None:
        self._styles: dict[str, Style] = {}
        self.default: Style | None = None
        for element in [] if root is None else root.iterchildren(W + "style"):
            key = str(element.get(W + "styleId") or "")
            style = Style(key, value(element, "name") or "", element, value(element, "basedOn") or "")
            self._styles[key] = style
            if element.get(W + "type") == "paragraph" and element.get(W + "default") in ("1", "true", "on"):
                self.default = style
        self._runs: dict[str, tuple[bool | None, str]] = {}

    def of(self, key: str | None) -> Style | None:
        """Return a style by its identifier."""
        return self._styles.get(key or "")

    def chain(self, style: Style | None) -> Iterator[Style]:
        """Yield a style and those that it is based on, the nearest first."""
        for _ in range(_DEEPEST):
            if style is None:
                return
            yield style
            style = self._styles.get(style.base)

    def run(self, key: str | None) -> tuple[bool | None, str]:
        """Return whether a style hides its text, and how it is raised (``superscript``, …)."""
        if key is None:
            return None, ""
        if key not in self._runs:
            hidden, raised = None, ""
            for style in self.chain(self.of(key)):
                properties = style.element.find(W + "rPr")
                hidden = switched(properties, "vanish") if hidden is None else hidden
                raised = raised or value(properties, "vertAlign") or ""
            self._runs[key] = hidden, raised
        return self._runs[key]


@dataclass(frozen=True)
class _Level:
    start: int = 1
    form: str = "decimal"
    text: str = ""
    restart: int | None = None
    legal: bool = False
    style: str = ""


@dataclass
class _List:
    """An abstract list: its levels, and how far each is counted."""

    levels: dict[int, _Level]
    counts: dict[int, int] = field(default_factory=dict)


@dataclass
class _Number:
    """A list as paragraphs name it; several may count in one abstract list."""

    abstract: _List
    levels: dict[int, _Level]
    starts: dict[int, int]


class Numbering:
    """The lists of a document, counted as their paragraphs are met."""

    def __init__(self, root: Any, styles: Styles) -> None:
        self._styles = styles
        self._numbers: dict[str, _Number] = {}
        if root is None:
            return
        lists, links, linked = {}, {}, {}
        for element in root.iterchildren(W + "abstractNum"):
            key = element.get(W + "abstractNumId")
            lists[key] = _List({_depth(one): _level(one) for one in element.iterchildren(W + "lvl")})
            links[key] = value(element, "numStyleLink")
            linked[value(element, "styleLink")] = key
        for element in root.iterchildren(W + "num"):
            key = value(element, "abstractNumId")
            if links.get(key):
                key = linked.get(links[key], key)
            if key not in lists:
                continue
            levels, starts = dict(lists[key].levels), {}
            for override in element.iterchildren(W + "lvlOverride"):
                depth = _depth(override)
                replacement = override.find(W + "lvl")
                if replacement is not None:
                    levels[depth] = _level(replacement)
                start = _integer(value(override, "startOverride"))
                if start is not None:
                    starts[depth] = start
                    levels[depth] = replace(levels.get(depth, _Level()), start=start)
            self._numbers[element.get(W + "numId")] = _Number(lists[key], levels, starts)

    def place(self, paragraph: Any, style: Style | None) -> tuple[str, int] | None:
        """Return the list and level (from 0) of a paragraph, by itself or its style."""
        number, level = None, None
        direct = paragraph.find(f"{W}pPr/{W}numPr")
        if direct is not None:
            number, level = value(direct, "numId"), _integer(value(direct, "ilvl"))
            if level is None and number is not None:
                level = 0
        for each in self._styles.chain(style):
            if number is not None:
                break
            properties = each.element.find(f"{W}pPr/{W}numPr")
            if properties is not None:
                number = value(properties, "numId")
                if level is None and number is not None:
                    level = self._linked(number, style)
                    level = _integer(value(properties, "ilvl")) if level is None else level
        if number in (None, "", "0"):
            return None
        return str(number), min(max(level or 0, 0), 8)

    def _linked(self, number: str, style: Style | None) -> int | None:
        """Return the level of a list that is linked to a style, or to one that it is based on."""
        known = self._numbers.get(number)
        if known is None:
            return None
        for each in self._styles.chain(style):
            for depth, level in known.levels.items():
                if level.style == each.key:
                    return depth
        return None

    def count(self, number: str, depth: int) -> str:
        """Count a paragraph; return its number as the reader sees it, empty for bullets and unseen ones."""
        known = self._numbers.get(number)
        if known is None:
            return ""
        level = known.levels.get(depth, _Level(form="bullet"))
        counts = known.abstract.counts
        if depth in known.starts:
            counts[depth] = known.starts.pop(depth) - 1
        counts[depth] = counts[depth] + 1 if depth in counts else level.start
        for deeper in [deep for deep in counts if deep > depth]:
            restart = known.levels.get(deeper, _Level()).restart
            if restart is None or (restart and depth < restart):
                del counts[deeper]
        if level.form == "bullet":
            return ""

        def written(place: re.Match[str]) -> str:
            at = int(place[1]) - 1
            each = known.levels.get(at, _Level())
            return numeral(counts.get(at, each.start), "decimal" if level.legal else each.form) * (
                each.form != "none" or level.legal
            )

        return " ".join(_PLACE.sub(written, level.text).split())


def _depth(element: Any) -> int:
    return _integer(element.get(W + "ilvl")) or 0


def _integer(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _level(element: Any) -> _Level:
    form = element.find(W + "numFmt")
    name = "decimal" if form is None else str(form.get(W + "val") or "decimal")
    if name == "custom" and str(form.get(W + "format") or "").startswith("0"):
        name = "decimalZero"  # "001, 002, …"
    start = _integer(value(element, "start"))
    return _Level(
        0 if start is None else start, "bullet" if element.find(W + "lvlPicBulletId") is not None else name,
        value(element, "lvlText") or "", _integer(value(element, "lvlRestart")),
        bool(switched(element, "isLgl")), value(element, "pStyle") or "",
    )  # fmt: skip
