"""Create an instance of a JSON schema, as a model with structured output would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FORMATS = {
    "date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z", "time": "12:00:00Z", "email": "a@example.org",
    "uri": "https://example.org/", "uuid": "00000000-0000-4000-8000-000000000000",
}  # fmt: skip


def instance(schema: Any, text: str = "text") -> Any:
    """Create an instance with every property; of alternatives, take the first.

    Parameters
    ----------
    schema : Mapping or bool
        JSON Schema: types, properties, items, enum, const, anyOf, oneOf, allOf, ``$ref`` within the
        schema, bounds, common formats. ``pattern`` is ignored.
    text : str
        The value of free text.

    Examples
    --------
    >>> instance({"type": "object", "properties": {"days": {"type": "integer", "minimum": 3}}})
    {'days': 3}
    """
    return _instance(schema, schema, text, 0)


def _instance(schema: Any, root: Any, text: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > 12:
        return text
    if "$ref" in schema:
        return _instance(_resolved(str(schema["$ref"]), root), root, text, depth + 1)
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if schema.get("enum"):
        return schema["enum"][0]
    for name in ("anyOf", "oneOf"):
        if schema.get(name):
            return _instance(schema[name][0], root, text, depth + 1)
    if schema.get("allOf"):
        parts = [_instance(part, root, text, depth + 1) for part in schema["allOf"]]
        whole = {key: value for part in parts if isinstance(part, Mapping) for key, value in part.items()}
        return whole or parts[0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return _of_type(kind[0] if isinstance(kind, list) else kind, schema, root, text, depth)


def _of_type(kind: str, schema: Mapping[str, Any], root: Any, text: str, depth: int) -> Any:
    if kind == "object":
        known = schema.get("properties", {})
        return {name: _instance(part, root, text, depth + 1) for name, part in known.items()}
    if kind == "array":
        return [_instance(schema.get("items", {}), root, text, depth + 1)] * max(1, schema.get("minItems", 1))
    if kind in ("integer", "number"):
        above = schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else 1
        low = schema.get("minimum", above)
        value = min(low, schema.get("maximum", low))
        return int(value) if kind == "integer" else float(value)
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    value = _FORMATS.get(schema.get("format", ""), text)
    value = value.ljust(schema.get("minLength", 0), "x")
    return value[: schema.get("maxLength", len(value))]


def _resolved(reference: str, root: Any) -> Any:
    part = root
    for name in reference.lstrip("#/").split("/"):
        part = part.get(name.replace("~1", "/").replace("~0", "~"), {}) if isinstance(part, Mapping) else {}
    return part
