"""``rag ask --schema``: the schema of the data, and the data as it is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.core.drawn import drawn
from rag.core.errors import ConfigError

if TYPE_CHECKING:
    from rag.core.answers import Answer

SCHEMA = click.option(
    "--schema", metavar="SCHEMA", help="Answer as JSON: FILE.json, or MODULE:NAME of a class; needs a model."
)


def read_schema(value: str | None) -> Any:
    """Return the schema that an option names; None if it names none.

    Raises
    ------
    ConfigError
        There is no such file or name, or the file is not a JSON schema.
    """
    if value is None:
        return None
    path = Path(value)
    if ":" in value and not path.is_file():
        from rag.core.imports import resolve

        return resolve(value, "--schema")
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"--schema: cannot read {value}: {error.strerror}; give FILE.json or MODULE:NAME"
        ) from None
    except ValueError as error:
        raise ConfigError(f"--schema: {value} is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ConfigError(f"--schema: {value} holds no JSON schema: it must be an object")
    return schema


def fields_of(answer: Answer) -> list[dict[str, Any]]:
    """Return the fields of an answer as plain values, with their citations' numbers."""
    fields: list[dict[str, Any]] = answer.to_dict()["fields"]
    return fields


def show_data(answer: Answer) -> None:
    """Print the data alone, as JSON; what is doubtful of it goes to standard error."""
    from rag.cli.output import show_warnings

    click.echo(drawn(answer.text))
    show_warnings((*answer.remarks, *_doubts(answer)), ())


def _doubts(answer: Answer) -> Iterator[str]:
    for each in answer.fields:
        if each.why:
            yield f"{each.path}: {each.why}"
