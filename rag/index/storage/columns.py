"""Columns of a segment: memory-mapped Arrow files, each batch validated before its first use.

A damaged or hostile file may declare offsets that point anywhere. Arrow validates whatever is read,
batch by batch as it is needed, so that opening stays quick.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rag.core.errors import RagError, StoreCorruptError
from rag.index.storage import numbers
from rag.index.storage.arrays import int64, numbers_of, plain, present

#: Values of a column that Arrow takes together in less time than one by one.
_MANY = 16


class Columns:
    """An Arrow IPC file opened for reading.

    Parameters
    ----------
    path : Path
    schema : pa.Schema, optional
        What the file must hold.

    Attributes
    ----------
    names : list of str
        The columns' names.

    Raises
    ------
    StoreCorruptError
        It is not an Arrow file, or one of another schema.
    """

    def __init__(self, path: Path, schema: pa.Schema | None = None) -> None:
        self.path = path
        with reading(path):
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            self.schema: pa.Schema = reader.schema
            if schema is not None and not self.schema.equals(schema):
                raise ValueError("its columns are not those of a segment")
            self.names: list[str] = self.schema.names
            if len(set(self.names)) < len(self.names):
                raise ValueError("two columns have one name")
            self._batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
        self._ends = list(itertools.accumulate(batch.num_rows for batch in self._batches))
        self._validated: dict[tuple[int, int], pa.Array] = {}
        self._distinct: dict[str, tuple[npt.NDArray[np.int32], pa.Array]] = {}
        self._batch_columns: dict[tuple[int, tuple[str, ...]], list[pa.Array | None]] = {}
        #: By batch and columns: which rows have a value, a bit for each column.
        self._present: dict[tuple[int, tuple[str, ...]], npt.NDArray[np.uint8]] = {}
        self._numbers: dict[str, list[tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]]] = {}

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """Return a column of numbers without nulls as one array."""
        ((values, valid),) = self.numeric(name)
        if valid is not None:
            raise StoreCorruptError(f"{self.path} is damaged ({name} is missing in some rows): {ADVICE}")
        return values

    def numeric(self, name: str) -> list[tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]]:
        """Return a column of numbers, and which of them are not null (None: all).

        Whole numbers and fractions are two columns where they are stored apart (`rag.index.storage.numbers`).
        """
        if name not in self._numbers:
            chunks = [numbers.parts(chunk) for chunk in self.chunks(name)]
            with reading(self.path):
                apart = list(zip(*chunks, strict=True)) or [()]
                self._numbers[name] = [_as_numpy(part) for part in apart]
        return self._numbers[name]

    def distinct(self, name: str) -> tuple[npt.NDArray[np.int32], pa.Array]:
        """Return a column of strings as numbers of its distinct values (-1 where missing), and these."""
        if name not in self._distinct:
            whole = pa.chunked_array(self.chunks(name), pa.string()).combine_chunks()
            with reading(self.path):
                array = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
                encoded = array.dictionary_encode()
            codes = encoded.indices
            of_rows = numbers_of(codes)
            if codes.null_count:
                of_rows = np.where(present(codes), of_rows, np.int32(-1))
            self._distinct[name] = of_rows, encoded.dictionary
        return self._distinct[name]

    def chunks(self, name: str) -> list[pa.Array]:
        """Return a column, an array per batch."""
        at = self.schema.get_field_index(name)
        with reading(self.path):
            return [self._column(n, at) for n in range(len(self._batches))]

    def take(self, rows: Sequence[int], names: tuple[str, ...]) -> list[dict[str, Any]]:
        """Return rows as plain values, in the order of `rows`."""
        out: list[dict[str, Any]] = [{} for _ in rows]
        batches: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            batches.setdefault(bisect.bisect_right(self._ends, row), []).append(place)
        with reading(self.path):
            for number, places in batches.items() if names else ():
                first = self._ends[number - 1] if number else 0
                of_batch = [rows[place] - first for place in places]
                columns = self._batch_columns.get((number, names)) or self._columns(number, names)
                # Arrow's `take` has a fixed cost: a few values are quicker one by one.
                together = None if len(of_batch) < _MANY else int64(np.array(of_batch))
                values = [
                    [None] * len(of_batch) if column is None
                    else plain([column[row] for row in of_batch], column.type) if together is None
                    else plain(column.take(together), column.type)
                    for column in columns
                ]  # fmt: skip
                for place, row_values in zip(places, zip(*values, strict=True), strict=True):
                    out[place] = dict(zip(names, row_values, strict=True))
        return out

    def held(self, row: int, names: tuple[str, ...]) -> dict[str, Any]:
        """Return a row's values, of those columns in which it has one; of few among many it reads few."""
        number = bisect.bisect_right(self._ends, row)
        row -= self._ends[number - 1] if number else 0
        with reading(self.path):
            columns = self._batch_columns.get((number, names)) or self._columns(number, names)
            if (number, names) not in self._present:
                some = np.zeros((len(names), self._batches[number].num_rows), bool)
                for line, column in zip(some, columns, strict=True):
                    line[:] = False if column is None else present(column) if column.null_count else True
                self._present[number, names] = np.packbits(some, axis=0)
            bits = np.unpackbits(self._present[number, names][:, row], count=len(names)).tolist()
            values = {
                name: plain([column[row]], column.type)[0]
                for name, column in itertools.compress(zip(names, columns, strict=True), bits)
                if column is not None
            }
        return {name: value for name, value in values.items() if value is not None}

    def _columns(self, number: int, names: tuple[str, ...]) -> list[pa.Array | None]:
        """Return a batch's columns, and remember them; None for one of nulls only."""
        columns = [self._column(number, self.schema.get_field_index(name)) for name in names]
        present = [column if column.null_count < len(column) else None for column in columns]
        self._batch_columns[number, names] = present
        return present

    def table(self) -> pa.Table:
        """Return all columns, validated."""
        with reading(self.path):
            for number in range(len(self._batches)):
                for at in range(len(self.schema)):
                    self._column(number, at)
            return pa.Table.from_batches(self._batches, self.schema)

    def _column(self, number: int, at: int) -> pa.Array:
        """Return a column of a batch, validated when it is first read."""
        column = self._validated.get((number, at))
        if column is None:
            column = self._batches[number].column(at)
            column.validate(full=True)
            self._validated[number, at] = column
        return column


