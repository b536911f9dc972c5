"""Imported by the kernel of a notebook under test: only this machine can be reached from Python."""

from __future__ import annotations

import socket
from typing import Any

_connect = socket.socket.connect
_LOCAL = ("127.0.0.1", "::1", "localhost")


def connect(self: socket.socket, address: Any) -> None:
    """Connect to this machine, and refuse any other."""
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOCAL:
        raise ConnectionRefusedError(f"a notebook tried to reach {address[0]}")
    _connect(self, address)


socket.socket.connect = connect  # type: ignore[method-assign]
