"""Jupyter notebooks: prose as it is written, code in fences, results as text; pictures are left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rag.core.errors import LoadError
from rag.loading.formats.data import parse_json
from rag.loading.formats.encoding import decode
from rag.loading.formats.html import read_html
from rag.loading.formats.plain import outline
from rag.loading.structure import Options, Parsed

_PICTURE = re.compile(
    r"data:[\w.+-]+/[\w.+-]+(?:;[\w=.-]+)*;base64,[A-Za-z0-9+/=\s]{20,}?(?=[^A-Za-z0-9+/=\s]|\Z)"
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_FENCE = "```"


def parse_notebook(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a notebook (nbformat 3 and 4): its cells in order, each result below its code."""
    text, encoding, notes = decode(data)
    try:
        book = json.loads(text.removeprefix("\ufeff"), strict=False)
    except json.JSONDecodeError as error:
        raise LoadError(
            f"is not a notebook ({error.msg}, line {error.lineno})", "open it in Jupyter and save it again"
        ) from None
    except RecursionError:
        raise LoadError("is nested too deeply", "open it in Jupyter and save it again") from None
    cells = _cells(book)
    if cells is None:
        return parse_json(path, data, options)
    parts: list[str] = []
    pictures = 0
    language = _language(book)
    for cell in cells:
        for part in _cell(cell, language):
            if part is None:
                pictures += 1
            else:
                plain, count = _PICTURE.subn("", part)
                pictures += count
                parts.append(plain.strip("\n"))
    whole = "\n\n".join(part for part in parts if part.strip())
    parsed = Parsed(whole, {"encoding": encoding}, notes=notes)
    parsed.headings, parsed.tables = outline(whole)
    if pictures:
        parsed.notes.append(f"read without its pictures ({pictures})")
    return parsed


def _cells(book: Any) -> list[Any] | None:
    """Return the cells of a notebook; None if it is other JSON."""
    if not isinstance(book, dict):
        return None
    if isinstance(book.get("cells"), list):
        return list(book["cells"])
    sheets = book.get("worksheets")  # nbformat 3
    if not isinstance(sheets, list):
        return None
    return [cell for sheet in sheets if isinstance(sheet, dict) for cell in sheet.get("cells") or ()]


def _language(book: Mapping[str, Any]) -> str:
    metadata = book.get("metadata")
    for key, name in (("language_info", "name"), ("kernelspec", "language")):
        about = metadata.get(key) if isinstance(metadata, dict) else None
        if isinstance(about, dict) and isinstance(about.get(name), str):
            return str(about[name]).split()[0] if about[name].strip() else ""
    return ""


def _cell(cell: Any, language: str) -> Iterator[str | None]:
    """Yield a cell's source and results; None for a picture."""
    if not isinstance(cell, dict):
        return
    kind = cell.get("cell_type")
    source = _text(cell.get("source", cell.get("input")))
    if kind == "code":
        yield _fenced(source, language)
        for output in cell.get("outputs") or ():
            if isinstance(output, dict):
                yield from _output(output)
    elif kind == "heading":  # nbformat 3
        level = cell.get("level")
        yield f"{'#' * (level if isinstance(level, int) and 0 < level < 7 else 1)} {source}"
    else:
        yield source
        yield from (None for _ in cell.get("attachments") or ())


def _output(output: Mapping[str, Any]) -> Iterator[str | None]:
    if output.get("output_type") in ("stream", "pyout") and "text" in output:
        yield _fenced(_text(output["text"]))
    elif "traceback" in output:
        yield _fenced(f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}")
    data = output.get("data")
    kinds = data if isinstance(data, dict) else {}
    if any(str(kind).startswith(("image/", "application/pdf")) for kind in kinds) or {"png", "jpeg"} & set(
        output
    ):
        yield None
    if "text/markdown" in kinds:
        yield _text(kinds["text/markdown"])
    elif "text/html" in kinds and "<table" in _text(kinds["text/html"]):
        yield read_html(_text(kinds["text/html"])).text
    elif "text/plain" in kinds:
        yield _fenced(_text(kinds["text/plain"]))
    elif "text/html" in kinds:
        yield read_html(_text(kinds["text/html"])).text


def _fenced(text: str, language: str = "") -> str:
    text = _COLOURS.sub("", text).strip("\n")
    if not text.strip():
        return ""
    fence = _FENCE
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _text(value: Any) -> str:
    """Return what a notebook holds as a string or as a list of its lines."""
    if isinstance(value, list):
        return "".join(str(line) for line in value)
    return value if isinstance(value, str) else ""
