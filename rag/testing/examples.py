"""The passages and questions that the suites ask with, unless a subclass gives others."""

from __future__ import annotations

from rag.core.passages import Hit

QUESTION = "How many days of annual leave do staff in Europe take?"

#: Loaded texts by source; the passages below are slices of them.
TEXTS = {
    "leave.md": (
        "Staff in Europe take 28 days of annual leave.\n\n"
        "Leave is requested a month before it begins.\n\n"
        "Unused days expire at the end of March."
    ),
    "office.md": (
        "The canteen opens at noon and closes at two.\n\n"
        "Staff in Europe take 28 days of annual leave.\n\n"
        "Backups run every night at two."
    ),
    "long.md": " ".join(f"Sentence {n} of the text says that room {n} has {n + 2} desks." for n in range(40)),
}  # fmt: skip


def hits() -> list[Hit]:
    """Return passages of `TEXTS`, best first: neighbours, a copy, a long one, and a blank one."""
    out: list[Hit] = []
    for source in ("leave.md", "office.md"):
        text, at = TEXTS[source], 0
        for number, piece in enumerate(pieces := text.split("\n\n")):
            start = text.index(piece, at)
            at = start + len(piece)
            gap = "\n\n" if number + 1 < len(pieces) else None
            out.append(Hit(source, start, at, piece, 1.0 - len(out) / 10, source, f"{source}-{number}", gap))
    out.append(Hit("long.md", 0, len(TEXTS["long.md"]), TEXTS["long.md"], 0.1, "long.md", "long.md-0"))
    blank = TEXTS["office.md"].index("\n\n")
    out.append(Hit("office.md", blank, blank + 2, "\n\n", 0.05, "office.md", "office.md-blank"))
    return out
