"""Recordings: what a service answered, kept in a file of JSON lines, and replayed without it.

A line is ``{"request": {"service", "operation", "params"}, "reply": {"s", "status", "headers", "body"}}``;
in the place of ``body`` a stream has ``events``, each with the seconds since it was asked for. No line
holds a secret (`rag.emulator.redacting`). Lines are written by `rag.emulator.forwarding`.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.core.errors import SourceError
from rag.emulator.behaviour import Cut
from rag.emulator.redacting import Redactor, known_secrets
from rag.emulator.wire import Event, Refusal, Reply, Request

#: Members that boto3 makes up anew for each call.
VOLATILE = frozenset({"clientRequestToken"})
#: What is kept of a reply's headers; all else is the transport's, or names the account or the request.
HEADERS = ("Content-Type", "x-amzn-ErrorType", "Retry-After")
BEDROCK_HEADERS = "x-amzn-bedrock-"
_STREAM = "application/vnd.amazon.eventstream"


@dataclass(frozen=True, slots=True)
class Entry:
    """A request and its reply, as a recording's line has them.

    Attributes
    ----------
    line : int
        Counts from 1.
    request, reply : Mapping
    """

    line: int
    request: Mapping[str, Any]
    reply: Mapping[str, Any]


class Recording:
    """A recording, ready to be replayed: an `Emulator`'s ``recorder=``.

    A request is known by its operation and its parameters: account ids are alike, and the order of
    names and the client's headers say nothing. Where the same was asked several times, the replies
    come in the order in which they were recorded, and the last again and again.

    Parameters
    ----------
    path : Path
    entries : list of Entry
    timing : bool
        Answer as slowly as the service did.

    Examples
    --------
    >>> Emulator(recorder=Recording.open("tests/recordings/leave.jsonl"))   # doctest: +SKIP
    """

    def __init__(self, path: Path, entries: list[Entry], *, timing: bool = False) -> None:
        self.path, self.entries, self.timing = path, entries, timing
        self._found: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            self._found[_key(entry.request)].append(entry)
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: str | Path, *, timing: bool = False) -> Recording:
        """Read a recording's file; a last line that was cut off while it was written is left out.

        Raises
        ------
        SourceError
            There is no such file, or a line of it is no entry.
        """
        path = Path(path)
        try:
            lines = path.read_bytes().split(b"\n")[:-1]
        except OSError as error:
            raise SourceError(
                f"cannot read the recording {path} ({error.strerror}): make it with "
                "`rag bedrock-emulator --record FILE`, or with `pytest --record-bedrock`"
            ) from None
        return cls(path, [_entry(path, n, line) for n, line in enumerate(lines, 1)], timing=timing)

    def handle(self, request: Request) -> Reply:
        """Return what was recorded for a request.

        Raises
        ------
        Refusal
            Nothing was; the message names the nearest that was, and where it differs first.
        """
        asked = asked_of(request, Redactor(known_secrets(request.headers)))
        key = _key(asked)
        with self._lock:
            found = self._found.get(key, ())
            at = self._asked[key]
            self._asked[key] += 1
        if not found:
            raise Refusal("ValidationException", self._unknown(asked), 400)
        return self._reply(found[min(at, len(found) - 1)].reply)

    def _reply(self, kept: Mapping[str, Any]) -> Reply:
        status, headers = int(kept["status"]), dict(kept["headers"])
        if "events" in kept:
            return Reply(status=status, headers=headers, events=self._events(kept["events"]))
        if self.timing:
            time.sleep(float(kept["s"]))
        return Reply(bytes_of(kept["body"]), status, headers)

    def _events(self, kept: list[Mapping[str, Any]]) -> Iterator[Event]:
        began = time.monotonic()
        for item in kept:
            if self.timing:
                time.sleep(max(0.0, float(item["s"]) - (time.monotonic() - began)))
            if "event" in item:
                yield item["event"], item["payload"]
            else:
                raise fault_in(item)

    def _unknown(self, asked: Mapping[str, Any]) -> str:
        """Say which recorded request is nearest, and where it differs first."""
        operation = asked["operation"]
        begin = f"{self.path.name} holds no such {operation}"
        near = [entry for entry in self.entries if entry.request["operation"] == operation]
        if not near:
            held = ", ".join(sorted({entry.request["operation"] for entry in self.entries})) or "nothing"
            return f"{begin}; it holds {held}: record it"
        mine = dict(_leaves(asked["params"]))
        differing = [(entry, *_differences(dict(_leaves(entry.request["params"])), mine)) for entry in near]
        entry, count, _, first = min(differing, key=lambda item: (item[1], -item[2]))
        return (
            f"{begin}: the nearest is line {entry.line}, which differs in {count} field{'s' * (count > 1)}, "
            f"first in {first}: ask as it was recorded, or record it again"
        )


class RecordingFile:
    """Writes a recording, each line durable before its reply has been given out.

    Parameters
    ----------
    path : str or Path
        Lines are added to those that are there; one that was cut off is removed first.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            whole = self.path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(self._file, whole)
        except OSError as error:
            raise SourceError(
                f"cannot write the recording {path} ({error.strerror}): name a file that can be written"
            ) from None
        self._lock = threading.Lock()

    def append(self, request: Mapping[str, Any], reply: Mapping[str, Any]) -> None:
        """Add an entry; it is on disk on return."""
        line = json.dumps({"request": request, "reply": reply}, ensure_ascii=False) + "\n"
        data = memoryview(line.encode("utf-8", "surrogatepass"))
        with self._lock:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file; whatever comes later is an error, not a line in another file."""
        with self._lock:
            os.close(self._file)
            self._file = -1


def asked_of(request: Request, redactor: Redactor) -> dict[str, Any]:
    """Return a request as a recording's line has it: canonical, and without secrets."""
    params = {name: _plain(value) for name, value in request.params.items() if name not in VOLATILE}
    return {
        "service": request.service, "operation": request.operation, "params": redactor.value(params),
    }  # fmt: skip


