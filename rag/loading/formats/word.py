"""Word documents (docx and its kin): paragraphs, headings, lists, tables and notes in their order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rag.core.errors import LoadError
from rag.loading.formats.archive import damaged, local_name, unlocked
from rag.loading.formats.drawing import paragraph_text, write_graphics
from rag.loading.formats.ooxml import A, Package, W, other_reader, relation_id
from rag.loading.formats.registry import parse, parser_of
from rag.loading.formats.word_lists import Numbering, Style, Styles, switched, value
from rag.loading.formats.word_text import Lines
from rag.loading.structure import Options, Parsed, Text

_KIND = "a Word document (.docx)"
_HEADING = re.compile(r"heading (\d)|(title)$", re.IGNORECASE)
_CODE = re.compile(r"code|preformatted|listing", re.IGNORECASE)
_LEVELLED = re.compile(r"List (?:Bullet|Number|Continue) (\d)", re.IGNORECASE)
_APART = {"del", "moveFrom", "pPr", "rPr", "sectPr", "sdtPr", "sdtEndPr", "tblPr", "tblGrid"}
#: Documents inside one another are read to this depth.
_DEEPEST = 3
#: Types of embedded documents, and a suffix that says which parser reads them.
_CHUNKS = {
    "text/html": ".html", "application/xhtml+xml": ".html", "application/rtf": ".rtf", "text/rtf": ".rtf",
    "text/plain": ".txt", "message/rfc822": ".eml", "multipart/related": ".eml",
}  # fmt: skip


def parse_word(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a Word document; page headers and footers are marked, footnotes stand at the end."""
    data = unlocked(data, options, _KIND, "an old Word document (.doc)")
    package = Package(data, _KIND)
    root = package.root()
    parsed = other_reader(root, "document", path, data, options)
    if parsed is not None:
        return parsed
    try:
        parsed = _Reader(package, root, options).read()
    except LoadError:
        raise
    except Exception as error:  # whatever a damaged file makes of the reader
        raise damaged(_KIND, error) from None
    parsed.notes += package.notes
    return parsed


