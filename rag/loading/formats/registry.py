"""Which parser reads which file. The only place to add a format."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rag.core.imports import resolve
from rag.loading.structure import Options, Parsed

#: (path, bytes, options) -> Parsed, or the text alone.
Parser = Callable[[Path, bytes, Options], Parsed | str]


class Format(NamedTuple):
    """One family of files: its parser (``module:function``), its type, whether it is plain text."""

    parser: str
    mime: str
    plain: bool = False


_HERE = "rag.loading.formats."
_OPEN_XML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."
_HTML = Format(_HERE + "html:parse_html", "text/html")
_MARKDOWN = Format(_HERE + "plain:parse_markdown", "text/markdown", plain=True)
_RST = Format(_HERE + "rst:parse_rst", "text/x-rst", plain=True)
_JSONL = Format(_HERE + "data:parse_jsonl", "application/jsonl")
_WORD = Format(_HERE + "word:parse_word", _OPEN_XML + "wordprocessingml.document")
_SLIDES = Format(_HERE + "slides:parse_slides", _OPEN_XML + "presentationml.presentation")
_XLSX = Format(_HERE + "sheets:parse_sheets", _OPEN_XML + "spreadsheetml.sheet")
_XLS = Format(_HERE + "sheets:parse_sheets", "application/vnd.ms-excel")
_MSG = Format(_HERE + "mail:parse_msg", "application/vnd.ms-outlook")
_ODT = Format(_HERE + "opendocument:parse_opendocument", _ODF + "text")
_ODS, _ODP, _ODG = (_ODT._replace(mime=_ODF + kind) for kind in ("spreadsheet", "presentation", "graphics"))
_EPUB = Format(_HERE + "epub:parse_epub", "application/epub+zip")
_RTF = Format(_HERE + "rtf:parse_rtf", "application/rtf")
_PDF = Format(_HERE + "pdf:parse_pdf", "application/pdf")
_XML = Format(_HERE + "data:parse_xml", "application/xml")
#: Everything else is read as text if it is text.
_TEXT = Format(_HERE + "plain:parse_text", "text/plain", plain=True)

FORMATS: dict[str, Format] = {
    ".md": _MARKDOWN, ".markdown": _MARKDOWN, ".mdx": _MARKDOWN, ".qmd": _MARKDOWN,
    ".rst": _RST, ".rest": _RST,
    ".html": _HTML, ".htm": _HTML, ".xhtml": _HTML,
    ".pdf": _PDF,
    ".docx": _WORD, ".docm": _WORD, ".dotx": _WORD, ".dotm": _WORD,
    ".pptx": _SLIDES, ".pptm": _SLIDES, ".ppsx": _SLIDES, ".ppsm": _SLIDES,
    ".potx": _SLIDES, ".potm": _SLIDES,
    ".xlsx": _XLSX, ".xlsm": _XLSX, ".xltx": _XLSX, ".xltm": _XLSX, ".xlam": _XLSX,
    ".xlsb": _XLSX, ".xls": _XLS,
    ".ods": _ODS, ".ots": _ODS, ".fods": _ODS, ".odp": _ODP, ".otp": _ODP, ".fodp": _ODP,
    ".odt": _ODT, ".ott": _ODT, ".fodt": _ODT, ".odm": _ODT, ".odg": _ODG, ".otg": _ODG, ".fodg": _ODG,
    ".csv": Format(_HERE + "sheets:parse_delimited", "text/csv"),
    ".tsv": Format(_HERE + "sheets:parse_delimited", "text/tab-separated-values"),
    ".tab": Format(_HERE + "sheets:parse_delimited", "text/tab-separated-values"),
    ".eml": Format(_HERE + "mail:parse_eml", "message/rfc822"), ".msg": _MSG,
    ".epub": _EPUB, ".rtf": _RTF, ".xml": _XML,
    ".json": Format(_HERE + "data:parse_json", "application/json"),
    ".jsonl": _JSONL, ".ndjson": _JSONL,
}  # fmt: skip
#: Office formats of before 2007 that nothing here reads: the new parser says so and what to do.
FORMATS |= {".doc": _WORD, ".dot": _WORD, ".ppt": _SLIDES, ".pps": _SLIDES, ".pot": _SLIDES, ".xlt": _XLS}

#: What the bytes of a file without a known suffix begin with; for archives, a name that is in them.
_MAGIC = ((b"%PDF-", _PDF), (b"{\\rtf", _RTF))
_INSIDE = (
    (b"word/", _WORD), (b"ppt/", _SLIDES), (b"xl/", _XLSX), (b"application/epub+zip", _EPUB),
    (b"opendocument.text", _ODT), (b"opendocument.spreadsheet", _ODS),
    (b"opendocument.presentation", _ODP), (b"opendocument.graphics", _ODG),
)  # fmt: skip
_OPENINGS = ((b"<!doctype html", _HTML), (b"<html", _HTML), (b"<?xml", _XML))
_TYPES = mimetypes.MimeTypes()  # Python's own table: the machine's would give other types elsewhere


def parser_of(path: Path, head: bytes) -> Format:
    """Return the format of a file, by its suffix, or else by its first bytes.

    Parameters
    ----------
    path : Path
        Only its suffix matters.
    head : bytes
        The first few thousand bytes; looked at where the suffix is not known.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is not None:
        return found
    for magic, form in _MAGIC:
        if head.startswith(magic):
            return form
    if head.startswith(b"PK\x03\x04"):
        return next((form for name, form in _INSIDE if name in head), _TEXT)
    if not path.suffix:
        opening = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:20].lower()
        for start, form in _OPENINGS:
            if opening.startswith(start):
                return form
    kind = _TYPES.guess_type(f"file{path.suffix.lower()}")[0]
    return _TEXT._replace(mime=kind) if kind and kind.startswith("text/") else _TEXT


def parse(name: str, path: Path, data: bytes, options: Options) -> Parsed:
    """Parse a file's bytes with the parser of that name, ``module:function``."""
    parser: Parser = resolve(name, "the parser")
    parsed = parser(path, data, options)
    return Parsed(parsed) if isinstance(parsed, str) else parsed
