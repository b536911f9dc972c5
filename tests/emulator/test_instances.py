"""Instances of JSON schemas."""

from __future__ import annotations

from rag.emulator.instances import instance


def test_references_choices_and_bounds() -> None:
    schema = {
        "$defs": {"day": {"type": "string", "format": "date"}},
        "type": "object",
        "properties": {
            "from": {"$ref": "#/$defs/day"}, "n": {"type": "number", "minimum": 2.5},
            "either": {"anyOf": [{"type": "null"}, {"type": "string"}]}, "yes": {"type": "boolean"},
            "list": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
            "both": {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
            "short": {"type": "string", "maxLength": 2}, "long": {"type": "string", "minLength": 7},
        },
    }  # fmt: skip
    assert instance(schema) == {
        "from": "2026-01-31", "n": 2.5, "either": None, "yes": True, "list": [1, 1],
        "both": {"a": 1, "b": 2}, "short": "te", "long": "textxxx",
    }  # fmt: skip
