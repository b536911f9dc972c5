"""HTML: the main text with its headings, lists and tables; metadata from the head."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lxml.html
from lxml import etree

from rag.core.errors import LoadError
from rag.loading.formats.plain import decode, decode_as
from rag.loading.structure import Options, Parsed, Text

#: Writes a paragraph; nothing for an empty one.
Emit = Callable[[str], None]

_SKIP = {
    "script", "style", "noscript", "template", "svg", "iframe", "object", "nav", "button",
    "select", "textarea", "canvas", "head",
}  # fmt: skip
_BLOCKS = {
    "p", "div", "section", "article", "main", "dl", "dt", "dd", "blockquote", "figure",
    "figcaption", "address", "form", "fieldset", "legend", "label", "details", "summary", "header",
    "footer", "aside", "body", "html", "center", "hgroup", "li", "menu", "dir", "search",
}  # fmt: skip
_OWN = {"h1", "h2", "h3", "h4", "h5", "h6", "pre", "table", "ul", "ol", "hr"}
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([a-zA-Z0-9_:.-]+)")
#: Elements inside one another that are walked; what is deeper is read as one text.
_DEEPEST = 500


def parse_html(path: Path, data: bytes, options: Options) -> Parsed:
    """Read an HTML page. Text in navigation, scripts and forms' controls is left out."""
    text, encoding = _decode(data)
    parsed = read_html(text)
    parsed.metadata = {"encoding": encoding, **parsed.metadata}
    return parsed


def read_html(text: str) -> Parsed:
    """Read an HTML page that is text already.

    Raises
    ------
    LoadError
        It is not HTML.
    """
    parser = lxml.html.HTMLParser(huge_tree=True, encoding="utf-8")
    # As bytes: a declared encoding in an already decoded text makes lxml refuse it.
    data = re.sub(r"<\?xml[^>]*\?>", "", text, count=1).encode("utf-8", "replace")
    try:
        root = lxml.html.document_fromstring(data, parser=parser)
    except (etree.ParserError, ValueError) as error:
        raise LoadError(f"is not HTML ({error})", "leave it out, or rename it") from None
    out = Text()
    body = root.find("body")
    mains = root.xpath("//main | //*[@role='main']")
    _walk(mains[0] if len(mains) == 1 else (root if body is None else body), out, out.block)
    if any("depth" in entry.message.lower() for entry in parser.error_log):
        out.parsed.notes.append("its elements are nested too deeply: not read to the end")
    return out.done(_metadata(root))


def _decode(data: bytes) -> tuple[str, str]:
    declared = _CHARSET.search(data[:4096])
    if declared and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        found = decode_as(data, declared[1].decode("ascii"))
        if found is not None:
            return found[0].removeprefix("\ufeff"), found[1]
    text, encoding = decode(data)
    return text.removeprefix("\ufeff"), encoding


def _metadata(root: Any) -> dict[str, Any]:
    out: dict[str, Any] = {}
    title = root.findtext(".//title")
    if title and title.strip():
        out["title"] = " ".join(title.split())
    language = root.get("lang")
    if language:
        out["language"] = language
    for meta in root.iterfind(".//meta"):
        name, content = (meta.get("name") or "").strip(), (meta.get("content") or "").strip()
        if content and name.lower() in ("author", "description", "keywords", "date"):
            out[name.lower()] = content
    return out


def _walk(element: Any, out: Text, emit: Emit, level: int = 0, depth: int = 0) -> None:
    """Write what an element holds; `emit` writes a paragraph, lists begin at `level`."""
    if depth > _DEEPEST:
        emit(_inline(element))
        return
    line: list[str] = []

    def flush() -> None:
        text = " ".join("".join(line).split())
        line.clear()
        emit(text)

    if element.text:
        line.append(element.text)
    for child in element:
        tag = child.tag if isinstance(child.tag, str) else ""
        if tag == "br":
            line.append("\n")
        elif tag in _SKIP or not tag or _hidden(child):
            pass
        elif tag in _OWN or tag in _BLOCKS:
            flush()
            _block(child, tag, out, emit, level, depth)
        elif _has_blocks(child):
            flush()
            _walk(child, out, emit, level, depth + 1)
        else:
            line.append(_inline(child, fold=False))
        if child.tail:
            line.append(child.tail)
    flush()


