"""PDF: each page's text and the outline by PDFium, and a second opinion by pypdf where it fails."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from rag.core.errors import LoadError
from rag.core.extras import require
from rag.loading.formats.archive import PASSWORD
from rag.loading.formats.margins import find_margins
from rag.loading.formats.pdf_direction import in_reading_order
from rag.loading.formats.pdf_fonts import add_last_resort, drawing
from rag.loading.formats.pdf_forms import with_annotations, xfa_values
from rag.loading.formats.pdf_pictures import FEW_LETTERS, holds_picture, is_stamped_scan
from rag.loading.formats.pdf_spacing import without_false_blanks
from rag.loading.structure import Options, Parsed, joined

#: Seconds for pypdf, which can take minutes for what PDFium could not read either.
_SECOND_OPINION_S = 10.0
#: Most pixels of a page drawn for OCR: an A4 page at 300 dots an inch has 9 million.
_MOST_PIXELS = 20_000_000
_DOTS_PER_INCH = 300
_NO_PAGES = "no pages"
#: The errors of FPDF_GetLastError (public/fpdfview.h).
_FAULTS = {
    raw.FPDF_ERR_FILE: "file access error", raw.FPDF_ERR_FORMAT: "data format error",
    raw.FPDF_ERR_PASSWORD: "password error", raw.FPDF_ERR_SECURITY: "unsupported encryption",
    raw.FPDF_ERR_PAGE: "page not found or content error",
}  # fmt: skip

_Outline = list[tuple[int, int, str]]  # (page, level from 1, title)


@dataclass
class _Read:
    """What a reader made of a file; None for a page that it could not read."""

    pages: list[str | None]
    metadata: dict[str, Any] = field(default_factory=dict)
    outline: _Outline = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)  # pages that hold pictures and no text
    stamped: list[int] = field(default_factory=list)  # pages that are a picture with a little text
    attached: list[str] = field(default_factory=list)  # names of files that are attached


def parse_pdf(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a PDF; pages are separated by a blank line.

    Raises
    ------
    LoadError
        It is damaged beyond both readers, or needs a password.
    """
    try:
        read = _by_pdfium(data, options.password)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            given = options.password is not None
            reason = "needs another password than the one given" if given else PASSWORD[0]
            raise LoadError(reason, PASSWORD[1]) from None
        said = re.search(r"\(PDFium: (.*?)\)", str(error))
        read = _by_pypdf(data, options.password, said[1] if said else str(error))
    else:
        if None in read.pages or not any(read.pages):
            with contextlib.suppress(LoadError):
                other = _by_pypdf(data, options.password, "")
                more = dict(enumerate(other.pages))  # it may find fewer pages, or more
                read.pages = [mine or more.get(at, mine) for at, mine in enumerate(read.pages)]
    if not read.pages:
        raise LoadError("holds no pages", "leave it out, or save it again from its source")
    notes: list[str] = []
    lost = [number for number, page in enumerate(read.pages, 1) if page is None]
    if lost:
        notes.append(f"{_pages(lost)} could not be read (damaged)")
    pages = [_with_ocr(page or "", options.page_texts.get(at, "")) for at, page in enumerate(read.pages)]
    read.pictures = [number for number in read.pictures if not pages[number].strip()]
    read.stamped = [number for number in read.stamped if number not in options.page_texts]
    if not any(pages) and lost and not read.pictures:
        raise LoadError(
            "holds no page that can be read (damaged)",
            "open it in a viewer and save it again, or leave it out",
        )
    return _composed(pages, read, notes)


def draw_page(data: bytes, number: int, password: str | None) -> bytes:
    """Draw a page (from 0) in grey, as PNG, for OCR."""
    require("PIL", extra="ocr")
    with drawing():
        document = _opened(data, password)
        try:
            page = document[number]
            width, height = page.get_size()
            scale = min(_DOTS_PER_INCH / 72, (_MOST_PIXELS / max(width * height, 1)) ** 0.5)
            out = io.BytesIO()
            page.render(scale=scale, grayscale=True).to_pil().save(out, "PNG")
            return out.getvalue()
        finally:
            document.close()


def _with_ocr(page: str, seen: str) -> str:
    """Return what OCR saw on a page, below those lines of the page's own that it did not see."""
    if not seen.strip():
        return page
    there = "".join(seen.split()).casefold()
    own = [line for line in page.split("\n") if "".join(line.split()).casefold() not in there]
    return "\n".join([*own, seen]).strip()


def _composed(pages: list[str], read: _Read, notes: list[str]) -> Parsed:
    starts, at = [], 0
    for page in pages:
        starts.append(at)
        at += len(page) + 2
    text = "\n\n".join(pages).rstrip("\n")
    scanned = sorted(read.pictures + read.stamped)
    parsed = Parsed(text + "\n" if text else "", read.metadata, pages=starts, scanned=scanned, notes=notes)
    for which, what in ((read.pictures, "no text"), (read.stamped, "little text beside them")):
        if text and which:
            notes.append(
                f"{_pages([n + 1 for n in which])} hold pictures and {what}: not read "
                "(build with --ocr tesseract to read them)"
            )
    if read.attached:
        names = ", ".join(map(repr, read.attached[:5])) + (", …" if len(read.attached) > 5 else "")
        notes.append(f"holds attached files, which were not read ({names}): save them beside it")
    parsed.margins = find_margins(pages, starts)
    parsed.headings = _headings(parsed.text, starts, read.outline)
    return parsed


