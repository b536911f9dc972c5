"""Frame events and exceptions as messages of an AWS event stream.

A message is, in big-endian order: the total length, the headers' length, the CRC-32 of these eight
bytes, the headers (length of the name, the name, type 7 for text, length of the value, the value), the
payload, and the CRC-32 of everything before it (Smithy's specification of Amazon's event stream).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any


def event(kind: str, payload: Mapping[str, Any]) -> bytes:
    """Frame an event, e.g. ``contentBlockDelta``."""
    return _message(_headers("event", ":event-type", kind), payload)


def exception(code: str, message: str) -> bytes:
    """Frame an exception, which ends the stream.

    Parameters
    ----------
    code : str
        ``ThrottlingException``; its first letter is lower case on the wire.
    message : str
    """
    kind = code[:1].lower() + code[1:]
    return _message(_headers("exception", ":exception-type", kind), {"message": message})


def _message(headers: bytes, payload: Mapping[str, Any]) -> bytes:
    body = json.dumps(payload, separators=(",", ":")).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = b"".join((prelude, struct.pack("!I", zlib.crc32(prelude)), headers, body))
    return message + struct.pack("!I", zlib.crc32(message))


@lru_cache(maxsize=64)
def _headers(message_type: str, name: str, kind: str) -> bytes:
    named = {":message-type": message_type, name: kind, ":content-type": "application/json"}
    return b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in named.items()
    )
