"""Streamed answers with fewer events: text that has already arrived is joined into one event.

A model streams its answer in pieces of a word or two. Each piece wakes a thread and passes through
botocore and LangChain; with hundreds of concurrent answers that dominates the CPU time. So text that has
already arrived is joined, and the more streams are open, the less often each is read. The first text of
an answer is never delayed.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from botocore.eventstream import EventStream
from botocore.parsers import EventStreamJSONParser

#: Reads per second of all streams of this process together, and the longest delay of text in seconds.
LOOKS_PER_S, LONGEST_S = 250, 0.1
#: Bytes of a message's prelude (length, header length, checksum) and of the shortest message, in the
#: framing of ``application/vnd.amazon.eventstream``.
_PRELUDE, _SHORTEST = 12, 16

Event = Mapping[str, Any]


@runtime_checkable
class _ClientMeta(Protocol):
    events: Any


@runtime_checkable
class _Boto3Client(Protocol):
    meta: Any


@runtime_checkable
class _Peekable(Protocol):
    def peek(self, size: int, /) -> bytes: ...


def join_text_events(client: object) -> None:
    """Make a boto3 client of bedrock-runtime return `JoinedEventStream`; other objects are unchanged.

    Examples
    --------
    >>> join_text_events(boto3.client("bedrock-runtime"))                  # doctest: +SKIP
    """
    if isinstance(client, _Boto3Client) and isinstance(client.meta, _ClientMeta):
        client.meta.events.register(
            "after-call.bedrock-runtime.ConverseStream", _received, unique_id="rag-join-text-events"
        )


def _received(parsed: dict[str, Any], http_response: Any, model: Any, **_: Any) -> None:
    if "stream" in parsed:
        parsed["stream"] = JoinedEventStream(http_response.raw, model.get_event_stream_output(), model.name)


class JoinedEventStream(EventStream):  # type: ignore[misc]
    """The events of a stream, in order, with text that arrived together joined into one event.

    Parameters
    ----------
    response : urllib3.response.HTTPResponse
        The reply to read.
    shape : botocore.model.Shape, optional
        Shape of its events.
    operation : str
        Name of the operation, for errors.
    """

    def __init__(self, response: Any, shape: Any = None, operation: str = "") -> None:
        self._response, self._messages = response, _Messages(response)
        super().__init__(self._messages, shape, _Parser(), operation)

    def __iter__(self) -> Iterator[Event]:
        with _open_stream():
            yield from join_text(super().__iter__(), self.has_more, _pause_s)

    def has_more(self) -> bool:
        """Return, without waiting, whether more has arrived; False if the connection does not show it."""
        if self._messages.size:
            return True
        # Of urllib3 and http.client: a closed or replaced connection lacks one of these.
        connection: Any = getattr(self._response.connection, "sock", None)
        file: object = getattr(getattr(self._response, "_fp", None), "fp", None)
        if connection is None or not isinstance(file, _Peekable):
            return False
        timeout = connection.gettimeout()
        connection.settimeout(0)
        try:
            return bool(file.peek(1))
        except OSError:  # nothing has arrived, or no complete TLS record
            return False
        finally:
            connection.settimeout(timeout)


def join_text(
    events: Iterable[Event], has_more: Callable[[], bool], pause_s: Callable[[], float]
) -> Iterator[Event]:
    """Yield events; join consecutive text of the same block while more has arrived.

    When no more has arrived, the next read happens `pause_s` seconds after the text is yielded; the
    reader's own time counts towards them.
    """
    held: _Text | None = None
    try:
        for event in events:
            text = _Text.of(event)
            if held is not None and (text is None or text.block != held.block):
                yield held.event
                held = None
            if text is None:
                yield event
                continue
            if held is None:
                held = text
            else:
                held.pieces += text.pieces
            if not has_more():
                due = time.monotonic() + pause_s()
                yield held.event
                held = None
                time.sleep(max(0.0, due - time.monotonic()))
    except Exception:
        if held is not None:  # it arrived before the failure
            yield held.event
        raise
    if held is not None:
        yield held.event


class _Messages:
    """Splits a stream into messages for botocore, whatever the sizes of the network reads.

    Bytes that are not a message are passed on unchanged: botocore reports the error.
    """

    def __init__(self, response: Any) -> None:
        self._response, self._data, self._at = response, b"", 0

    def stream(self) -> Iterator[bytes]:
        for chunk in self._response.stream():
            self._data, self._at = self._data[self._at :] + chunk, 0
            while size := self.size:
                self._at += size
                yield self._data[self._at - size : self._at]
        yield self._data[self._at :]

    def close(self) -> None:
        self._response.close()

    @property
    def size(self) -> int:
        """The size of the next message if it has arrived completely, else 0."""
        available = len(self._data) - self._at
        if available < _PRELUDE:
            return 0
        prelude = self._data[self._at : self._at + _PRELUDE]
        size = int.from_bytes(prelude[:4])
        if size < _SHORTEST or zlib.crc32(prelude[:8]) != int.from_bytes(prelude[8:]):
            return available
        return size if size <= available else 0


class _Parser:
    """Parses text deltas directly; botocore's parser would traverse the service model for every word."""

    _general = EventStreamJSONParser()

    def parse(self, response: Mapping[str, Any], shape: Any) -> Any:
        if response["headers"].get(":event-type") == "contentBlockDelta" and response["status_code"] == 200:
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                body = json.loads(response["body"])
                block, delta = body["contentBlockIndex"], body["delta"]
                if delta.keys() == {"text"} and isinstance(delta["text"], str) and type(block) is int:
                    return {"contentBlockDelta": {"delta": delta, "contentBlockIndex": block}}
        return self._general.parse(response, shape)


class _Text:
    """Text of one content block, in the pieces that arrived."""

    def __init__(self, block: int, text: str) -> None:
        self.block, self.pieces = block, [text]

    @classmethod
    def of(cls, event: Event) -> _Text | None:
        """Return an event's text; None if the event holds anything else."""
        block = event.get("contentBlockDelta", {})
        delta = block.get("delta", {})
        if delta.keys() != {"text"} or "contentBlockIndex" not in block:
            return None
        return cls(block["contentBlockIndex"], delta["text"])

    @property
    def event(self) -> Event:
        """One event with all the text."""
        delta = {"delta": {"text": "".join(self.pieces)}, "contentBlockIndex": self.block}
        return {"contentBlockDelta": delta}


_open_streams = 0
_lock = threading.Lock()


@contextlib.contextmanager
def _open_stream() -> Iterator[None]:
    """Count a stream as open."""
    global _open_streams
    with _lock:
        _open_streams += 1
    try:
        yield
    finally:
        with _lock:
            _open_streams -= 1


def _pause_s() -> float:
    """Return the seconds between two reads of a stream; more open streams mean longer pauses."""
    return min(_open_streams / LOOKS_PER_S, LONGEST_S)
