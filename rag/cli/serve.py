"""``rag serve``: an index as a web service."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import BEDROCK, CONFIG, settings_of
from rag.core.errors import UsageError

if TYPE_CHECKING:
    from rag.deployment.callers import Callers

_LOCAL = ("127.0.0.1", "localhost", "::1")


@click.command(short_help="Serve INDEX over HTTP.")
@click.argument("index", metavar="INDEX")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, metavar="N",
              help="0 for any that is free.")  # fmt: skip
@click.option("--open", "is_open", is_flag=True, help="Let everyone call, without a key, and see everything.")
@click.option("--allow-origin", multiple=True, metavar="ORIGIN", help="A site whose pages may call (CORS).")
@click.option("--most-requests", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N",
              help="At once; more are told to come again.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N",
              help="Processes; each uses one CPU.")  # fmt: skip
@click.option("--generator", metavar="NAME", help="local, claude, MODULE:CLASS, provider:model.")
@BEDROCK
@CONFIG
def serve(
    index: str, host: str, port: int, is_open: bool, allow_origin: tuple[str, ...], most_requests: int,
    workers: int, generator: str | None, bedrock: bool, config_path: Path | None,
) -> int:  # fmt: skip
    """Serve INDEX: /v1/ask, /v1/chat, /v1/search, …, and /v1/chat/completions for clients of OpenAI's form.

    Callers have keys (`rag keys add`) or tokens ([serving.auth]); without any, the service starts on this
    machine alone, or with --open. New versions of INDEX are taken over; Ctrl-C lets requests end first.
    One process answers with one CPU: set --workers to use more.
    """
    from rag.cli.output import say, warn
    from rag.core.extras import require
    from rag.serving import workers as processes

    uvicorn: Any = require("uvicorn", extra="serve")
    require("fastapi", extra="serve")
    application = Application(
        index, host, is_open, allow_origin, most_requests, workers, generator, bedrock, config_path
    )
    guarded = application.checked()
    made = None if workers > 1 else application()  # before it listens: what is wrong is said first
    listener = processes.listening(host, port)
    if not guarded:
        warn("everyone who reaches this address may call, and sees every document: it has no keys")
    address = _address(listener)
    options = {
        "log_level": "warning", "timeout_graceful_shutdown": 30, "server_header": False, "lifespan": "on",
        "timeout_keep_alive": 65, "ws": "none",
    }  # fmt: skip
    if made is None:
        return processes.run(
            application, listener, workers,
            lambda: say(f"{index} is served at {address} by {workers} processes"),
            modules=application.modules(), **options,
        )  # fmt: skip
    server = _announcing(
        uvicorn, uvicorn.Config(made, **options), lambda: say(f"{index} is served at {address}")
    )
    server.run([listener])  # after Ctrl-C uvicorn lets requests end, and raises KeyboardInterrupt again
    return 0


@dataclass(frozen=True)
class Application:
    """Makes the service, in each of its processes."""

    index: str
    host: str
    is_open: bool
    origins: tuple[str, ...]
    most_requests: int
    workers: int
    generator: str | None
    bedrock: bool
    config_path: Path | None

    def checked(self) -> bool:
        """Return whether callers need a key or token.

        What is wrong with the index is said here once if there are several processes; one says it itself.

        Raises
        ------
        RagError
            The index or the settings are wrong, or the service must not start without keys.
        """
        from rag.config.open import open_index

        settings = self._settings()
        if self.workers > 1:
            open_index(self.index, settings.get("embedder"), plain=True, remote=settings.get("remote"))
        return self._callers(settings) is not None

    def modules(self) -> list[str]:
        """Return what each process imports."""
        from rag.config.open import place_of
        from rag.config.registry import modules
        from rag.index.storage.manifest import read_manifest

        settings = self._settings()
        if settings.get("embedder") is None:
            folder = place_of(self.index, settings.get("remote")).folder
            settings["embedder"] = read_manifest(folder).embedder.name
        return ["rag.cli.main", "rag.deployment.application", *modules(settings, plain=True)]

    def _settings(self) -> dict[str, Any]:
        return settings_of(self.config_path, self.bedrock, None, self.generator)

    def _callers(self, settings: Mapping[str, Any]) -> Callers | None:
        from rag.config.open import place_of
        from rag.deployment.callers import callers

        folder = place_of(self.index, settings.get("remote")).folder
        who = None if self.is_open else callers(folder, settings)
        if who is None and not self.is_open and self.host not in _LOCAL:
            raise UsageError(
                f"without keys the service does not start on {self.host}: add one (rag keys add {self.index} "
                "NAME), set [serving.auth], or let everyone in with --open"
            )
        return who

    def __call__(self) -> Any:
        """Return the ASGI application.

        Raises
        ------
        RagError
            The index cannot be opened, or a setting is wrong.
        """
        from rag import __version__
        from rag.deployment.application import application

        settings = self._settings()
        who = self._callers(settings)
        hosts = frozenset((*_LOCAL, "[::1]")) if who is None and not self.is_open else frozenset[str]()
        app, _ = application(
            self.index, settings, who, origins=self.origins, most_requests=self.most_requests, hosts=hosts,
            workers=self.workers, version=__version__,
        )  # fmt: skip
        return app


def _address(listener: socket.socket) -> str:
    """Return a listening socket's address as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _announcing(uvicorn: Any, config: Any, ready: Callable[[], None]) -> Any:
    """Return a server that says so once it serves."""

    class Announcing(uvicorn.Server):  # type: ignore[misc]
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    return Announcing(config)


COMMANDS: tuple[click.Command, ...] = (serve,)
