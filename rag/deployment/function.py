"""The service of one container, made from the variables and the ``rag.toml`` that it was started with.

=================  ==================================================================================
``RAG_CONFIG``     the path of ``rag.toml``; by default that of the working directory
``RAG_TOML``       its text, instead
``RAG_INDEX``      the index, instead of ``index`` in ``[deploy]``
=================  ==================================================================================
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag import __version__
from rag.config import deploy
from rag.config import settings as rag_toml
from rag.config.deploy import DeploySettings
from rag.config.open import place_of
from rag.core.errors import ConfigError, NoRoomError, UsageError
from rag.core.files import is_url
from rag.deployment.callers import callers
from rag.usage import ledger_settings

if TYPE_CHECKING:
    from rag.serving.guard import App
    from rag.serving.service import Service

#: Files that stand in an index's folder by default, and the table and the key of their path.
_FILES = {"ledger": "ledger.sqlite", "receipts": "receipts.sqlite", "review": "reviews.sqlite"}


class Function:
    """The service of a container.

    Parameters
    ----------
    app : ASGI application
    service : Service
    settings : DeploySettings
    remote : bool
        Whether the index is on Amazon S3.

    Attributes
    ----------
    app, service, settings
    """

    def __init__(self, app: App, service: Service, settings: DeploySettings, remote: bool = False) -> None:
        self.app, self.service, self.settings, self._remote = app, service, settings, remote
        self._looked = time.monotonic()
        self._looking: threading.Thread | None = None

    def refresh(self) -> int:
        """Take over a new version of the index, if there is one; return the version in service."""
        self._looked = time.monotonic()
        self.service.refresh()
        return self.service.version

    def look(self) -> None:
        """Begin to look for a new version on Amazon S3, if it is time to: beside the request.

        A container is frozen between requests, so it can look only while it has one. The one under way is
        answered from the version in service.
        """
        due = time.monotonic() - self._looked >= self.settings.refresh_s
        if not self._remote or not due or (self._looking is not None and self._looking.is_alive()):
            return
        self._looked = time.monotonic()
        self._looking = threading.Thread(target=self.refresh, name="rag-refresh", daemon=True)
        self._looking.start()

    def looked(self, most_s: float) -> None:
        """Wait for what `look` began, at most so long; it goes on with the next request otherwise."""
        if self._looking is not None:
            self._looking.join(max(most_s, 0.0))


def function(environ: Mapping[str, str], *, frozen: bool = True) -> Function:
    """Return the service that the variables and ``rag.toml`` describe.

    Parameters
    ----------
    environ : mapping
    frozen : bool
        Whether the container is frozen between requests: then `Function.look` looks for new versions of an
        index on Amazon S3, and otherwise the application does so by itself.

    Raises
    ------
    ConfigError
        ``rag.toml`` is missing or wrong, or names no index.
    UsageError
        Nobody may call, and ``[deploy]`` does not open the service to everyone; or somebody has limits
        that containers cannot hold together.
    RagError
        The index cannot be opened.
    """
    values = _read(environ)
    made = deploy.settings(values.get("deploy", {}))
    name = environ.get("RAG_INDEX") or made.index
    if not name:
        raise ConfigError("no index is named: set index in [deploy] of rag.toml, or the variable RAG_INDEX")
    state = Path(made.state)
    remote = is_url(name)
    if remote:
        values["remote"] = _cached(values.get("remote"), made)
    folder = place_of(name, values.get("remote")).folder
    who = None
    if not made.open:
        who = callers(folder, values, state)
        if who is None:
            raise UsageError(
                "without callers the service does not start: package the file of the keys (`rag keys add`; "
                "path in [serving.auth]), set [serving.auth] for tokens, or open = true in [deploy]"
            )
    stop_usd = ledger_settings.settings(values.get("ledger")).stop_usd
    if made.limits == "refuse" and ((who is not None and who.limited) or stop_usd is not None):
        what = "a key or [serving.auth] has limits" if stop_usd is None else "[ledger] has stop_usd"
        raise UsageError(
            f"{what}, and each container would count for itself: limit requests at the gateway instead, or "
            'set limits = "container" in [deploy]'
        )
    from rag.deployment.application import application  # what takes long to import, once all is checked

    placed = _placed(values, state) if remote or not os.access(folder, os.W_OK) else values
    poll_s = (math.inf if frozen else made.refresh_s) if remote else None
    try:
        app, service = application(name, placed, who, version=__version__, poll_s=poll_s)
    except NoRoomError as error:
        raise UsageError(
            f"{error}: with storage_mb in [deploy], or with folder in [deploy] on an Amazon EFS file system"
        ) from error
    return Function(app, service, made, remote)


def _cached(remote: Any, made: DeploySettings) -> Any:
    """Return ``[remote]`` with the folder of local copies: that of ``[deploy]``, else one below `state`."""
    if not isinstance(remote, Mapping | None):
        return remote  # refused where it is read
    given = made.folder or (remote or {}).get("cache") or made.state
    return {**(remote or {}), "cache": str(given)}


def _read(environ: Mapping[str, str]) -> dict[str, Any]:
    text, path = environ.get("RAG_TOML"), environ.get("RAG_CONFIG")
    if text and path:
        raise ConfigError("RAG_TOML and RAG_CONFIG are both set: set one")
    if text:
        return rag_toml.parsed(text, "RAG_TOML")
    return rag_toml.read(Path(path) if path else None)


def _placed(values: Mapping[str, Any], state: Path) -> dict[str, Any]:
    """Return settings whose files are written to `state`.

    What has no path of its own stands in the index's folder otherwise, which may be one of the image,
    read-only, or a local copy, which containers may share over a network.
    """
    placed = dict(values)
    for name, file in _FILES.items():
        table = placed.get(name)
        if name == "ledger" and table is None:
            placed[name] = {"path": str(state / file)}
        elif isinstance(table, Mapping) and "path" not in table and table.get("use", "sqlite") == "sqlite":
            placed[name] = {**table, "path": str(state / file)}
    cache = placed.get("cache")
    responses = cache.get("responses") if isinstance(cache, Mapping) else None
    if isinstance(cache, Mapping) and isinstance(responses, Mapping):
        kept = responses.get("use", "sqlite") == "sqlite" and "path" not in responses
        more = {"path": str(state / "responses.sqlite")} if kept else {}
        placed["cache"] = {**cache, "responses": {**responses, **more}}
    return placed
