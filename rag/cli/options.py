"""What several commands share: options, the settings they choose, and files written whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from rag.core.errors import RagError, SourceError

#: Exit code of a build that has left files out.
QUARANTINED = 3

CONFIG = click.option(
    "--config", "config_path", type=click.Path(path_type=Path), metavar="FILE",
    help="Settings of the stages; by default rag.toml here, if there is one.",
)  # fmt: skip
BEDROCK = click.option("--bedrock", is_flag=True, help="Use Amazon Bedrock: Titan embeddings and Claude.")
EMBEDDER = click.option(
    "--embedder", metavar="NAME", help="local, static, titan, cohere, nova, or MODULE:CLASS."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
METADATA = click.option(
    "--metadata", metavar="FILE.jsonl", help="Metadata: one object per file; or MODULE:FUNCTION."
)
METADATA_FROM_PATH = click.option(
    "--metadata-from-path", metavar="TEMPLATE", help='E.g. "{version}/{module}/".'
)


def settings_of(
    path: Path | None, bedrock: bool, embedder: str | None, generator: str | None = None
) -> dict[str, Any]:
    """Read ``rag.toml``, and put what the command line chose in its place."""
    from rag.config import registry
    from rag.config import settings as rag_toml

    settings = rag_toml.read(path)
    chosen = {**(registry.BEDROCK if bedrock else {}), **{
        name: value for name, value in (("embedder", embedder), ("generator", generator)) if value
    }}  # fmt: skip
    for name, use in chosen.items():
        own = settings.get(name)
        same = isinstance(own, dict) and own.get("use") == use
        settings[name] = own if same else use
    return settings


def query_settings(
    index: str, path: Path | None, bedrock: bool, embedder: str | None, generator: str | None = None
) -> dict[str, Any]:
    """Return the settings for the questions of an index; --bedrock keeps the index's own embedder."""
    if not bedrock and embedder is None:
        return settings_of(path, bedrock, embedder, generator)
    from rag.config import registry
    from rag.index.storage.manifest import read_manifest

    entry = read_manifest(Path(index)).embedder
    paid = entry.name in registry.STAGES["embedder"] and entry.name not in registry.LOCAL
    chosen = entry.name if paid and embedder is None else embedder
    settings = settings_of(path, bedrock, chosen, generator)
    if chosen is None:
        settings["embedder"] = None  # made on this machine: the index finds it
    elif paid and chosen == entry.name:
        own = settings["embedder"]
        settings["embedder"] = {
            "dimensions": entry.dimensions, **(own if isinstance(own, dict) else {"use": own})
        }  # fmt: skip
    return settings


@contextmanager
def replacing(path: Path) -> Iterator[Any]:
    """Write a file that is there only once it is whole; what was written before a failure is kept beside."""
    temporary, kept = path.with_name(path.name + ".part"), False
    try:
        with temporary.open("w", encoding="utf-8") as sink:
            yield sink
        temporary.replace(path)
    except OSError as error:
        raise SourceError(f"cannot write {path}: {error.strerror}") from None
    except (RagError, KeyboardInterrupt) as error:  # its lines may have been paid for
        kept = temporary.stat().st_size > 0
        if kept and isinstance(error, RagError):
            raise type(error)(f"{error}; what was done before it is in {temporary}") from error
        raise
    finally:
        if not kept:
            temporary.unlink(missing_ok=True)
