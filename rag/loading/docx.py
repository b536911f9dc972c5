"""Word documents (docx): paragraphs, headings, lists and tables in their order."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import docx
from docx.table import Table
from docx.text.paragraph import Paragraph

from rag.errors import LoadError
from rag.loading.structure import Parsed, Text

_LIMIT = 512 * 1024 * 1024
_HEADING = re.compile(r"Heading (\d)|Title$", re.IGNORECASE)


def parse_docx(path: Path, data: bytes) -> Parsed:
    """Read a Word document."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > _LIMIT:
            raise LoadError(f"unpacks to {size >> 20} MB", "leave it out: it may be a zip bomb")
        document = docx.Document(io.BytesIO(data))
        out = Text()
        for item in document.iter_inner_content():
            if isinstance(item, Table):
                out.table(_rows(item))
            else:
                _paragraph(item, out)
    except LoadError:
        raise
    except zipfile.BadZipFile:
        encrypted = data.startswith(b"\xd0\xcf\x11\xe0")
        raise (
            LoadError("needs a password, or is an old .doc", "save it as .docx without a password")
            if encrypted
            else LoadError("is not a Word document", "open it and save it again as .docx")
        ) from None
    except Exception as error:  # python-docx raises anything on a damaged file
        raise LoadError(
            f"is a damaged Word document ({type(error).__name__})", "open it and save it again"
        ) from None
    return Parsed(str(out), _metadata(document.core_properties), headings=out.headings)


def _paragraph(paragraph: Paragraph, out: Text) -> None:
    style = (paragraph.style.name or "") if paragraph.style is not None else ""
    text = paragraph.text
    heading = _HEADING.match(style)
    if heading:
        out.heading(min(int(heading[1] or 1), 6), text)
    elif style.startswith("List"):
        deep = "  " * (int(style[-1]) - 1) if style[-1:].isdigit() else ""
        mark = "1." if "Number" in style else "-"
        first = not str(out).rsplit("\n", 1)[-1].lstrip().startswith(("-", "1."))
        (out.block if first else out.line)(f"{deep}{mark} {' '.join(text.split())}" if text.strip() else "")
    elif "Code" in style or "Preformatted" in style:
        out.block(f"```\n{text}\n```" if text.strip() else "")
    else:
        out.block(text.strip())


def _rows(table: Table) -> list[list[str]]:
    rows = []
    for row in table.rows:
        cells: list[str] = []
        last = None
        for cell in row.cells:  # a merged cell is given once for each column that it spans
            cells.append("" if cell._tc is last else cell.text)
            last = cell._tc
        rows.append(cells)
    return rows


def _metadata(properties: Any) -> dict[str, Any]:
    names = ("title", "author", "subject", "keywords", "category")
    found = {name: str(getattr(properties, name) or "").strip() for name in names}
    return {name: value for name, value in found.items() if value and value != "python-docx"}
