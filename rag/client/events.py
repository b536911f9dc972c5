"""The events of a stream, read from its bytes as they come (server-sent events).

The form is that of https://html.spec.whatwg.org/multipage/server-sent-events.html; lines that begin with a
colon are comments, by which a server says that it is still at work.
"""

from __future__ import annotations

import time

from rag.client.records import ReplyError, plain, record
from rag.client.replies import Replies
from rag.core.answers import Event
from rag.core.errors import RagError

_KINDS = frozenset(("context", "text", "citation", "data", "tool", "answer"))


class Events:
    """Reads one stream.

    Parameters
    ----------
    replies : Replies
        Makes errors of what is no stream.
    most_bytes : int
        Of all of it.
    timeout_s : float
        Seconds between two events or comments, however many bytes come.

    Attributes
    ----------
    whole : bool
        Whether the answer has come, which ends it.
    """

    def __init__(self, replies: Replies, most_bytes: int, timeout_s: float) -> None:
        self._replies, self._most_bytes, self._timeout_s = replies, most_bytes, timeout_s
        self.whole = False
        self._size, self._heard = 0, time.monotonic()
        self._rest, self._seen = bytearray(), 0
        self._kind, self._data = "", list[bytes]()

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that are whole with a further piece of the stream.

        Raises
        ------
        RagError
            The server sent an error, or what is no stream of events.
        """
        self._size += len(piece)
        if self._size > self._most_bytes:
            raise self._replies.large(self._most_bytes).error
        self._rest += piece
        found = []
        while (end := self._rest.find(b"\n", self._seen)) >= 0:
            line = bytes(self._rest[:end]).removesuffix(b"\r")
            del self._rest[: end + 1]
            self._seen = 0
            if (event := self._line(line)) is not None:
                found.append(event)
        self._seen = len(self._rest)
        if time.monotonic() - self._heard > self._timeout_s:
            raise self._replies.late(self._timeout_s).error
        return found

    def end(self) -> None:
        """Note the end of the stream.

        Raises
        ------
        ServerError
            The answer has not come.
        """
        if not self.whole:
            raise self._replies.broken()

    def _line(self, line: bytes) -> Event | None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if line and name not in (b"", b"event", b"data", b"id", b"retry"):
            raise self._replies.strange("a line that is none of an event")
        self._heard = time.monotonic()
        if name == b"event":
            self._kind = value.decode("utf-8", "replace")
        elif name == b"data":
            self._data.append(value)
        if line or not self._data:
            return None
        kind, data = self._kind, b"\n".join(self._data)
        self._kind, self._data = "", []
        return self._event(kind, data)

    def _event(self, kind: str, data: bytes) -> Event | None:
        wrong: RagError
        try:
            value = plain(data)
            if kind == "error" and isinstance(value, dict):
                status = value.get("status")
                wrong = self._replies.error_of(value, status if isinstance(status, int) else 500)
            elif kind not in _KINDS:  # of a server that can more
                return None
            elif self.whole or (kind == "text" and not isinstance(value, str)):
                raise ReplyError(f"the event {kind} where none may be")
            else:
                read = record(lambda values: Event.from_plain(kind, values).value, value)
                self.whole = kind == "answer"
                return Event(kind, read)
        except ReplyError as error:
            wrong = self._replies.strange(error)
        raise wrong
