"""``rag mcp``: an index as an assistant's tools."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import click

from rag.cli.options import BEDROCK, CONFIG, settings_of
from rag.core.errors import UsageError

_LOCAL = ("127.0.0.1", "localhost", "::1")


@click.command(short_help="INDEX as tools of an assistant (MCP).")
@click.argument("index", metavar="INDEX")
@click.option("--http", metavar="HOST:PORT", help="Serve over HTTP, at /mcp.  [default: standard input]")
@click.option("--open", "is_open", is_flag=True, help="With --http: let everyone call, without a key.")
@click.option("--where", metavar="FILTER", help="What is seen over standard input, and no more.")
@click.option("--generator", metavar="NAME", help="local, claude, MODULE:CLASS, provider:model.")
@BEDROCK
@CONFIG
def mcp(
    index: Path, http: str | None, is_open: bool, where: str | None, generator: str | None, bedrock: bool,
    config_path: Path | None,
) -> int:  # fmt: skip
    """Offer INDEX to an assistant: search, ask, explain, list_sources and read_source.

    Over standard input it is for one's own machine; over HTTP callers have keys or tokens as for `rag serve`.
    """
    from rag import __version__
    from rag.config import serving
    from rag.config.open import place_of
    from rag.core.extras import require
    from rag.index.filters.parse import parse
    from rag.pipeline import Pipeline
    from rag.serving.authenticators import authenticator, key_store, needs_callers
    from rag.serving.callers import Caller
    from rag.serving.keys import OpenAuthenticator
    from rag.serving.service import Service

    require("mcp", extra="mcp")
    from rag.serving.mcp import create_server

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)  # standard output is the protocol's
    settings = settings_of(config_path, bedrock, None, generator)
    table = settings.pop("serving", {})
    auth = serving.settings(table).auth
    place = place_of(index, settings.get("remote"))

    def served(limiter: Any) -> Service:
        return Service(
            place.folder, lambda: Pipeline(index, settings=settings, plain=True), limiter,
            current=place.current, name=place.name,
        )  # fmt: skip

    if http is None:
        if is_open:
            raise UsageError("--open is about callers over HTTP: give --http HOST:PORT")
        service = served(None)
        only = None if where is None else parse(where)
        if only is not None:
            service.pipeline.index.both(only)
        caller = Caller("local", "local", only)
        create_server(service, lambda request: caller, __version__).run("stdio")
        return 0
    if where is not None:
        raise UsageError(
            "--where is about standard input: over HTTP each key has its own (rag keys add --where)"
        )
    host, colon, port = http.rpartition(":")
    if not colon or not port.isdigit():
        raise UsageError(f"--http is {http!r}: write HOST:PORT, e.g. 127.0.0.1:8001")
    guarded = not is_open and needs_callers(table, key_store(auth, place.folder))
    if not guarded and not is_open and host not in _LOCAL:
        raise UsageError(
            f"without keys it does not start on {host}: add one (rag keys add {index} NAME), or give --open"
        )
    who, limiter = authenticator(auth, place.folder) if guarded else (OpenAuthenticator(), None)
    service = served(limiter)
    server = create_server(service, _caller, __version__)
    _serve(server, who, limiter, host, int(port), auth.failures_per_minute)
    return 0


def _caller(request: Any) -> Any:
    return request.scope["state"]["caller"]


def _serve(server: Any, who: Any, limiter: Any, host: str, port: int, most_failures: int) -> None:
    from rag.cli.output import warn
    from rag.core.extras import require
    from rag.serving.bounds import BoundedBody, Bounds
    from rag.serving.guard import Guard

    uvicorn: Any = require("uvicorn", extra="serve")
    inner = BoundedBody(server.streamable_http_app(host=host))
    app = Bounds(Guard(inner, who, limiter, most_failures=most_failures))
    warn(f"tools are served at http://{host}:{port}/mcp")
    uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False)


COMMANDS: tuple[click.Command, ...] = (mcp,)
