"""Equations of office documents (OMML, ECMA-376, Part 1, 22.1) on one line, as one types them."""

from __future__ import annotations

import re
from typing import Any

from rag.loading.formats.archive import local_name
from rag.loading.formats.ooxml import M
from rag.loading.formats.scripts import above

_WORD = re.compile(r"[\w.]*\Z")
_DEEPEST = 60


def equation(element: Any, depth: int = 0) -> str:
    """Return an equation, or a part of one, as text.

    Examples
    --------
    A fraction a over b + 1 is ``a/(b+1)``, a power ``x²`` or ``e^(kt)``, a sum ``∑_(i=1)^n i``.
    """
    if depth > _DEEPEST:
        return "".join(element.itertext(M + "t"))
    return "".join(_part(child, depth + 1) for child in element)


def _part(element: Any, depth: int) -> str:
    name = local_name(element)
    if name == "t":
        return element.text or ""
    if name.endswith("Pr"):
        return ""
    write = _WRITE.get(name)
    return write(element, depth) if write is not None else equation(element, depth)


def _inside(element: Any, name: str, depth: int) -> str:
    part = element.find(M + name)
    return "" if part is None else equation(part, depth).strip()


def _grouped(text: str) -> str:
    return text if _WORD.match(text) else f"({text})"


def _raised(text: str) -> str:
    if not text:
        return ""
    short = above(text, "x")
    return short if not short.startswith("^") and len(text) < 4 else "^" + _grouped(text)


def _lowered(text: str) -> str:
    return "_" + _grouped(text) if text else ""


def _property(element: Any, name: str, default: str) -> str:
    mark = element.find(f"{M}{local_name(element)}Pr/{M}{name}")
    value = None if mark is None else mark.get(M + "val")
    return default if value is None else str(value)


def _fraction(element: Any, depth: int) -> str:
    return f"{_grouped(_inside(element, 'num', depth))}/{_grouped(_inside(element, 'den', depth))}"


def _script(element: Any, depth: int) -> str:
    base = _inside(element, "e", depth)
    return _grouped(base) + _lowered(_inside(element, "sub", depth)) + _raised(_inside(element, "sup", depth))


def _before(element: Any, depth: int) -> str:
    scripts = _lowered(_inside(element, "sub", depth)) + _raised(_inside(element, "sup", depth))
    return scripts + _inside(element, "e", depth)


def _root(element: Any, depth: int) -> str:
    degree = _inside(element, "deg", depth)
    return above(degree) * (degree not in ("", "2")) + f"√({_inside(element, 'e', depth)})"


def _sum(element: Any, depth: int) -> str:
    limits = _lowered(_inside(element, "sub", depth)) + _raised(_inside(element, "sup", depth))
    return f"{_property(element, 'chr', '∫')}{limits} {_inside(element, 'e', depth)}"


def _fenced(element: Any, depth: int) -> str:
    inner = _property(element, "sepChr", "|").join(equation(e, depth) for e in element.iterchildren(M + "e"))
    return _property(element, "begChr", "(") + inner + _property(element, "endChr", ")")


def _function(element: Any, depth: int) -> str:
    return f"{_inside(element, 'fName', depth)} {_inside(element, 'e', depth)}"


def _limit(element: Any, depth: int) -> str:
    return _inside(element, "e", depth) + _lowered(_inside(element, "lim", depth))


def _matrix(element: Any, depth: int) -> str:
    rows = (", ".join(equation(e, depth) for e in row) for row in element.iterchildren(M + "mr"))
    return f"[{'; '.join(rows)}]"


def _lines(element: Any, depth: int) -> str:
    return "; ".join(equation(e, depth) for e in element.iterchildren(M + "e"))


_WRITE = {
    "f": _fraction, "sSup": _script, "sSub": _script, "sSubSup": _script, "sPre": _before, "rad": _root,
    "nary": _sum, "d": _fenced, "func": _function, "limLow": _limit, "limUpp": _limit, "m": _matrix,
    "eqArr": _lines,
}  # fmt: skip
