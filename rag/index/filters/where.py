"""The filter algebra: what a `where` means, checked against a schema, as a mask over rows.

==================  ==============================================  ===========================
node                a row matches when its field                    field missing in the row
==================  ==============================================  ===========================
``==``              equals the value                                no match
``!=``              does not equal the value                        **match** (as Knowledge Bases)
``< <= > >=``       is on that side of the value                    no match
``in``              equals one of the values                        no match
``not in``          equals none of the values                       no match (as Knowledge Bases)
``startswith``      (string) begins with the value                  no match
``contains``        (string) has it inside; (list) has it as member no match
``string_contains`` (string or list) has it inside, or in a member  no match
``list_contains``   (list) has it as a member                       no match
``exists``          is there                                        no match
``and or not``      two-valued, over the above
==================  ==============================================  ===========================

The column on missing fields follows the RetrievalFilter page of the Amazon Bedrock API reference
(agent-runtime, read November 2026). ``not`` is the complement: ``not (x in [...])`` does match a
row without x. A field that the schema does not hold, or a value of another type than the field's,
is a `WhereError`, never an empty result.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rag.core.errors import WhereError, near_miss

FieldType = Literal["string", "number", "boolean", "date", "datetime", "list"]
Schema = Mapping[str, FieldType]

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
ORDERED = ("<", "<=", ">", ">=")


class Where:
    """A filter; combine filters with ``&``, ``|`` and ``~``."""

    def __and__(self, other: Where) -> Where:
        return And((self, _filter(other)))

    def __or__(self, other: Where) -> Where:
        return Or((self, _filter(other)))

    def __invert__(self) -> Where:
        return Not(self)

    def __bool__(self) -> bool:
        raise WhereError(
            "a filter has no truth value: combine filters with & | ~ (not `and`, `or`, `not`), "
            "and put each comparison in brackets"
        )

    def fields(self) -> set[str]:
        """Return the names of all fields that the filter looks at."""
        if isinstance(self, And | Or):
            return set().union(*(part.fields() for part in self.parts))
        if isinstance(self, Not):
            return self.part.fields()
        assert isinstance(self, Test)
        return {self.field}

    def to_string(self) -> str:
        """Print as the string form."""
        from rag.index.filters.parse import to_string

        return to_string(self)

    def to_bedrock(self, schema: Schema | None = None) -> dict[str, Any]:
        """Print as a Knowledge Bases ``RetrievalFilter``; `schema` resolves ``contains``."""
        from rag.index.filters.parse import to_bedrock

        return to_bedrock(self, schema)

    def to_langchain(self) -> dict[str, Any]:
        """Print as LangChain's dict form."""
        from rag.index.filters.parse import to_langchain

        return to_langchain(self)


@dataclass(frozen=True, slots=True, eq=False)
class Test(Where):
    """One test of one field. `op` is a node of the module's table."""

    field: str
    op: str
    value: Any = None

    def __repr__(self) -> str:
        name = f"field({self.field!r})"
        if self.op in COMPARISONS:
            return f"({name} {self.op} {self.value!r})"
        if self.op == "exists":
            return f"{name}.exists()"
        method = {"in": "isin", "not in": "notin"}.get(self.op, self.op)
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return f"{name}.{method}({value!r})"


@dataclass(frozen=True, slots=True, eq=False)
class And(Where):
    """Every part matches."""

    parts: tuple[Where, ...]

    def __repr__(self) -> str:
        return "(" + " & ".join(map(repr, self.parts)) + ")"


@dataclass(frozen=True, slots=True, eq=False)
class Or(Where):
    """At least one part matches."""

    parts: tuple[Where, ...]

    def __repr__(self) -> str:
        return "(" + " | ".join(map(repr, self.parts)) + ")"


@dataclass(frozen=True, slots=True, eq=False)
class Not(Where):
    """The part does not match."""

    part: Where

    def __repr__(self) -> str:
        return f"~{self.part!r}"


class Field:
    """A metadata field, to write filters with.

    Examples
    --------
    >>> field("year") >= 2024
    (field('year') >= 2024)
    >>> (field("tags").contains("gdpr")) & ~(field("region") == "us")
    (field('tags').contains('gdpr') & ~(field('region') == 'us'))
    """

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]  # == makes a filter, so fields cannot be keys

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, value: object) -> Where:  # type: ignore[override]
        return Test(self.name, "==", value)

    def __ne__(self, value: object) -> Where:  # type: ignore[override]
        return Test(self.name, "!=", value)

    def __lt__(self, value: object) -> Where:
        return Test(self.name, "<", value)

    def __le__(self, value: object) -> Where:
        return Test(self.name, "<=", value)

    def __gt__(self, value: object) -> Where:
        return Test(self.name, ">", value)

    def __ge__(self, value: object) -> Where:
        return Test(self.name, ">=", value)

    def isin(self, values: Iterable[object]) -> Where:
        """Match rows whose field equals one of `values`."""
        return Test(self.name, "in", _several(self.name, values))

    def notin(self, values: Iterable[object]) -> Where:
        """Match rows that have the field, with none of `values`."""
        return Test(self.name, "not in", _several(self.name, values))

    def startswith(self, prefix: str) -> Where:
        """Match rows whose string field begins with `prefix`."""
        return Test(self.name, "startswith", prefix)

    def contains(self, value: str) -> Where:
        """Match rows whose string has `value` inside, or whose list has it as a member."""
        return Test(self.name, "contains", value)

    def string_contains(self, value: str) -> Where:
        """Match rows whose string, or a member of whose list, has `value` inside."""
        return Test(self.name, "string_contains", value)

    def list_contains(self, value: str) -> Where:
        """Match rows whose list has `value` as a member."""
        return Test(self.name, "list_contains", value)

    def exists(self) -> Where:
        """Match rows that have the field."""
        return Test(self.name, "exists")

    def __repr__(self) -> str:
        return f"field({self.name!r})"


