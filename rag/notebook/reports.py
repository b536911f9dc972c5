"""Reports: what a command or a method did, as the fields of its record, or as its tables."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rag.core.displayable import Displayable
from rag.core.format import bytes_text, counted, dollars, seconds_text, utc_text
from rag.notebook import lines, parts
from rag.notebook.display import Display
from rag.notebook.evaluations import notes_text, tables_html, tables_text

#: Most values of a list, and rows of what was lost, that are shown.
_VALUES, _ROWS = 5, 40
#: Fields that say what a record is of, the first that there is; and those that are shown otherwise.
_NAMES = ("name", "index", "place", "folder", "path", "question", "id")
_NOT_SHOWN = ("notes", "fingerprint", "prompt_hash", "table_of")
#: Kinds whose class's name says too little.
_KINDS = {
    "Item": "Review item", "Decided": "Decisions", "Plan": "Plan of a guardrail", "Forgotten": "Erasure",
    "Ingestion": "Ingestion job", "Replay": "Answer made again", "CacheInfo": "Embedding cache",
    "Pairs": "Answers compared in pairs", "Calibration": "Judge beside people",
    "Version": "Version of an index",
}  # fmt: skip
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class RecordDisplay(Display):
    """A record's fields, those that hold something; all of them are in its ``to_dict()``."""

    def html(self) -> str:
        """Return the fields as a card."""
        rows = [(name, parts.inert(value, 1000)) for name, value in self._facts()]
        body = parts.facts(rows) + parts.notes(self._notes()[:10])
        return parts.card(self._kind(), self._name(), body)

    def text(self) -> str:
        """Return the fields, a line or a few each."""
        head = lines.wrapped(f"{self._kind()}: {self._name()}" if self._name() else self._kind(), most=2)
        return "\n".join([*head, *lines.labelled(self._facts()), *notes_text(self._notes())])

    def line(self) -> str:
        """Return the kind and the first fields on a line."""
        said = ", ".join(f"{name} {value}" for name, value in self._facts()[:6])
        return lines.tagged(f"{type(self.value).__name__} {self._name()}", said, 50)

    def _kind(self) -> str:
        return _kind_of(self.value)

    def _field(self) -> str:
        names = [each.name for each in dataclasses.fields(self.value)]
        return next((name for name in _NAMES if name in names and getattr(self.value, name)), "")

    def _name(self) -> str:
        return str(getattr(self.value, self._field())) if self._field() else ""

    def _facts(self) -> list[tuple[str, str]]:
        shown = [
            (each.name, getattr(self.value, each.name))
            for each in dataclasses.fields(self.value)
            if each.name not in (*_NOT_SHOWN, self._field())
        ]
        return [(_label(name), said) for name, value in shown if (said := said_of(name, value))]

    def _notes(self) -> Sequence[str]:
        return list(getattr(self.value, "notes", ()))


def _kind_of(value: Any) -> str:
    name = type(value).__name__
    return _KINDS.get(name) or _CAMEL.sub(" ", name).capitalize()


def _label(name: str) -> str:
    return "cost" if name == "usd" else re.sub(r"_(usd|s)$", "", name).replace("_", " ")


