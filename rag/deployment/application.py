"""An index, settings and callers to the web service; what ``rag serve`` and AWS Lambda both run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag.config.around import recorder_of
from rag.config.open import place_of
from rag.core.extras import installed
from rag.core.files import is_url
from rag.deployment.callers import Callers
from rag.pipeline import Pipeline
from rag.serving.app import create_app
from rag.serving.guard import MOST_FAILURES, App
from rag.serving.keys import OpenAuthenticator
from rag.serving.service import Service
from rag.serving.workers import share
from rag.telemetry.incoming import Continued
from rag.telemetry.sinks import PrometheusSink

#: Seconds between two looks for a new version; each look at an object store is a request that costs.
_POLL_S, _REMOTE_POLL_S = 2.0, 15.0


def application(
    index: str | Path,
    settings: Mapping[str, Any],
    who: Callers | None,
    *,
    origins: tuple[str, ...] = (),
    most_requests: int = 1000,
    hosts: frozenset[str] = frozenset(),
    workers: int = 1,
    version: str = "1",
    poll_s: float | None = None,
) -> tuple[App, Service]:
    """Return the web service of an index, and what it serves.

    Parameters
    ----------
    index : str or Path
        A folder, or ``s3://bucket/prefix``.
    settings : mapping
        As `rag.config.settings.read` returns them.
    who : Callers or None
        None lets everyone in.
    origins, most_requests, hosts, version : optional
        See `rag.serving.app.create_app`.
    workers : int
        Processes that have their share of requests and failures each.
    poll_s : float, optional
        Seconds between looks for a new version; by default 2 for a folder, 15 for an object store.
    """
    values = {name: value for name, value in settings.items() if name not in ("serving", "deploy")}
    sink = PrometheusSink() if installed("prometheus_client") else None
    limiter = None if who is None else who.limiter
    place = place_of(index, values.get("remote"))
    if poll_s is None:
        poll_s = _REMOTE_POLL_S if is_url(index) else _POLL_S
    # One for all versions of the index: it holds connections, threads and counts.
    recorder = recorder_of(values, place.folder, () if sink is None else (sink,))
    values["telemetry"] = recorder
    service = Service(
        place.folder, lambda: Pipeline(index, settings=values, plain=True), limiter, current=place.current,
        name=place.name,
    )  # fmt: skip
    app = create_app(
        service, OpenAuthenticator() if who is None else who.authenticator, limiter, origins=origins,
        most_requests=share(most_requests, workers), metrics=None if sink is None else sink.text,
        version=version, hosts=hosts, poll_s=poll_s, ended=None if recorder is None else recorder.close,
        most_failures=share(MOST_FAILURES if who is None else who.most_failures, workers),
    )  # fmt: skip
    traced = recorder is not None and recorder.settings.otel
    return Continued(app) if traced else app, service
