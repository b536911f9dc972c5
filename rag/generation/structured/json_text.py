"""JSON in a model's text: while it comes, with text around it, and written with the place of each field."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

# The last value of a JSON text that is cut may still grow: "2" becomes "28", "tru" becomes "true".
_GROWING = re.compile(r"[-+.\w]+\Z")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BEGIN = re.compile(r"[{\[]")


class PartialJson:
    """A JSON object while it is written: `feed` its text, and read what stands so far.

    A number or a word counts once it has ended, a string as far as it goes. Text before the object is left
    out.

    Examples
    --------
    >>> reader = PartialJson()
    >>> [reader.feed(piece) for piece in ('Here: {"days": 2', '8, "where": "Eu', 'rope"}')]
    [{}, {'days': 28, 'where': 'Eu'}, {'days': 28, 'where': 'Europe'}]
    """

    def __init__(self) -> None:
        self._text, self._read, self._value = "", 0, None

    def feed(self, piece: str) -> Any:
        """Take more of the text; return what is known of the object, None before it begins."""
        self._text += piece
        if not piece or len(self._text) - self._read < self._read // 64:  # keeps the work linear
            return self._value
        self._read = len(self._text)
        begin = self._text.find("{")
        if begin < 0:
            return self._value
        text = self._text[begin:]
        if '"' not in _STRING.sub("", text):
            text = _GROWING.sub("", text)
        # Text behind the object, or none that is JSON, changes nothing.
        with contextlib.suppress(ValueError):
            self._value = from_json(text, allow_partial="trailing-strings", allow_inf_nan=False)
        return self._value


def json_in(text: str) -> Any:
    r"""Return the JSON value of a reply, which may have text around one object.

    Raises
    ------
    ValueError
        There is none, it is not complete, or there are several.

    Examples
    --------
    >>> json_in('Here you are:\n```json\n{"days": 28}\n```\nAnything else?')
    {'days': 28}
    """
    decoder = json.JSONDecoder(parse_constant=_refuse)
    try:
        return decoder.decode(text.strip())
    except ValueError as error:
        begin = text.find("{")
        if begin < 0:
            raise
        try:
            value, end = decoder.raw_decode(text, begin)
        except ValueError:
            raise error from None
    more = _BEGIN.search(text, end)
    if more is not None:
        try:
            decoder.raw_decode(text, more.start())
        except ValueError:
            return value
        raise ValueError("there is more than one JSON value")
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def written(value: Any) -> tuple[str, dict[str, tuple[int, int]]]:
    r"""Write a value as JSON on lines; return the text, and the span of each field by its path.

    A span holds a field's name and value. Paths are as in ``items[0].price``; the value itself is ``$``.

    Examples
    --------
    >>> text, spans = written({"days": [28]})
    >>> text, text[slice(*spans["days[0]"])]
    ('{\n  "days": [\n    28\n  ]\n}', '28')
    """
    out: list[str] = []
    spans: dict[str, tuple[int, int]] = {}
    size = 0

    def put(text: str) -> None:
        nonlocal size
        out.append(text)
        size += len(text)

    def write(value: Any, path: str, indent: str, name: str) -> None:
        start, inner = size, indent + "  "
        put(name)
        if isinstance(value, Mapping | list) and value:
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            ends = "{}" if isinstance(value, Mapping) else "[]"
            put(ends[0])
            for number, (key, each) in enumerate(items):
                put(("," if number else "") + "\n" + inner)
                label = f"{json.dumps(key, ensure_ascii=False)}: " if ends == "{}" else ""
                write(each, joined(path, key), inner, label)
            put(f"\n{indent}{ends[1]}")
        else:
            put(json.dumps(value, ensure_ascii=False))
        spans[path or "$"] = (start, size)

    write(value, "", "", "")
    return "".join(out), spans


def joined(path: str, key: str | int) -> str:
    """Return the path of a value's part."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key
