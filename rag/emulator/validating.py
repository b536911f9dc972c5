"""Rebuild a request's parameters and check them against botocore's service model.

`botocore.validate` checks required members, types, unions, unknown members and minima; `_walk` adds
enums, maxima and patterns, which AWS checks too. Rules that the model does not state are in
`rag.emulator.rules`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from rag.emulator.routing import Route
from rag.emulator.wire import Refusal

#: Shapes whose patterns use Java syntax (``\p{L}``) that Python lacks: not checked.
UNCHECKED_PATTERNS = frozenset({
    "AutomatedReasoningPolicyDefinitionTypeName", "AutomatedReasoningPolicyDefinitionTypeValueName",
    "AutomatedReasoningPolicyDefinitionVariableName", "DocumentAclGroupIdString",
    "DocumentAclUserIdString", "DocumentId", "TagKey", "TagValue", "VpcConfigurationDescription",
})  # fmt: skip


def read(
    route: Route, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> tuple[dict[str, Any], list[str]]:
    """Rebuild an operation's parameters with boto3's names, and validate them.

    Parameters
    ----------
    route : Route
    path, query : str
        As received.
    headers : Mapping
        Names in lower case.
    body : bytes

    Returns
    -------
    params : dict
        The readable parameters; blobs are bytes.
    wrong : list of str
        One line per violation, naming the parameter and the rule.
    """
    shape = route.model.input_shape
    if shape is None or not shape.members:  # GetCallerIdentity's form is no JSON, and has no parameters
        return {}, []
    labels = route.label_values(path)
    arguments = dict(parse_qsl(query, keep_blank_values=True))
    payload = shape.serialization.get("payload")
    params: dict[str, Any] = {}
    wrong: list[str] = []
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        wire: str = member.serialization.get("name", name)
        if location == "uri":
            params[name] = labels[wire]
        elif location == "querystring" and wire in arguments:
            params[name] = _plain(arguments.pop(wire), member)
        elif location == "header" and wire.lower() in headers:
            params[name] = _plain(headers[wire.lower()], member)
    wrong += [f"unknown query parameter {name!r}" for name in arguments]
    if payload is not None and shape.members[payload].type_name in ("blob", "string"):
        params[payload] = body
    elif body:
        try:
            read_body = json.loads(body)
        except ValueError as error:
            return params, [f"the body is not JSON: {error}"]
        target = shape if payload is None else shape.members[payload]
        decoded = _decoded(read_body, target, wrong, "")
        if not isinstance(decoded, dict):
            return params, ["the body is not a JSON object"]
        if payload is None:
            located = {n for n, m in shape.members.items() if "location" in m.serialization}
            wrong += [
                f"{name}: belongs in the path, the query or the headers, not in the body"
                for name in decoded
                if name in located
            ]
            params |= {name: value for name, value in decoded.items() if name not in located}
        else:
            params[payload] = decoded
    return params, wrong + list(_problems(params, shape))


def refusal(wrong: list[str]) -> Refusal:
    """Return the refusal for a list of violations."""
    count = f"{len(wrong)} validation error{'s' if len(wrong) > 1 else ''} detected: "
    return Refusal("ValidationException", count + "; ".join(wrong))


def _problems(params: Mapping[str, Any], shape: Any) -> Iterator[str]:
    from botocore.validate import ParamValidator

    report = ParamValidator().validate(params, shape)
    if report.has_errors():
        yield from (" ".join(line.split()) for line in report.generate_report().splitlines())
    yield from _walk(params, shape, "")


def _plain(text: str, shape: Any) -> Any:
    """Convert a value of the path, the query or a header to its type; return the text if it does not fit."""
    readers: dict[str, Callable[[str], Any]] = {
        "integer": int, "long": int, "float": float, "double": float,
        "boolean": {"true": True, "false": False}.__getitem__, "list": lambda text: text.split(","),
    }  # fmt: skip
    try:
        if shape.serialization.get("jsonvalue"):
            return json.loads(base64.b64decode(text, validate=True))
        return readers.get(shape.type_name, str)(text)
    except (ValueError, KeyError):
        return text


def _decoded(value: Any, shape: Any, wrong: list[str], path: str) -> Any:
    """Return JSON in boto3's form: blobs as bytes, boto3's member names, no nulls."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        if getattr(shape, "is_document_type", False):
            return value
        by_wire: dict[str, str] = _wire_names(shape)
        decoded = {}
        for wire, item in value.items():
            name = by_wire[wire] if wire in by_wire else str(wire)
            known = shape.members.get(name)
            if item is not None:  # restJson1: a null member is absent
                decoded[name] = item if known is None else _decoded(item, known, wrong, _join(path, name))
        return decoded
    if kind == "list" and isinstance(value, list):
        return [_decoded(item, shape.member, wrong, f"{path}[{n}]") for n, item in enumerate(value)]
    if kind == "map" and isinstance(value, dict):
        return {key: _decoded(item, shape.value, wrong, _join(path, key)) for key, item in value.items()}
    if kind == "blob" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            wrong.append(f"{path}: a blob must be base64")
    return value


@lru_cache(maxsize=4096)
def _wire_names(shape: Any) -> dict[str, str]:
    return {str(member.serialization.get("name", name)): str(name) for name, member in shape.members.items()}


def _walk(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Yield violations of enums, maxima and patterns; botocore reports wrong types."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        if getattr(shape, "is_document_type", False):
            return
        for name, item in value.items():
            if name in shape.members:
                yield from _walk(item, shape.members[name], _join(path, name))
    elif kind == "list" and isinstance(value, list):
        yield from _too_many(len(value), shape, path, "members")
        for number, item in enumerate(value):
            yield from _walk(item, shape.member, f"{path}[{number}]")
    elif kind == "map" and isinstance(value, dict):
        yield from _too_many(len(value), shape, path, "entries", minimum=True)
        for key, item in value.items():
            yield from _walk(key, shape.key, f"{path} (key {key!r})")
            yield from _walk(item, shape.value, _join(path, key))
    elif kind == "string" and isinstance(value, str):
        yield from _text(value, shape, path)
    elif kind == "blob" and isinstance(value, bytes):
        yield from _too_many(len(value), shape, path, "bytes", minimum=True)
    elif kind in ("integer", "long", "float", "double"):
        if isinstance(value, bool):  # a bool is an int in Python
            yield f"{path}: {json.dumps(value)} is not a number"
        elif isinstance(value, int | float) and value > shape.metadata.get("max", float("inf")):
            yield f"{path}: {value} is more than the maximum, {shape.metadata['max']}"


def _too_many(count: int, shape: Any, path: str, what: str, *, minimum: bool = False) -> Iterator[str]:
    if count > shape.metadata.get("max", count):
        yield f"{path}: {count} {what}: the maximum is {shape.metadata['max']}"
    if minimum and count < shape.metadata.get("min", 0):  # botocore checks lists, strings and numbers only
        yield f"{path}: {count} {what}: the minimum is {shape.metadata['min']}"


def _text(value: str, shape: Any, path: str) -> Iterator[str]:
    yield from _too_many(len(value), shape, path, "characters")
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield f"{path}: {value!r} is not one of {', '.join(allowed)}"
    pattern = shape.metadata.get("pattern")
    if pattern and shape.name not in UNCHECKED_PATTERNS and not _compiled(pattern).fullmatch(value):
        yield f"{path}: {value!r} does not match {pattern}"


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