class _Reader:
    """Walks the document's XML, content controls, insertions, text boxes and drawings included."""

    def __init__(self, package: Package, root: Any, options: Options) -> None:
        self._package, self._part, self._options = package, package.main, options
        body = root.find(W + "body")
        self._body = root if body is None else body
        self._out = Text()
        self._styles = Styles(self._first("styles"))
        self._numbering = Numbering(self._first("numbering"), self._styles)
        self._lines = Lines(self._styles)
        self._in_list = False
        self._code: list[str] = []
        self._carried = ""  # of paragraphs whose end was deleted: the next one goes on with it

    def _first(self, kind: str) -> Any:
        parts = self._package.related(self._package.main, kind)
        return self._package.xml(parts[0]) if parts else None

    def read(self) -> Parsed:
        headers, footers = self._margins("header"), self._margins("footer")
        for text in headers:
            self._out.margin(text)
        self._blocks(self._body)
        if self._carried.strip():
            self._out.block(self._carried.strip())
        self._end_code()
        self._footnotes()
        for text in footers:
            self._out.margin(text)
        return self._out.done(self._package.properties("python-docx"))

    def _margins(self, kind: str) -> list[str]:
        """Return the texts of the sections' page headers or footers, each once."""
        relations = self._package.relations(self._part)
        seen: dict[str, None] = {}
        for section in self._body.iter(W + "sectPr"):
            named = section.findall(f"{W}{kind}Reference")
            for place in ("default", "first", "even"):
                for each in named:
                    related = relations.get(relation_id(each))
                    if (each.get(W + "type") or "default") == place and related is not None:
                        root = self._package.xml(related.target)
                        paragraphs = [] if root is None else root.iter(W + "p")
                        lines = (
                            self._lines.text(p, notes=False).strip() for p in paragraphs if not _covered(p)
                        )
                        seen["\n".join(filter(None, lines))] = None
        return [text for text in seen if text]

    def _blocks(self, parent: Any) -> None:
        for element in parent:
            name = local_name(element)
            if name == "p" and element.tag.startswith(W):
                self._paragraph(element)
            elif name == "tbl":
                self._table(element)
            elif name == "altChunk":
                self._chunk(element)
            elif name not in _APART:  # a content control, or an insertion, around blocks
                self._blocks(element)

    def _paragraph(self, element: Any) -> None:
        style = self._style(element)
        name = style.name if style is not None else ""
        text = self._lines.text(element)
        mark = element.find(f"{W}pPr/{W}rPr")
        if mark is not None and (mark.find(W + "del") is not None or mark.find(W + "moveFrom") is not None):
            self._carried += text
            self._apart(element)
            return
        text, self._carried = self._carried + text, ""
        if not text.strip() and switched(mark, "vanish"):
            return  # hidden whole, and not counted
        if not _CODE.search(name):
            self._end_code()
        level, (numbered, bullet, deep) = self._outline(element, style), self._list(element, style)
        listed = bool(numbered) or bullet
        if not text.strip():
            pass
        elif _HEADING.match(name) or level:
            match = _HEADING.match(name)
            self._out.heading(int(match[1] or 1) if match else level, f"{numbered} {text}".strip())
        elif listed:
            self._out.item(text, mark=numbered or "-", level=deep, first=not self._in_list)
        elif _CODE.search(name):
            self._code.append(text)
        else:
            self._out.block(text.strip())
        self._in_list = listed if text.strip() else self._in_list
        self._apart(element)

    def _apart(self, element: Any) -> None:
        """Write what is anchored in a paragraph and stands beside its line."""
        for box in _boxes(element):
            self._blocks(box)
        for drawn in element.iter(A + "p"):  # shapes on a canvas of another program's
            if next(_above(drawn, "p"), None) is element:
                self._out.block(paragraph_text(drawn).strip())
        write_graphics(
            self._package,
            self._part,
            element,
            self._out,
            where=lambda e: next(_above(e, "p"), None) is element,
        )

    def _end_code(self) -> None:
        """Write the paragraphs of code that followed one another as one block."""
        if self._code:
            self._out.block("```\n" + "\n".join(self._code) + "\n```")
            self._code = []

    def _style(self, element: Any) -> Style | None:
        key = value(element.find(W + "pPr"), "pStyle")
        return self._styles.default if key is None else self._styles.of(key)

    def _outline(self, element: Any, style: Style | None) -> int:
        """Return the outline level that the paragraph or its style names, from 1; 0 for none."""
        sources = (
            element.find(W + "pPr"),
            *(each.element.find(W + "pPr") for each in self._styles.chain(style)),
        )
        for properties in sources:
            level = value(properties, "outlineLvl")
            if level is not None:
                number = int(level) if level.isdecimal() else 9
                return number + 1 if number < 9 else 0
        return 0

    def _list(self, element: Any, style: Style | None) -> tuple[str, bool, int]:
        """Return a paragraph's number (or none), whether it has a bullet, and its depth in lists."""
        name = style.name if style is not None else ""
        levelled = _LEVELLED.fullmatch(name)
        styled = int(levelled[1]) - 1 if levelled else 0  # such styles count from 1, each a list of its own
        place = self._numbering.place(element, style)
        if place is not None:
            numbered = self._numbering.count(*place)
            return numbered, not numbered, max(styled, place[1])
        named = element.find(f"{W}pPr/{W}numPr") is None  # else it is taken out of its style's list
        if named and name.startswith("List") and not name.startswith("List Paragraph"):
            return ("1." if "Number" in name else ""), "Number" not in name, styled
        return "", False, 0

    def _table(self, element: Any) -> None:
        self._end_code()
        rows, drawn = [], []
        for row in _rows(element):
            if row.find(f"{W}trPr/{W}del") is not None:
                continue
            before = value(row.find(W + "trPr"), "gridBefore") or "0"
            cells = [""] * (min(int(before), 64) if before.isdecimal() else 0)
            for cell in row.iter(W + "tc"):
                if next(_above(cell, "tbl")) is not element or cell.find(f"{W}tcPr/{W}cellDel") is not None:
                    continue  # of a table inside: its text is in the outer cell
                texts = [self._cell_line(p) for p in cell.iter(W + "p") if not _covered(p)]
                texts += [paragraph_text(p) for p in cell.iter(A + "p")]
                span = value(cell.find(W + "tcPr"), "gridSpan") or "1"
                width = min(int(span), 64) if span.isdecimal() else 1
                cells += [" ".join(text for text in texts if text.strip()), *[""] * (width - 1)]
            rows.append(cells)
            drawn.append(row)
        self._out.table(rows)
        for row in drawn:
            write_graphics(self._package, self._part, row, self._out)
            for chunk in row.iter(W + "altChunk"):
                self._chunk(chunk)
        self._in_list = False

    def _cell_line(self, paragraph: Any) -> str:
        text = self._lines.text(paragraph)
        if not text.strip():
            return ""
        return f"{self._list(paragraph, self._style(paragraph))[0]} {text}".strip()

    def _chunk(self, element: Any) -> None:
        """Read a document that is embedded to be part of this one."""
        self._end_code()
        related = self._package.relations(self._part).get(relation_id(element))
        data = None if related is None else self._package.data(related.target)
        name = "an embedded document" if related is None else f"the embedded document {related.target}"
        if related is None or data is None or self._options.depth >= _DEEPEST:
            self._package.notes.append(f"{name} was not read")
            return
        kind = self._package.content_type(related.target).partition(";")[0].strip()
        path = Path(related.target).with_suffix(_CHUNKS.get(kind, Path(related.target).suffix))
        try:
            form = parser_of(path, data[:4096])
            parsed = parse(form.parser, path, data, replace(self._options, depth=self._options.depth + 1))
        except Exception as error:  # whatever its parser raises costs this part alone
            self._package.notes.append(f"{name} was not read ({type(error).__name__})")
            return
        self._out.include(parsed)
        self._package.notes += parsed.notes
        self._in_list = False

    def _footnotes(self) -> None:
        """Write the texts of the footnotes and endnotes that were met, in their order."""
        texts = {}
        for kind in ("footnotes", "endnotes"):
            for part in self._package.related(self._part, kind):
                root = self._package.xml(part)
                for note in [] if root is None else root:
                    if note.get(W + "type") in (None, "normal"):
                        lines = (self._lines.text(p, notes=False) for p in note.iter(W + "p"))
                        texts[kind, note.get(W + "id")] = " ".join(lines)
        for number, key in enumerate(self._lines.notes, 1):
            self._out.block(f"[^{number}]: {' '.join(texts.get(key, '').split())}")


def _boxes(paragraph: Any) -> Iterator[Any]:
    """Yield the text boxes anchored in a paragraph, each once."""
    for box in paragraph.iter(W + "txbxContent"):
        outer = next(_above(box, "txbxContent"), None)
        if outer is None or next(_above(outer, "p"), None) is not paragraph:
            yield box


def _above(element: Any, name: str) -> Iterator[Any]:
    return element.iterancestors(W + name)  # type: ignore[no-any-return]


def _covered(paragraph: Any) -> bool:
    """Tell whether a paragraph is hidden by a merged cell above it, or was deleted with its row."""
    for cell in _above(paragraph, "tc"):
        merge = value(cell.find(W + "tcPr"), "vMerge")
        if merge is not None and merge != "restart":
            return True
    return False


def _rows(table: Any) -> Iterator[Any]:
    for row in table.iter(W + "tr"):
        if next(_above(row, "tbl")) is table:
            yield row
