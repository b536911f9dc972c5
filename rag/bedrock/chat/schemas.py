"""Schemas as Bedrock's structured output accepts them.

It enforces the shape of a JSON schema, but a request must not contain bounds, lengths or patterns. These
are put into descriptions for the model, and checked when the reply is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

#: Keywords that are sent unchanged, of those that Anthropic's and Bedrock's documentation of structured
#: output lists. Keywords with schemas inside are reduced recursively; ``oneOf`` is sent as ``anyOf``.
_SENT = ("type", "enum", "const", "title", "description", "default", "required")
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
# Keywords that do not restrict instances.
_SILENT = ("$schema", "$id", "$comment", "examples", "discriminator", "deprecated", "readOnly", "writeOnly")


class _NotSendableError(Exception):
    """Bedrock's structured output cannot express the schema."""


def sendable(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Reduce a schema to what Bedrock's structured output accepts; return None if that is impossible.

    Objects get the required ``additionalProperties: false``; unsupported keywords go into the
    description. Schemas without a fixed shape (objects with arbitrary keys, values of any type,
    recursive schemas, external references) cannot be sent.

    Examples
    --------
    >>> sendable({"type": "object", "properties": {"days": {"type": "integer", "minimum": 1}}})
    {'type': 'object', 'properties': {'days': {'type': 'integer', 'description': 'minimum: 1'}}, \
'additionalProperties': False}
    """
    definitions = {**schema.get("$defs", {}), **schema.get("definitions", {})}
    try:
        if any(_is_recursive(name, definitions) for name in definitions):
            return None
        return _reduced(schema)
    except _NotSendableError:
        return None


def _reduced(node: Any) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        raise _NotSendableError
    if "$ref" in node:
        if not str(node["$ref"]).startswith(("#/$defs/", "#/definitions/")):
            raise _NotSendableError
        return {"$ref": node["$ref"]}
    out: dict[str, Any] = {}
    in_words: list[str] = []
    for key, value in node.items():
        if key in ("properties", "$defs", "definitions"):
            out[key] = {name: _reduced(part) for name, part in value.items()}
        elif key == "items":
            out[key] = _reduced(value)
        elif key in ("anyOf", "oneOf", "allOf"):
            out["allOf" if key == "allOf" else "anyOf"] = [_reduced(part) for part in value]
        elif key == "additionalProperties":
            if isinstance(value, Mapping):
                raise _NotSendableError
        elif (
            key in _SENT or (key == "format" and value in _FORMATS) or (key == "minItems" and value in (0, 1))
        ):
            out[key] = value
        elif key not in _SILENT:
            in_words.append(f"{key}: {json.dumps(value, ensure_ascii=False)}")
    return _closed(out, in_words)


def _closed(out: dict[str, Any], in_words: list[str]) -> dict[str, Any]:
    """Forbid additional properties in a reduced schema, and add unsupported keywords to its description."""
    kinds = out.get("type", "object" if "properties" in out else None)
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "object" in kinds:
        if not out.get("properties"):
            raise _NotSendableError
        out["additionalProperties"] = False
    if ("array" in kinds and "items" not in out) or not {"type", "enum", "const", "anyOf", "allOf"} & set(
        out
    ):
        raise _NotSendableError
    if in_words:
        out["description"] = "; ".join(part for part in (out.get("description", ""), *in_words) if part)
    return out


def _is_recursive(name: str, definitions: Mapping[str, Any]) -> bool:
    """Return whether a definition refers to itself, directly or through others."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        definition = json.dumps(definitions.get(todo.pop(), {}))
        for reference in set(re.findall(r'"\$ref": "#/(?:\$defs|definitions)/([^"/]+)"', definition)) - seen:
            if reference == name:
                return True
            seen.add(reference)
            todo.append(reference)
    return False
