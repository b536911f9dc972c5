"""The branch coverage of the query path, room by room: ``python -m tests.room_coverage coverage.json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: The rooms that a question goes through, by where their files begin.
ROOMS = {
    "pipeline": "rag/pipeline.py", "retrieval": "rag/retrieval/", "trimming": "rag/trimming/",
    "generation": "rag/generation/", "usage": "rag/usage/", "core": "rag/core/", "index/search": "rag/index/search/",
}  # fmt: skip
#: Percent of lines and branches together that each room must reach.
LEAST = 95.0


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of some files was run."""

    lines: int = 0
    lines_run: int = 0
    branches: int = 0
    branches_run: int = 0

    @classmethod
    def of(cls, summary: Mapping[str, int]) -> Coverage:
        return cls(
            summary["num_statements"], summary["covered_lines"], summary["num_branches"],
            summary["covered_branches"],
        )  # fmt: skip

    def __add__(self, other: Coverage) -> Coverage:
        return Coverage(
            self.lines + other.lines, self.lines_run + other.lines_run, self.branches + other.branches,
            self.branches_run + other.branches_run,
        )  # fmt: skip

    @property
    def percent(self) -> float:
        """Of lines and branches together, as `coverage` counts them; 100 where there are none."""
        total = self.lines + self.branches
        return 100 * (self.lines_run + self.branches_run) / total if total else 100.0


def by_room(report: Mapping[str, Mapping[str, Mapping[str, Mapping[str, int]]]]) -> dict[str, Coverage]:
    """Return the coverage of each room that the report has files of."""
    found: dict[str, Coverage] = {}
    for path, file in report["files"].items():
        for room, begin in ROOMS.items():
            if path.startswith(begin):
                found[room] = found.get(room, Coverage()) + Coverage.of(file["summary"])
    return {room: found[room] for room in ROOMS if room in found}


def main(path: str) -> int:
    """Print the table; return 1 if a room is below `LEAST`."""
    rooms = by_room(json.loads(Path(path).read_text(encoding="utf-8")))
    print(f"{'room':14} {'lines':>13} {'branches':>13} {'both':>8}")
    for room, seen in rooms.items():
        lines, branches = f"{seen.lines_run}/{seen.lines}", f"{seen.branches_run}/{seen.branches}"
        print(
            f"{room:14} {lines:>13} {branches:>13} {seen.percent:7.1f}%{'' if seen.percent >= LEAST else '  too low'}"
        )
    low = [room for room, seen in rooms.items() if seen.percent < LEAST]
    if low or not rooms:
        print(f"below {LEAST:g} %: {', '.join(low) or 'no room was measured'}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "coverage.json"))
