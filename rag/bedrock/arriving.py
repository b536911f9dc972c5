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
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.eventstream import EventStream
from botocore.parsers import EventStreamJSONParser

#: How often the streams of this process are looked at a second, all together; and the longest that
#: text lies there unread, in seconds.
LOOKS_PER_S, LONGEST_S = 250, 0.1


def put_together(client: Any) -> None:
    """Let the streams that a bedrock-runtime client of boto3's returns be `Arriving` ones.

    Examples
    --------
    >>> put_together(boto3.client("bedrock-runtime"))                      # doctest: +SKIP
    """
    client.meta.events.register(
        "after-call.bedrock-runtime.ConverseStream", _received, unique_id="rag-put-together"
    )


def _received(parsed: dict[str, Any], http_response: Any, model: Any, **_: Any) -> None:
    if "stream" in parsed:
        response, shape = http_response.raw, model.get_event_stream_output()
        parsed["stream"] = Arriving(EventStream(response, shape, _Parser(), model.name), response)


class _Parser:
    """Botocore's parser of events, which goes through the service model for every word or two of text."""

    _every = EventStreamJSONParser()

    def parse(self, response: Mapping[str, Any], shape: Any) -> Any:
        if response["headers"].get(":event-type") == "contentBlockDelta" and response["status_code"] == 200:
            body = json.loads(response["body"])
            if body["delta"].keys() == {"text"}:
                return {"contentBlockDelta": {name: body[name] for name in ("delta", "contentBlockIndex")}}
        return self._every.parse(response, shape)


class Arriving:
    """The events of a stream, in order; of text that has come in together there is one event.

    Parameters
    ----------
    stream : botocore.eventstream.EventStream
    response : urllib3.response.HTTPResponse
        What the stream is read from.
    """

    def __init__(self, stream: Any, response: Any) -> None:
        self._stream, self._response = stream, response

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        held: _Text | None = None
        with _under_way() as others:
            try:
                for event in self._stream:
                    text = _Text.of(event)
                    if held is not None and (text is None or text.block != held.block):
                        yield held.event
                        held = None
                    if text is None:
                        yield event
                        continue
                    held = text if held is None else held.with_more(text)
                    if not self._has_more():
                        yield held.event
                        held = None
                        time.sleep(min(others() / LOOKS_PER_S, LONGEST_S))
            except Exception:
                if held is not None:  # it came before what went wrong
                    yield held.event
                raise
            if held is not None:
                yield held.event

    def close(self) -> None:
        """End the stream, and the connection behind it."""
        self._stream.close()

    def _has_more(self) -> bool:
        """Tell, without waiting, whether more has come in; no where the connection does not show it."""
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


class _Text:
    """Text of one of a message's blocks."""

    def __init__(self, block: int, *parts: str) -> None:
        self.block, self._parts = block, parts

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> _Text | None:
        """Return the text of an event that brings nothing else."""
        found = event.get("contentBlockDelta")
        if found is None or found["delta"].keys() != {"text"}:
            return None
        return cls(found["contentBlockIndex"], found["delta"]["text"])

    def with_more(self, text: _Text) -> _Text:
        """Return this text and what follows it."""
        return _Text(self.block, *self._parts, *text._parts)

    @property
    def event(self) -> Mapping[str, Any]:
        """The event that brings it all."""
        delta = {"delta": {"text": "".join(self._parts)}, "contentBlockIndex": self.block}
        return {"contentBlockDelta": delta}


_active = 0
_counting = threading.Lock()


@contextlib.contextmanager
def _under_way() -> Iterator[Any]:
    """Count a stream as under way; gives a function that tells how many there are."""
    global _active
    with _counting:
        _active += 1
    try:
        yield lambda: _active
    finally:
        with _counting:
            _active -= 1
