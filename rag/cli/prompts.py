"""``rag prompt list | show | check | diff``: prompts as files under version control."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import CONFIG, JSON, print_json
from rag.cli.terminal import echo
from rag.core.drawn import drawn
from rag.core.errors import UsageError, near_miss
from rag.core.format import counted

if TYPE_CHECKING:
    from rag.generation.prompt import Prompt
    from rag.generation.prompts.lint import Caching

FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), default="prompts", show_default=True, metavar="FOLDER",
    help="Where prompts are looked for by name.",
)  # fmt: skip


@click.group(short_help="List, show, check and compare prompts.")
def prompt() -> None:
    """List, show, check and compare prompts: files NAME@VERSION.md, and those that ship.

    What their front matter may hold is in rag/generation/README.md.
    """


@prompt.command("list", short_help="List the prompts of FOLDER, and those that ship.")
@FOLDER
@JSON
def list_(folder: Path, as_json: bool) -> int:
    """List the prompts of FOLDER, and those that ship."""
    from rag.cli.output import show_table
    from rag.core.table import Table
    from rag.generation.prompts.library import all_names

    rows = [_facts(_prompt(name, folder)) for name in all_names(folder)]
    if as_json:
        print_json({"prompts": rows})
        return 0
    cells = [
        (
            row["name"],
            row["hash"][:8],
            str(row["tokens"]),
            ", ".join(row["tags"]),
            ", ".join(row["variables"]),
        )
        for row in rows
    ]
    head = ("prompt", "hash", "tokens", "tags", "variables")
    show_table(
        Table(f"{counted(len(rows), 'prompt')}: those that ship, and {folder}/NAME@VERSION.md", head, cells)
    )
    return 0


@prompt.command(short_help="Show a prompt as the model is sent it.")
@click.argument("name", metavar="NAME")
@click.option("--set", "sets", multiple=True, metavar="VARIABLE=VALUE", help="A variable's value.")
@FOLDER
@JSON
def show(name: str, sets: tuple[str, ...], folder: Path, as_json: bool) -> int:
    """Show a prompt's system text as the model is sent it, and what else its file says.

    NAME is NAME@VERSION, a name with one version, one that ships, or a file. A variable without a value
    stays in braces.
    """
    from rag.cli.output import say

    chosen = _prompt(name, folder)
    chosen = chosen.filled(dict(_set(chosen, text) for text in sets))
    facts = _facts(chosen)
    if as_json:
        print_json({**facts, "system": chosen.shown()})
        return 0
    say(
        f"{chosen.name}, hash {chosen.version}, about "
        f"{counted(facts['tokens'], 'token')}, form {chosen.form}",
        "dim",
    )
    for key in ("about", "tags", "variables", "parameters", "passage", "question"):
        if facts[key]:
            value = facts[key]
            text = "; ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value
            say(f"{key}: {', '.join(text) if isinstance(text, list) else text}", "dim")
    say()
    click.echo(drawn(chosen.shown().rstrip()))
    return 0


@prompt.command(short_help="Check prompts; exit 1 if one is wrong.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--model", metavar="ID", help="Model whose prompt cache counts.  [default: rag.toml's]")
@click.option("--most-tokens", type=click.IntRange(min=1), default=1200, show_default="1200", metavar="N",
              help="System texts above this are long.")  # fmt: skip
@FOLDER
@CONFIG
@JSON
def check(
    names: tuple[str, ...], model: str | None, most_tokens: int, folder: Path, config_path: Path | None,
    as_json: bool,
) -> int:  # fmt: skip
    """Check prompts, by default all of FOLDER: one line for each finding; exit 1 if one is an error.

    Errors: front matter that is wrong, an unknown variable, a missing section, no citation contract.
    Warnings: a text longer than needed (a sentence repeated, or more than --most-tokens), an unused
    variable, a text too short for the model's prompt cache.
    """
    from dataclasses import asdict

    from rag.cli.output import say
    from rag.generation.prompts import library, lint

    for name in names:
        if library.shipped(name) is not None:
            raise UsageError(f"{name} ships with rag and is checked there: name a file")
    paths = [library.find(name, folder) for name in names] or sorted(folder.glob("*.md"))
    if not paths:
        raise UsageError(f"there is no prompt in {folder}/: write {folder}/NAME@VERSION.md, or name a file")
    caching = _caching(model, config_path)
    findings = [each for path in paths for each in lint.check(path, caching, most_tokens)]
    wrong = sum(finding.severity == "error" for finding in findings)
    if as_json:
        print_json(
            {"checked": [str(path) for path in paths], "findings": [asdict(each) for each in findings]}
        )
        return int(wrong > 0)
    for finding in findings:
        echo(str(finding))
    count, rest = len(paths), len(findings) - wrong
    say(f"{counted(count, 'prompt')}: {counted(wrong, 'error')}, {counted(rest, 'warning')}", "dim")
    return int(wrong > 0)


@prompt.command(short_help="Show what differs between two prompts.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@FOLDER
def diff(a: str, b: str, folder: Path) -> int:
    """Show what differs between the files of two prompts, line by line."""
    from rag.generation.prompts.library import texts

    (of_a, text_a, _), (of_b, text_b, _) = texts(a, folder), texts(b, folder)
    lines = difflib.unified_diff(text_a.splitlines(), text_b.splitlines(), of_a, of_b, lineterm="")
    click.echo(drawn("\n".join(lines) or f"{of_a} and {of_b} are the same"))
    return 0


def _prompt(name: str, folder: Path) -> Prompt:
    from rag.generation.prompt import Prompt

    return Prompt(name, folder=folder)


def _facts(prompt: Prompt) -> dict[str, Any]:
    from rag.usage.tokens import estimate_tokens

    file = prompt.file
    facts: dict[str, Any] = {
        "name": prompt.name, "hash": prompt.hash, "tokens": estimate_tokens(prompt.shown()),
        "form": prompt.form, "about": "", "tags": [], "variables": {}, "parameters": {}, "passage": {},
        "question": "",
    }  # fmt: skip
    if file is None:
        return facts
    kinds = {
        name: " | ".join(each.choices) if each.choices else each.type for name, each in file.variables.items()
    }
    values = prompt.values
    return {
        **facts, "about": file.about, "tags": list(file.tags), "parameters": dict(file.parameters),
        "variables": {
            name: f"{kind} = {values[name]!r}" if name in values else kind for name, kind in kinds.items()
        },
        "passage": {name: each.text for name, each in (file.passage or {}).items()},
        "question": file.question.text if file.question is not None else "",
    }  # fmt: skip


def _set(prompt: Prompt, text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: write VARIABLE=VALUE")
    if name not in prompt.variables:
        raise UsageError(
            f"the prompt {prompt.name} has no variable {name!r}: {near_miss(name, prompt.variables)}"
        )
    return name, prompt.variables[name].read(value)


def _caching(model: str | None, config: Path | None) -> Caching | None:
    """Return the prompt cache of a model, by default of the one that rag.toml asks on Bedrock."""
    from rag.bedrock.models import MODELS, find
    from rag.config import settings as rag_toml
    from rag.generation.prompts.lint import Caching

    if model is None:
        value = rag_toml.read(config).get("generator")
        table = {"use": value} if isinstance(value, str) else dict(value or {})
        if table.get("use") != "claude":
            return None
        from rag.bedrock.chat.claude import MODEL

        known, model = None, str(table.get("model") or MODEL)
        known = find(model, table.get("base_model_id"))
        return None if known is None else Caching(model, known.cache_minimum)
    known = find(model)
    if known is None:
        raise UsageError(f"--model {model} is not known, nor its prompt cache: {near_miss(model, MODELS)}")
    return Caching(model, known.cache_minimum)


COMMANDS: tuple[click.Command, ...] = (prompt,)
