"""Parsers that misbehave, for the tests of the loader's limits; named as ``tests.parsers:…``."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
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