def _as_numpy(parts: Sequence[pa.Array]) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    values = [
        np.where(present(part), numbers_of(part), 0) if part.null_count else numbers_of(part)
        for part in parts
    ]  # fmt: skip
    column = values[0] if len(values) == 1 else np.concatenate([*values, np.zeros(0, np.int8)])
    whole = not any(part.null_count for part in parts)
    return column, None if whole else np.concatenate([present(part) for part in parts])


def open_array(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Open a numpy file, memory-mapped, that must hold an array of this type and shape.

    Its head is compared with the one that numpy writes, not parsed: numpy evaluates the head as a
    Python literal, and a hostile file should not reach that parser.
    """
    with reading(path):
        head = _npy_head(kind, shape)
        size = len(head) + math.prod(shape) * np.dtype(kind).itemsize
        with path.open("rb") as file:
            if file.read(len(head)) != head or path.stat().st_size != size:
                raise ValueError(f"it does not hold {shape} {np.dtype(kind)}")
        if size == len(head):
            return np.zeros(shape, kind)
        # As a plain array: slicing a memmap runs Python code each time.
        return np.memmap(path, kind, "r", len(head), shape).view(np.ndarray)


def rows_of_array(path: Path, kind: type[np.generic], columns: int) -> int:
    """Return how many rows a numpy file with that many columns has, from its size."""
    with reading(path):
        head = len(_npy_head(kind, (0, columns)))  # padded to a multiple of 64 bytes
        return (path.stat().st_size - head) // (columns * np.dtype(kind).itemsize)


class ArrayWriter:
    """Writes a numpy file row by row, so that the array is never whole in memory.

    Parameters
    ----------
    path : Path
    kind : type of numpy scalar
    columns : int, optional
        Of a two-dimensional array; by default the array has one dimension.
    """

    def __init__(self, path: Path, kind: type[np.generic], columns: int | None = None) -> None:
        self.path, self.rows = path, 0
        self._kind, self._columns = kind, columns
        self._file = path.open("wb")
        self._file.write(self._head())

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Append rows."""
        self._file.write(np.ascontiguousarray(rows, self._kind).tobytes())
        self.rows += len(rows)

    def close(self) -> None:
        """Write the number of rows into the head, for which numpy leaves room."""
        if not self._file.closed:
            self._file.seek(0)
            self._file.write(self._head())
            self._file.close()

    def pieces(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Close the file and yield the written rows, `rows` at a time."""
        self.close()
        head = len(self._head())
        for at in range(0, self.rows, rows):
            size = np.dtype(self._kind).itemsize * (self._columns or 1)
            yield np.fromfile(self.path, self._kind, rows * (self._columns or 1), offset=head + at * size)

    @property
    def _shape(self) -> tuple[int, ...]:
        return (self.rows,) if self._columns is None else (self.rows, self._columns)

    def _head(self) -> bytes:
        return _npy_head(self._kind, self._shape)


def _npy_head(kind: type[np.generic], shape: tuple[int, ...]) -> bytes:
    sink = io.BytesIO()
    description = np.lib.format.dtype_to_descr(np.dtype(kind))
    header = {"descr": description, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(sink, header)
    return sink.getvalue()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any error that reading a damaged file raises into a `StoreCorruptError` that names the file."""
    try:
        yield
    except RagError:
        raise
    except FileNotFoundError:
        raise StoreCorruptError(f"{path} is missing: {ADVICE}") from None
    except PermissionError:
        raise StoreCorruptError(f"{path} cannot be read: you lack the permission to read it") from None
    except Exception as error:  # Arrow, numpy and FAISS raise a dozen kinds, tokenize's among them
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise StoreCorruptError(f"{path} is damaged ({reason}): {ADVICE}") from error


#: What to do about a damaged index.
ADVICE = (
    "`rag verify` names the newest undamaged version and `rag rollback` restores it, or build again with "
    "--rebuild (the embedding cache is kept)"
)


def without_advice(error: RagError) -> str:
    """Return an error's message without `ADVICE`, for a list that gives the advice once."""
    return str(error).removesuffix(f": {ADVICE}")
