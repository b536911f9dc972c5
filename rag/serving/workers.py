"""Several processes behind one address: each serves with a CPU of its own, and one that dies is replaced.

The parent listens, starts the workers and watches them; it answers no request. Workers are forks of a
process that has imported what they need and has started no thread (multiprocessing's fork server), so that
one that dies is replaced in a fraction of a second; if the parent dies, they end, and leave the address to
the next one. They share the index's files, the keys and the limits of callers, which are files that processes
may share. What is counted in memory is divided by the number of workers (`share`): requests at once, and
failures of an address.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rag.core.errors import RagError

#: The variable in which prometheus_client looks for the folder of the workers' counts, when it is imported.
_COUNTS = "PROMETHEUS_MULTIPROC_DIR"
#: Connections that wait to be accepted.
_BACKLOG = 2048
#: Seconds in which a worker must answer the parent; it is killed and replaced otherwise.
_HEALTHY_S = 60
#: What every worker imports later than with its first module: uvicorn's choices by what is installed, what
#: FastAPI needs for its first route, what counts, and what numpy needs for its first set of values.
_MODULES = (
    "uvicorn", "uvicorn.loops.auto", "uvicorn.protocols.http.auto", "uvicorn.lifespan.on", "pydantic.v1",
    "prometheus_client", "numpy.ma",
)  # fmt: skip


class Application(Protocol):
    """Makes the ASGI application, in each worker; it is pickled on the way there."""

    def __call__(self) -> Any:
        """Return the application."""


@dataclass(frozen=True)
class _Started:
    """Makes the application in a worker; what keeps it from that is one line."""

    application: Application

    def __call__(self) -> Any:
        from uvicorn.config import STARTUP_FAILURE

        threading.Thread(target=_end_with_parent, name="rag-parent", daemon=True).start()
        try:
            return self.application()
        except RagError as error:
            print(f"rag: {error}", file=sys.stderr)
            sys.exit(STARTUP_FAILURE)


def _end_with_parent() -> None:
    """Let requests end, and end, once the parent is gone: else the address stays taken."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def share(most: int, workers: int) -> int:
    """Return one worker's share of a bound, rounded up; 0, which is no bound, stays 0.

    Examples
    --------
    >>> share(1000, 3), share(0, 3)
    (334, 0)
    """
    return -(-most // workers)


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Raises
    ------
    RagError
        The address is taken, or is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # socket.create_server adds the address to the text; the numbers of getaddrinfo are others.
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise RagError(f"cannot listen at {host}, port {port}: {reason}") from error


def run(
    application: Application,
    listener: socket.socket,
    workers: int,
    ready: Callable[[], None],
    *,
    modules: Sequence[str] = (),
    **options: Any,
) -> int:
    """Serve until told to stop; return 0, or 1 if the workers cannot start.

    SIGINT and SIGTERM let requests end; SIGINT is then raised as
    KeyboardInterrupt. SIGHUP replaces the workers one by one, each by one that serves.

    Parameters
    ----------
    application : Application
    listener : socket
    workers : int
    ready : callable
        Called once all workers serve.
    modules : sequence of str
        What workers import, so that it is there when one is forked; none may start a thread.
    **options
        Of ``uvicorn.Config``.

    Examples
    --------
    >>> run(application, listening("127.0.0.1", 8000), 4, lambda: print("ready"))        # doctest: +SKIP
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    class Supervisor(Multiprocess):
        """Says when all workers serve; ends if one of the first cannot start."""

        failed = interrupted = False

        def handle_int(self) -> None:
            self.interrupted = True
            super().handle_int()

        def init_processes(self) -> None:
            with _uninterrupted():
                super().init_processes()
            waiting = list(self.processes)
            while waiting and not self.should_exit.is_set():
                self.handle_signals()
                process = waiting[-1]
                if not process.process.is_alive():
                    self.failed = True
                    self.should_exit.set()
                elif process.wait_until_ready(0.5, self.should_exit):
                    waiting.pop()
            if not self.should_exit.is_set():
                ready()

        def keep_subprocess_alive(self) -> None:
            # Those that have ended first: a busy one may take long to answer.
            self.processes.sort(key=lambda process: process.process.is_alive())
            with _uninterrupted():
                super().keep_subprocess_alive()

        def restart_all(self) -> None:
            with _uninterrupted():
                super().restart_all()

    config = uvicorn.Config(
        _Started(application), factory=True, workers=workers, timeout_worker_healthcheck=_HEALTHY_S, **options
    )
    with _counts(), contextlib.closing(listener):
        _begin_forking([*_MODULES, *modules])
        supervisor = Supervisor(config, sockets=[listener])
        supervisor.run()
    if supervisor.interrupted:
        raise KeyboardInterrupt
    return 1 if supervisor.failed else 0


def _begin_forking(modules: Sequence[str]) -> None:
    """Start the process that workers are forks of, and let uvicorn fork from it."""
    from uvicorn import _subprocess

    if sys.platform == "darwin":  # whose system libraries a fork may crash (CPython issue 77906): spawned
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    multiprocessing.resource_tracker.ensure_running()  # which unblocks signals when it starts
    # Before Python 3.12.4 it looks for modules in the working directory first, whatever is there.
    with _uninterrupted(), _environment({"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}):
        multiprocessing.forkserver.ensure_running()
    # uvicorn has no setting for it: it spawns workers, each of which imports everything again.
    _subprocess.spawn = context  # type: ignore[assignment]


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the time of a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Start workers that a terminal's Ctrl-C does not reach: the parent tells them when to end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _counts() -> Iterator[None]:
    """Give the workers a folder in which their metrics are summed, until they end."""
    folder = Path(tempfile.mkdtemp(prefix="rag-metrics-"))
    os.environ[_COUNTS] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(_COUNTS, None)
        shutil.rmtree(folder, ignore_errors=True)
