"""Parsers that hand the file to `unstructured`, offline, and put its elements in our terms.

The text is the elements' texts, a blank line between two, each as `unstructured` gives it; tables are
Markdown tables, as those of the other parsers. Every function here is a parser (``module:function``) and
runs in a worker.
"""

from __future__ import annotations

import email
import email.policy
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

from rag.core.errors import LoadError, RagError
from rag.core.extras import require
from rag.loading.formats import html, plain
from rag.loading.formats.archive import OLE, damaged, open_zip, unlocked
from rag.loading.formats.encoding import decode
from rag.loading.structure import Options, Parsed, Text

_WORD, _SLIDES, _SHEETS = "a Word document (.docx)", "a PowerPoint presentation (.pptx)", "a workbook (.xlsx)"
_USE_OURS = 'let rag read it: engine = {"*%s" = "rag", "*" = "unstructured"} under [loader] in rag.toml'
#: Categories that a chunker leaves out, as it does our own parsers' headers and footers.
_MARGINS = {"Header", "Footer", "PageNumber"}
#: What keeps `unstructured` and the libraries below it from asking a server, or printing advertising.
_OFFLINE = {
    "DO_NOT_TRACK": "true", "SCARF_NO_ANALYTICS": "true", "UNSTRUCTURED_DISABLE_NOTICE": "1",
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1",
}  # fmt: skip
#: Audit events of Python's sockets that precede the first packet.
_NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}


class _Metadata(Protocol):
    """What is read of an element's metadata; None for what does not apply."""

    page_number: int | None
    category_depth: int | None
    text_as_html: str | None
    subject: str | None
    sent_from: list[str] | None
    sent_to: list[str] | None


class Element(Protocol):
    """What is read of an element of `unstructured`."""

    text: str
    category: str
    metadata: _Metadata


def parse_text(path: Path, data: bytes, options: Options) -> Parsed:
    """Read plain text."""
    text, encoding, notes = decode(data)
    parsed = _parse_decoded("text", text, {"encoding": encoding})
    parsed.notes += notes
    return parsed


def parse_markdown(path: Path, data: bytes, options: Options) -> Parsed:
    """Read Markdown; its front matter is metadata, as our own parser reads it."""
    ours = plain.parse_markdown(path, data, options)
    parsed = _parse_decoded("md", ours.text[ours.body :], ours.metadata)
    parsed.notes += ours.notes
    return parsed


def parse_html(path: Path, data: bytes, options: Options) -> Parsed:
    """Read an HTML page; its encoding and metadata are what our own parser finds."""
    metadata = html.parse_html(path, data, options).metadata
    return _parse_decoded("html", data.decode(metadata["encoding"], "replace"), metadata)


def parse_xml(path: Path, data: bytes, options: Options) -> Parsed:
    """Read XML."""
    return _elements(_partition("xml", BytesIO(data)))


def parse_csv(path: Path, data: bytes, options: Options) -> Parsed:
    """Read comma-separated text."""
    return _parse_rows("csv", data)


def parse_tsv(path: Path, data: bytes, options: Options) -> Parsed:
    """Read tab-separated text."""
    return _parse_rows("tsv", data)


