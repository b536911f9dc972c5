"""Parsing in a process of its own, under limits: a file may crash, hang or explode there.

The worker is ``python -m rag.loading.sandbox``. A request is a JSON line and the file's bytes on its
standard input, a reply a JSON line on its standard output: no pickle, no demand on the caller's main
module, and no need to open a file (see `rag.loading.confinement`).
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from rag.core.errors import LoadError, MissingExtraError
from rag.loading.confinement import Confinement, confine, environment, readable
from rag.loading.limits import Limits
from rag.loading.structure import Options, Parsed, storable

#: Most bytes of a reply for each character that a file may yield: escapes take up to 12, headings more.
_MOST_REPLY = 16


class Worker:
    """One worker process, started when first needed and again after it had to be killed.

    Parameters
    ----------
    limits : Limits
    modules : sequence of str
        Modules of the user's parsers, which it must be able to import.
    """

    def __init__(self, limits: Limits, modules: Sequence[str] = ()) -> None:
        self._limits, self._modules = limits, modules
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def parse(self, name: str, path: Path, options: Options) -> Parsed:
        """Parse a file with the parser of that name; raise `LoadError` whatever happens to it."""
        reply = self._ask({"parser": name, "path": str(path), "options": asdict(options)}, path.read_bytes())
        return Parsed.from_json(reply["parsed"])

    def draw(self, path: Path, page: int, password: str | None) -> bytes:
        """Draw a page of a PDF (from 0) as PNG."""
        reply = self._ask({"draw": page, "password": password}, path.read_bytes())
        return base64.b64decode(reply["png"])

    def confinement(self) -> Confinement:
        """Return what the process gave up."""
        return Confinement(**self._ask({"confinement": True})["confinement"])

    def _ask(self, request: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
        with self._lock:
            if self._stopped:
                raise LoadError("was not read: loading was stopped", "load again")
            process = self._process = self._running()
        deadline = time.monotonic() + self._limits.timeout_s
        try:
            _send(process, json.dumps({**request, "bytes": len(data)}).encode() + b"\n", deadline)
            _send(process, data, deadline)
            reply = self._reply(process, deadline)
        except (BrokenPipeError, EOFError):
            code = self.close()
            raise LoadError(
                f"crashed its parser (exit status {code})",
                "the file may be damaged or need more memory: leave it out, or raise memory_mb "
                "and build with --retry",
            ) from None
        except ValueError:  # a parser that was taken over, or writes to descriptors that are not its own
            self.close()
            raise LoadError(
                "made its parser send a reply that is not valid",
                "the file may be hostile: leave it out, or open it and save it again",
            ) from None
        except OverflowError:
            self.close()
            raise LoadError(
                f"yields more text and structure than {self._limits.max_chars} characters can have",
                "leave it out, split it, or raise max_chars and build with --retry",
            ) from None
        except TimeoutError:
            self.close()
            raise LoadError(
                f"took more than {self._limits.timeout_s:g} s to parse",
                "leave it out, or raise timeout_s and build with --retry",
            ) from None
        if "error" in reply:
            raise LoadError(*reply["error"])
        return reply

    def stop(self) -> None:
        """Kill the process from another thread: whoever waits for its answer gets an error."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> int | None:
        """End the process; return its exit status."""
        process, self._process = self._process, None
        if process is None:
            return None
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        try:
            return process.wait(0.05)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        # The modules that this process can import, in its order, and no more: what lies in the
        # working directory is not to be run because its name is that of a library.
        home = str(Path(__file__).parents[2])  # works also where rag is not installed but imported
        paths = [*(os.path.abspath(path) for path in sys.path), home]  # noqa: PTH100
        confined = self._limits.confined
        arguments = {"limits": asdict(self._limits), "readable": readable(self._modules) if confined else []}
        command = [sys.executable, "-P", "-m", "rag.loading.sandbox", json.dumps(arguments)]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environment(paths, confined=confined), start_new_session=True,
        )  # fmt: skip

    def _reply(self, process: subprocess.Popen[bytes], deadline: float) -> dict[str, Any]:
        assert process.stdout is not None
        handle = process.stdout.fileno()
        data = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            while not data.endswith(b"\n"):
                _await(selector, deadline)
                piece = os.read(handle, 1 << 20)
                if not piece:
                    raise EOFError
                data += piece
                if len(data) > _MOST_REPLY * self._limits.max_chars + (1 << 20):
                    raise OverflowError
        reply: dict[str, Any] = json.loads(data)
        return reply


