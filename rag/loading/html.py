"""HTML: the main text with its headings, lists and tables; metadata from the head."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lxml.html
from lxml import etree

from rag.errors import LoadError
from rag.loading.plain import decode
from rag.loading.structure import Options, Parsed, Text

_SKIP = {
    "script", "style", "noscript", "template", "svg", "iframe", "object", "nav", "button",
    "select", "textarea", "canvas", "head",
}  # fmt: skip
_BLOCKS = {
    "p", "div", "section", "article", "main", "ul", "ol", "dl", "dt", "dd", "blockquote",
    "figure", "figcaption", "address", "form", "fieldset", "details", "summary", "header",
    "footer", "aside", "body", "html", "center", "hgroup",
}  # fmt: skip
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([a-zA-Z0-9_:.-]+)")


def parse_html(path: Path, data: bytes, options: Options) -> Parsed:
    """Read an HTML page. Text in navigation, scripts and forms' controls is left out."""
    text, encoding = _decode(data)
    try:
        # A declared encoding in an already decoded text makes lxml refuse it.
        root = lxml.html.document_fromstring(re.sub(r"<\?xml[^>]*\?>", "", text, count=1))
    except (etree.ParserError, ValueError) as error:
        raise LoadError(f"is not HTML ({error})", "leave it out, or rename it") from None
    out = Text()
    body = root.find("body")
    mains = root.xpath("//main | //*[@role='main']")
    _walk(mains[0] if len(mains) == 1 else (root if body is None else body), out, depth=0)
    return out.done({"encoding": encoding, **_metadata(root)})


def _decode(data: bytes) -> tuple[str, str]:
    declared = _CHARSET.search(data[:4096])
    if declared and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            name = declared[1].decode("ascii").lower()
            return data.decode(name), name
        except (LookupError, UnicodeDecodeError):
            pass
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


def _walk(element: Any, out: Text, depth: int) -> None:
    if depth > 200:  # deeper than any page written by or for people
        out.block(_inline(element))
        return
    line: list[str] = []

    def flush() -> None:
        text = " ".join("".join(line).split())
        line.clear()
        out.block(text)

    if element.text:
        line.append(element.text)
    for child in element:
        tag = child.tag if isinstance(child.tag, str) else ""
        if tag == "br":
            line.append("\n")
        elif tag in _SKIP or not tag or _hidden(child):
            pass
        elif re.fullmatch(r"h[1-6]", tag):
            flush()
            out.heading(int(tag[1]), _inline(child))
        elif tag == "pre":
            flush()
            _code(child, out)
        elif tag == "table":
            flush()
            _table(child, out)
        elif tag == "hr":
            flush()
        elif tag in ("ul", "ol"):
            flush()
            _list(child, out, depth + 1, indent="")
        elif tag in _BLOCKS or _has_blocks(child):
            flush()
            _walk(child, out, depth + 1)
        else:
            line.append(_inline(child, fold=False))
        if child.tail:
            line.append(child.tail)
    flush()


def _code(element: Any, out: Text) -> None:
    code = "".join(element.itertext()).strip("\n")
    out.block(f"```\n{code}\n```" if code.strip() else "")


def _hidden(element: Any) -> bool:
    style = "".join((element.get("style") or "").lower().split())
    return element.get("hidden") is not None or "display:none" in style


def _has_blocks(element: Any) -> bool:
    names = "self::p or self::div or self::table or self::ul or self::ol or self::h1 or self::h2"
    return bool(element.xpath(f"boolean(descendant::*[{names} or self::h3 or self::pre])"))


def _list(element: Any, out: Text, depth: int, indent: str) -> None:
    number = 0
    for item in element:
        if item.tag != "li":
            continue
        number += 1
        mark = f"{indent}{number}." if element.tag == "ol" else f"{indent}-"
        inner = [child for child in item if child.tag in ("ul", "ol")]
        text = _inline(item, without=inner)
        entry = f"{mark} {text}" if text else ""
        (out.block if number == 1 and not indent else out.line)(entry)
        for child in inner if depth < 50 else ():
            _list(child, out, depth + 1, indent + "  ")


def _table(element: Any, out: Text) -> None:
    if element.xpath("boolean(.//table)"):  # laid out by tables: read it as blocks
        for cell in element.xpath("./tr/*|./*/tr/*"):
            _walk(cell, out, depth=1)
        return
    caption = element.findtext("caption")
    if caption:
        out.block(" ".join(caption.split()))
    out.table([[text for cell in row for text in _cells(cell)] for row in element.iter("tr")])


def _cells(element: Any) -> list[str]:
    """Return a cell's text, and blanks for the further columns that it spans."""
    if element.tag not in ("td", "th"):
        return []
    span = element.get("colspan") or "1"
    return [_inline(element)] + [""] * (min(int(span), 64) - 1 if span.isdecimal() else 0)


def _inline(element: Any, *, fold: bool = True, without: list[Any] | None = None) -> str:
    parts: list[str] = []
    skip = set(without or ())

    def collect(node: Any) -> None:
        if node.text:
            parts.append(node.text)
        for child in node:
            tag = child.tag if isinstance(child.tag, str) else ""
            if tag == "br":
                parts.append("\n")
            elif tag and tag not in _SKIP and child not in skip and not _hidden(child):
                separate = tag in _BLOCKS or tag in ("li", "tr", "td", "th")
                parts.append(" " if separate else "")
                collect(child)
                parts.append(" " if separate else "")
            if child.tail:
                parts.append(child.tail)

    collect(element)
    text = "".join(parts)
    return " ".join(text.split()) if fold else text
