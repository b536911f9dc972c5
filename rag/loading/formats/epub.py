"""Electronic books (epub): the chapters in the order of reading."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rag.core.errors import LoadError
from rag.loading.formats.archive import damaged, local_name, open_zip, read_member, read_xml
from rag.loading.formats.html import parse_html
from rag.loading.structure import Options, Parsed, Text

_KIND = "an electronic book (.epub)"
_NAMES = {"title": "title", "creator": "author", "language": "language", "publisher": "publisher"}


def parse_epub(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a book; a chapter that cannot be read is named in the notes."""
    archive = open_zip(data, _KIND)
    try:
        container = read_xml(read_member(archive, "META-INF/container.xml"))
        roots = [item.get("full-path") for item in container.iter() if local_name(item) == "rootfile"]
        package = read_xml(read_member(archive, roots[0]))
    except LoadError:
        raise
    except Exception as error:  # a member that is missing, cut off or encrypted
        raise damaged(_KIND, error) from None
    names = archive.namelist()
    if "META-INF/encryption.xml" in names and "META-INF/rights.xml" in names:
        raise LoadError("is protected against copying (DRM)", "leave it out, or get it without")
    items = {item.get("id"): item for item in package.iter() if local_name(item) == "item"}
    out = Text()
    for place in (item.get("idref") for item in package.iter() if local_name(item) == "itemref"):
        item = items.get(place)
        if item is None or "html" not in (item.get("media-type") or "") or _is_contents(item):
            continue
        name = posixpath.normpath(
            posixpath.join(posixpath.dirname(roots[0]), unquote(item.get("href") or ""))
        )
        try:
            chapter = parse_html(Path(name), read_member(archive, name), Options())
        except Exception as error:
            out.parsed.notes.append(f"the chapter {name!r} was not read ({type(error).__name__})")
            continue
        out.include(chapter)
    metadata: dict[str, Any] = {}
    for element in package.iter():
        key = _NAMES.get(local_name(element))
        if key and key not in metadata and (element.text or "").strip():
            metadata[key] = " ".join(element.text.split())
    return out.done(metadata)


def _is_contents(item: Any) -> bool:
    return "nav" in (item.get("properties") or "").split()
