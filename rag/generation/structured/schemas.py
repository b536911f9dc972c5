"""What a reply in JSON must be: a schema for the model, and the validation of what it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_origin

from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUndefinedAnnotation
from typing_extensions import is_typeddict

from rag.core.errors import ConfigError

Check = Callable[[Any], tuple[Any, list[str]]]
_MOST_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class Target:
    """The JSON value that a reply must contain.

    Attributes
    ----------
    name, description : str
        Sent to the model; the name has at most 64 letters, digits, ``_`` and ``-``.
    schema : Mapping
        The complete JSON Schema.
    check : callable
        Takes a parsed reply; returns the validated object and no problems, or None and the problems,
        one per line: ``$.items[0].price: …``.
    plain : callable
        Takes a validated object; returns it as JSON's values.
    traced : Mapping or None
        The schema in LangChain's form, for tracers, where that is another one.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    check: Check
    plain: Callable[[Any], Any]
    traced: Mapping[str, Any] | None = None

    @property
    def is_object(self) -> bool:
        """Whether the value is an object."""
        return self.schema.get("type") == "object"


def target(schema: Any) -> Target:
    """Read a schema.

    Parameters
    ----------
    schema : type or Mapping
        A pydantic model class, a dataclass, a TypedDict, any other type that pydantic validates
        (``list[Model]``), or a JSON Schema.

    Raises
    ------
    ConfigError
        It is not a schema, or is invalid.

    Examples
    --------
    >>> leave = target({"title": "Leave", "type": "object", "properties": {"days": {"type": "integer"}}})
    >>> leave.name, leave.check({"days": "many"})
    ('Leave', (None, ["$.days: 'many' is not of type 'integer'"]))
    """
    if isinstance(schema, Mapping):
        return _of_json_schema(dict(schema))
    if not isinstance(schema, type) and get_origin(schema) is None:
        raise ConfigError(f"{schema!r} is not a schema: {_ADVICE}")
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(schema)
        whole = adapter.json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
        # Before Python 3.12 pydantic takes no TypedDict of `typing`, which LangChain reads.
        if is_typeddict(schema) and not isinstance(error, PydanticInvalidForJsonSchema):
            return _of_json_schema(convert_to_json_schema(schema))
        first = str(error).partition("\n")[0]
        raise ConfigError(f"{schema!r} is not a schema ({first}): {_ADVICE}") from error
    name = schema.__name__ if isinstance(schema, type) and get_origin(schema) is None else "answer"
    about = (schema.__doc__ or "").strip() if isinstance(schema, type) and name != "answer" else ""
    return Target(
        _name(whole.get("title") or name), about or name, _rooted(whole), _python_check(adapter),
        lambda value: adapter.dump_python(value, mode="json", by_alias=True), _traced(schema),
    )  # fmt: skip


def _traced(schema: Any) -> Mapping[str, Any] | None:
    """Return a schema as LangChain writes it, if it knows its kind."""
    try:
        return convert_to_json_schema(schema)
    except Exception:  # of kinds that only pydantic reads
        return None


_ADVICE = "pass a pydantic model class, a dataclass, a TypedDict, list[…] of one, or a JSON schema (a dict)"


def _of_json_schema(schema: Mapping[str, Any]) -> Target:
    root, check = _rooted(schema), _json_check(schema)
    name = _name(root.get("title") or "answer")
    return Target(name, str(root.get("description", "")) or name, root, check, lambda value: value)


def _name(title: Any) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]", "_", str(title))[:64]


def _rooted(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Replace a schema that is only a reference, as of recursive models, by its definition."""
    reference = re.fullmatch(r"#/(\$defs|definitions)/([^/]+)", str(schema.get("$ref", "")))
    if reference is None:
        return dict(schema)
    return {**schema.get(reference[1], {}).get(reference[2], {}), reference[1]: schema[reference[1]]}


def _python_check(adapter: TypeAdapter[Any]) -> Check:
    def check(value: Any) -> tuple[Any, list[str]]:
        try:
            # As JSON, in which a list may be a set, and a string a date, in strict models too.
            return adapter.validate_json(json.dumps(value)), []
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)
            return None, first_of(f"{_path(problem['loc'])}: {problem['msg']}" for problem in problems)

    return check


def _json_check(schema: Mapping[str, Any]) -> Check:
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
        return (None if problems else value), first_of(f"{p.json_path}: {p.message}" for p in problems)

    return check


def _path(steps: tuple[int | str, ...]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def first_of(problems: Iterable[str]) -> list[str]:
    """Return the first problems, one short line per problem."""
    lines = [" ".join(problem.split())[:300] for problem in problems]
    more = len(lines) - _MOST_PROBLEMS
    return lines if more <= 0 else [*lines[: _MOST_PROBLEMS - 1], f"… and {more + 1} more"]
