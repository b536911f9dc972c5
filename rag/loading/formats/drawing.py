"""What is drawn in office documents: the text of shapes, diagrams (SmartArt), and charts in them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from rag.loading.formats.archive import local_name
from rag.loading.formats.charts import write_chart
from rag.loading.formats.equations import equation
from rag.loading.formats.numerals import numeral
from rag.loading.formats.ooxml import A, Package, relation_id
from rag.loading.formats.scripts import Piece, flat
from rag.loading.structure import Text

_DEEPEST = 20
#: Kinds of automatic numbers (ECMA-376, Part 1, 20.1.10.61): how the number is written, and what around it.
_NUMBERS = {
    "alphaLc": "lowerLetter", "alphaUc": "upperLetter", "arabic": "decimal", "romanLc": "lowerRoman",
    "romanUc": "upperRoman", "ea1Chs": "chineseCounting", "ea1Cht": "chineseCounting",
    "ea1JpnChs": "japaneseCounting", "ea1JpnKor": "japaneseCounting", "circleNumDb": "decimalEnclosedCircle",
    "circleNumWdBlack": "decimalEnclosedCircle", "circleNumWdWhite": "decimalEnclosedCircle",
    "arabicDb": "decimalFullWidth", "thaiAlpha": "thaiLetters", "thaiNum": "thaiNumbers",
    "hindiNum": "hindiNumbers", "hindiAlpha": "decimal", "hindiAlpha1": "decimal", "arabic1": "decimal",
    "arabic2": "arabicAlpha", "hebrew2": "hebrew2",
}  # fmt: skip
_AROUND = {"ParenBoth": "({})", "ParenR": "{})", "Period": "{}.", "Minus": "{}-", "Plain": "{}"}

#: Elements that refer to a graphic: what it is, and the attribute that names its relationship.
_GRAPHICS = {"chart": ("chart", "id"), "relIds": ("diagram", "dm")}


def paragraph_text(paragraph: Any) -> str:
    """Return the text of a shape's paragraph (``a:p``)."""
    pieces: list[Piece] = []
    for element in paragraph.iter():
        name = local_name(element)
        if name == "oMath":
            pieces.append((equation(element), 0))
        elif name == "br" and element.tag.startswith(A):
            pieces.append(("\n", 0))
        elif name == "t" and element.tag.startswith(A):
            pieces.append((element.text or "", _place(element.getparent())))
    return flat(pieces)


def _place(run: Any) -> int:
    properties = run.find(A + "rPr")
    value = (properties.get("baseline") or "0").removesuffix("%") if properties is not None else "0"
    try:
        size = float(value)
    except ValueError:
        return 0
    return (size > 0) - (size < 0)


def body_text(body: Any) -> str:
    """Return the paragraphs of a text body, a line each."""
    return "\n".join(filter(str.strip, (paragraph_text(p) for p in body.iter(A + "p"))))


class AutoNumbers:
    """Counts the numbered paragraphs of one text body."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._kinds: dict[int, tuple[str, str]] = {}

    def mark(self, properties: Any, level: int) -> str | None:
        """Return the number of the next paragraph; None if it has none.

        Parameters
        ----------
        properties : element or None
            The paragraph's, or those of its level in the body's list style.
        level : int
            From 0; the deeper levels begin anew.
        """
        for deeper in [deep for deep in self._kinds if deep > level]:
            del self._kinds[deeper]
        auto = None if properties is None else properties.find(A + "buAutoNum")
        if auto is None:
            self._kinds.pop(level, None)
            return None
        kind, start = auto.get("type") or "arabicPeriod", auto.get("startAt") or "1"
        if self._kinds.get(level) != (kind, start):
            self._kinds[level] = (kind, start)
            self._counts[level] = int(start) - 1 if start.isdecimal() and len(start) < 6 else 0
        self._counts[level] += 1
        ending = next((end for end in _AROUND if kind.endswith(end)), "Plain")
        return _AROUND[ending].format(
            numeral(self._counts[level], _NUMBERS.get(kind.removesuffix(ending), "decimal"))
        )


def write_graphics(
    package: Package, part: str, element: Any, out: Text, *, figures: bool = True,
    where: Callable[[Any], bool] = lambda reference: True,
) -> None:  # fmt: skip
    """Write the charts and diagrams that an element refers to, in their order.

    Parameters
    ----------
    part : str
        The part that the element stands in: references are its own.
    figures : bool
        As `rag.loading.formats.charts.write_chart` takes it.
    where : callable
        Tells whether to write what a reference below the element refers to; by default, all of them.
    """
    for reference in filter(where, element.iter(*(f"{{*}}{name}" for name in _GRAPHICS))):
        kind, attribute = _GRAPHICS[local_name(reference)]
        identifier = relation_id(reference, attribute)
        if not identifier:
            continue
        related = package.relations(part).get(identifier)
        if related is None:
            package.notes.append(f"a {kind} in {part} is missing: left out")
            continue
        target = related.target
        try:
            root = package.xml(target)
            if root is None:
                if not package.has(target):
                    package.notes.append(f"its {kind} {target} is missing: left out")
            elif kind == "chart":
                write_chart(package, target, root, out, figures=figures)
            else:
                _write_diagram(root, out)
        except Exception as error:  # whatever a broken part makes of the reader
            package.notes.append(f"its {kind} {target} was not read to its end ({type(error).__name__})")


def _write_diagram(root: Any, out: Text) -> None:
    """Write a diagram as the list that it was made from, then what stands on its connections."""
    points: dict[str, Any] = {}
    for point in root.iter("{*}pt"):
        if point.get("type") != "pres" and "diagram" in point.tag:
            points[point.get("modelId") or ""] = point
    below: dict[str, list[tuple[int, str]]] = defaultdict(list)
    inner = set()
    for link in root.iter("{*}cxn"):
        if (link.get("type") or "parOf") == "parOf":
            order = link.get("srcOrd") or "0"
            below[link.get("srcId") or ""].append(
                (int(order) if order.isdecimal() else 0, link.get("destId") or "")
            )
            inner.add(link.get("destId") or "")
    written: set[str] = set()
    first = True

    def write(name: str, level: int) -> None:
        nonlocal first
        if name in written or name not in points or level > _DEEPEST:
            return
        written.add(name)
        body = points[name].find("./{*}t")
        text = "" if body is None else body_text(body)
        if text.strip():
            out.item(text, level=level, first=first)
            first = False
        for _, child in sorted(below[name], key=lambda item: item[0]):
            write(child, level + bool(text.strip()))

    for name, point in points.items():
        if name not in inner and point.get("type") not in ("parTrans", "sibTrans"):
            write(name, 0)
    for name in points:
        write(name, 0)