def said_of(name: str, value: Any) -> str:
    """Return a field's value for people; empty where it says nothing.

    Examples
    --------
    >>> said_of("cost_usd", 0.25), said_of("bytes", 7_300_000), said_of("seconds", 3.44), said_of("at", 0.0)
    ('$0.2500', '7.3 MB', '3.4 s', '')
    >>> said_of("held", False), said_of("rows", 12_345), said_of("versions", (1, 2, 3, 4, 5, 6, 7))
    ('', '12,345', '1, 2, 3, 4, 5, … 2 more')
    """
    if value is None or value is False or (not isinstance(value, int) and not value):
        return ""
    if value is True:
        return "yes"
    if isinstance(value, bytes):
        return bytes_text(len(value))
    if isinstance(value, int):
        return bytes_text(value) if name.endswith("bytes") else f"{value:,}"
    if isinstance(value, float):
        if name.endswith("usd"):
            return dollars(value)
        return utc_text(value) if name == "at" else seconds_text(value) if _is_time(name) else f"{value:.4g}"
    if isinstance(value, Mapping):
        return _some([f"{key}: {_short(each)}" for key, each in list(value.items())[:_VALUES]], len(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _some([_short(each) for each in value[:_VALUES]], len(value))
    return _short(value)


def _is_time(name: str) -> bool:
    return name == "seconds" or name.endswith("_s")


def _some(texts: list[str], count: int) -> str:
    left = [f"… {count - len(texts):,} more"] if count > len(texts) else []
    return ", ".join([*texts, *left])


def _short(value: Any) -> str:
    """Return a value in a few words; of a record its first fields."""
    plain = dataclasses.is_dataclass(value) and "__str__" not in vars(type(value))
    if plain and not isinstance(value, Displayable):
        fields = [(each.name, getattr(value, each.name)) for each in dataclasses.fields(value)][:4]
        return lines.line(" ".join(said for name, each in fields if (said := said_of(name, each))), 80)
    return lines.line(str(value).partition("\n")[0], 200)


class TablesDisplay(Display):
    """A report whose record has tables: what it comes to, in a line or a few, and the tables."""

    def html(self) -> str:
        """Return the outcome and the tables as a card."""
        said = "".join(f"<p>{parts.inert(each, 1000)}</p>" for each in self.said())
        body = said + tables_html(self.tables()) + self.more() + parts.notes(list(self.notes())[:10])
        return parts.card(self.kind(), self.name(), body)

    def text(self) -> str:
        """Return the outcome and the tables."""
        out = lines.wrapped(f"{self.kind()}: {self.name()}" if self.name() else self.kind(), most=2)
        out += [part for each in self.said() for part in lines.wrapped(each, "  ", 4)]
        return "\n".join([*out, *tables_text(self.tables()), *notes_text(self.notes())])

    def kind(self) -> str:
        """Return what it is."""
        return _kind_of(self.value)

    def name(self) -> str:
        """Return what it is of."""
        return str(getattr(self.value, "name", ""))

    def said(self) -> list[str]:
        """Return what it comes to, a line each."""
        return []

    def tables(self) -> list[Any]:
        """Return the record's tables."""
        value = self.value
        return list(value.tables()) if hasattr(value, "tables") else [value.table()]

    def more(self) -> str:
        """Return what follows the tables in a notebook, as HTML."""
        return ""

    def notes(self) -> Sequence[str]:
        """Return what a reader should know."""
        return tuple(getattr(self.value, "notes", ()))


class GateDisplay(TablesDisplay):
    """Whether a gate is passed, why not, and what was lost."""

    def kind(self) -> str:
        """Return the verdict."""
        return "Gate passed" if self.value.passed else "Gate NOT passed"

    def name(self) -> str:
        """Return the index and its version."""
        return f"{self.value.name}, version {self.value.version:,}"

    def said(self) -> list[str]:
        """Return why it fails."""
        return list(self.value.reasons)

    def more(self) -> str:
        """Return the questions that were lost, folded."""
        lost = [(each.id, each.question, each.why) for each in (*self.value.canaries, *self.value.lost)]
        if not lost:
            return ""
        table = parts.grid("", ("id", "question", "why"), lost[:_ROWS])
        left = parts.more(len(lost) - _ROWS, "question", ".lost")
        return parts.fold(f"{counted(len(lost), 'question')} lost", table + left)


class ComparedDisplay(TablesDisplay):
    """Configurations whose answers were compared, and which one to choose."""

    def kind(self) -> str:
        """Return what it is."""
        return "Answers compared"

    def said(self) -> list[str]:
        """Return the choice."""
        return list(self.value.verdict())


class AnswerSweepDisplay(ComparedDisplay):
    """A sweep over answers."""

    def __init__(self, value: Any) -> None:
        super().__init__(value.compared)
        self._folder, self._notes = value.folder, value.notes

    def kind(self) -> str:
        """Return what it is."""
        return "Sweep of answers"

    def name(self) -> str:
        """Return the folder."""
        return str(self._folder)

    def notes(self) -> Sequence[str]:
        """Return the notes of the builds and of the answers."""
        return tuple(self._notes)


class LearnedDisplay(TablesDisplay):
    """A rule that was learned for a router."""

    def kind(self) -> str:
        """Return what it is."""
        return "Routing rule"

    def said(self) -> list[str]:
        """Return the rule and what shows it."""
        return list(self.value.lines())
