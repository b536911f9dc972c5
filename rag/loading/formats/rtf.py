"""Rich text (rtf): paragraphs and tables, by striprtf."""

from __future__ import annotations

import re
from pathlib import Path

from striprtf.striprtf import rtf_to_text

from rag.core.errors import LoadError
from rag.loading.formats.archive import damaged
from rag.loading.formats.plain import decode_as
from rag.loading.structure import Options, Parsed, Text

_CODE_PAGE = re.compile(rb"\\ansicpg(\d{1,5})")
_TITLE = re.compile(r"\{\\title ([^{}\\]+)\}")


def parse_rtf(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a rich text file."""
    if not data.lstrip()[:5] == b"{\\rtf":
        raise LoadError("is not rich text (.rtf)", "leave it out, or rename it to .txt")
    page = _CODE_PAGE.search(data[:4096])
    found = decode_as(data, f"cp{page[1].decode()}") if page else None
    source = found[0] if found else data.decode("latin-1")
    try:
        text = rtf_to_text(source, errors="replace")  # type: ignore[no-untyped-call]
    except Exception as error:  # striprtf raises anything on a damaged file
        raise damaged("rich text (.rtf)", error) from None
    out = Text()
    rows: list[list[str]] = []
    for line in text.split("\n"):
        if line.rstrip().endswith("|"):  # striprtf's way of writing a row's cells
            rows.append(line.rstrip()[:-1].split("|"))
            continue
        out.table(rows)
        rows = []
        out.block(line.strip())
    out.table(rows)
    title = _TITLE.search(source)
    return out.done({"title": title[1].strip()} if title and title[1].strip() else {})
