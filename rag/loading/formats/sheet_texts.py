"""The sheets of a workbook as one text, whichever program stored them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from rag.core.errors import LoadError
from rag.loading.formats.archive import damaged
from rag.loading.structure import Text


@dataclass
class Formulas:
    """The formulas that have no value: how many they are, and the place of the first."""

    count: int = 0
    first: str = ""

    def add(self, place: str) -> None:
        """Count a formula at a place, e.g. ``Sheet1!B2``."""
        self.count += 1
        self.first = self.first or place


class SheetTexts:
    """Writes sheets, each under its name, and notes what a user should know of how they were read.

    Parameters
    ----------
    out : Text
        Where the sheets go.
    kind : str
        What the file should be, for errors.
    """

    def __init__(self, out: Text, kind: str) -> None:
        self.formulas = Formulas()
        self._out, self._kind = out, kind
        self._hidden: list[str] = []
        self._failed: Exception | None = None

    @contextlib.contextmanager
    def sheet(self, name: str, *, hidden: bool = False) -> Iterator[Text]:
        """Yield the text of a sheet; an error there costs the rest of the sheet and a note."""
        inner = Text()
        if hidden:
            self._hidden.append(name)
        try:
            yield inner
        except Exception as error:  # whatever a broken sheet makes of its reader
            self._failed = error
            inner.parsed.notes.append(f"sheet {name!r} was not read ({type(error).__name__})")
        if inner.length:
            self._out.heading(1, name)
            self._out.include(inner.done())
        self._out.parsed.notes += inner.parsed.notes

    def end(self) -> None:
        """Add the notes on the whole workbook.

        Raises
        ------
        LoadError
            Its sheets are empty, or none can be read.
        """
        notes = self._out.parsed.notes
        if self._hidden:
            notes.append(f"read with its hidden sheets: {', '.join(self._hidden[:5])}")
        if self.formulas.count:
            notes.append(
                f"formulas without a computed value are shown as formulas: {self.formulas.count}, first "
                f"{self.formulas.first} (open and save it in a spreadsheet program to have their values)"
            )
        if self._out.length:
            return
        if self._failed is not None:
            raise damaged(self._kind, self._failed) from None
        raise LoadError("holds no text (all its sheets are empty)", "fill it, or leave it out")
