"""How the tests and the benchmarks score a context."""

from __future__ import annotations


def recall(row: dict, hits) -> float:
    """The share of a question's evidence, in characters, that the hits hold."""
    total = covered = 0
    for span in row["evidence"]:
        total += span["end"] - span["start"]
        pieces = sorted((h.start, h.end) for h in hits if h.source == span["source"])
        at = span["start"]
        for start, end in pieces:
            covered += max(0, min(end, span["end"]) - max(start, at))
            at = max(at, min(end, span["end"]))
    return covered / total