def field(name: str) -> Field:
    """Name a metadata field, to write a filter with.

    Examples
    --------
    >>> field("department") == "security"
    (field('department') == 'security')
    """
    if not name:
        raise WhereError(f"a field's name is a string, not {name!r}")
    return Field(name)


def _filter(value: object) -> Where:
    if not isinstance(value, Where):
        raise WhereError(
            f"cannot combine a filter with {value!r}: put each comparison in brackets, as in "
            '(field("a") == 1) & (field("b") == 2)'
        )
    return value


def _several(name: str, values: Iterable[object]) -> tuple[object, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise WhereError(f"{name!r}: in and not in take a list of values, not {values!r}")
    return tuple(values)


# ---------------------------------------------------------------------- checking


def bind(where: Where, schema: Schema) -> Where:
    """Check a filter against a schema, and turn its values into the fields' types.

    Parameters
    ----------
    where : Where
    schema : mapping of str to FieldType
        Every field that rows may have.

    Returns
    -------
    Where
        The same filter; dates parsed, ``contains`` resolved by the field's type.

    Raises
    ------
    WhereError
        For a field that is not in `schema` (naming the near miss), a test that the field's type
        does not have, or a value of another type.
    """
    if isinstance(where, And):
        return And(tuple(bind(part, schema) for part in where.parts))
    if isinstance(where, Or):
        return Or(tuple(bind(part, schema) for part in where.parts))
    if isinstance(where, Not):
        return Not(bind(where.part, schema))
    assert isinstance(where, Test)
    return _bind_test(where, schema)


def _bind_test(test: Test, schema: Schema) -> Test:
    name, op, value = test.field, test.op, test.value
    kind = schema.get(name)
    if kind is None:
        raise WhereError(f"no document has a field {name!r}: {near_miss(name, schema)}")
    if op == "exists":
        return test
    if op in ("startswith", "contains", "string_contains", "list_contains"):
        if not isinstance(value, str):
            raise WhereError(f"{name!r}: {op} takes a string, not {value!r}")
        if op == "contains":
            op = "list_contains" if kind == "list" else "string_contains"
        allowed = {
            "startswith": ("string",),
            "string_contains": ("string", "list"),
            "list_contains": ("list",),
        }[op]
        if kind not in allowed:
            raise WhereError(f"{name!r} is a {kind}: {test.op} is for {' and '.join(allowed)} fields")
        return Test(name, op, value)
    if kind == "list":
        raise WhereError(
            f"{name!r} is a list: ask for a member, as in 'x' in {name}, or field({name!r}).contains('x')"
        )
    if op in ("in", "not in"):
        return Test(name, op, tuple(_value(name, kind, item) for item in value))
    if op in ORDERED and kind == "boolean":
        raise WhereError(f"{name!r} is a boolean: it has == and !=, not {op}")
    return Test(name, op, _value(name, kind, value))


def _value(name: str, kind: FieldType, value: object) -> object:
    if kind == "string" and isinstance(value, str):
        return value
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) > 2**53 and int(value) != float(value):
            raise WhereError(f"{name!r}: {value!r} is beyond the numbers that are kept exactly")
        return float(value)
    if kind in ("date", "datetime") and (moment := _moment(value)) is not None:
        if kind == "datetime":
            return moment
        if moment.time() == dt.time():
            return moment.date()
        raise WhereError(f"{name!r} is a date without a time: {value!r} has one")
    hint = ""
    if value is None:
        hint = f"; for rows without it write not exists({name})"
    elif kind == "string":
        hint = f"; write {str(value)!r}"
    elif kind in ("date", "datetime"):
        hint = "; write it as '2025-01-31'"
    elif kind == "number" and isinstance(value, str):
        hint = "; write it without quotes"
    raise WhereError(f"{name!r} is a {kind}, {value!r} is not{hint}")


def _moment(value: object) -> dt.datetime | None:
    """Read a date, datetime or ISO 8601 string; without a zone it is UTC."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    return None
