"""The filter algebra: nodes, what each matches, and how each is printed in every notation.

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
``exists``          is present                                      no match
``and or not``      two-valued, over the above
==================  ==============================================  ===========================

The column on missing fields follows the RetrievalFilter page of the Amazon Bedrock API reference
(agent-runtime, read November 2026). ``not`` is the complement: ``not (x in [...])`` does match a
row without x. `rag.index.filters.parse` reads the notations, `rag.index.filters.bind` checks a filter
against a schema, `rag.index.filters.mask` evaluates it.
"""

from __future__ import annotations

import keyword
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rag.core.displayable import Displayable
from rag.core.errors import WhereError
from rag.core.values import shown
from rag.index.filters.literals import json_value, literal
from rag.index.filters.operators import BEDROCK, COMPARISONS, CONSTANTS, FUNCTIONS, LANGCHAIN

FieldType = Literal["string", "number", "boolean", "date", "datetime", "list"]
Schema = Mapping[str, FieldType]

#: For each type two tests; every value of the type passes one of them, a missing field passes neither.
_EITHER: dict[str, tuple[tuple[str, Any], ...]] = {
    "number": (("<", 0), (">=", 0)), "boolean": (("==", True), ("==", False)),
    "string": (("==", "-"), ("not in", ("-",))),
    "date": (("==", "1970-01-01"), ("not in", ("1970-01-01",))),
}  # fmt: skip


class Where(Displayable, ABC):
    """A filter; combine filters with ``&``, ``|`` and ``~``."""

    __slots__ = ()

    def __and__(self, other: Where) -> Where:
        return flat(And, (self, _filter(other)))

    def __or__(self, other: Where) -> Where:
        return flat(Or, (self, _filter(other)))

    def __invert__(self) -> Where:
        return Not(self)

    def __bool__(self) -> bool:
        raise WhereError(
            "a filter has no truth value: combine filters with & | ~ (not `and`, `or`, `not`), "
            "and put each comparison in brackets"
        )

    @abstractmethod
    def fields(self) -> set[str]:
        """Return the names of all fields that the filter tests."""

    @abstractmethod
    def to_string(self) -> str:
        """Print as the string form."""

    @abstractmethod
    def to_bedrock(self, schema: Schema | None = None) -> dict[str, Any]:
        """Print as a Knowledge Bases ``RetrievalFilter``.

        Parameters
        ----------
        schema : mapping of str to FieldType, optional
            Decides for ``contains`` and ``exists`` which operator the field's type needs.

        Raises
        ------
        WhereError
            A ``not`` or an ``exists`` that the service's operators cannot express, or a ``contains`` or
            ``exists`` without `schema`.
        """

    @abstractmethod
    def to_langchain(self, schema: Schema | None = None) -> dict[str, Any]:
        """Print as LangChain's dict form.

        Parameters
        ----------
        schema : mapping of str to FieldType, optional
            Decides whether ``$contains`` means ``string_contains``.

        Raises
        ------
        WhereError
            ``startswith``, which that form lacks, or a ``string_contains`` without `schema` or on a list.
        """

    def _nested(self) -> str:
        """Print as the string form, to stand as a part of an ``and`` or ``or``."""
        return self.to_string()

    def _opposite(self, schema: Schema | None) -> Where:
        """Return the exact complement without ``not`` at the top, for a notation without ``not``."""
        raise WhereError(
            f"Knowledge Bases cannot express {Not(self).to_string()}: only notEquals matches a missing field"
        )


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

    def fields(self) -> set[str]:
        """Return the names of all fields that the filter tests."""
        return {self.field}

    def to_string(self) -> str:
        """Print as the string form."""
        plain = all(part.isidentifier() and not keyword.iskeyword(part) for part in self.field.split("."))
        name = self.field if plain and self.field not in CONSTANTS else f"field({self.field!r})"
        if self.op == "exists":
            return f"exists({name})"
        if self.op in FUNCTIONS:
            return f"{self.op}({name}, {literal(self.value)})"
        return f"{name} {self.op} {literal(self.value)}"

    def to_bedrock(self, schema: Schema | None = None) -> dict[str, Any]:
        """Print as a Knowledge Bases ``RetrievalFilter``."""
        op = self.op
        if op == "exists":
            return self._present(schema).to_bedrock(schema)
        if op == "contains":
            kind = (schema or {}).get(self.field)
            if kind is None:
                raise WhereError(
                    f"contains({self.field}) needs the index's schema to become listContains or "
                    "stringContains: pass schema=index.schema, or write list_contains or string_contains"
                )
            op = "list_contains" if kind == "list" else "string_contains"
        for name, known in BEDROCK.items():
            if known == op:
                return {name: {"key": self.field, "value": json_value(self.value)}}
        raise WhereError(f"Knowledge Bases has no operator for {op}: {self.to_string()}")

    def to_langchain(self, schema: Schema | None = None) -> dict[str, Any]:
        """Print as LangChain's dict form."""
        op = self.op
        if op == "exists":
            return {self.field: {"$exists": True}}
        # Wherever list_contains can be bound, $contains means the same; string_contains also tests lists.
        if op == "list_contains" or (op == "string_contains" and (schema or {}).get(self.field) == "string"):
            op = "contains"
        for name, known in LANGCHAIN.items():
            if known == op:
                return {self.field: {name: json_value(self.value)}}
        raise WhereError(f"LangChain's filters have no operator for {self.op}: {self.to_string()}")

    def _opposite(self, schema: Schema | None) -> Where:
        if self.op in ("==", "!="):
            return Test(self.field, "!=" if self.op == "==" else "==", self.value)
        if self.op == "in":
            return And(tuple(Test(self.field, "!=", value) for value in self.value))
        if self.op == "exists":
            return Not(self._present(schema))
        return Where._opposite(self, schema)  # super() needs a cell that slots=True replaces

    def _present(self, schema: Schema | None) -> Where:
        """Return ``exists`` as two tests, one of which matches any row with the field."""
        tests = _EITHER.get((schema or {}).get(self.field, ""))
        if tests is None:
            raise WhereError(f"Knowledge Bases cannot express {self.to_string()}: not for this type")
        return Or(tuple(Test(self.field, op, value) for op, value in tests))


