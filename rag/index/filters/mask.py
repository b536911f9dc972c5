"""Evaluating a bound filter over the columns of one segment, as a boolean mask over its rows."""

from __future__ import annotations

import functools
import operator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rag.index.filters.where import And, Not, Or, Test, Where

Mask = npt.NDArray[np.bool_]


class Values(Protocol):
    """The columns that a filter tests, by the fields' names."""

    def chunks(self, name: str) -> list[pa.Array] | None:
        """Return the column of a field, in parts, or None if no row has the field."""

    def numeric(self, name: str) -> tuple[npt.NDArray[Any], Mask | None] | None:
        """Return a column of numbers, and which are not null (None: all); None for other types."""

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
    if where.op in _NUMPY and (numbers := values.numeric(where.field)) is not None:
        return values.expand(where.field, _compare(where, *numbers))
    if (strings := values.distinct(where.field)) is not None:
        return values.expand(where.field, _of_distinct(where, *strings))
    chunks = values.chunks(where.field)
    if chunks is None:
        return np.full(rows, where.op == "!=")  # a missing field differs from every value
    empty = np.zeros(0, bool)
    return values.expand(where.field, np.concatenate([empty, *(_test(where, chunk) for chunk in chunks)]))


_NUMPY = {
    "==": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal,
    ">": np.greater, ">=": np.greater_equal,
}  # fmt: skip
_COMPARE = {
    "==": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal,
    ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip


def _compare(test: Test, values: npt.NDArray[Any], valid: Mask | None) -> Mask:
    value = test.value
    if values.dtype.kind == "i" and float(value).is_integer() and abs(value) < 2**53:
        value = int(value)  # compared as integers, without a copy as floats
    result: Mask = _NUMPY[test.op](values, value)
    if valid is None:
        return result
    return result | ~valid if test.op == "!=" else result & valid


def _of_distinct(test: Test, numbers: npt.NDArray[np.int32], distinct: pa.Array) -> Mask:
    """Test each distinct string once, and null as the last value, which number -1 indexes."""
    null = pa.array([None], pa.string())
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
    if pa.types.is_integer(values.type):  # as the filter's number, which may have a fraction
        values = values.cast(pa.float64())
    if op == "exists":
        return _numpy(pc.is_valid(values))
    if op in _COMPARE:
        result = _COMPARE[op](values, pa.scalar(test.value, type=values.type))
        return _numpy(pc.fill_null(result, op == "!="))
    if op in ("in", "not in"):
        inside = pc.is_in(values, value_set=pa.array(test.value, type=values.type))
        if op == "not in":
            inside = pc.and_(pc.invert(inside), pc.is_valid(values))
        return _numpy(pc.fill_null(inside, False))
    if op == "startswith":
        return _numpy(pc.fill_null(pc.starts_with(values, test.value), False))
    if pa.types.is_list(values.type):
        members = pc.list_flatten(values)
        hit = (
            pc.equal(members, test.value)
            if op == "list_contains"
            else pc.match_substring(members, test.value)
        )
        mask = np.zeros(len(values), dtype=bool)
        parents = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)
        mask[parents[_numpy(pc.fill_null(hit, False))]] = True
        return mask
    return _numpy(pc.fill_null(pc.match_substring(values, test.value), False))


def _numpy(values: pa.Array) -> Mask:
    out: Mask = values.to_numpy(zero_copy_only=False).astype(bool, copy=False)
    return out
