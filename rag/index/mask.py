"""A checked filter over the columns of one segment, as a boolean mask over its rows."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rag.index.where import And, Not, Or, Test, Where

Mask = npt.NDArray[np.bool_]


def evaluate(
    where: Where,
    column: Callable[[str], list[pa.Array] | None],
    expand: Callable[[str, Mask], Mask],
    rows: int,
) -> Mask:
    """Return which rows match.

    Parameters
    ----------
    where : Where
        Checked by `rag.index.where.bind`.
    column : callable
        The column of a field, in parts (nulls where missing), or None if no row has the field.
    expand : callable
        Turns a mask over that column into a mask over the segment's rows: columns of document
        metadata have one entry per document, not per row.
    rows : int
        Rows of the segment.

    Returns
    -------
    ndarray of bool, shape (rows,)
    """
    if isinstance(where, And | Or):
        parts = [evaluate(part, column, expand, rows) for part in where.parts]
        join = operator.and_ if isinstance(where, And) else operator.or_
        start = np.full(rows, isinstance(where, And))
        return functools.reduce(join, parts, start)
    if isinstance(where, Not):
        return ~evaluate(where.part, column, expand, rows)
    assert isinstance(where, Test)
    values = column(where.field)
    if values is None:
        return np.full(rows, where.op == "!=")  # a missing field differs from everything
    none = np.zeros(0, bool)
    return expand(where.field, np.concatenate([none, *(_test(where, part) for part in values)]))


_COMPARE = {
    "==": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal,
    ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip


def _test(test: Test, values: pa.Array) -> Mask:
    op = test.op
    if pa.types.is_integer(values.type):  # a filter's numbers may have fractions
        values = values.cast(pa.float64())
    if op == "exists":
        return _numpy(pc.is_valid(values))
    if op in _COMPARE:
        result = _COMPARE[op](values, pa.scalar(test.value, type=values.type))
        return _numpy(pc.fill_null(result, op == "!="))
    if op in ("in", "not in"):
        several = pa.array(test.value, type=values.type)
        inside = pc.is_in(values, value_set=several)
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