class _Joined(Where):
    """What ``and`` and ``or`` share."""

    __slots__ = ()
    parts: tuple[Where, ...]
    _python: str
    _bedrock: str
    _langchain: str

    def fields(self) -> set[str]:
        """Return the names of all fields that the filter tests."""
        return set().union(*(part.fields() for part in self.parts))

    def to_string(self) -> str:
        """Print as the string form."""
        return f" {self._python} ".join(part._nested() for part in self.parts)

    def to_bedrock(self, schema: Schema | None = None) -> dict[str, Any]:
        """Print as a Knowledge Bases ``RetrievalFilter``."""
        parts = [part.to_bedrock(schema) for part in self.parts]
        if not parts:
            raise WhereError("Knowledge Bases cannot express a list of no values")
        return parts[0] if len(parts) == 1 else {self._bedrock: parts}

    def to_langchain(self, schema: Schema | None = None) -> dict[str, Any]:
        """Print as LangChain's dict form."""
        return {self._langchain: [part.to_langchain(schema) for part in self.parts]}

    def _nested(self) -> str:
        return f"({self.to_string()})"


@dataclass(frozen=True, slots=True, eq=False)
class And(_Joined):
    """Every part matches."""

    parts: tuple[Where, ...]
    _python, _bedrock, _langchain = "and", "andAll", "$and"

    def __repr__(self) -> str:
        return "(" + " & ".join(map(repr, self.parts)) + ")"

    def _opposite(self, schema: Schema | None) -> Where:
        return Or(tuple(Not(part) for part in self.parts))  # De Morgan


@dataclass(frozen=True, slots=True, eq=False)
class Or(_Joined):
    """At least one part matches."""

    parts: tuple[Where, ...]
    _python, _bedrock, _langchain = "or", "orAll", "$or"

    def __repr__(self) -> str:
        return "(" + " | ".join(map(repr, self.parts)) + ")"

    def _opposite(self, schema: Schema | None) -> Where:
        return And(tuple(Not(part) for part in self.parts))  # De Morgan


def flat(kind: type[And | Or], parts: Iterable[Where]) -> Where:
    """Join filters without nesting: one that a loop puts together is not as deep as it is long."""
    return kind(tuple(one for part in parts for one in (part.parts if isinstance(part, kind) else (part,))))


@dataclass(frozen=True, slots=True, eq=False)
class Not(Where):
    """The part does not match."""

    part: Where

    def __repr__(self) -> str:
        return f"~{self.part!r}"

    def fields(self) -> set[str]:
        """Return the names of all fields that the filter tests."""
        return self.part.fields()

    def to_string(self) -> str:
        """Print as the string form."""
        return f"not ({self.part.to_string()})"

    def to_bedrock(self, schema: Schema | None = None) -> dict[str, Any]:
        """Print as a Knowledge Bases ``RetrievalFilter``."""
        return self.part._opposite(schema).to_bedrock(schema)

    def to_langchain(self, schema: Schema | None = None) -> dict[str, Any]:
        """Print as LangChain's dict form."""
        return {"$not": self.part.to_langchain(schema)}

    def _opposite(self, schema: Schema | None) -> Where:
        return self.part


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
        return Test(self.name, "in", several(f"{self.name!r}: in and not in", values))

    def notin(self, values: Iterable[object]) -> Where:
        """Match rows that have the field, with none of `values`."""
        return Test(self.name, "not in", several(f"{self.name!r}: in and not in", values))

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
    return Field(_named(name))


def _named(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise WhereError(f"a field's name is a string, not {shown(name)}")
    return str.__str__(name)


def _filter(value: object) -> Where:
    if not isinstance(value, Where):
        raise WhereError(
            f"cannot combine a filter with {shown(value)}: put each comparison in brackets, as in "
            '(field("a") == 1) & (field("b") == 2)'
        )
    return value


def several(what: str, values: object) -> tuple[object, ...]:
    """Return a list of values (any iterable: a tuple, set, array, …); `what` takes them, for the message."""
    if isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping):
        try:
            return tuple(values)
        except TypeError:  # a NumPy array without dimensions
            pass
    raise WhereError(f"{what} take a list of values, not {shown(values)}")
