"""Arrow's numbers as numpy's and back, by their buffers.

pyarrow's own ``to_numpy`` and ``array`` import pandas wherever it is installed, which takes longer than a
search.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def numbers_of(array: pa.Array) -> npt.NDArray[Any]:
    """Return a column of numbers as an array over the same memory; a null is any number.

    Parameters
    ----------
    array : pyarrow.Array
        Of a type of fixed width: integers or floats.

    Examples
    --------
    >>> numbers_of(pa.array([3, 1, 2]).slice(1))
    array([1, 2])
    """
    dtype = np.dtype(array.type.to_pandas_dtype())
    if not len(array):
        return np.zeros(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def present(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Return which values of an array are not null.

    Examples
    --------
    >>> present(pa.array([3, None, 2]))
    array([ True, False,  True])
    """
    validity = array.buffers()[0]
    if validity is None or not array.null_count:
        return np.ones(len(array), bool)
    return _bits(validity, array)


def booleans(array: pa.BooleanArray, *, null: bool = False) -> npt.NDArray[np.bool_]:
    """Return an array of booleans, with `null` where there is none.

    Examples
    --------
    >>> booleans(pa.array([True, False, None]).slice(1))
    array([False, False])
    """
    if not len(array):
        return np.zeros(0, bool)
    values = _bits(array.buffers()[1], array)
    return np.where(present(array), values, null) if array.null_count else values


def _bits(buffer: pa.Buffer, array: pa.Array) -> npt.NDArray[np.bool_]:
    bits = np.unpackbits(np.frombuffer(buffer, np.uint8), bitorder="little")
    return bits[array.offset : array.offset + len(array)].astype(bool)


def int64(values: npt.NDArray[np.int64]) -> pa.Array:
    """Return integers as an Arrow array over the same memory.

    Examples
    --------
    >>> int64(np.arange(3)).to_pylist()
    [0, 1, 2]
    """
    whole = np.ascontiguousarray(values, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(whole), [None, pa.py_buffer(whole)])


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values without nulls as an Arrow array; strings, the most frequent, by their buffers.

    Examples
    --------
    >>> array_of(["é", "", "b"], pa.string()).to_pylist()
    ['é', '', 'b']
    """
    if not kind.equals(pa.string()):
        return pa.array(values, kind)
    encoded = [value.encode("utf-8") for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(
        kind, len(encoded), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    )  # fmt: skip


def plain(values: Iterable[pa.Scalar], kind: pa.DataType) -> list[Any]:
    """Return scalars of one type as Python's values; moments with a time zone are in UTC.

    Examples
    --------
    >>> plain(pa.array([1, None]), pa.int64())
    [1, None]
    """
    if not (pa.types.is_timestamp(kind) and kind.tz):
        return [value.as_py() for value in values]
    moments = [value.cast(pa.timestamp(kind.unit)).as_py() for value in values]
    return [None if moment is None else moment.replace(tzinfo=dt.UTC) for moment in moments]
