"""All assumptions, in the order of the report."""

from __future__ import annotations

from rag.emulator.assumptions.assumption import Assumption
from rag.emulator.assumptions.chat import CHAT
from rag.emulator.assumptions.others import OTHERS
from rag.emulator.assumptions.shapes import SHAPES
from rag.emulator.assumptions.streams import STREAMS
from rag.emulator.assumptions.transport import TRANSPORT

ASSUMPTIONS: tuple[Assumption, ...] = (*TRANSPORT, *SHAPES, *CHAT, *STREAMS, *OTHERS)