def _block(element: Any, tag: str, out: Text, emit: Emit, level: int, depth: int) -> None:
    if re.fullmatch(r"h[1-6]", tag):
        out.heading(int(tag[1]), _inline(element))
    elif tag == "pre":
        code = _inline(element, fold=False).strip("\n")
        out.block(f"```\n{code}\n```" if code.strip() else "")
    elif tag == "table":
        _table(element, out, depth)
    elif tag in ("ul", "ol"):
        _list(element, out, level, depth)
    elif tag != "hr":
        _walk(element, out, emit, level, depth + 1)


def _list(element: Any, out: Text, level: int, depth: int) -> None:
    """Write a list's items, and what stands in it beside them."""
    start = element.get("start") or "1"
    number = int(start) if start.isdecimal() and len(start) < 9 else 1
    first = level == 0
    for child in element:
        tag = child.tag if isinstance(child.tag, str) else ""
        if not tag or tag in _SKIP or _hidden(child):
            continue
        if tag in ("ul", "ol"):
            _list(child, out, level + 1, depth + 1)
        elif tag == "li":
            own = child.get("value") or ""
            number = int(own) if own.isdecimal() and len(own) < 9 else number
            mark = f"{number}." if element.tag == "ol" else "-"
            _walk(child, out, _Item(out, mark, level, first), level + 1, depth + 1)
            number += 1
            first = False
        else:
            _walk(child, out, out.block, level, depth + 1)
        if child.tail and child.tail.strip():
            out.line(" ".join(child.tail.split()))


class _Item:
    """Writes the first paragraph of a list's item behind its mark, the others below it."""

    def __init__(self, out: Text, mark: str, level: int, first: bool) -> None:
        self._out, self._mark, self._level, self._first = out, mark, level, first
        self._begun = False

    def __call__(self, text: str) -> None:
        if not text.strip():
            return
        if self._begun:
            self._out.line("  " * (self._level + 1) + text)
        else:
            self._out.item(text, mark=self._mark, level=self._level, first=self._first)
            self._begun = True


def _hidden(element: Any) -> bool:
    style = "".join((element.get("style") or "").lower().split())
    return element.get("hidden") is not None or "display:none" in style


def _has_blocks(element: Any) -> bool:
    return any(inner.tag in _OWN or inner.tag in _BLOCKS for inner in element.iterdescendants())


def _table(element: Any, out: Text, depth: int) -> None:
    if element.xpath("boolean(.//table)"):  # laid out by tables: read it as blocks
        for cell in element.xpath("./tr/*|./*/tr/*"):
            if not _hidden(cell):
                _walk(cell, out, out.block, 0, depth + 1)
        return
    caption = element.find("caption")
    if caption is not None:
        out.block(_inline(caption))
    rows = [row for row in element.iter("tr") if not _hidden(row)]
    out.table([[text for cell in row for text in _cells(cell)] for row in rows])


def _cells(element: Any) -> list[str]:
    """Return a cell's text, and blanks for the further columns that it spans."""
    if element.tag not in ("td", "th") or _hidden(element):
        return []
    span = element.get("colspan") or "1"
    wide = min(int(span), 64) if span.isdecimal() and len(span) < 9 else 1
    return [_inline(element)] + [""] * (wide - 1)


def _inline(element: Any, *, fold: bool = True) -> str:
    """Return an element's text, its blocks apart by a space."""
    parts: list[str] = []

    def collect(node: Any) -> None:
        if node.text:
            parts.append(node.text)
        for child in node:
            tag = child.tag if isinstance(child.tag, str) else ""
            if tag == "br":
                parts.append("\n")
            elif tag and tag not in _SKIP and not _hidden(child):
                separate = tag in _BLOCKS or tag in _OWN or tag in ("tr", "td", "th")
                parts.append(" " if separate else "")
                collect(child)
                parts.append(" " if separate else "")
            if child.tail:
                parts.append(child.tail)

    collect(element)
    text = "".join(parts)
    return " ".join(text.split()) if fold else text
