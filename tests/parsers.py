# ruff: noqa: SIM115, PTH208  -- attempts, none of which gets a file
"""Parsers that misbehave, for the tests of the loader's limits; named as ``tests.parsers:…``."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rag.loading.structure import Options, Parsed


def shout(path: Path, data: bytes, options: Options) -> str:
    print("noise on standard output")  # must not end up among the replies
    return data.decode().upper()


def hang(path: Path, data: bytes, options: Options) -> str:
    while True:
        time.sleep(1)


def spin(path: Path, data: bytes, options: Options) -> str:
    while True:
        pass


def swell(path: Path, data: bytes, options: Options) -> str:
    return "x" * (64 << 30)


def flood(path: Path, data: bytes, options: Options) -> str:
    return "word " * 2_000_000


def clutter(path: Path, data: bytes, options: Options) -> Parsed:
    return Parsed("x", headings=[(0, 1, "a heading of some length")] * 500_000)


def crash(path: Path, data: bytes, options: Options) -> str:
    ctypes.string_at(0)
    return ""


def leave(path: Path, data: bytes, options: Options) -> str:
    os._exit(7)


def fail(path: Path, data: bytes, options: Options) -> str:
    raise ZeroDivisionError("its own fault")


def surrogate(path: Path, data: bytes, options: Options) -> str:
    return "half a pair \ud800 here"


def spawn(path: Path, data: bytes, options: Options) -> str:
    return subprocess.run(
        [sys.executable, "-c", "print('child')"], capture_output=True, text=True, check=True
    ).stdout


def forge(path: Path, data: bytes, options: Options) -> str:
    for handle in range(3, 9):  # wherever the replies go
        with contextlib.suppress(OSError):
            os.write(handle, b"no JSON\n")
    return "words"


def halt(path: Path, data: bytes, options: Options) -> str:
    """Answer, then stop: what is sent next is not read."""
    reply = json.dumps({"parsed": Parsed("answered").to_json()}).encode() + b"\n"
    for handle in range(3, 9):  # wherever the replies go
        with contextlib.suppress(OSError):
            os.write(handle, reply)
    os.kill(os.getpid(), signal.SIGSTOP)
    return ""


def escape(path: Path, data: bytes, options: Options) -> str:
    """Try to get out of the worker; return as JSON what came of each try: an error's name, or a value.

    The bytes are JSON: paths and a port of the test's, by name.
    """
    at = json.loads(data)
    tries: dict[str, Callable[[], object]] = {
        "connect": lambda: socket.create_connection(("127.0.0.1", at["port"]), 1),
        "resolve": lambda: socket.getaddrinfo("localhost", 80),
        "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "unix": lambda: socket.socket(socket.AF_UNIX).connect(at["unix"]),
        "bind": lambda: socket.create_server(("127.0.0.1", 0)),
        "create": lambda: Path(at["folder"], "new").write_text("x"),
        "overwrite": lambda: Path(at["other"]).open("r+"),
        "append": lambda: Path(at["other"]).open("ab"),
        "temporary": lambda: tempfile.TemporaryFile().write(b"x"),
        "shared memory": lambda: Path("/dev/shm/x").write_text("x"),
        "grow": lambda: os.write(os.memfd_create("x"), b"x"),
        "delete": lambda: Path(at["other"]).unlink(),
        "rename": lambda: Path(at["other"]).rename(at["other"] + "2"),
        "mode": lambda: Path(at["other"]).chmod(0o777),
        "times": lambda: os.utime(at["other"]),
        "attribute": lambda: os.setxattr(at["other"], "user.x", b"x"),
        "truncate": lambda: os.truncate(at["other"], 0),
        "folder": lambda: Path(at["folder"], "sub").mkdir(),
        "link": lambda: Path(at["folder"], "link").symlink_to("/etc"),
        "fifo": lambda: os.mkfifo(Path(at["folder"], "fifo")),
        "keys": lambda: Path(at["home"], ".aws/credentials").read_text(),
        "home": lambda: os.listdir(at["home"]),
        "document": lambda: Path(at["other"]).read_text(),
        "its own document": lambda: path.read_text(),
        "/etc/passwd": lambda: Path("/etc/passwd").read_text(),
        "through a link": lambda: Path(at["link"]).read_text(),
        "parent's variables": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "parent's memory": lambda: Path(f"/proc/{os.getppid()}/mem").open("rb"),
        "variables": lambda: sorted(name for name in os.environ if "SECRET" in name or "AWS" in name),
        "program": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        "shell": lambda: os.execv("/bin/sh", ["sh", "-c", "true"]),
        "fork": os.fork,
        "signal": lambda: os.kill(os.getppid(), 0),
        "trace": lambda: _syscall(
            {"x86_64": 101, "aarch64": 117}[platform.machine()], 16, os.getppid(), 0, 0
        ),
        "io_uring": lambda: _syscall(425, 1, 0),
        "clone3": lambda: _syscall(435, 0, 0),
        "openat2": lambda: _syscall(437, -100, b"/etc/passwd", 0, 0),
        "limits of the parent": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE),
        "core": lambda: resource.getrlimit(resource.RLIMIT_CORE),
        "growth": lambda: resource.getrlimit(resource.RLIMIT_FSIZE),
        "thread": lambda: _in_a_thread(lambda: 7),
        "in a thread": lambda: _in_a_thread(lambda: os.listdir(at["home"])),
    }
    outcomes = {}
    for name, attempt in tries.items():
        try:
            outcomes[name] = repr(attempt())
        except OSError as error:
            outcomes[name] = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return json.dumps(outcomes)


def _in_a_thread(run: Callable[[], object]) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def _syscall(*arguments: object) -> None:
    if ctypes.CDLL(None, use_errno=True).syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "failed")


def variable(path: Path, data: bytes, options: Options) -> str:
    return os.environ["A_SECRET"] + spawn(path, data, options) + path.read_text()


def variables(path: Path, data: bytes, options: Options) -> str:
    return json.dumps(sorted(os.environ))
