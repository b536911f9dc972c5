"""PDF: the text of each page by PDFium, titles and outline by PDFium, a second opinion by pypdf."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium

from rag.errors import LoadError
from rag.loading.structure import Parsed

_PASSWORD = ("needs a password", "give it by passwords={'glob': 'password'}, or decrypt the file")


def parse_pdf(path: Path, data: bytes, password: str | None = None) -> Parsed:
    """Read a PDF; pages are separated by a blank line.

    Raises
    ------
    LoadError
        It is damaged beyond both readers, needs a password, or holds no text (a scan).
    """
    try:
        pages, metadata, outline = _by_pdfium(data, password)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            raise LoadError(*_PASSWORD) from None
        pages, metadata, outline = _by_pypdf(data, password, str(error))
    text = ""
    starts = []
    for page in pages:
        starts.append(len(text))
        text += page + "\n\n"
    if not text.strip():
        raise LoadError("holds no text (a scan, or pictures only)", "run OCR over it first")
    parsed = Parsed(text.rstrip("\n") + "\n", metadata, pages=starts)
    parsed.headings = _headings(parsed.text, starts, outline)
    return parsed


_Outline = list[tuple[int, int, str]]  # (page, level from 1, title)


def _by_pdfium(data: bytes, password: str | None) -> tuple[list[str], dict[str, Any], _Outline]:
    document = pdfium.PdfDocument(data, password=password)
    try:
        pages = []
        for page in document:
            textpage = page.get_textpage()
            pages.append(_clean(textpage.get_text_bounded()))
            textpage.close()
            page.close()
        outline: _Outline = []
        for item in document.get_toc(max_depth=6):
            target = item.get_dest()
            index = target.get_index() if target else None
            title = " ".join((item.get_title() or "").split())
            if index is not None and title:
                outline.append((index, item.level + 1, title))
        return pages, _metadata(document.get_metadata_dict(skip_empty=True)), outline
    finally:
        document.close()


def _by_pypdf(data: bytes, password: str | None, why: str) -> tuple[list[str], dict[str, Any], _Outline]:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), password=password)
        if reader.is_encrypted and not reader.decrypt(password or ""):
            raise LoadError(*_PASSWORD)
        pages = [_clean(page.extract_text()) for page in reader.pages]
    except LoadError:
        raise
    except Exception as error:  # pypdf raises anything on a damaged file
        raise LoadError(
            f"is not a readable PDF (PDFium: {why}; pypdf: {type(error).__name__})",
            "open it in a viewer and save it again, or leave it out",
        ) from None
    return pages, {}, []


def _clean(text: str) -> str:
    # PDFium writes a hyphen at a line's end as U+FFFE or U+0002, and lines end in CR LF.
    text = re.sub(r"[\ufffe\x02]", "-", text.replace("\r\n", "\n").replace("\r", "\n"))
    return text.replace("\0", "").strip()


def _metadata(raw: dict[str, str]) -> dict[str, Any]:
    names = {"Title": "title", "Author": "author", "Subject": "subject", "Keywords": "keywords"}
    return {names[key]: value.strip() for key, value in raw.items() if key in names and value.strip()}


def _headings(text: str, starts: list[int], outline: _Outline) -> _Outline:
    """Place the outline's titles: where they stand as a line of their page, else left out."""
    found: _Outline = []
    for page, level, title in outline:
        if page >= len(starts):
            continue
        end = starts[page + 1] if page + 1 < len(starts) else len(text)
        words = r"\s+".join(re.escape(word) for word in title.split())
        match = re.compile(rf"^[ \t]*{words}[ \t]*$", re.MULTILINE).search(text, starts[page], end)
        if match:
            found.append((match.start(), level, title))
    return sorted(found)
