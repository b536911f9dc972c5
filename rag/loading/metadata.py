"""Metadata that stands beside a file: sidecars, a JSON-lines table, and the path itself.

Where several name the same field, the more particular wins: the function over the table, the table
over the sidecar, the sidecar over the file's own (front matter), and all of them over the path.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rag.core.errors import LoadError, SourceError, near_miss
from rag.core.files import SIDECAR
from rag.core.imports import resolve
from rag.core.json_lines import read_json_lines
from rag.core.passages import RESERVED, STRUCTURE
from rag.core.values import plain
from rag.loading.structure import joined

#: Keys that may name the file in a line of a metadata table.
_NAMES = ("source", "path", "file", "filename", "file_name", "doc", "document")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
#: Mappings in mappings up to which inner fields are fields of their own.
_DEEPEST = 4


def read_table(path: Path) -> dict[str, dict[str, Any]]:
    """Read a JSON-lines table: one object per file, naming it by its path under the build root.

    Returns
    -------
    dict of str to dict
        By path, the other fields.

    Raises
    ------
    SourceError
        The table is missing, or a line of it cannot be read.
    """
    table: dict[str, dict[str, Any]] = {}
    for place, row in read_json_lines(path, '{"source": "PATH", "FIELD": …}', "the metadata table"):
        name = next((key for key in _NAMES if isinstance(row, dict) and key in row), None)
        if name is None:
            raise SourceError(
                f'{place} does not name a file: give its path under the source folder as "source"'
            )
        table[str(row.pop(name)).removeprefix("./")] = row
    return table


def check_table(table: Mapping[str, Any], sources: set[str], path: Path) -> None:
    """Refuse a table that names files which are not there.

    Raises
    ------
    SourceError
        Names the first such file and the near miss.
    """
    missing = sorted(set(table) - sources)
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise SourceError(
            f"{path} names {missing[0]!r}{more}, which is not among the files: "
            f"{near_miss(missing[0], sources) if len(sources) < 2000 else 'check its path'}"
        )


class Fields(NamedTuple):
    """What stands beside one file, by where it stands."""

    path: dict[str, Any]
    sidecar: dict[str, Any]
    table: dict[str, Any]
    function: dict[str, Any]

    def merged(self, least: Mapping[str, Any], inside: Mapping[str, Any]) -> dict[str, Any]:
        """Return all fields of a file; the more particular wins."""
        return {**least, **inside, **self.sidecar, **self.table, **self.function}


class Beside:
    """Finds the metadata that stands beside a file.

    Parameters
    ----------
    given : str, Path, mapping, callable or None
        A JSON-lines table's path; fields by path; or a function (or its ``module:function``) that
        is given a path and the fields found so far, and returns more.
    template : str or None
        Of the path, as in `path_pattern`.

    Raises
    ------
    SourceError, ConfigError
        The table, the function or the template cannot be used.
    """

    def __init__(self, given: Any, template: str | None) -> None:
        self._function: Callable[..., Any] | None = given if callable(given) else None
        self._table: Mapping[str, Mapping[str, Any]] = given if isinstance(given, Mapping) else {}
        self._name = Path("metadata")
        if isinstance(given, str | Path):
            if _FUNCTION.fullmatch(str(given)) and not Path(given).exists():
                self._function = resolve(str(given), "the loader's metadata")
            else:
                self._name, self._table = Path(given), read_table(Path(given))
        for source, fields in self._table.items():
            if not isinstance(fields, Mapping):
                raise SourceError(f"the metadata of {source!r} is {fields!r}: give names and values")
        self._pattern = None if template is None else path_pattern(template)

    def check(self, sources: set[str]) -> None:
        """Refuse a table that names files which are not there."""
        check_table(self._table, sources, self._name)

    def sha256(
        self,
        source: str,
        sidecar_identity: str | None,
        read_with: Sequence[str],
        sidecar: Callable[[], bytes | None],
    ) -> str:
        """Return a hash of what stands beside a file, to see whether it has changed since the last build.

        Parameters
        ----------
        sidecar_identity : str or None
            What changes with the sidecar; its bytes are read only for a function to see.
        read_with : sequence of str
            The loader's settings that decide what the file yields.

        Raises
        ------
        LoadError
            The function failed, or the sidecar that it is to see cannot be read.
        """
        given = self.of(source, sidecar() if self._function else None)
        beside = [clean(given.path), sidecar_identity, clean(given.table), clean(given.function), *read_with]
        return hashlib.sha256(json.dumps(beside, sort_keys=True, default=str).encode()).hexdigest()

    def of(self, source: str, sidecar: bytes | None) -> Fields:
        """Return what stands beside a file.

        Raises
        ------
        LoadError
            The sidecar cannot be read, or the function failed.
        """
        path = {} if self._pattern is None else from_path(source, self._pattern)
        found = Fields(
            path, {} if sidecar is None else read_sidecar(sidecar), dict(self._table.get(source, {})), {}
        )
        if self._function is None:
            return found
        try:
            more = self._function(source, found.merged(path, {}))
            return found._replace(function={str(name): value for name, value in (more or {}).items()})
        except Exception as error:  # the user's own function
            said = " ".join(str(error).split())[:200]
            raise LoadError(
                f"made the metadata function fail ({type(error).__name__}: {said})",
                "let it return a mapping of names to values for every path",
            ) from None


_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def read_sidecar(data: bytes) -> dict[str, Any]:
    """Read ``<file>.metadata.json`` as Bedrock Knowledge Bases does, or plain name-value pairs.

    Raises
    ------
    LoadError
        It is not an object of attributes.
    """
    try:
        raw = json.loads(data.decode("utf-8-sig"))
        attributes = raw.get("metadataAttributes", raw)
        return {str(name): _attribute(value) for name, value in attributes.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise LoadError(
            f"has a sidecar {SIDECAR} that cannot be read ({error})",
            'write it as {"metadataAttributes": {"name": value}}',
        ) from None


def _attribute(value: Any) -> Any:
    """Unwrap Knowledge Bases' typed form: {"value": {"type": "STRING", "stringValue": ...}}."""
    if isinstance(value, dict) and isinstance(value.get("value"), dict):
        inner = value["value"]
        named = [inner[key] for key in inner if key.endswith("Value")]
        if named:
            return named[0]
    return value


