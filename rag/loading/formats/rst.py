"""reStructuredText: its headings; the text itself stays as it is, so that offsets hold in the file."""

from __future__ import annotations

import re
from pathlib import Path

from rag.loading.formats.encoding import decode
from rag.loading.structure import Options, Parsed

_ADORNED = re.compile(r"([!-/:-@\[-`{-~])\1{2,}[ \t]*")
_LONGEST = 300  # characters of a title
_ROLE = re.compile(r":[\w:+.-]+:`([^`<]*?)(?:\s*<[^`]*>)?`|`{1,2}([^`]*)`{1,2}_{0,2}|\*{1,2}([^*]+)\*{1,2}")


def parse_rst(path: Path, data: bytes, options: Options) -> Parsed:
    """Read reStructuredText (docutils' section rules: levels in the order in which they are met)."""
    text, encoding, notes = decode(data)
    parsed = Parsed(text, {"encoding": encoding}, notes=notes)
    levels: list[str] = []
    bare, offsets, at = [], [], 0
    for line in text.split("\n"):
        offsets.append(at)
        bare.append(line.rstrip())
        at += len(line) + 1
    number, last = 0, -1
    while number < len(bare) - 1:
        over = _ADORNED.fullmatch(bare[number])
        if over and number + 2 < len(bare) and bare[number + 2] == bare[number] and bare[number + 1].strip():
            title, style, last = number + 1, "over " + over[1], number + 2
        elif (
            bare[number] and not bare[number][0].isspace() and not over
            and (under := _ADORNED.fullmatch(bare[number + 1]))
            and len(bare[number + 1]) >= len(bare[number]) - 1
            and (number == 0 or number == last + 1 or not bare[number - 1].strip())
        ):  # fmt: skip
            title, style, last = number, under[1], number + 1
        else:
            number += 1
            continue
        if style not in levels:
            levels.append(style)
        name = _ROLE.sub(lambda m: m[1] or m[2] or m[3] or "", bare[title].strip()[:_LONGEST])
        parsed.headings.append((offsets[number], min(levels.index(style) + 1, 6), " ".join(name.split())))
        number = last + 1
    return parsed
