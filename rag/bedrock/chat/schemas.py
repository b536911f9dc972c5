"""Schemas of structured output: the part sent to the model, and the validation of its replies.

Bedrock's structured output enforces the shape of a JSON schema, but a request must not contain bounds,
lengths or patterns. These are put into descriptions for the model, and checked here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, ValidationError

from rag.core.errors import ConfigError

#: Keywords that are sent unchanged, of those that Anthropic's and Bedrock's documentation of structured
#: output lists. Keywords with schemas inside are reduced recursively; ``oneOf`` is sent as ``anyOf``.
_SENT = ("type", "enum", "const", "title", "description", "default", "required")
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
# Keywords that do not restrict instances.
_SILENT = ("$schema", "$id", "$comment", "examples", "discriminator", "deprecated", "readOnly", "writeOnly")
_MOST_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class Target:
    """The object that a reply must contain.

    Attributes
    ----------
    name, description : str
        Sent to the model; the name has at most 64 letters, digits, ``_`` and ``-``.
    schema : Mapping
        The complete JSON Schema of an object.
    check : callable
        Takes a parsed reply; returns the validated object and no problems, or None and the problems,
        one per line: ``$.items[0].price: …``.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    check: Callable[[Any], tuple[Any, list[str]]]


def target(schema: Any) -> Target:
    """Read a schema.

    Parameters
    ----------
    schema : pydantic model class, JSON Schema, or TypedDict class

    Raises
    ------
    ConfigError
        It is not a schema, is invalid, or does not describe an object.
    """
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        whole, check = schema.model_json_schema(), _pydantic_check(schema)
        about = (schema.__doc__ or "").strip() or schema.__name__
    else:
        try:
            whole = dict(schema) if isinstance(schema, Mapping) else convert_to_json_schema(schema)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{schema!r} is not a schema: pass a pydantic model class or a JSON schema (a dict)"
            ) from error
        check, about = _json_check(whole), str(whole.get("description", ""))
    root = _rooted(whole)
    if root.get("type") != "object":
        raise ConfigError(
            'the schema does not describe an object: wrap it in {"type": "object", "properties": …}'
        )
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", str(root.get("title") or "answer"))[:64]
    return Target(name, about or name, root, check)


def _rooted(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Replace a schema that is only a reference, as of recursive models, by its definition."""
    reference = re.fullmatch(r"#/(\$defs|definitions)/([^/]+)", str(schema.get("$ref", "")))
    if reference is None:
        return dict(schema)
    return {**schema.get(reference[1], {}).get(reference[2], {}), reference[1]: schema[reference[1]]}


def _pydantic_check(model: type[BaseModel]) -> Callable[[Any], tuple[Any, list[str]]]:
    def check(value: Any) -> tuple[Any, list[str]]:
        try:
            return model.model_validate(value), []
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)
            return None, _first(f"{_path(problem['loc'])}: {problem['msg']}" for problem in problems)

    return check


def _json_check(schema: Mapping[str, Any]) -> Callable[[Any], tuple[Any, list[str]]]:
    try:
        from jsonschema import Draft202012Validator, SchemaError  # type: ignore[import-untyped]
        from jsonschema.validators import validator_for  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError(
            "validating a JSON schema needs the package jsonschema: install it, or pass a pydantic class"
        ) from error
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ConfigError(f"the schema is invalid: {error.json_path}: {error.message}") from error
    validator = kind(schema, format_checker=kind.FORMAT_CHECKER)

    def check(value: Any) -> tuple[Any, list[str]]:
        problems = sorted(validator.iter_errors(value), key=lambda error: error.json_path)
        return (None if problems else value), _first(f"{p.json_path}: {p.message}" for p in problems)

    return check


def _path(steps: tuple[int | str, ...]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _first(problems: Any) -> list[str]:
    """Return the first problems, one short line per problem."""
    lines = [" ".join(problem.split())[:300] for problem in problems]
    more = len(lines) - _MOST_PROBLEMS
    return lines if more <= 0 else [*lines[: _MOST_PROBLEMS - 1], f"… and {more + 1} more"]


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
