"""A filter as a form: what it offers for an index, from its rows to the string form, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rag.core.errors import WhereError, near_miss
from rag.core.values import shown
from rag.index.filters.parse import parse
from rag.index.filters.where import And, FieldType, Not, Test, Where, flat
from rag.index.storage.schema import BUILT_IN
from rag.notebook.explorer.messages import Row

#: Most values of a field that the form offers, and most characters of each.
_LONGEST = 200
_EITHER = (("has", "has a value"), ("lacks", "has no value"))
_ORDER = (
    ("between", "is between"), (">=", "is at least"), ("<=", "is at most"), ("==", "is"), ("!=", "is not"),
    *_EITHER,
)  # fmt: skip
#: For each type the operators that the form offers, with their labels; the first is chosen at first.
OPERATORS: dict[FieldType, tuple[tuple[str, str], ...]] = {
    "string": (
        ("==", "is"), ("!=", "is not"), ("in", "is one of"), ("not in", "is none of"),
        ("startswith", "begins with"), ("string_contains", "contains"), *_EITHER,
    ),
    "number": _ORDER, "date": _ORDER, "datetime": _ORDER, "boolean": (("==", "is"), *_EITHER),
    "list": (("contains", "has the member"), ("without", "has no member"), *_EITHER),
}  # fmt: skip


def fields(index: Any) -> list[dict[str, Any]]:
    """Return the fields that the form offers: the user's, then those that every chunk has.

    Returns
    -------
    list of dict
        ``name``, ``type``, ``values`` (frequent ones, each with its documents), ``least`` and ``most``.
    """
    held = [
        {
            "name": each.name, "type": each.type, "least": each.least, "most": each.most,
            "values": [[value, count] for value, count in each.values if len(value) <= _LONGEST],
        }
        for each in index.contents.fields
    ]  # fmt: skip
    known = {each["name"] for each in held}
    own = ("source", "section", "page_start")
    return held + [
        {"name": name, "type": BUILT_IN[name], "values": [], "least": "", "most": ""}
        for name in own if name not in known
    ]  # fmt: skip


def string_of(rows: Sequence[Row], schema: Any) -> str:
    """Return the rows of a form as a filter's string; rows without a value are left out.

    Raises
    ------
    WhereError
        A field or operator is unknown, or a value is not of the field's type.

    Examples
    --------
    >>> string_of([Row(field="year", op="between", value="2024", upto="2025")], {"year": "number"})
    'year >= 2024 and year <= 2025'
    """
    tests = [test for row in rows for test in _tests(row, schema)]
    return "" if not tests else (tests[0] if len(tests) == 1 else flat(And, tests)).to_string()


def _tests(row: Row, schema: Any) -> list[Where]:
    kind = schema.get(row.field)
    if kind is None:
        raise WhereError(f"no document has a field {row.field!r}: {near_miss(row.field, schema)}")
    if row.op not in dict(OPERATORS[kind]):
        raise WhereError(f"{row.field!r} is a {kind}: {shown(row.op)} is no operator of its form")
    if row.op in ("has", "lacks"):
        test = Test(row.field, "exists")
        return [test if row.op == "has" else Not(test)]
    if row.op == "between":
        ends = ((">=", row.value), ("<=", row.upto))
        return [Test(row.field, op, _value(row.field, kind, text)) for op, text in ends if text.strip()]
    if not row.value.strip():
        return []
    if row.op in ("in", "not in"):
        values = [part.strip() for part in row.value.split(",") if part.strip()]
        return [Test(row.field, row.op, tuple(values))] if values else []
    if row.op == "without":
        return [Not(Test(row.field, "contains", row.value))]
    return [Test(row.field, row.op, _value(row.field, kind, row.value))]


def _value(name: str, kind: FieldType, text: str) -> Any:
    if kind == "boolean":
        if text not in ("true", "false"):
            raise WhereError(f"{name!r} is a boolean, {text!r} is not: write true or false")
        return text == "true"
    if kind != "number":
        return text.strip() if kind in ("date", "datetime") else text
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise WhereError(f"{name!r} is a number, {shown(text)} is not") from None


def rows_of(where: Any, schema: Any) -> list[dict[str, str]] | None:
    """Return a filter as rows of the form; None if the form cannot show it.

    Examples
    --------
    >>> rows_of("year >= 2024 and 'hr' in tags", {"year": "number", "tags": "list"})[1]["op"]
    'contains'
    >>> rows_of("year == 2024 or year == 2025", {"year": "number"}) is None
    True
    """
    node = parse(where)
    rows = [_row(part, schema) for part in (node.parts if isinstance(node, And) else (node,))]
    return None if None in rows else [row for row in rows if row is not None]


def _row(node: Where, schema: Any) -> dict[str, str] | None:
    denied = isinstance(node, Not)
    test = node.part if isinstance(node, Not) else node
    if not isinstance(test, Test) or test.field not in schema:
        return None
    kind: FieldType = schema[test.field]
    op = test.op
    if op == "exists":
        op = "lacks" if denied else "has"
    elif denied:
        op = {"contains": "without", "list_contains": "without"}.get(op, "")
    elif op in ("contains", "list_contains"):
        op = "contains" if kind == "list" else "string_contains"
    if op not in dict(OPERATORS[kind]):
        return None
    value = test.value
    if op in ("in", "not in"):
        if any(not isinstance(each, str) or "," in each or each != each.strip() for each in value):
            return None
        value = ", ".join(value)
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return {"field": test.field, "op": op, "value": text, "upto": ""}