def parse_eml(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a mail in the Internet's form; its attachments are named and not read."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    names = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    return _parse_mail("email", data, names)


def parse_msg(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a mail as Outlook saves it; its attachments are named and not read."""
    if not data.startswith(OLE):
        raise LoadError("is not an Outlook mail (.msg)", "save it again from Outlook, or leave it out")
    oxmsg = require("oxmsg", extra="unstructured")
    try:
        names = [one.file_name or "attachment" for one in oxmsg.Message.load(BytesIO(data)).attachments]
        return _parse_mail("msg", data, names)
    except RagError:
        raise
    except Exception as error:  # python-oxmsg raises anything on a damaged file
        raise damaged("an Outlook mail (.msg)", error) from None


def parse_word(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a Word document."""
    return _parse_office("docx", data, options, _WORD, "an old Word document (.doc)")


def parse_slides(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a presentation: each slide a page."""
    return _parse_office("pptx", data, options, _SLIDES, "an old PowerPoint presentation (.ppt)")


def parse_sheets(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a workbook: each sheet a page."""
    return _parse_office("xlsx", data, options, _SHEETS, None)


def parse_pdf(path: Path, data: bytes, options: Options) -> Parsed:
    """Refuse a PDF: `unstructured` imports torch and the models' code for the simplest of them."""
    raise LoadError(
        "is a PDF, which unstructured reads only with torch and models that it downloads", _USE_OURS % ".pdf"
    )


def refuse(path: Path, data: bytes, options: Options) -> Parsed:
    """Refuse a format that needs a program (pandoc, LibreOffice), or that `unstructured` does not know."""
    raise LoadError("is of a format that unstructured does not read offline", _USE_OURS % (path.suffix or ""))


def _parse_mail(kind: str, data: bytes, attachments: list[str]) -> Parsed:
    # Attachments would go to whatever partitioner they ask for, those with models among them.
    found = _partition(kind, BytesIO(data), process_attachments=False)
    parsed = _elements(found, guessed=True, metadata={"attachments": attachments} if attachments else None)
    if attachments:
        parsed.notes.append(f"the engine unstructured reads no attachments: {', '.join(attachments)}")
    return parsed


def _parse_decoded(kind: str, text: str, metadata: dict[str, Any]) -> Parsed:
    text = text.removeprefix("\ufeff")
    if not text.strip():
        return Parsed("")
    return _elements(_partition(kind, text=text), guessed=kind == "text", metadata=metadata)


def _parse_rows(kind: str, data: bytes) -> Parsed:
    text, encoding, notes = decode(data)
    source = BytesIO(text.removeprefix("\ufeff").encode())
    parsed = _elements(_partition(kind, source), metadata={"encoding": encoding})
    parsed.notes += notes
    return parsed


def _parse_office(kind: str, data: bytes, options: Options, name: str, old: str | None) -> Parsed:
    data = unlocked(data, options, name, old)
    if not data.startswith(OLE):
        open_zip(data, name)
    try:
        found = _partition(kind, BytesIO(data))
    except (RagError, MemoryError):
        raise
    except Exception as error:  # python-docx, python-pptx and openpyxl raise anything on a damaged file
        raise damaged(name, error) from None
    return _elements(found, deepest=0 if kind == "pptx" else None)


def _partition(kind: str, file: BytesIO | None = None, **given: Any) -> list[Element]:
    """Run one of unstructured's partitioners, without a network."""
    with _sealed():
        _prepare()
        module = require(f"unstructured.partition.{kind}", extra="unstructured")
        given |= {"languages": [""]}  # detects none: that is slow, and random
        found: list[Element] = getattr(module, f"partition_{kind}")(file=file, **given)
        return found


def _elements(
    elements: Iterable[Element],
    *,
    guessed: bool = False,
    deepest: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Parsed:
    """Write elements as a text with its structure.

    Parameters
    ----------
    guessed : bool
        The format has no headings of its own, so that a Title is a guess from its words, which needs the
        tagger that is not downloaded: it is a paragraph.
    deepest : int, optional
        Titles below this depth are guesses, too.
    """
    out = Text()
    fields = dict(metadata or {})
    for element in elements:
        about = element.metadata
        while about.page_number is not None and len(out.parsed.pages) < about.page_number:
            out.page()
        depth = about.category_depth
        if element.category == "Table" and about.text_as_html:
            out.include(html.read_html(about.text_as_html))
        elif element.category in _MARGINS:
            out.margin(element.text)
        else:
            out.block(element.text)
            real = not guessed and depth is not None and (deepest is None or depth <= deepest)
            if element.category == "Title" and real and element.text.strip():
                start, level = out.length - len(element.text), min((depth or 0) + 1, 6)
                out.parsed.headings.append((start, level, " ".join(element.text.split())))
        sender = ", ".join(about.sent_from or ())
        for name, value in (("title", about.subject), ("sender", sender), ("recipients", about.sent_to)):
            if value:
                fields.setdefault(name, value)
    return out.done(fields)


@lru_cache(maxsize=1)
def _prepare() -> None:
    """Import `unstructured` such that it asks no server, and give it a pipeline instead of a download.

    It wants the spaCy model en_core_web_sm for parts of speech, and downloads it where it is absent. A blank
    pipeline splits sentences and tags nothing; always that one, so that a file yields the same everywhere.
    """
    os.environ.update(_OFFLINE)
    # It names a file in the folder for temporary ones when imported, and Python would look for a folder
    # that can be written to, which a worker has not.
    tempfile.tempdir = os.environ.get("TMPDIR", "/tmp")
    spacy = require("spacy", extra="unstructured")
    tokenize = require("unstructured.nlp.tokenize", extra="unstructured")

    def blank() -> Any:
        model = spacy.blank("en")
        model.add_pipe("sentencizer")
        return model

    tokenize._load_spacy_model = blank


_within_seal = False


@contextmanager
def _sealed() -> Iterator[None]:
    """Refuse the network to this process meanwhile, whatever a library tries."""
    global _within_seal
    _hook()
    before, _within_seal = _within_seal, True
    try:
        yield
    finally:
        _within_seal = before


@lru_cache(maxsize=1)
def _hook() -> None:
    sys.addaudithook(_audit)  # for good: an audit hook cannot be taken away


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _within_seal and event in _NETWORK:
        raise LoadError("was not read: unstructured wants the network for it", _USE_OURS % "")
