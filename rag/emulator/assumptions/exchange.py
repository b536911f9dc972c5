"""A recorded request and its reply, in the form that assumptions are checked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag.emulator.recording import Entry


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a stream: ``"event"``, ``"exception"`` or ``"cut"``, its name, and its payload."""

    kind: str
    name: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its reply.

    Attributes
    ----------
    step : str
        Of the trial that sent it, e.g. ``"cache-read"``.
    line : int
        In the recording.
    operation : str
    params : Mapping
        Redacted.
    status : int
    headers : Mapping
        Those that a recording keeps; names in lower case.
    names : frozenset of str
        Of all headers, in lower case.
    body : Any
        JSON; None for a stream.
    events : tuple of Event
        None for a reply that is no stream.
    """

    step: str
    line: int
    operation: str
    params: Mapping[str, Any]
    status: int
    headers: Mapping[str, str]
    names: frozenset[str]
    body: Any = None
    events: tuple[Event, ...] | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the reply is one of success."""
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The error's code, without the address that may follow it; empty where there is none."""
        return self.headers.get("x-amzn-errortype", "").partition(":")[0]

    def payloads(self, name: str) -> list[Mapping[str, Any]]:
        """Return the payloads of the events with a name."""
        return [event.payload for event in self.events or () if event.name == name]

    @property
    def usage(self) -> Mapping[str, Any]:
        """The usage of a chat reply.

        Raises
        ------
        KeyError
            It has none.
        """
        reply = self.body if self.events is None else self.payloads("metadata")[-1]
        usage: Mapping[str, Any] = reply["usage"]
        return usage


def exchange_of(step: str, entry: Entry) -> Exchange:
    """Return a line of a recording as an exchange of a step."""
    reply = entry.reply
    events = None
    if "events" in reply:
        events = tuple(
            Event("event", row["event"], row["payload"]) if "event" in row
            else Event("exception", row["exception"], row["payload"]) if "exception" in row
            else Event("cut", "", {})
            for row in reply["events"]
        )  # fmt: skip
    headers = {name.lower(): value for name, value in reply["headers"].items()}
    return Exchange(
        step, entry.line, entry.request["operation"], entry.request["params"], int(reply["status"]), headers,
        frozenset(reply.get("names", headers)), reply.get("body"), events,
    )  # fmt: skip
