"""Settings as TOML: what ``tomllib`` reads back as the same values."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(settings: Mapping[str, Any]) -> str:
    r"""Return a mapping as a TOML document (https://toml.io/en/v1.0.0); None stands for a key left out.

    Tables in it become ``[tables]``, a list of tables in a table ``[[arrays.of.tables]]``; what is deeper
    stands on one line.

    Parameters
    ----------
    settings : mapping
        Of strings, booleans, numbers, dates, paths, and lists and mappings of these.

    Raises
    ------
    TypeError
        A value has no form in TOML, such as an object.

    Examples
    --------
    >>> print(toml_text({"generator": {"use": "router", "rules": [{"when": {"tag": "it"}, "tier": "a"}]}}))
    [generator]
    use = "router"
    <BLANKLINE>
    [[generator.rules]]
    when = {tag = "it"}
    tier = "a"
    <BLANKLINE>
    """
    top = {name: value for name, value in settings.items() if not isinstance(value, Mapping)}
    parts = list(_lines(top))
    for name, value in settings.items():
        if isinstance(value, Mapping):
            parts += [*([""] if parts else []), *_table(_key(name), value)]
    return "\n".join(parts) + "\n"


def _table(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a table: its values, then the tables in it."""
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping) and value}
    arrays = {key: value for key, value in table.items() if _is_array(value)}
    yield f"[{name}]"
    yield from _lines({key: value for key, value in table.items() if key not in inner | arrays})
    for key, value in inner.items():
        yield from ("", f"[{name}.{_key(key)}]", *_lines(value))
    for key, rows in arrays.items():
        for row in rows:
            yield from ("", f"[[{name}.{_key(key)}]]", *_lines(row))


def _is_array(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if value is not None:
            yield f"{_key(key)} = {_value(value)}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    # JSON's escapes are TOML's, but DEL must be escaped as well.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | PurePath):
        return _string(str(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(float(value))  # inf and nan are written alike in TOML
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {_value(each)}" for key, each in value.items() if each is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise TypeError(f"{value!r} has no form in TOML")
