"""A table of text cells, and its forms for a notebook and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.core import html


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, column heads and rows of text.

    Attributes
    ----------
    caption : str
    head : tuple of str
        One name per column.
    rows : sequence of tuple of str
        As many cells as `head` has names.

    Raises
    ------
    ValueError
        A row has more or fewer cells than there are columns.

    Examples
    --------
    >>> table = Table("Recall", ("budget", "mean"), [("1000", "0.776")])
    >>> print(table.to_markdown())
    Recall
    <BLANKLINE>
    | budget | mean |
    | --- | --- |
    | 1000 | 0.776 |
    <BLANKLINE>
    """

    caption: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.head):
                raise ValueError(
                    f"row {number} of the table {self.caption!r} has {len(row)} cells for {len(self.head)} "
                    "columns: give one cell per column"
                )

    def to_html(self) -> str:
        """Return an HTML table; the caption and every cell are escaped."""
        return html.table(self.caption, self.head, self.rows)

    def to_markdown(self) -> str:
        """Return the caption and a Markdown table (GitHub's form); pipes are escaped, lines are joined."""
        lines = [self.head, tuple("---" for _ in self.head), *self.rows]
        body = "\n".join(f"| {' | '.join(map(_markdown_cell, line))} |" for line in lines)
        return f"{self.caption}\n\n{body}\n"


def _markdown_cell(text: str) -> str:
    return " ".join(text.splitlines()).replace("|", "\\|")
