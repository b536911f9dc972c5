"""HTML: the text of a page with its headings, lists and tables; metadata from the head."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lxml.html
from lxml import etree

from rag.core.errors import LoadError
from rag.loading.formats.encoding import Decoded, decode
from rag.loading.formats.html_tables import grid, loose
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
#: Where a page may name its encoding (WHATWG HTML, 13.2.3.2), farther in than browsers look.
_HEAD = 1 << 16
_MARKUP = re.compile(rb"<(!--|/?[a-zA-Z][a-zA-Z0-9:-]*|[!?])")
_RAW = {b"script", b"style", b"title", b"textarea", b"noscript", b"template", b"xmp"}
_ATTRIBUTE = re.compile(rb"""([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]*)))?""")
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([a-zA-Z0-9_:.-]+)", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml[^>]*encoding\s*=\s*[\"']([\w.:-]+)")
#: Elements inside one another that are walked; what is deeper is read as one text.
_DEEPEST = 500


def parse_html(path: Path, data: bytes, options: Options) -> Parsed:
    """Read an HTML page. Text in navigation, scripts and forms' controls is left out."""
    text, encoding, notes = _decode(data)
    parsed = read_html(text)
    parsed.metadata = {"encoding": encoding, **parsed.metadata}
    parsed.notes += notes
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
    _walk(root if body is None else body, out, out.block)
    if any("depth" in entry.message.lower() for entry in parser.error_log):
        out.parsed.notes.append("its elements are nested too deeply: not read to the end")
    return out.done(_metadata(root))


def _decode(data: bytes) -> Decoded:
    found = decode(data, _declared(data[:_HEAD]))
    return found._replace(text=found.text.removeprefix("\ufeff"))


def _declared(head: bytes) -> str | None:
    """Return the encoding that a page's ``meta`` element or XML declaration names, and nothing else in it."""
    at = 0
    while (found := _MARKUP.search(head, at)) is not None:
        name = found[1].lower()
        if name == b"!--":
            at = head.find(b"-->", found.end())
        elif name in _RAW:
            at = head.find(b"</" + name, found.end())
            if at < 0:  # compared as written first: that is quick
                at = head.lower().find(b"</" + name, found.end())
        else:
            at = _tag_end(head, found.end())
            if name == b"meta" and (label := _of_meta(head[found.end() : at])):
                return label
        if at < 0:
            break
    return named[1].decode("ascii") if (named := _XML.match(head)) else None


def _tag_end(head: bytes, at: int) -> int:
    """Return where a tag ends, past what its quoted attributes hold."""
    while (stop := _TAG_STOP.search(head, at)) is not None:
        if stop[0] == b">":
            return stop.end()
        at = head.find(stop[0], stop.end()) + 1
        if not at:
            break
    return -1


_TAG_STOP = re.compile(rb"[>\"']")


def _of_meta(tag: bytes) -> str | None:
    found = _ATTRIBUTE.finditer(tag)
    attributes = {match[1].lower(): match[2] or match[3] or match[4] or b"" for match in found}
    named = attributes.get(b"charset", b"").strip()
    if not named and attributes.get(b"http-equiv", b"").strip().lower() == b"content-type":
        content = _CHARSET.search(attributes.get(b"content", b""))
        named = content[1] if content else b""
    return named.decode("ascii", "ignore") or None


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
    if element.text and element.text.strip():
        out.line(" ".join(element.text.split()))
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
    """Write a table; captions and what stands in it outside of cells come before it, as browsers show it."""
    for part in loose(element, _left_out):
        if isinstance(part, str):
            out.block(" ".join(part.split()))
        else:
            _walk(part, out, out.block, 0, depth + 1)
    rows = grid(element, _left_out)
    if element.xpath("boolean(.//table)"):  # laid out by tables: read it as blocks
        for cell in (cell for row in rows for cell in row if cell is not None):
            _walk(cell, out, out.block, 0, depth + 1)
        return
    out.table([["" if cell is None else _inline(cell) for cell in row] for row in rows])


def _left_out(element: Any) -> bool:
    """Tell whether an element is not shown, or is none."""
    return not isinstance(element.tag, str) or element.tag in _SKIP or _hidden(element)


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
