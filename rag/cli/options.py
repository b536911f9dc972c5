"""Shared by several commands: options, the settings they select, and how results are written."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.terminal import QUIET as MARK
from rag.cli.terminal import json_text
from rag.core.errors import RagError, SourceError, UsageError
from rag.core.files import local_folder

if TYPE_CHECKING:
    from rag.core.answers import Answer

#: Exit code of a build that has left files out.
QUARANTINED = 3

#: A command, or a function that becomes one.
Command = Callable[..., Any]


def _in_folder(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse an index at a URL, which a command can read, but not maintain."""
    return None if value is None else str(local_folder(value))


#: An index that is read, in a folder or on S3; and one whose folder is written or maintained.
INDEX = click.argument("index", metavar="INDEX")
INDEX_FOLDER = click.argument("index", metavar="INDEX", callback=_in_folder)
CONFIG = click.option(
    "--config", "config_path", type=click.Path(path_type=Path), metavar="FILE",
    help="Settings of the stages.  [default: rag.toml, if present]",
)  # fmt: skip
BEDROCK = click.option("--bedrock", is_flag=True, help="Use Amazon Bedrock: Titan and Claude.")
EMBEDDER = click.option(
    "--embedder", metavar="NAME", help="local, static, titan, cohere, nova, MODULE:CLASS."
)


def _silence(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.meta[MARK] = True


QUIET = click.option(
    "-q", "--quiet", is_flag=True, expose_value=False, callback=_silence, help="Show no progress."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
METADATA = click.option("--metadata", metavar="FILE.jsonl", help="One object per file; or MODULE:FUNCTION.")
METADATA_FROM_PATH = click.option(
    "--metadata-from-path", metavar="TEMPLATE", help='E.g. "{version}/{module}/".'
)
MODE = click.option(
    "--mode", type=click.Choice(["hybrid", "dense", "lexical"]), metavar="MODE",
    help="hybrid, dense or lexical search.",
)  # fmt: skip
UNIT = click.option(
    "--unit",
    type=click.Choice(["chars", "tokens"]),
    metavar="UNIT",
    help="Unit of the budget: chars or tokens.",
)
SINCE = click.option(
    "--since", metavar="DATE|Nd", help="First day (UTC): 2026-11-01, or 7d for the last 7 days."
)


def with_options(command: Command, options: list[Any]) -> Command:
    """Add options to a command, in the order in which `--help` shows them."""
    for option in reversed(options):
        command = option(command)
    return command


def day_of(text: str, option: str = "--since") -> dt.date:
    """Return the first day that counts, in UTC: a date, or the first of the last N days."""
    days = re.fullmatch(r"([1-9]\d{0,4})d", text)
    today = dt.datetime.now(dt.UTC).date()
    try:
        return today - dt.timedelta(int(days[1]) - 1) if days else dt.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} is a date such as 2026-11-01, or days such as 7d, not {text!r}") from None


@contextmanager
def reporting(what: str) -> Iterator[None]:
    """Report the failure of a store, whatever it raises, in one line."""
    try:
        yield
    except RagError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise RagError(f"the {what} cannot be used ({reason}): is its server up, its file sound?") from None


def measuring_options(command: Command) -> Command:
    """Add the options of measuring contexts."""
    return with_options(command, [
        click.option("--budgets", default="1000,2000,4000,8000", show_default=True, metavar="N,N,…",
                     help="Sizes of context to measure; `own` for the trimmer's."),
        click.option("--unit", type=click.Choice(["chars", "tokens"]), default="chars", show_default=True,
                     metavar="UNIT", help="chars or tokens."),
        click.option("-k", type=click.IntRange(min=1), default=10, show_default="10", metavar="N",
                     help="How many documents of a ranking count."),
        click.option("--copies", is_flag=True, help="Count verbatim copies of evidence elsewhere."),
        CONFIG, JSON, QUIET,
    ])  # fmt: skip


def budgets_of(text: str) -> tuple[int, ...]:
    """Read the sizes of contexts; none for the trimmer's.

    Raises
    ------
    UsageError
        They are no numbers.
    """
    if text == "own":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--budgets is {text!r}: write numbers with commas, e.g. 1000,2000; or own"
        ) from None


def names_of(text: str | None) -> tuple[str, ...]:
    """Return the names of an option that holds several, with commas."""
    return tuple(each.strip() for each in (text or "").split(",") if each.strip())


def print_json(value: Any) -> None:
    """Print a result for `--json`."""
    click.echo(json_text(value, indent=2))


def settings_of(
    path: Path | None, bedrock: bool, embedder: str | None, generator: str | None = None
) -> dict[str, Any]:
    """Read ``rag.toml``, and let the command line's options replace its settings."""
    from rag.config import registry
    from rag.config import settings as rag_toml

    settings = rag_toml.read(path)
    chosen = {**(registry.BEDROCK if bedrock else {}), **{
        name: value for name, value in (("embedder", embedder), ("generator", generator)) if value
    }}  # fmt: skip
    for name, use in chosen.items():
        table = settings.get(name)
        same = isinstance(table, dict) and table.get("use") == use
        settings[name] = table if same else use
    return settings


def with_files(table: Any, options: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return ``{"loader": …}``: that of the settings with the options of these names, taken from `options`.

    Without either it is empty.
    """
    files = {name: value for name in names if (value := options.pop(name))}
    if files:
        table = {**({"use": table} if isinstance(table, str) else table or {}), **files}
    return {} if table is None else {"loader": table}


def hit_rows(hits: Any) -> list[dict[str, Any]]:
    """Return passages as ``--output`` has them."""
    names = ("source", "start", "end", "page_start", "page_end", "score", "text")
    return [{name: getattr(hit, name) for name in names} for hit in hits]


def answer_row(answer: Answer) -> dict[str, Any]:
    """Return an answer as ``--output`` has it."""
    return {
        "answer": answer.text, "answered": answer.answered, "supported": answer.supported,
        "stop_reason": answer.stop_reason, "notes": list(answer.notes),
        "citations": [citation.to_dict() for citation in answer.citations],
        "hits": hit_rows(answer.context.hits),
        **({"review_id": answer.review_id} if answer.review_id else {}),
    }  # fmt: skip


@contextmanager
def replacing(path: Path) -> Iterator[Any]:
    """Write a file that appears only when complete; after a failure what was written is kept in FILE.part."""
    temporary, kept = path.with_name(path.name + ".part"), False
    try:
        with temporary.open("w", encoding="utf-8") as sink:
            yield sink
        temporary.replace(path)
    except OSError as error:
        raise SourceError(f"cannot write {path}: {error.strerror}") from None
    except (RagError, KeyboardInterrupt) as error:  # its lines may have cost money
        kept = temporary.stat().st_size > 0
        if kept and isinstance(error, RagError):
            raise type(error)(f"{error}; the results before it are in {temporary}") from error
        raise
    finally:
        if not kept:
            temporary.unlink(missing_ok=True)
