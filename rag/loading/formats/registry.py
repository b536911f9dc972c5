"""Which parser reads which file. The only place to add a format."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from rag.core.imports import resolve
from rag.loading.structure import Options, Parsed

#: (path, bytes, options) -> Parsed, or the text alone.
Parser = Callable[[Path, bytes, Options], Parsed | str]


class Format(NamedTuple):
    """One family of files.

    Attributes
    ----------
    parser : str
        ``module:function``.
    mime : str
    plain : bool
        Whether it is plain text, which is read without a worker.
    note : str
        What the user should know of how a file came to be read in this format.
    """

    parser: str
    mime: str
    plain: bool = False
    note: str = ""


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
_MSG = Format(_HERE + "outlook:parse_msg", "application/vnd.ms-outlook")
_ODT = Format(_HERE + "opendocument:parse_opendocument", _ODF + "text")
_ODS, _ODP, _ODG = (_ODT._replace(mime=_ODF + kind) for kind in ("spreadsheet", "presentation", "graphics"))
_EPUB = Format(_HERE + "epub:parse_epub", "application/epub+zip")
_RTF = Format(_HERE + "rtf:parse_rtf", "application/rtf")
_PDF = Format(_HERE + "pdf:parse_pdf", "application/pdf")
_XML = Format(_HERE + "data:parse_xml", "application/xml")
_EML = Format(_HERE + "mail:parse_eml", "message/rfc822")
_CSV = Format(_HERE + "delimited:parse_delimited", "text/csv")
#: Everything else is read as text if it is text.
TEXT = Format(_HERE + "plain:parse_text", "text/plain", plain=True)

FORMATS: dict[str, Format] = {
    ".md": _MARKDOWN, ".markdown": _MARKDOWN, ".mdx": _MARKDOWN, ".qmd": _MARKDOWN,
    ".rst": _RST, ".rest": _RST,
    ".html": _HTML, ".htm": _HTML, ".xhtml": _HTML,
    ".pdf": _PDF,
    ".docx": _WORD, ".docm": _WORD, ".dotx": _WORD, ".dotm": _WORD,
    ".pptx": _SLIDES, ".pptm": _SLIDES, ".ppsx": _SLIDES, ".ppsm": _SLIDES,
    ".potx": _SLIDES, ".potm": _SLIDES,
    ".xlsx": _XLSX, ".xlsm": _XLSX, ".xltx": _XLSX, ".xltm": _XLSX, ".xlam": _XLSX,
    ".xlsb": _XLSX, ".xls": _XLS, ".xlt": _XLS,
    ".ods": _ODS, ".ots": _ODS, ".fods": _ODS, ".odp": _ODP, ".otp": _ODP, ".fodp": _ODP,
    ".odt": _ODT, ".ott": _ODT, ".fodt": _ODT, ".odm": _ODT, ".odg": _ODG, ".otg": _ODG, ".fodg": _ODG,
    ".csv": _CSV,
    ".tsv": Format(_HERE + "delimited:parse_delimited", "text/tab-separated-values"),
    ".tab": Format(_HERE + "delimited:parse_delimited", "text/tab-separated-values"),
    ".eml": _EML, ".msg": _MSG,
    ".epub": _EPUB, ".rtf": _RTF, ".xml": _XML,
    ".json": Format(_HERE + "data:parse_json", "application/json"),
    ".jsonl": _JSONL, ".ndjson": _JSONL,
    ".ipynb": Format(_HERE + "notebook:parse_notebook", "application/x-ipynb+json"),
}  # fmt: skip
#: Office formats of before 2007 that nothing here reads: the new parser says so and what to do.
FORMATS |= {".doc": _WORD, ".dot": _WORD, ".ppt": _SLIDES, ".pps": _SLIDES, ".pot": _SLIDES}

#: What stands at the beginning of an archive, as names of files or a declared type.
_INSIDE = (
    (b"word/", _WORD), (b"ppt/", _SLIDES), (b"xl/", _XLSX), (b"application/epub+zip", _EPUB),
    (b"opendocument.text", _ODT), (b"opendocument.spreadsheet", _ODS),
    (b"opendocument.presentation", _ODP), (b"opendocument.graphics", _ODG),
)  # fmt: skip
_OPENINGS = ((b"<!doctype html", _HTML), (b"<html", _HTML), (b"<?xml", _XML))
#: Pieces of pages that programs write as workbooks, and the head of a page saved as one file.
_PIECES = ((b"<table", _HTML), (b"<meta", _HTML), (b"<style", _HTML), (b"mime-version:", _EML))
#: What may stand before rich text.
RTF_PADDING = b"\xef\xbb\xbf\r\n\t \0"
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
#: Formats that are never text, and how a file of theirs begins.
_BINARY: dict[str, tuple[bytes, ...]] = {
    _PDF.parser: (b"%PDF-",), _MSG.parser: (_OLE,), _EPUB.parser: (_ZIP,), _ODT.parser: (_ZIP,),
    _WORD.parser: (_ZIP, _OLE), _SLIDES.parser: (_ZIP, _OLE), _XLSX.parser: (_ZIP, _OLE),
}  # fmt: skip
#: Formats of text that nothing else is read as, should it turn up in a file so named.
_STRICT = {_RTF.parser, _EML.parser, _CSV.parser, FORMATS[".json"].parser, _JSONL.parser}
_TYPES = mimetypes.MimeTypes()  # Python's own table: the machine's would give other types elsewhere


def parser_of(path: Path, head: bytes) -> Format:
    """Return the format of a file, by its suffix if its first bytes bear that out, or else by these.

    Parameters
    ----------
    path : Path
        Only its suffix matters.
    head : bytes
        The first few thousand bytes: names lie.
    """
    suffix = path.suffix.lower()
    named = FORMATS.get(suffix)
    found = _by_content(named, head)
    if found is None and named is None and not suffix:
        found = _opening(head, _OPENINGS)
    if found is not None and (named is None or found.parser != named.parser):
        said = f"its name ends in {suffix} and it is {_called(found)}: read as that" if named else ""
        return found._replace(note=said)
    if named is not None:
        return named
    kind = _TYPES.guess_type(f"file{path.suffix.lower()}")[0]
    return TEXT._replace(mime=kind) if kind and kind.startswith("text/") else TEXT


def _by_content(named: Format | None, head: bytes) -> Format | None:
    """Return what a file must be by its first bytes, against what its name says; None if they may agree."""
    parser = named.parser if named else ""
    begins = _BINARY.get(parser, ())
    if parser == _PDF.parser and (b"%PDF-" in head[:1024] or b" obj" in head):
        return None
    if head.startswith(begins) if begins else False:
        if not head.startswith(_ZIP):
            return None
        inside = {form.parser: form for name, form in _INSIDE if name in head}
        return next(iter(inside.values())) if inside and parser not in inside else None
    if head.startswith(b"%PDF-"):
        return _PDF
    if is_rich_text(head):
        return _RTF
    if head.startswith(_ZIP):
        return next((form for name, form in _INSIDE if name in head), None)
    if head.startswith(_OLE):
        return _MSG if parser == _EML.parser else None
    if begins:  # what is left is text, or damaged
        if not _is_text(head):
            return None
        fallback = _CSV if parser == _XLSX.parser else _EML if parser == _MSG.parser else TEXT
        return _opening(head, (*_OPENINGS, *_PIECES)) or fallback
    if parser == _XML.parser:  # a page of XML has its own way
        bare = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        if b"<" not in head and bare and _is_text(head) and b"\0" not in head:
            return FORMATS[".json"] if bare.startswith((b"{", b"[")) else TEXT
        return _opening(head, _OPENINGS[:1])
    if parser in _STRICT:
        found = _opening(head, _OPENINGS)
        return TEXT if found is None and parser == _RTF.parser and _is_text(head) else found
    return None


def is_rich_text(data: bytes) -> bool:
    """Tell whether a file is rich text: programs put a byte order mark, blanks or NULs before it."""
    return data[:4096].lstrip(RTF_PADDING).startswith(b"{\\rtf")


def _opening(head: bytes, openings: Iterable[tuple[bytes, Format]]) -> Format | None:
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            head = head.decode(encoding, "ignore").encode("utf-8", "ignore")
    opening = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:20].lower()
    return next((form for start, form in openings if opening.startswith(start)), None)


def _is_text(head: bytes) -> bool:
    """Tell whether bytes can be text: damaged archives and pictures are full of control characters."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    controls = len(head) - len(head.translate(None, bytes((*range(9), *range(14, 27), 127))))
    if controls * 100 > len(head) or not head.strip():
        return False
    try:
        head[:-4].decode("utf-8")
    except UnicodeDecodeError:
        high = sum(code > 127 for code in head)
        return high * 3 < len(head)
    return True


def _called(form: Format) -> str:
    names = {
        _PDF.parser: "a PDF", _RTF.parser: "rich text", _HTML.parser: "HTML", _XML.parser: "XML",
        _EML.parser: "a mail or a page in MIME", _CSV.parser: "delimited text", TEXT.parser: "plain text",
        FORMATS[".json"].parser: "JSON",
    }  # fmt: skip
    return names.get(form.parser, f"a file of type {form.mime}")


def parse(name: str, path: Path, data: bytes, options: Options) -> Parsed:
    """Parse a file's bytes with the parser of that name, ``module:function``."""
    parser: Parser = resolve(name, "the parser")
    parsed = parser(path, data, options)
    return Parsed(parsed) if isinstance(parsed, str) else parsed
