"""Recordings of a service's replies, as JSON lines, and their replay without the service.

A line is ``{"request": {"service", "operation", "params"}, "reply": {"s", "status", "headers", "names",
"body"}}``, where ``names`` are those of all headers; a stream has ``events`` instead of ``body``, with the
seconds from the request to every event. Secrets are removed (`rag.emulator.redacting`).
`rag.emulator.forwarding` writes the lines.
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

#: Members that boto3 generates for every call.
VOLATILE = frozenset({"clientRequestToken", "clientToken"})
#: The headers of a reply to keep; the others concern the transport, or identify account or request.
HEADERS = ("Content-Type", "x-amzn-ErrorType", "Retry-After")
BEDROCK_HEADERS = "x-amzn-bedrock-"
_STREAM = "application/vnd.amazon.eventstream"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a recording: a request and its reply.

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
    """Replays a recording, as the ``recorder=`` of an `Emulator`.

    Requests match by operation and parameters; account ids, the order of names and the client's
    headers do not matter. The replies to equal requests come in the order of recording, and the last
    one repeats.

    Parameters
    ----------
    path : Path
    entries : list of Entry
    timing : bool
        Whether to reproduce the service's latency.

    Examples
    --------
    >>> Emulator(recorder=Recording.open("tests/recordings/leave.jsonl"))   # doctest: +SKIP
    """

    def __init__(self, path: Path, entries: list[Entry], *, timing: bool = False) -> None:
        self.path, self.entries, self.timing = path, entries, timing
        self._by_key: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            self._by_key[_key(entry.request)].append(entry)
        self._replayed: Counter[str] = Counter()
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: str | Path, *, timing: bool = False) -> Recording:
        """Read a recording; an incomplete last line is ignored.

        Raises
        ------
        SourceError
            The file cannot be read, or a line is not an entry.
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
        """Return the recorded reply to a request.

        Raises
        ------
        Refusal
            There is none; the message names the nearest recorded request and its first difference.
        """
        row = request_row(request, Redactor(known_secrets(request.headers)))
        key = _key(row)
        with self._lock:
            entries = self._by_key.get(key, ())
            at = self._replayed[key]
            self._replayed[key] += 1
        if not entries:
            raise Refusal("ValidationException", self._nearest(row), 400)
        return self._reply(entries[min(at, len(entries) - 1)].reply)

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

    def _nearest(self, row: Mapping[str, Any]) -> str:
        """Describe the nearest recorded request and its first difference."""
        operation = row["operation"]
        begin = f"{self.path.name} holds no such {operation}"
        near = [entry for entry in self.entries if entry.request["operation"] == operation]
        if not near:
            held = ", ".join(sorted({entry.request["operation"] for entry in self.entries})) or "nothing"
            return f"{begin}; it holds {held}: record it"
        leaves = dict(_leaves(row["params"]))
        differing = [(entry, *_differences(dict(_leaves(entry.request["params"])), leaves)) for entry in near]
        entry, count, _, first = min(differing, key=lambda item: (item[1], -item[2]))
        return (
            f"{begin}: the nearest is line {entry.line}, which differs in {count} field{'s' * (count > 1)}, "
            f"first in {first}: send the request as recorded, or record it again"
        )


class RecordingFile:
    """Writes a recording; a line is durable before the client receives all of its reply.

    Parameters
    ----------
    path : str or Path
        New lines are appended; an incomplete last line is removed first.
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
        """Append an entry; it is on disk on return."""
        line = json.dumps({"request": request, "reply": reply}, ensure_ascii=False) + "\n"
        data = memoryview(line.encode("utf-8", "surrogatepass"))
        with self._lock:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file; a later `append` fails, instead of writing to a reused descriptor."""
        with self._lock:
            os.close(self._file)
            self._file = -1


def request_row(request: Request, redactor: Redactor) -> dict[str, Any]:
    """Return a request in a recording's form: canonical and redacted."""
    params = {name: _plain(value) for name, value in request.params.items() if name not in VOLATILE}
    return {
        "service": request.service, "operation": request.operation, "params": redactor.value(params),
    }  # fmt: skip


def json_of(body: bytes) -> Any:
    """Return a body as JSON: its content, ``{"$text"}`` or ``{"$base64"}``."""
    try:
        return json.loads(body)
    except ValueError:
        pass
    try:
        return {"$text": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"$base64": base64.b64encode(body).decode("ascii")}


def bytes_of(body: Any) -> bytes:
    """Invert `json_of`."""
    if isinstance(body, dict) and len(body) == 1:
        if "$text" in body:
            return str(body["$text"]).encode("utf-8")
        if "$base64" in body:
            return base64.b64decode(body["$base64"])
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")


def fault_in(item: Mapping[str, Any]) -> Exception:
    """Return the recorded failure of a stream; without an ``exception``, the stream was cut."""
    if "exception" not in item:
        return Cut("the stream ends here")
    code = str(item["exception"])
    return Refusal(code[:1].upper() + code[1:], str(item["payload"].get("message", "")))


def is_stream(headers: Mapping[str, str]) -> bool:
    """Return whether a reply is an event stream."""
    return headers.get("Content-Type", "").startswith(_STREAM)


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        row = json.loads(line)
        request, reply = row["request"], row["reply"]
        request["service"], request["operation"], request["params"].items()
        int(reply["status"]), float(reply["s"]), dict(reply["headers"])
        if "events" not in reply:
            reply["body"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SourceError(f"{path}, line {number}: not an entry of a recording: remove the line") from None
    return Entry(number, request, reply)


def _plain(value: Any) -> Any:
    """Return a parameter as JSON, in one canonical form."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bytes | bytearray):
        # Images and PDFs can be large, and are only compared.
        kept = json_of(bytes(value))
        if isinstance(kept, dict) and "$base64" in kept:
            return {"$sha256": hashlib.sha256(value).hexdigest(), "$bytes": len(value)}
        return _plain(kept)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def _key(row: Mapping[str, Any]) -> str:
    return json.dumps([row["operation"], row["params"]], sort_keys=True)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield path and JSON of every leaf; a path reads ``messages[0].content[0].text``."""
    if isinstance(value, Mapping) and value:
        for name in value:
            yield from _leaves(value[name], f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for at, item in enumerate(value):
            yield from _leaves(item, f"{path}[{at}]")
    else:
        yield path, json.dumps(value, ensure_ascii=False)


def _differences(recorded: dict[str, str], sent: dict[str, str]) -> tuple[int, float, str]:
    """Return how many fields differ, the similarity of the first in [0, 1], and its description."""
    differing = [path for path in dict.fromkeys((*sent, *recorded)) if recorded.get(path) != sent.get(path)]
    first = differing[0]
    old, new = (held.get(first, "absent") for held in (recorded, sent))
    likeness = difflib.SequenceMatcher(None, old[:400], new[:400], autojunk=False).ratio()
    return len(differing), likeness, f"{first} (recorded: {_window(old, new)}; sent: {_window(new, old)})"


def _window(text: str, other: str, width: int = 60) -> str:
    """Return the part of a text around its first difference from another."""
    same = next((at for at, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), 0)
    start = max(0, min(same - 20, len(text) - width))
    part = text[start : start + width]
    return f"{'…' * (start > 0)}{part}{'…' * (start + width < len(text))}"
