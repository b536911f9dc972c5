"""Columns of numbers, exact: integers of 64 bits, floats, or both where neither can hold all values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pyarrow as pa

from rag.core.errors import UsageError
from rag.core.values import shown

#: Integers that no float equals beside fractions: each row has a value in one of the two, or in none.
MIXED = pa.sparse_union([pa.field("whole", pa.int64()), pa.field("real", pa.float64())])
LEAST, MOST = -(2**63), 2**63 - 1
#: Integers up to here are floats of 64 bits as well.
_EXACT = 2**53


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type holds numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or kind.equals(MIXED))


def number_array(values: Sequence[int | float | None]) -> pa.Array:
    """Return the column of numbers of a field; None marks a document without it.

    Raises
    ------
    UsageError
        An integer has more than 64 bits.

    Examples
    --------
    >>> number_array([1, None]).type, number_array([1, 0.5]).type
    (DataType(int64), DataType(double))
    """
    whole = [value for value in values if isinstance(value, int)]
    beyond = next((value for value in whole if not LEAST <= value <= MOST), None)
    if beyond is not None:
        raise UsageError(f"{shown(beyond)} has more than 64 bits: store it as a string")
    fractions = any(isinstance(value, float) for value in values)
    if not fractions:
        return pa.array(values, pa.int64())
    if all(abs(value) <= _EXACT for value in whole):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    types = pa.array([isinstance(value, float) for value in values]).cast(pa.int8())
    parts = [
        pa.array([value if isinstance(value, kind) else None for value in values], arrow)
        for kind, arrow in ((int, pa.int64()), (float, pa.float64()))
    ]
    return pa.UnionArray.from_sparse(types, parts, ["whole", "real"])


def parts(column: pa.Array) -> list[pa.Array]:
    """Return a column as integers and floats, with nulls where the other has the value."""
    return [column.field(0), column.field(1)] if column.type.equals(MIXED) else [column]


def of_one_type(columns: Sequence[pa.Array]) -> list[pa.Array]:
    """Return parts of one column, of which each is exact, in one type that is exact for all."""
    kinds = {str(column.type) for column in columns}
    if len(kinds) < 2:
        return list(columns)
    if str(MIXED) not in kinds:
        try:
            return [column.cast(pa.float64()) for column in columns]
        except pa.ArrowInvalid:  # an integer that no float equals
            pass
    whole = number_array([value for column in columns for value in column.to_pylist()])
    ends = itertools.accumulate((len(column) for column in columns), initial=0)
    return [whole.slice(first, end - first) for first, end in itertools.pairwise(ends)]
