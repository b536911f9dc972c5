"""Evaluating a bound filter over the columns of one segment, as a boolean mask over its rows."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rag.index.filters.where import And, Not, Or, Test, Where
from rag.index.storage.arrays import array_of, booleans, numbers_of

Mask = npt.NDArray[np.bool_]
#: Numbers of one type, and which of them are not null (None: all).
Numbers = tuple[npt.NDArray[Any], Mask | None]


class Values(Protocol):
    """The columns that a filter tests, by the fields' names."""

    def chunks(self, name: str) -> list[pa.Array] | None:
        """Return the column of a field, in parts, or None if no row has the field."""

    def numeric(self, name: str) -> Sequence[Numbers] | None:
        """Return a column of numbers, in several parts if whole ones and fractions have a part each.

        None for other types.
        """

    def distinct(self, name: str) -> tuple[npt.NDArray[np.int32], pa.Array] | None:
        """Return a column of strings as numbers of its distinct values (-1 where null), and these.

        None for other types.
        """

    def expand(self, name: str, mask: Mask) -> Mask:
        """Turn a mask over a column into one over the rows.

        Columns of document metadata have an entry per document, not per row.
        """


def evaluate(where: Where, values: Values, rows: int) -> Mask:
    """Return which rows match, as bool of shape (rows,).

    Parameters
    ----------
    where : Where
        `Bound.where`: checked, with values of the fields' types.
    values : Values
    rows : int
        The segment's rows.
    """
    if isinstance(where, And | Or):
        parts = [evaluate(part, values, rows) for part in where.parts]
        if not parts:
            return np.full(rows, isinstance(where, And))
        return functools.reduce(operator.and_ if isinstance(where, And) else operator.or_, parts)
    if isinstance(where, Not):
        return ~evaluate(where.part, values, rows)
    assert isinstance(where, Test)
    if (numbers := values.numeric(where.field)) is not None:
        return values.expand(where.field, _of_numbers(where, numbers))
    if (strings := values.distinct(where.field)) is not None:
        return values.expand(where.field, _of_distinct(where, *strings))
    chunks = values.chunks(where.field)
    if chunks is None:
        return np.full(rows, where.op == "!=")  # a missing field differs from every value
    empty = np.zeros(0, bool)
    return values.expand(where.field, np.concatenate([empty, *(_test(where, chunk) for chunk in chunks)]))


#: Numbers up to which a list is compared one after another, which is faster than a table of them.
_FEW = 8
_NUMPY = {
    "==": np.equal, "<": np.less, "<=": np.less_equal,
    ">": np.greater, ">=": np.greater_equal,
}  # fmt: skip
_COMPARE = {
    "==": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal,
    ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip


def _of_numbers(test: Test, columns: Sequence[Numbers]) -> Mask:
    """Test numbers by their exact values, whether they are stored as integers or as floats."""
    if test.op == "!=":
        return ~_any(_compare("==", test.value, *column) for column in columns)
    if test.op in ("in", "not in"):
        inside = _any(_among(test.value, *column) for column in columns)
        return inside if test.op == "in" else _any(_present(*column) for column in columns) & ~inside
    if test.op == "exists":
        return _any(_present(*column) for column in columns)
    return _any(_compare(test.op, test.value, *column) for column in columns)


def _any(masks: Iterable[Mask]) -> Mask:
    return functools.reduce(operator.or_, masks)


def _present(values: npt.NDArray[Any], valid: Mask | None) -> Mask:
    return np.ones(len(values), bool) if valid is None else valid


def _compare(op: str, value: int | float, values: npt.NDArray[Any], valid: Mask | None) -> Mask:
    op, bound = _nearest(op, value, values.dtype)
    if bound is None:
        return np.zeros(len(values), bool)
    result: Mask = _NUMPY[op](values, bound)
    return result if valid is None else result & valid


def _nearest(op: str, value: int | float, kind: np.dtype[Any]) -> tuple[str, int | float | None]:
    """Return the same comparison with a number of a column's type; None if no number passes it.

    NumPy compares a column of integers with a float, and one of floats with an integer, as floats, so
    that neighbours beyond 2**53 become equal.
    """
    if kind.kind in "iu":
        least, most = np.iinfo(kind).min, np.iinfo(kind).max
        if op == "==":
            return op, int(value) if value == int(value) and least <= value <= most else None
        below = op in ("<", "<=")
        bound = math.floor(value) if below else math.ceil(value)
        op = op if bound == value else "<=" if below else ">="
        if not least <= bound <= most:
            everything = (bound > most) == below
            return "<=" if below else ">=", (most if below else least) if everything else None
        return op, bound
    near = float(value)
    if near == value:  # Python compares an integer and a float exactly
        return op, near
    if op in ("<", "<="):
        return "<=", near if near < value else math.nextafter(near, -math.inf)
    if op in (">", ">="):
        return ">=", near if near > value else math.nextafter(near, math.inf)
    return op, None


def _among(wanted: Sequence[int | float], values: npt.NDArray[Any], valid: Mask | None) -> Mask:
    exact = {bound for value in wanted if (bound := _nearest("==", value, values.dtype)[1]) is not None}
    if len(exact) <= _FEW:
        masks = (np.equal(values, bound) for bound in exact)
        inside = functools.reduce(operator.or_, masks, np.zeros(len(values), bool))
    else:
        kind = pa.from_numpy_dtype(values.dtype)
        zeros = [0.0, -0.0] if 0.0 in exact and values.dtype.kind == "f" else []  # Arrow tells them apart
        inside = booleans(pc.is_in(pa.array(values), value_set=pa.array([*exact, *zeros], kind)))
    return inside if valid is None else inside & valid


def _of_distinct(test: Test, numbers: npt.NDArray[np.int32], distinct: pa.Array) -> Mask:
    """Test each distinct string once, and null as the last value, which number -1 indexes."""
    null = pa.nulls(1, pa.string())
    result = np.concatenate([_test(test, distinct), _test(test, null)])
    chosen = np.flatnonzero(result)
    if not len(chosen):
        return np.zeros(len(numbers), bool)
    if len(chosen) == 1 and chosen[0] < len(distinct):
        equal: Mask = numbers == chosen[0]
        return equal
    return result[numbers]


def _test(test: Test, values: pa.Array) -> Mask:
    op = test.op
    if op == "exists":
        return booleans(pc.is_valid(values))
    if op in _COMPARE:
        result = _COMPARE[op](values, array_of([test.value], values.type)[0])
        return booleans(result, null=op == "!=")
    if op in ("in", "not in"):
        inside = pc.is_in(values, value_set=array_of(test.value, values.type))
        if op == "not in":
            inside = pc.and_(pc.invert(inside), pc.is_valid(values))
        return booleans(inside)
    if op == "startswith":
        return booleans(pc.starts_with(values, test.value))
    if pa.types.is_list(values.type):
        members = pc.list_flatten(values)
        hit = (
            pc.equal(members, array_of([test.value], members.type)[0])
            if op == "list_contains"
            else pc.match_substring(members, test.value)
        )
        mask = np.zeros(len(values), dtype=bool)
        parents = numbers_of(pc.list_parent_indices(values))
        mask[parents[booleans(hit)]] = True
        return mask
    return booleans(pc.match_substring(values, test.value))
