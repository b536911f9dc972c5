"""A schema in its three uses: what the model is sent, what its reply is checked against, what comes out.

Bedrock's structured output holds a model to the shape of a JSON schema, not to all of it: bounds,
lengths and patterns are refused in a request. They are told to the model in words, and checked here.
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

#: Keywords that are sent as they are, of what the documentation of Anthropic's and Bedrock's structured
#: output names as supported; those with schemas inside are walked, ``oneOf`` is sent as ``anyOf``.
_SENT = ("type", "enum", "const", "title", "description", "default", "required")
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
# What says nothing of the instances.
_SILENT = ("$schema", "$id", "$comment", "examples", "discriminator", "deprecated", "readOnly", "writeOnly")
_MOST_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class Target:
    """What a reply has to become.

    Attributes
    ----------
    name, description : str
        As the model is told; the name holds letters, digits, ``_`` and ``-``, at most 64.
    schema : Mapping
        JSON Schema of an object, whole.
    check : callable
        Takes a parsed reply; returns the validated object and no problems, or None and what is wrong,
        a line each: ``$.items[0].price: …``.
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
        The schema is none, is not valid, or is not that of an object.
    """
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        whole, check = schema.model_json_schema(), _pydantic_check(schema)
        about = (schema.__doc__ or "").strip() or schema.__name__
    else:
        try:
            whole = dict(schema) if isinstance(schema, Mapping) else convert_to_json_schema(schema)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{schema!r} is no schema: give a pydantic model class or a JSON schema (a dict)"
            ) from error
        check, about = _json_check(whole), str(whole.get("description", ""))
    root = _rooted(whole)
    if root.get("type") != "object":
        raise ConfigError(
            'the schema is not that of an object: put {"type": "object", "properties": …} around it'
        )
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", str(root.get("title") or "answer"))[:64]
    return Target(name, about or name, root, check)


def _rooted(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Put the definition that a schema refers to as a whole in its place, as for recursive models."""
    reference = re.fullmatch(r"#/(\$defs|definitions)/([^/]+)", str(schema.get("$ref", "")))
    if reference is None:
        return dict(schema)
    return {**schema.get(reference[1], {}).get(reference[2], {}), reference[1]: schema[reference[1]]}


def _pydantic_check(model: type[BaseModel]) -> Callable[[Any], tuple[Any, list[str]]]:
    def check(value: Any) -> tuple[Any, list[str]]:
        try:
            return model.model_validate(value), []
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)
            return None, _first(f"{_path(problem['loc'])}: {problem['msg']}" for problem in found)

    return check


def _json_check(schema: Mapping[str, Any]) -> Callable[[Any], tuple[Any, list[str]]]:
    try:
        from jsonschema import Draft202012Validator, SchemaError  # type: ignore[import-untyped]
        from jsonschema.validators import validator_for  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError(
            "checking a JSON schema needs the package jsonschema: install it, or give a pydantic model class"
        ) from error
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ConfigError(f"the schema is not valid: {error.json_path}: {error.message}") from error
    validator = kind(schema, format_checker=kind.FORMAT_CHECKER)

    def check(value: Any) -> tuple[Any, list[str]]:
        problems = sorted(validator.iter_errors(value), key=lambda error: error.json_path)
        return (None if problems else value), _first(f"{each.json_path}: {each.message}" for each in problems)

    return check


def _path(steps: tuple[int | str, ...]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _first(problems: Any) -> list[str]:
    """Return the first problems, a short line each."""
    lines = [" ".join(problem.split())[:300] for problem in problems]
    more = len(lines) - _MOST_PROBLEMS
    return lines if more <= 0 else [*lines[: _MOST_PROBLEMS - 1], f"… and {more + 1} more"]


class _NotSendableError(Exception):
    """The schema says something that Bedrock's structured output cannot be held to."""


def sendable(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what of a schema Bedrock's structured output takes; None if it cannot be made to.

    Objects get ``additionalProperties: false``, which it asks for; keywords that it does not take go
    into the description in words. What has no fixed shape (objects with any keys, values of any type,
    schemas that hold themselves, references to elsewhere) cannot be sent.

    Examples
    --------
    >>> sendable({"type": "object", "properties": {"days": {"type": "integer", "minimum": 1}}})
    {'type': 'object', 'properties': {'days': {'type': 'integer', 'description': 'minimum: 1'}}, \
'additionalProperties': False}
    """
    definitions = {**schema.get("$defs", {}), **schema.get("definitions", {})}
    try:
        if any(_holds_itself(name, definitions) for name in definitions):
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
    told: list[str] = []
    for key, value in node.items():
        if key in ("properties", "$defs", "definitions"):
            out[key] = {name: _reduced(each) for name, each in value.items()}
        elif key == "items":
            out[key] = _reduced(value)
        elif key in ("anyOf", "oneOf", "allOf"):
            out["allOf" if key == "allOf" else "anyOf"] = [_reduced(each) for each in value]
        elif key == "additionalProperties":
            if isinstance(value, Mapping):
                raise _NotSendableError
        elif (
            key in _SENT or (key == "format" and value in _FORMATS) or (key == "minItems" and value in (0, 1))
        ):
            out[key] = value
        elif key not in _SILENT:
            told.append(f"{key}: {json.dumps(value, ensure_ascii=False)}")
    return _closed(out, told)


def _closed(out: dict[str, Any], told: list[str]) -> dict[str, Any]:
    """Return a reduced schema with its objects closed, and what it could not keep in words."""
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
    if told:
        out["description"] = "; ".join(part for part in (out.get("description", ""), *told) if part)
    return out


def _holds_itself(name: str, definitions: Mapping[str, Any]) -> bool:
    """Tell whether a definition refers to itself, straight or through others."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        written = json.dumps(definitions.get(todo.pop(), {}))
        for found in set(re.findall(r'"\$ref": "#/(?:\$defs|definitions)/([^"/]+)"', written)) - seen:
            if found == name:
                return True
            seen.add(found)
            todo.append(found)
    return False
