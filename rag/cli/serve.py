"""``rag serve``: an index as a web service."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from rag.cli.options import BEDROCK, CONFIG, settings_of
from rag.core.errors import UsageError

_LOCAL = ("127.0.0.1", "localhost", "::1")


@click.command(short_help="Serve INDEX over HTTP.")
@click.argument("index", metavar="INDEX", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, metavar="N",
              help="0 for any that is free.")  # fmt: skip
@click.option("--open", "is_open", is_flag=True, help="Let everyone call, without a key, and see everything.")
@click.option("--allow-origin", multiple=True, metavar="ORIGIN", help="A site whose pages may call (CORS).")
@click.option("--most-requests", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N",
              help="At once; more are told to come again.")  # fmt: skip
@click.option("--generator", metavar="NAME", help="local, claude, MODULE:CLASS, provider:model.")
@BEDROCK
@CONFIG
def serve(
    index: Path, host: str, port: int, is_open: bool, allow_origin: tuple[str, ...], most_requests: int,
    generator: str | None, bedrock: bool, config_path: Path | None,
) -> int:  # fmt: skip
    """Serve INDEX: /v1/ask, /v1/chat, /v1/search, …, and /v1/chat/completions for clients of OpenAI's form.

    Callers have keys (`rag keys add`) or tokens ([serving.auth]); without any, the service starts on this
    machine alone, or with --open. New versions of INDEX are taken over; Ctrl-C lets requests end first.
    """
    from rag.cli.output import say, warn
    from rag.core.extras import require

    uvicorn: Any = require("uvicorn", extra="serve")
    require("fastapi", extra="serve")
    app, guarded = _app(index, host, is_open, allow_origin, most_requests, generator, bedrock, config_path)
    if not guarded:
        warn("everyone who reaches this address may call, and sees every document: it has no keys")
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=30, server_header=False,
        lifespan="on", timeout_keep_alive=65,
    )  # fmt: skip
    server = _announcing(uvicorn, config, lambda address: say(f"{index} is served at {address}"))
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has let requests end, and raises it again
        server.run()
    return 0


def _app(
    index: Path, host: str, is_open: bool, origins: tuple[str, ...], most_requests: int,
    generator: str | None, bedrock: bool, config_path: Path | None,
) -> tuple[Any, bool]:  # fmt: skip
    """Return the application, and whether callers need a key or token."""
    from rag import __version__
    from rag.config import serving
    from rag.core.extras import installed
    from rag.pipeline import Pipeline
    from rag.serving.app import create_app
    from rag.serving.authenticators import authenticator, key_store, needs_callers
    from rag.serving.keys import OpenAuthenticator
    from rag.serving.service import Service
    from rag.telemetry.recorder import Recorder
    from rag.telemetry.settings import TelemetrySettings
    from rag.telemetry.settings import settings as telemetry_settings
    from rag.telemetry.sinks import PrometheusSink

    settings = settings_of(config_path, bedrock, None, generator)
    table = settings.pop("serving", {})
    made = serving.settings(table)
    sink = PrometheusSink() if installed("prometheus_client") else None
    if sink is not None:
        recorded = settings.get("telemetry")
        kept = TelemetrySettings() if recorded is None else telemetry_settings(recorded)
        settings["telemetry"] = Recorder(kept, [sink])
    guarded = not is_open and needs_callers(table, key_store(made.auth, index))
    if not guarded and not is_open and host not in _LOCAL:
        raise UsageError(
            f"without keys the service does not start on {host}: add one (rag keys add {index} NAME), set "
            "[serving.auth], or let everyone in with --open"
        )
    who, limiter = authenticator(made.auth, index) if guarded else (OpenAuthenticator(), None)
    service = Service(index, lambda: Pipeline(index, settings=settings), limiter)
    app = create_app(
        service, who, limiter, origins=origins, most_requests=most_requests,
        most_failures=made.auth.failures_per_minute,
        metrics=None if sink is None else sink.text, version=__version__,
        hosts=frozenset() if guarded or is_open else frozenset((*_LOCAL, "[::1]")),
    )  # fmt: skip
    return app, guarded


def _announcing(uvicorn: Any, config: Any, say: Any) -> Any:
    """Return a server that says where it listens, once it does."""

    class Announcing(uvicorn.Server):  # type: ignore[misc]
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            for server in getattr(self, "servers", []):
                for socket in server.sockets:
                    host, port = socket.getsockname()[:2]
                    say(f"http://{host}:{port}")

    return Announcing(config)


COMMANDS: tuple[click.Command, ...] = (serve,)
