"""The quick tests, which `make check` runs, touch each room."""

from __future__ import annotations

from pathlib import Path

import rag
from tests.conftest import ROOT, is_slow

ROOMS = sorted(path.parent.name for path in Path(rag.__file__).parent.glob("*/__init__.py"))


def test_each_room_has_quick_tests() -> None:
    quick = {
        room: [path.name for path in (ROOT / "tests" / room).rglob("test_*.py") if not is_slow(path)]
        for room in ROOMS
    }
    assert len(ROOMS) > 15
    assert [room for room, files in quick.items() if not files] == []
