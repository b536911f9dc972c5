"""Streamed answers as they come in: what is there already is given out in one piece.

A model sends its answer in pieces of a word or two. Each by itself wakes a thread and goes its whole
way through botocore and LangChain; with hundreds of answers at a time that is most of the processor's
work. So pieces of text that have come in are put together, and the more streams are under way, the
less often each is looked at. The first text of an answer never waits.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from botocore.eventstream import EventStream
from botocore.parsers import EventStreamJSONParser

#: How often the streams of this process are looked at a second, all together; and the longest that
#: text lies there unread, in seconds.
LOOKS_PER_S, LONGEST_S = 250, 0.1
#: Bytes of a message's beginning (its length, that of its headers, and their checksum), and of the
#: shortest message: the framing of ``application/vnd.amazon.eventstream``.
_PRELUDE, _SHORTEST = 12, 16

Event = Mapping[str, Any]


def put_together(client: Any) -> None:
    """Let the streams that a bedrock-runtime client of boto3's returns be `Arriving` ones.

    Examples
    --------
    >>> put_together(boto3.client("bedrock-runtime"))                      # doctest: +SKIP
    """
    events = getattr(getattr(client, "meta", None), "events", None)
    if events is not None:  # else it is no client of boto3's
        events.register("after-call.bedrock-runtime.ConverseStream", _received, unique_id="rag-put-together")


def _received(parsed: dict[str, Any], http_response: Any, model: Any, **_: Any) -> None:
    if "stream" in parsed:
        parsed["stream"] = Arriving(http_response.raw, model.get_event_stream_output(), model.name)


class Arriving(EventStream):  # type: ignore[misc]
    """The events of a stream, in order; of text that has come in together there is one event.

    Parameters
    ----------
    response : urllib3.response.HTTPResponse
        What the stream is read from.
    shape : botocore.model.Shape, optional
        Of its events.
    operation : str
        Its name, for errors.
    """

    def __init__(self, response: Any, shape: Any = None, operation: str = "") -> None:
        self._response, self._messages = response, _Messages(response)
        super().__init__(self._messages, shape, _Parser(), operation)

    def __iter__(self) -> Iterator[Event]:
        with _under_way():
            yield from together(super().__iter__(), self.has_more, _pause_s)

    def has_more(self) -> bool:
        """Tell, without waiting, whether more has come in; no where the connection does not show it."""
        if self._messages.size:
            return True
        connection: Any = getattr(self._response.connection, "sock", None)
        file: Any = getattr(getattr(self._response, "_fp", None), "fp", None)
        if connection is None or not hasattr(file, "peek"):
            return False
        patience = connection.gettimeout()
        connection.settimeout(0)
        try:
            return bool(file.peek(1))
        except OSError:  # nothing has come in, or over TLS nothing whole
            return False
        finally:
            connection.settimeout(patience)


def together(
    events: Iterable[Event], has_more: Callable[[], bool], pause_s: Callable[[], float]
) -> Iterator[Event]:
    """Yield events, text that follows text of the same block with it for as long as more is there.

    Where no more is there, the next look is `pause_s` seconds later; what the reader of an event takes
    counts.
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
        if held is not None:  # it came before what went wrong
            yield held.event
        raise
    if held is not None:
        yield held.event


class _Messages:
    """What botocore reads a stream from: its messages one by one, however they come in.

    What is no message is passed on as it is: botocore says what is wrong with it.
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
        """The size of the next message, if all of it is there; 0 if not."""
        there = len(self._data) - self._at
        if there < _PRELUDE:
            return 0
        prelude = self._data[self._at : self._at + _PRELUDE]
        size = int.from_bytes(prelude[:4])
        if size < _SHORTEST or zlib.crc32(prelude[:8]) != int.from_bytes(prelude[8:]):
            return there
        return size if size <= there else 0


class _Parser:
    """Botocore's parser of events, which goes through the service model for every word or two of text."""

    _every = EventStreamJSONParser()

    def parse(self, response: Mapping[str, Any], shape: Any) -> Any:
        if response["headers"].get(":event-type") == "contentBlockDelta" and response["status_code"] == 200:
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                body = json.loads(response["body"])
                block, delta = body["contentBlockIndex"], body["delta"]
                if delta.keys() == {"text"} and isinstance(delta["text"], str) and type(block) is int:
                    return {"contentBlockDelta": {"delta": delta, "contentBlockIndex": block}}
        return self._every.parse(response, shape)


class _Text:
    """Text of one of a message's blocks, in the pieces that it came in."""

    def __init__(self, block: int, text: str) -> None:
        self.block, self.pieces = block, [text]

    @classmethod
    def of(cls, event: Event) -> _Text | None:
        """Return the text of an event that brings nothing else."""
        found = event.get("contentBlockDelta", {})
        delta = found.get("delta", {})
        if delta.keys() != {"text"} or "contentBlockIndex" not in found:
            return None
        return cls(found["contentBlockIndex"], delta["text"])

    @property
    def event(self) -> Event:
        """The event that brings it all."""
        delta = {"delta": {"text": "".join(self.pieces)}, "contentBlockIndex": self.block}
        return {"contentBlockDelta": delta}


_active = 0
_counting = threading.Lock()


@contextlib.contextmanager
def _under_way() -> Iterator[None]:
    """Count a stream as under way."""
    global _active
    with _counting:
        _active += 1
    try:
        yield
    finally:
        with _counting:
            _active -= 1


def _pause_s() -> float:
    """Return how long a stream is left alone, with as many under way as there are."""
    return min(_active / LOOKS_PER_S, LONGEST_S)
