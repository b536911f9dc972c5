"""What a model fills in: the data that a schema describes, and a quote for each of its fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from rag.core.citations import Citation, Field, Sentence, Support
from rag.core.passages import Hit
from rag.core.quantities import missing
from rag.generation.quotes import citation_of, numbered, place_in
from rag.generation.structured.json_text import joined, written
from rag.generation.structured.schemas import Target, first_of

_STEP = re.compile(r"[^.\[\]/'\"]+")
_QUOTES = {
    "type": "array",
    "description": "For each value in data the words of a document that it rests on.",
    "items": {
        "type": "object",
        "properties": {
            "field": {"type": "string", "description": "path of the value in data, e.g. items[0].price"},
            "document": {"type": "integer", "description": "number of the document, counted from 1"},
            "quote": {"type": "string", "description": "exact words of the document"},
        },
        "required": ["field", "document", "quote"],
        "additionalProperties": False,
    },
}
_MISSING = {
    "type": "string",
    "description": "In one sentence what the documents do not hold; empty if nothing is missing.",
}


@dataclass(frozen=True, slots=True)
class FieldQuote:
    """Words that a model quotes for a field."""

    path: str
    document: int | None
    words: str


@dataclass(frozen=True, slots=True)
class Filled:
    """A reply that fits its schema.

    Attributes
    ----------
    data : Any
        The validated object; None if the documents do not hold it.
    plain : Any
        The same as JSON's values.
    missing : str
        What the documents do not hold, in the model's words.
    """

    data: Any
    plain: Any
    quotes: tuple[FieldQuote, ...]
    missing: str


def instructions() -> str:
    """Return what the model is asked for at the end of the messages."""
    path = resources.files("rag.generation.prompts") / "contract" / "data.md"
    return path.read_text(encoding="utf-8").rstrip()


def envelope(inner: Target) -> Target:
    """Return the target whose data is that of another one, with quotes for its fields."""
    definitions = {name: inner.schema[name] for name in ("$defs", "definitions") if name in inner.schema}
    own = {key: value for key, value in inner.schema.items() if key not in (*definitions, "$schema", "$id")}
    data = {"description": "The answer; null if the documents do not hold it.",
            "anyOf": [_moved(own), {"type": "null"}]}  # fmt: skip
    schema = {
        "title": inner.name, "type": "object",
        "properties": {"data": data, "quotes": _QUOTES, "missing": _MISSING},
        "required": ["data", "quotes", "missing"], "additionalProperties": False,
        **{name: _moved(value) for name, value in definitions.items()},
    }  # fmt: skip

    def check(value: Any) -> tuple[Filled | None, list[str]]:
        if not isinstance(value, Mapping) or "data" not in value:
            return None, ["$: give an object with data, quotes and missing"]
        data, problems = None, list[str]()
        if value["data"] is not None:
            data, problems = inner.check(value["data"])
            problems = [problem.replace("$", "$.data", 1) for problem in problems]
        quotes, wrong = _quotes(value.get("quotes"))
        if problems or wrong:
            return None, first_of([*problems, *wrong])
        plain = None if data is None else inner.plain(data)
        return Filled(data, plain, quotes, str(value.get("missing") or "").strip()), []

    return Target(inner.name, inner.description, schema, check, lambda filled: filled.plain)


def _moved(node: Any) -> Any:
    """Return a schema in which references to its root point to where it stands now."""
    if isinstance(node, list):
        return [_moved(part) for part in node]
    if not isinstance(node, Mapping):
        return node
    out = {key: _moved(value) for key, value in node.items()}
    reference = node.get("$ref")
    if isinstance(reference, str) and re.match(r"#(?!/(\$defs|definitions)/)", reference):
        out["$ref"] = f"#/properties/data/anyOf/0{reference[1:]}"
    return out


def _quotes(value: Any) -> tuple[tuple[FieldQuote, ...], list[str]]:
    if value is None:
        return (), []
    if not isinstance(value, list):
        return (), ["$.quotes: give a list"]
    quotes, wrong = [], []
    for number, item in enumerate(value):
        known = item if isinstance(item, Mapping) else {}
        path, document, words = known.get("field"), known.get("document"), known.get("quote")
        if not isinstance(path, str) or not isinstance(words, str):
            wrong.append(f"$.quotes[{number}]: give field, document and quote")
            continue
        of = document if isinstance(document, int) and not isinstance(document, bool) else None
        quotes.append(FieldQuote(path, of, words.strip()))
    return tuple(quotes), wrong


@dataclass(frozen=True, slots=True)
class Cited:
    """Data with its citations: its text, its fields, and what should be known of them."""

    text: str
    fields: tuple[Field, ...]
    citations: tuple[Citation, ...]
    support: Support
    notes: tuple[str, ...]


def cited(filled: Filled, hits: Sequence[Hit], question: str, *, drop: bool = False) -> Cited:
    """Look up the quotes of each field.

    A field is supported if one of its quotes stands in a passage, and if its numbers stand in these quotes
    or in the question. The quotes of an object or a list count for all that is in it.

    Parameters
    ----------
    filled : Filled
    hits : sequence of Hit
        The passages, in the order in which the prompt numbers them from 1.
    question : str
    drop : bool
        Leave out citations that fail.
    """
    text, spans = written(filled.plain)
    known = {_steps(path): path for path in spans}
    quotes: dict[str, list[FieldQuote]] = {}
    unknown: list[str] = []
    for quote in filled.quotes:
        path = _named(quote.path, known)
        if path is None:
            unknown.append(quote.path)
        else:
            quotes.setdefault(path, []).append(quote)
    citations: list[Citation] = []
    fields: list[Field] = []
    for path, value, above in _leaves(filled.plain):
        mine = [quote for place in above for quote in quotes.get(place, ())]
        fields.append(_field(path, value, mine, hits, question, citations, drop=drop))
    lines = tuple(
        Sentence(*spans[each.path], tuple(c.number for c in each.citations), each.supported, each.why)
        for each in fields
    )
    share = sum(each.supported for each in fields) / len(fields) if fields else None
    notes = [filled.missing] if filled.missing else []
    notes += [f"a quote names the field {path!r}, which is not in the data" for path in unknown[:3]]
    return Cited(text, tuple(fields), tuple(citations), Support(share, lines, "field"), tuple(notes))


def _field(
    path: str, value: Any, quotes: Sequence[FieldQuote], hits: Sequence[Hit], question: str,
    citations: list[Citation], *, drop: bool,
) -> Field:  # fmt: skip
    places = [place_in(hits, quote.words, quote.document) for quote in quotes]
    words = [hit.text[start - hit.start : end - hit.start] for hit, start, end in filter(None, places)]
    lacking = missing(_in_words(value), [*words, question]) if words else []
    mine = []
    for quote, place in zip(quotes, places, strict=True):
        citation = citation_of(hits, quote.words, quote.document, place, supports=not lacking)
        if not (drop and citation.verdict):
            mine.append(numbered(citations, citation)[0])
    why = ""
    if not quotes:
        why = "it carries no citation"
    elif not words:
        why = "its quote is not in the context"
    elif lacking:
        shown = _in_words(value)
        numbers = ", ".join(dict.fromkeys(shown[figure.start : figure.end] for figure in lacking))
        why = f"its quotes do not have {numbers}"
    return Field(path, value, tuple(dict.fromkeys(mine)), not why, why)


def _in_words(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if isinstance(value, bool) else str(value)


def _leaves(
    value: Any, path: str = "", above: tuple[str, ...] = ()
) -> list[tuple[str, Any, tuple[str, ...]]]:
    """Return the values that state something: path, value, and the paths of all that it is a part of."""
    here = path or "$"
    above = (*above, here)
    if isinstance(value, Mapping | list):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return [leaf for key, each in items for leaf in _leaves(each, joined(path, key), above)]
    return [] if value is None or value == "" else [(here, value, above)]


def _steps(path: str) -> tuple[str, ...]:
    return tuple(step.strip() for step in _STEP.findall(path) if step.strip() not in ("", "$"))


def _named(path: str, known: Mapping[tuple[str, ...], str]) -> str | None:
    """Return the path of the field that a model names, however it writes paths."""
    steps = _steps(path)
    if steps not in known and steps[:1] == ("data",):
        steps = steps[1:]
    return known.get(steps)
