"""``rag bedrock-emulator``: emulate, record or replay Amazon Bedrock on this machine."""

from __future__ import annotations

import errno
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.terminal import echo
from rag.core.errors import RagError, UsageError, near_miss

if TYPE_CHECKING:
    from rag.emulator import Behaviour, Emulator

#: Most refused requests that are listed at the end.
_PROBLEMS = 5
_HERE = ("127.0.0.1", "localhost")
_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0}


def _seconds(context: click.Context, option: click.Parameter, value: str) -> Any:
    """Read a time: ``80ms``, ``0.3s``, or ``0.2s:2s`` for a median and a 99th percentile."""
    parts = [re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(ms|s|)", part.strip()) for part in value.split(":")]
    spread = option.name == "latency_s"
    if None in parts or len(parts) > 1 + spread:
        more = ", or 0.2s:2s for a median and a 99th percentile" if spread else ""
        raise click.BadParameter(f"{value!r} is not a time: write 80ms or 0.3s{more}", context, option)
    seconds = [float(part[1]) * _SECONDS[part[2]] for part in parts if part]
    if len(seconds) == 2 and not 0 < seconds[0] <= seconds[1]:
        raise click.BadParameter(
            f"{value!r}: give the median first, then the 99th percentile", context, option
        )
    return tuple(seconds) if len(seconds) == 2 else seconds[0]


def _names(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> frozenset[str]:
    return frozenset(values)


_BEHAVIOUR: list[Callable[..., Any]] = [
    click.option("--latency", "latency_s", metavar="TIME[:TIME]", callback=_seconds, default="0s",
                 help="Before the first byte: 80ms, or 0.2s:2s for a median and a 99th percentile."),
    click.option("--token-time", "token_s", metavar="TIME", callback=_seconds, default="0s",
                 help="Between the pieces of a stream."),
    click.option("--rpm", "requests_per_minute", type=click.FloatRange(min=0, min_open=True), metavar="N",
                 help="Quota of requests per minute."),
    click.option("--tpm", "tokens_per_minute", type=click.FloatRange(min=0, min_open=True), metavar="N",
                 help="Quota of tokens per minute."),
    click.option("--burst", "burst_s", metavar="TIME", callback=_seconds, default="1s", show_default=True,
                 help="How far ahead the quotas may be used."),
    click.option("--fail", type=click.FloatRange(0, 1), default=0.0, metavar="P",
                 help="Share of calls that fail, 0 to 1."),
    click.option("--fail-with", multiple=True, metavar="CODE",
                 help="How they fail, e.g. ThrottlingException; repeatable."),
    click.option("--stream-fail", type=click.FloatRange(0, 1), default=0.0, metavar="P",
                 help="Share of streams that fail in the middle."),
    click.option("--stream-fail-with", multiple=True, metavar="CODE", help="How; StreamCut cuts them."),
    click.option("--reply", metavar="TEXT", help="What models reply.  [default: from the context]"),
    click.option("--stop-reason", metavar="REASON", help="Sent with every reply, e.g. max_tokens."),
    click.option("--guardrail", type=click.Choice(["blocked", "masked"]),
                 help="What a guardrail does where a request names one."),
    click.option("--deny", "denied", multiple=True, metavar="ACTION", callback=_names,
                 help="IAM action that the caller lacks, e.g. bedrock:InvokeModel; repeatable."),
    click.option("--no-access", multiple=True, metavar="MODEL", callback=_names,
                 help="Model that the account has no access to; repeatable."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of the random numbers."),
]  # fmt: skip
_SERVER: list[Callable[..., Any]] = [
    click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True,
                 help="0 for a free one."),
    click.option("--host", default="127.0.0.1", show_default=True, metavar="NAME", help="To listen on."),
    click.option("--knowledge-base", "knowledge_bases", multiple=True, metavar="ID=INDEX",
                 help="Answer Retrieve for a knowledge base's id from an index of rag's."),
    click.option("--s3-endpoint", metavar="URL", help="Where batch jobs and ingestion read and write."),
    click.option("--bucket", "buckets", multiple=True, metavar="NAME=FOLDER",
                 help="Ingest the documents of a bucket from a folder."),
    click.option("--job-time", "job_s", metavar="TIME", default="0s", callback=_seconds,
                 help="How long a batch job is in progress."),
    click.option("--no-signatures", is_flag=True, help="Accept requests with any signature."),
]  # fmt: skip
_RECORDER: list[Callable[..., Any]] = [
    click.option("--record", type=click.Path(path_type=Path), metavar="FILE",
                 help="Forward to the real service with your credentials; add replies to FILE."),
    click.option("--region", metavar="NAME", help="Of the real service, for --record."),
    click.option("--upstream", metavar="URL", help="Forward there instead, for --record."),
    click.option("--replay", type=click.Path(path_type=Path), metavar="FILE",
                 help="Answer only from what was recorded."),
    click.option("--timing", is_flag=True, help="Replay at the recorded speed."),
]  # fmt: skip


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed([*_SERVER, *_BEHAVIOUR, *_RECORDER]):
        command = option(command)
    return command


@click.command("bedrock-emulator", short_help="Emulate, record or replay Amazon Bedrock.")
@_options
@click.option("--verbose", "-v", is_flag=True, help="Print a line for each request.")
def bedrock_emulator(
    port: int, host: str, knowledge_bases: tuple[str, ...], s3_endpoint: str | None, job_s: float,
    no_signatures: bool, buckets: tuple[str, ...],
    record: Path | None, region: str | None, upstream: str | None, replay: Path | None, timing: bool,
    verbose: bool, **behaviour: Any,
) -> int:  # fmt: skip
    """Emulate Amazon Bedrock's wire protocol on this machine, until Ctrl-C.

    Set the variables that it prints, and AWS's clients talk to it instead of AWS.
    """
    if record and replay:
        raise UsageError("give either --record or --replay")
    if (region or upstream) and not record:
        raise UsageError("--region and --upstream go with --record")
    if record and host not in _HERE:
        raise UsageError(f"--record signs any request with your credentials: listen on {_HERE[0]} only")
    if timing and not replay:
        raise UsageError("--timing goes with --replay")
    settings: dict[str, Any] = {
        "behaviour": _behaviour(behaviour), "port": port, "host": host, "s3_endpoint": s3_endpoint,
        "check_signatures": not (no_signatures or record or replay), "job_s": job_s,
        "knowledge_bases": dict(_knowledge_base(text) for text in knowledge_bases),
        "buckets": dict(_bucket(text) for text in buckets),
    }  # fmt: skip
    with _recorder(record, region, upstream, replay, timing) as recorder, _until_stopped() as wait:
        emulator = _make(verbose, {**settings, "recorder": recorder})
        with emulator:
            _introduce(emulator)
            wait()
        _sum_up(emulator)
    return 0


def _behaviour(options: dict[str, Any]) -> Behaviour:
    from rag.emulator.behaviour import STOP_REASONS, Behaviour, Failure

    reason = options["stop_reason"]
    if reason is not None and reason not in STOP_REASONS:
        raise UsageError(f"Bedrock has no stop reason {reason!r}: {near_miss(reason, STOP_REASONS)}")
    several = ("fail_with", "stream_fail_with")
    for code in (*options["fail_with"], *options["stream_fail_with"]):
        Failure(code)  # refuses codes that no server fails with
    return replace(
        Behaviour(), **{name: value for name, value in options.items() if value or name not in several}
    )


def _knowledge_base(text: str) -> tuple[str, Path]:
    name, equals, index = text.partition("=")
    if not equals or not name or not index:
        raise UsageError(f"--knowledge-base {text!r}: write ID=INDEX, e.g. KB12345678=indexes/handbook")
    from rag.index.storage.manifest import current_version

    if current_version(Path(index)) is None:
        raise UsageError(f"--knowledge-base {text!r}: there is no index at {index}: build it first")
    return name, Path(index)


def _bucket(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name or not Path(folder or "-").is_dir():
        raise UsageError(f"--bucket {text!r}: write NAME=FOLDER, with a folder that is there")
    return name, Path(folder)


def _recorder(
    record: Path | None, region: str | None, upstream: str | None, replay: Path | None, timing: bool
) -> Any:
    if record:
        from rag.emulator.forwarding import Proxy

        return closing(Proxy(record, region=region, upstream=upstream))
    if replay:
        from rag.emulator.recording import Recording

        return nullcontext(Recording.open(replay, timing=timing))
    return nullcontext(None)


def _make(verbose: bool, settings: dict[str, Any]) -> Emulator:
    from rag.emulator import Emulator

    try:
        return _verbose(**settings) if verbose else Emulator(**settings)
    except OSError as error:
        port = settings["port"]
        if error.errno == errno.EADDRINUSE:
            raise RagError(
                f"port {port} is in use: stop what uses it, or give another with --port (0 finds a free one)"
            ) from None
        raise RagError(f"cannot listen on {settings['host']}:{port}: {error.strerror or error}") from None


def _verbose(**settings: Any) -> Emulator:
    """Return an emulator that prints a line for each request once it is answered."""
    from rag.emulator import Emulator, Reply, Request
    from rag.emulator.wire import Event

    class Verbose(Emulator):
        def answer(self, incoming: Any) -> Reply:
            began = time.monotonic()
            try:
                reply = super().answer(incoming)
            except Exception as error:
                self._log(incoming, f"connection {type(error).__name__.lower()}", began)
                raise
            if reply.events is None:
                self._log(incoming, str(reply.status), began)
                return reply
            return replace(reply, events=self._logged(incoming, reply, began))

        def _logged(self, incoming: Any, reply: Reply, began: float) -> Iterator[Event]:
            outcome = f"{reply.status} cut"
            try:
                yield from reply.events or ()
                outcome = str(reply.status)
            finally:
                self._log(incoming, outcome, began)

        def _log(self, incoming: Any, outcome: str, began: float) -> None:
            request = next((r for r in reversed(self.requests) if r.headers is incoming.headers), None)
            what = _name(request) if request else incoming.path
            echo(f"{what} {outcome} {(time.monotonic() - began) * 1000:.0f} ms", err=True)

    def _name(request: Request) -> str:
        model = request.params.get("modelId") or request.params.get("knowledgeBaseId") or ""
        return f"{request.operation or request.path} {model}".strip()

    return Verbose(**settings)


@contextmanager
def _until_stopped() -> Iterator[Callable[[], object]]:
    """Yield a function that waits for Ctrl-C or SIGTERM, which are blocked meanwhile."""
    stops = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # before there are threads, which inherit it
    try:
        yield lambda: signal.sigwait(stops)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _introduce(emulator: Emulator) -> None:
    """Print where it listens and what to set, so that the output can be pasted into a shell."""
    echo(f"# Bedrock emulator: {emulator.url}")
    for name, value in emulator.environment().items():
        echo(f"export {name}={value}")
    # The first two would take precedence over the keys; a bearer token is not sent over HTTP.
    echo("unset AWS_PROFILE AWS_SESSION_TOKEN AWS_BEARER_TOKEN_BEDROCK")
    echo("# Ctrl-C ends it")


def _sum_up(emulator: Emulator) -> None:
    counts = dict(emulator.counts)
    ends = {name: counts.pop(name, 0) for name in ("throttled", "failed", "refused")}
    answered = ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
    others = ", ".join(f"{count} {name}" for name, count in ends.items())
    echo(f"requests: {answered}; {others}", err=True)
    for problem in emulator.problems[:_PROBLEMS]:
        echo(f"  {problem}", err=True)
    if len(emulator.problems) > _PROBLEMS:
        echo(f"  and {len(emulator.problems) - _PROBLEMS} more", err=True)


COMMANDS: tuple[click.Command, ...] = (bedrock_emulator,)
