"""Columns of a segment: Arrow files, memory-mapped, and believed only where they were checked.

A damaged or hostile file may declare offsets that point anywhere. Whatever is read of one is
validated by Arrow first, batch by batch as it is needed, so that opening stays quick.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rag.errors import RagError, StoreCorruptError


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
        with told(path):
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            self.schema: pa.Schema = reader.schema
            if schema is not None and not self.schema.equals(schema):
                raise ValueError("its columns are not those of a segment")
            self.names: list[str] = self.schema.names
            if len(set(self.names)) < len(self.names):
                raise ValueError("two columns have one name")
            self._batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
        self._ends = np.cumsum([batch.num_rows for batch in self._batches], dtype=np.int64)
        self._sound: set[tuple[int, int]] = set()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """Return a column of numbers without nulls as one array."""
        at = self.schema.get_field_index(name)
        with told(self.path):
            parts = [self._checked(n, at) for n in range(len(self._batches))]
            if any(part.null_count for part in parts):
                raise ValueError(f"{name} is missing in some rows")
            return np.concatenate([part.to_numpy() for part in parts]) if parts else np.zeros(0, np.int64)

    def chunks(self, name: str) -> list[pa.Array]:
        """Return a column, an array per batch."""
        at = self.schema.get_field_index(name)
        with told(self.path):
            return [self._checked(n, at) for n in range(len(self._batches))]

    def take(self, rows: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
        """Return rows as plain values, in the order asked for."""
        at = [(name, self.schema.get_field_index(name)) for name in names]
        out = []
        with told(self.path):
            for row in rows:
                number = int(np.searchsorted(self._ends, row, side="right"))
                own = int(row - (self._ends[number - 1] if number else 0))
                out.append({name: self._checked(number, column)[own].as_py() for name, column in at})
        return out

    def table(self) -> pa.Table:
        """Return everything, checked."""
        with told(self.path):
            for number in range(len(self._batches)):
                for at in range(len(self.schema)):
                    self._checked(number, at)
            return pa.Table.from_batches(self._batches, self.schema)

    def _checked(self, number: int, column: int) -> pa.Array:
        array = self._batches[number].column(column)
        if (number, column) not in self._sound:
            array.validate(full=True)
            self._sound.add((number, column))
        return array


def array(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Open a numpy file, memory-mapped, that must hold just this."""
    with told(path):
        values: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if values.dtype != kind or values.shape != shape or not values.flags.c_contiguous:
            raise ValueError(f"it holds {values.shape} {values.dtype}, not {shape} {np.dtype(kind)}")
        return values


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes its readers raise into the one error that says so."""
    try:
        yield
    except RagError:
        raise
    except FileNotFoundError:
        raise StoreCorruptError(f"{path} is missing: {ADVICE}") from None
    except PermissionError:
        raise StoreCorruptError(f"{path} may not be read: give yourself the right to") from None
    except Exception as error:  # Arrow, numpy and FAISS raise a dozen kinds, tokenize's among them
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise StoreCorruptError(f"{path} is damaged ({said}): {ADVICE}") from error


#: What to do about a damaged index.
ADVICE = (
    "`rag verify` says which version is whole, and `rag rollback` goes back to it; or build again with "
    "--rebuild, which embeds nothing anew"
)