def _send(process: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
    """Write to a process's standard input; raise `TimeoutError` where it does not read."""
    assert process.stdin is not None
    handle = process.stdin.fileno()
    os.set_blocking(handle, False)
    left = memoryview(data)
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_WRITE)
        while left:
            _await(selector, deadline)
            left = left[os.write(handle, left) :]


def _await(selector: selectors.BaseSelector, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0 or not selector.select(left):
        raise TimeoutError


def checked(parsed: Parsed, limits: Limits) -> Parsed:
    """Return what was parsed, if it holds text and is within limits."""
    _within(parsed, limits)
    if not parsed.body and not parsed.text.strip():
        if parsed.scanned:
            raise LoadError(
                "holds no text (a scan, or pictures only)",
                "build with --ocr tesseract, or run OCR over it first",
            )
        raise LoadError("holds no text", "leave it out, or fill it")
    parsed.text = storable(parsed.text)
    parsed.headings = [(at, level, storable(title)) for at, level, title in parsed.headings]
    parsed.notes = [storable(note) for note in parsed.notes]
    return parsed


def _within(parsed: Parsed, limits: Limits) -> Parsed:
    if len(parsed.text) > limits.max_chars:
        raise LoadError(
            f"yields {len(parsed.text)} characters",
            "leave it out, split it, or raise max_chars and build with --retry",
        )
    return parsed


def parse_here(name: str, path: Path, data: bytes, options: Options, limits: Limits) -> Parsed:
    """Parse a file's bytes in this process; raise `LoadError` for whatever a parser raises."""
    from rag.loading.formats.registry import parse

    try:
        return _within(parse(name, path, data, options), limits)
    except (LoadError, OSError):
        raise
    except MissingExtraError as error:
        raise LoadError(error.reason, error.advice) from None
    except MemoryError:
        raise LoadError(
            f"needs more than {limits.memory_mb} MB to parse",
            "leave it out, or raise memory_mb and build with --retry",
        ) from None
    except Exception as error:  # a parser's own fault must not end the build
        raise LoadError(
            f"cannot be parsed ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
            "the file may be damaged: open it and save it again, or leave it out",
        ) from None


def _answer(request: dict[str, Any], data: bytes, limits: Limits, held: Confinement) -> dict[str, Any]:
    try:
        if "confinement" in request:
            return {"confinement": asdict(held)}
        if "draw" in request:
            from rag.loading.formats.pdf import draw_page

            png = draw_page(data, request["draw"], request["password"])
            return {"png": base64.b64encode(png).decode()}
        texts = {int(page): text for page, text in request["options"].pop("page_texts").items()}
        options = Options(**request["options"], page_texts=texts)
        path = Path(request["path"])  # for its name alone
        return {"parsed": parse_here(request["parser"], path, data, options, limits).to_json()}
    except (LoadError, MissingExtraError) as error:
        return {"error": [error.reason, error.advice]}
    except Exception as error:
        return {"error": [f"cannot be read ({type(error).__name__})", "check that it is there, and sound"]}


def _serve(requests: IO[bytes], replies: IO[bytes], limits: Limits, held: Confinement) -> None:
    while line := requests.readline():
        _allow_cpu(limits)
        request = json.loads(line)
        reply = _answer(request, requests.read(request["bytes"]), limits, held)
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


def _allow_cpu(limits: Limits) -> None:
    """Bound the next request's CPU time, should the parent die while it hangs."""
    if sys.platform == "linux":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        most = int(used.ru_utime + used.ru_stime + 2 * limits.timeout_s) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def main() -> None:
    """Serve requests until standard input ends."""
    arguments = json.loads(sys.argv[1])
    limits = Limits(**arguments["limits"])
    sys.setrecursionlimit(20_000)  # pages nest deeper than Python's usual limit
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a parser prints must not mix with the replies
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if limits.memory_mb:
            size = limits.memory_mb << 20
            resource.setrlimit(resource.RLIMIT_AS, (size, size))
    held = confine(arguments["readable"]) if limits.confined else Confinement()
    _serve(sys.stdin.buffer, replies, limits, held)


if __name__ == "__main__":
    main()