def json_of(body: bytes) -> Any:
    """Return a reply's body as JSON: what it holds, or ``{"$text"}``, or ``{"$base64"}``."""
    try:
        return json.loads(body)
    except ValueError:
        pass
    try:
        return {"$text": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"$base64": base64.b64encode(body).decode("ascii")}


def bytes_of(body: Any) -> bytes:
    """Undo `json_of`."""
    if isinstance(body, dict) and len(body) == 1:
        if "$text" in body:
            return str(body["$text"]).encode("utf-8")
        if "$base64" in body:
            return base64.b64decode(body["$base64"])
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")


def fault_in(item: Mapping[str, Any]) -> Exception:
    """Return the failure in a stream's place; one without an ``exception`` is a stream that ended early."""
    if "exception" not in item:
        return Cut("the stream ends here")
    code = str(item["exception"])
    return Refusal(code[:1].upper() + code[1:], str(item["payload"].get("message", "")))


def is_stream(headers: Mapping[str, str]) -> bool:
    """Whether a reply is an event stream."""
    return headers.get("Content-Type", "").startswith(_STREAM)


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        found = json.loads(line)
        request, reply = found["request"], found["reply"]
        request["service"], request["operation"], request["params"].items()
        int(reply["status"]), float(reply["s"]), dict(reply["headers"])
        if "events" not in reply:
            reply["body"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SourceError(f"{path}, line {number}: this is no entry of a recording: remove it") from None
    return Entry(number, request, reply)


def _plain(value: Any) -> Any:
    """Return a parameter as JSON has it, in one of the forms that mean the same."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bytes | bytearray):
        # A picture or a PDF may be large, and is only compared.
        kept = json_of(bytes(value))
        if isinstance(kept, dict) and "$base64" in kept:
            return {"$sha256": hashlib.sha256(value).hexdigest(), "$bytes": len(value)}
        return _plain(kept)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def _key(asked: Mapping[str, Any]) -> str:
    return json.dumps([asked["operation"], asked["params"]], sort_keys=True)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, JSON) of all that a JSON value holds; a path is as ``messages[0].content[0].text``."""
    if isinstance(value, Mapping) and value:
        for name in value:
            yield from _leaves(value[name], f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for at, item in enumerate(value):
            yield from _leaves(item, f"{path}[{at}]")
    else:
        yield path, json.dumps(value, ensure_ascii=False)


def _differences(recorded: dict[str, str], asked: dict[str, str]) -> tuple[int, float, str]:
    """Return how many fields differ, how alike the first that does is (0 to 1), and what it says."""
    differing = [path for path in dict.fromkeys((*asked, *recorded)) if recorded.get(path) != asked.get(path)]
    first = differing[0]
    old, new = (held.get(first, "absent") for held in (recorded, asked))
    likeness = difflib.SequenceMatcher(None, old[:400], new[:400], autojunk=False).ratio()
    return len(differing), likeness, f"{first} (recorded: {_window(old, new)}; asked: {_window(new, old)})"


def _window(text: str, other: str, width: int = 60) -> str:
    """Return what of a text stands about its first difference from another."""
    same = next((at for at, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), 0)
    start = max(0, min(same - 20, len(text) - width))
    part = text[start : start + width]
    return f"{'…' * (start > 0)}{part}{'…' * (start + width < len(text))}"