def path_pattern(template: str) -> re.Pattern[str]:
    """Compile a template such as ``"{version}/{module}/"``: what stands in the path, by name.

    Raises
    ------
    SourceError
        The template has no field, or a name twice, or one that `rag` uses itself.
    """
    out, at = "", 0
    seen: set[str] = set()
    for match in re.finditer(r"\{([^{}]*)\}", template):
        name = match[1]
        if not name.isidentifier() or name in seen or name in RESERVED:
            raise SourceError(f"--metadata-from-path {template!r}: {name!r} is not a new field's name")
        seen.add(name)
        out += re.escape(template[at : match.start()]) + f"(?P<{name}>[^/]+?)"
        at = match.end()
    if not seen:
        raise SourceError(
            f"--metadata-from-path {template!r} has no field: write one as {{name}}, "
            'as in "{version}/{module}/"'
        )
    rest = template[at:]
    return re.compile(out + re.escape(rest) + ("" if rest.endswith("/") else r"(?=[/.]|$)"))


def from_path(source: str, pattern: re.Pattern[str]) -> dict[str, Any]:
    """Return the fields of a path, as strings; empty if the path does not fit the template."""
    match = pattern.match(source)
    return dict(match.groupdict()) if match else {}


def clean(metadata: Mapping[str, Any], changed: set[str] | None = None) -> dict[str, Any]:
    """Return metadata in the types that the index keeps.

    Strings, finite numbers (integers of up to 64 bits), booleans, dates, datetimes and lists of strings
    stay, NumPy's too; ISO dates in strings become dates; None goes; a mapping's fields get their path as a
    name (``a.b``). A name that `rag` uses itself gets a ``_`` behind it.

    Parameters
    ----------
    metadata : mapping
    changed : set of str, optional
        Extended by a note for each field that was not kept as it is.
    """
    out: dict[str, Any] = {}

    def note(name: str, what: str) -> None:
        if changed is not None:
            changed.add(f"metadata field {name!r} {what}")

    def add(name: str, value: Any, depth: int) -> None:
        try:
            value = plain(value)
        except ValueError as error:  # pandas' NaT, a time in nanoseconds
            note(name, f"holds a value that {error}: left out")
            return
        if value is None:
            return
        if name == "":
            note(name, "has no name: left out")
            return
        if isinstance(value, Mapping) and depth < _DEEPEST:
            note(name, f"is a mapping: kept as a field for each inner name, {f'{name}.…'!r}")
            for key, inner in value.items():
                add(f"{name}.{_string(key)}", inner, depth + 1)
            return
        if name in RESERVED or name in (STRUCTURE, "text", "score", "dense", "lexical", "doc"):
            name += "_"
        kept, why = _kept(value)
        if why:
            note(name, why)
        if name in out:
            note(name, "is there twice, once inside a mapping or with a reserved name: one is left out")
        elif kept is not None:
            out[name] = kept

    for name, value in metadata.items():
        add(_string(name), value, 0)
    return out


def _kept(value: Any) -> tuple[Any, str]:
    """Return a value as the index keeps it, None if it does not, and what was changed."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, set | frozenset):  # in an order that is the same in every process
        return sorted(map(_string, value)), ""
    if isinstance(value, str):
        text = _string(value)
        if _ISO_DATE.fullmatch(text):
            with contextlib.suppress(ValueError):
                return dt.date.fromisoformat(text), ""
        return text, "" if text == value else "holds half of a surrogate pair: replaced"
    if isinstance(value, list | tuple):
        odd = any(not isinstance(item, str | int | float | dt.date | np.generic) for item in value)
        return [_string(item) for item in value], "holds lists of other than plain values: kept as text" * odd
    if isinstance(value, bool):
        return value, ""
    if isinstance(value, float) and not math.isfinite(value):
        return None, f"is {'NaN' if math.isnan(value) else 'infinite'}: left out"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return _string(value), "holds integers of more than 64 bits: kept as text"
    if isinstance(value, dt.datetime):
        try:
            (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
        except OverflowError:
            return value.isoformat(), "is outside the years 1 to 9999 in UTC: kept as text"
    if isinstance(value, int | float | dt.date):
        return value, ""
    return _string(value), f"holds values of type {type(value).__name__}: kept as text"


def _string(value: Any) -> str:
    """Return a value as a string that UTF-8 can hold."""
    with contextlib.suppress(ValueError):
        value = plain(value)
    if isinstance(value, dt.date):  # a datetime is one, too
        text = value.isoformat()
    elif isinstance(value, Mapping):
        named = {str(key): inner for key, inner in value.items()}
        text = json.dumps(named, default=str, ensure_ascii=False)
    elif isinstance(value, list):
        text = json.dumps(value, default=str, ensure_ascii=False)
    elif isinstance(value, int) and value.bit_length() > 10_000:  # Python prints no number this long
        text = hex(value)
    else:
        text = str(value)
    return joined(text)
