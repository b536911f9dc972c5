"""Amounts as people read them, at the borders between units."""

from __future__ import annotations

import pytest

from rag.core.format import bytes_text, counted, seconds_text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (999_949, "999.9 kB"),
     (999_950, "1.0 MB"), (1_500_000_000, "1.5 GB"), (2 * 10**12, "2.0 TB"), (10**16, "10000.0 TB")],
)  # fmt: skip
def test_sizes(count: int, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.0009, "under 1 ms"), (0.001, "1 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"), (59.94, "59.9 s"),
     (59.96, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (3661, "1 h 1 min"), (360_000, "100 h")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_plurals_and_separators() -> None:
    assert [counted(n, "chunk") for n in (0, 1, 2, 1234)] == [
        "0 chunks",
        "1 chunk",
        "2 chunks",
        "1,234 chunks",
    ]
    assert counted(2, "query", "queries") == "2 queries"