def _by_pdfium(data: bytes, password: str | None) -> _Read:
    add_last_resort()
    document = _opened(data, password)
    try:
        read = _Read([], _metadata(document.get_metadata_dict(skip_empty=True)))
        with contextlib.suppress(pdfium.PdfiumError):
            document.init_forms()
        for number in range(len(document)):
            try:
                read.pages.append(_page(document, number, read))
            except pdfium.PdfiumError:
                read.pages.append(None)
        values = [f"{name}: {value}" for name, value in xfa_values(document)]
        if values:
            read.pages[-1] = "\n".join(filter(None, [read.pages[-1], *values]))
        read.attached += _attached(document)
        for item in document.get_toc(max_depth=6):
            target = item.get_dest()
            index = target.get_index() if target else None
            title = " ".join((item.get_title() or "").split())
            if index is not None and title:
                read.outline.append((index, item.level + 1, title))
        labels = [document.get_page_label(number) for number in range(len(document))]
        plain = [str(number) for number in range(1, len(labels) + 1)]
        if any(labels) and labels != plain:
            read.metadata["page_labels"] = [
                label or number for label, number in zip(labels, plain, strict=True)
            ]
        return read
    finally:
        document.close()


def _opened(data: bytes, password: str | None) -> Any:
    """Open a document; the error is that of this file, which PDFium keeps from one file to the next."""
    secret = None if password is None else password.encode() + b"\0"
    handle = raw.FPDF_LoadMemDocument64(data, len(data), secret)
    if not handle:
        code = raw.FPDF_GetLastError()
        said = _FAULTS.get(code, f"error {code}")
        raise pdfium.PdfiumError(f"Failed to load document (PDFium: {said}).", err_code=code)
    document = pdfium.PdfDocument(handle)
    if len(document) < 1:
        document.close()
        raise pdfium.PdfiumError(f"Failed to load document (PDFium: {_NO_PAGES}).")
    return document


def _page(document: Any, number: int, read: _Read) -> str:
    """Return a page's text, and note whether it is more of a picture."""
    page = document[number]
    try:
        textpage = page.get_textpage()
        try:
            text = textpage.get_text_range()
            units = _units(text)  # what PDFium's offsets count
            units = without_false_blanks(units, textpage)
            units = in_reading_order(units, textpage)
            units = with_annotations(units, textpage, page, document, number, read.attached)
            text = joined(units)
        finally:
            textpage.close()
        text = _clean(text)
        if not text:
            if holds_picture(page):
                read.pictures.append(number)
        elif len(text) < FEW_LETTERS and is_stamped_scan(page):
            read.stamped.append(number)
        return text
    finally:
        page.close()


def _units(text: str) -> str:
    """Return a text with two surrogates for each character beyond the first plane."""
    if not text or max(text) < "\U00010000":
        return text
    data = text.encode("utf-16-le", "surrogatepass")
    return "".join(map(chr, memoryview(data).cast("H")))


def _attached(document: Any) -> list[str]:
    names = []
    for index in range(document.count_attachments()):
        with contextlib.suppress(pdfium.PdfiumError):
            names.append(document.get_attachment(index).get_name())
    return names


def _by_pypdf(data: bytes, password: str | None, why: str) -> _Read:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        with _within(_SECOND_OPINION_S):
            reader = pypdf.PdfReader(io.BytesIO(data), password=password)
            if reader.is_encrypted and not reader.decrypt(password or ""):
                raise LoadError(*PASSWORD)
            return _Read([_clean(page.extract_text()) for page in reader.pages])
    except LoadError:
        raise
    except Exception as error:  # pypdf raises anything on a damaged file
        raise LoadError(
            f"is not a readable PDF (PDFium: {why}; pypdf: {type(error).__name__})",
            "open it in a viewer and save it again, or leave it out",
        ) from None


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in Python code that takes longer; only where signals reach."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _clean(text: str) -> str:
    # PDFium writes a hyphen at a line's end as U+FFFE or U+0002, and lines end in CR LF.
    text = re.sub(r"[\ufffe\x02]", "-", text.replace("\r\n", "\n").replace("\r", "\n"))
    return text.replace("\0", "").strip()


def _metadata(raw: dict[str, str]) -> dict[str, Any]:
    names = {"Title": "title", "Author": "author", "Subject": "subject", "Keywords": "keywords"}
    return {names[key]: value.strip() for key, value in raw.items() if key in names and value.strip()}


def _pages(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
    return f"page{'s' if len(numbers) > 1 else ''} {shown}"


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
