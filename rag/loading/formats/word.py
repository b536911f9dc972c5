"""Word documents (docx): paragraphs, headings, lists, tables and notes in their order."""

from __future__ import annotations

import contextlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rag.core.errors import LoadError
from rag.core.extras import require
from rag.loading.formats.archive import (
    core_properties,
    damaged,
    local_name,
    open_zip,
    read_xml,
    unlocked,
    without_damage,
)
from rag.loading.structure import Options, Parsed, Text

docx = require("docx", extra="office")
RELATIONSHIP_TYPE = require("docx.opc.constants", extra="office").RELATIONSHIP_TYPE
qn = require("docx.oxml.ns", extra="office").qn

_KIND = "a Word document (.docx)"
_HEADING = re.compile(r"heading (\d)|(title)$", re.IGNORECASE)
_CODE = re.compile(r"code|preformatted|listing", re.IGNORECASE)
_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
# Deleted text, field codes, and the second rendering of what AlternateContent's first choice says.
_SKIP = {"del", "moveFrom", "instrText", "Fallback", "pPr", "rPr", "sectPr", "tblPr", "txbxContent"}


def parse_word(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a Word document; page headers and footers are marked, footnotes stand at the end."""
    data = unlocked(data, options, _KIND, "an old Word document (.doc)")
    whole, notes = without_damage(open_zip(data, _KIND), "word/document.xml")
    try:
        parsed = _Reader(docx.Document(io.BytesIO(whole or data))).read()
        parsed.notes += notes
        return parsed
    except LoadError:
        raise
    except Exception as error:  # python-docx raises anything on a damaged file
        raise damaged(_KIND, error) from None


class _Reader:
    """Walks the XML: python-docx leaves out content controls, insertions, text boxes and notes."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._out = Text()
        self._styles: dict[str, Any] = {}
        with contextlib.suppress(AttributeError):  # the styles are one of the parts that may be lost
            self._styles = {style.style_id: style for style in document.styles}
        self._formats = _numbering(document)
        self._counts: Counter[tuple[str, int]] = Counter()
        self._in_list = False
        self._code: list[str] = []
        self._notes: list[tuple[str, str]] = []

    def read(self) -> Parsed:
        headers, footers = self._margins()
        for text in headers:
            self._out.margin(text)
        self._blocks(self._document.element.body)
        self._end_code()
        self._footnotes()
        for text in footers:
            self._out.margin(text)
        return self._out.done(core_properties(self._document.core_properties, "python-docx"))

    def _margins(self) -> tuple[list[str], list[str]]:
        found: tuple[dict[str, None], dict[str, None]] = ({}, {})
        for section in self._document.sections:
            for kinds, seen in zip(
                (
                    ("header", "first_page_header", "even_page_header"),
                    ("footer", "first_page_footer", "even_page_footer"),
                ),
                found,
                strict=True,
            ):
                for kind in kinds:
                    part = getattr(section, kind)
                    if not part.is_linked_to_previous:
                        lines = (_text(p) for p in part._element.iter(qn("w:p")) if not _covered(p))
                        seen["\n".join(line.strip() for line in lines if line.strip())] = None
        return list(found[0]), list(found[1])

    def _blocks(self, parent: Any) -> None:
        for element in parent:
            name = local_name(element)
            if name == "p":
                self._paragraph(element)
            elif name == "tbl":
                self._table(element)
            elif name not in _SKIP:  # a content control, or an insertion, around blocks
                self._blocks(element)

    def _paragraph(self, element: Any) -> None:
        style = self._style(element)
        name = (style.name or "") if style is not None else ""
        text = _text(element, self._notes)
        if not _CODE.search(name):
            self._end_code()
        level, listed = self._outline(element, style), self._list(element, style)
        if not text.strip():
            pass
        elif _HEADING.match(name) or level:
            match = _HEADING.match(name)
            self._out.heading(int(match[1] or 1) if match else level, text)
        elif listed is not None:
            mark, deep = listed
            self._out.item(text, mark=mark, level=deep, first=not self._in_list)
        elif _CODE.search(name):
            self._code.append(text)
        else:
            self._out.block(text.strip())
        self._in_list = listed is not None if text.strip() else self._in_list
        for box in _boxes(element):
            self._blocks(box)

    def _end_code(self) -> None:
        """Write the paragraphs of code that followed one another as one block."""
        if self._code:
            self._out.block("```\n" + "\n".join(self._code) + "\n```")
            self._code = []

    def _style(self, element: Any) -> Any:
        found = element.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
        return self._styles.get(found.get(qn("w:val"))) if found is not None else None

    def _outline(self, element: Any, style: Any) -> int:
        """Return the outline level that the paragraph or its style names, from 1; 0 for none."""
        for properties in _properties(element, style):
            level = properties.find(qn("w:outlineLvl"))
            if level is not None:
                value = int(level.get(qn("w:val")) or 9)
                return value + 1 if value < 9 else 0
        return 0

    def _list(self, element: Any, style: Any) -> tuple[str, int] | None:
        """Return the mark and depth of a list item."""
        style_name = (style.name or "") if style is not None else ""
        numbered = re.fullmatch(r"List (?:Bullet|Number|Continue) (\d)", style_name)
        styled = int(numbered[1]) - 1 if numbered else 0  # such styles count from 1, each a list of its own
        for properties in _properties(element, style):
            number = properties.find(qn("w:numPr"))
            if number is None:
                continue
            key = number.find(qn("w:numId"))
            level = number.find(qn("w:ilvl"))
            deep = max(styled, min(int(level.get(qn("w:val")) or 0), 8) if level is not None else 0)
            name = key.get(qn("w:val")) if key is not None else None
            if name in (None, "0"):
                return None
            if self._formats.get((name, deep), "bullet") in ("bullet", "none"):
                return "-", deep
            self._counts[name, deep] += 1
            for deeper in range(deep + 1, 9):
                del self._counts[name, deeper]
            return f"{self._counts[name, deep]}.", deep
        if style_name.startswith("List") and not style_name.startswith("List Paragraph"):
            return ("1." if "Number" in style_name else "-"), styled
        return None

    def _table(self, element: Any) -> None:
        self._end_code()
        rows = []
        for row in _rows(element):
            cells = []
            for cell in row.iterfind(f".//{qn('w:tc')}"):
                if next(_above(cell, "tbl")) is not element:
                    continue  # of a table inside: its text is in the outer cell
                texts = (_text(p, self._notes) for p in cell.iter(qn("w:p")) if not _covered(p))
                span = cell.find(f"{qn('w:tcPr')}/{qn('w:gridSpan')}")
                width = int(span.get(qn("w:val")) or 1) if span is not None else 1
                cells += [" ".join(texts), *[""] * (min(width, 64) - 1)]
            rows.append(cells)
        self._out.table(rows)
        self._in_list = False

    def _footnotes(self) -> None:
        """Write the texts of the footnotes and endnotes that were met, in their order."""
        found = {}
        for kind in (RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES):
            name = kind.rsplit("/", 1)[-1]
            for part in (r.target_part for r in self._document.part.rels.values() if r.reltype == kind):
                for note in read_xml(part.blob):
                    if note.get(qn("w:type")) is None:
                        found[name, note.get(qn("w:id"))] = " ".join(_text(p) for p in note.iter(qn("w:p")))
        for number, key in enumerate(self._notes, 1):
            self._out.block(f"[^{number}]: {' '.join(found.get(key, '').split())}")


def _text(paragraph: Any, notes: list[tuple[str, str]] | None = None) -> str:
    """Return a paragraph's text, as it reads with all changes accepted."""
    parts: list[str] = []

    def walk(parent: Any) -> None:
        for element in parent:
            name = local_name(element)
            if name == "t":
                parts.append(element.text or "")
            elif name in _CHARACTERS:
                parts.append(_CHARACTERS[name])
            elif name in ("footnoteReference", "endnoteReference") and notes is not None:
                notes.append((name.removesuffix("Reference") + "s", element.get(qn("w:id"))))
                parts.append(f"[^{len(notes)}]")
            elif name not in _SKIP and not (name == "r" and _vanished(element)):
                walk(element)

    walk(paragraph)
    return "".join(parts)


def _vanished(run: Any) -> bool:
    mark = run.find(f"{qn('w:rPr')}/{qn('w:vanish')}")
    return mark is not None and mark.get(qn("w:val")) not in ("0", "false", "off")


def _boxes(paragraph: Any) -> Iterator[Any]:
    """Yield the text boxes anchored in a paragraph, each once."""
    for box in paragraph.iter(qn("w:txbxContent")):
        if not any(local_name(above) == "Fallback" for above in box.iterancestors()):
            outer = next(_above(box, "txbxContent"), None)
            if outer is None or next(_above(outer, "p"), None) is not paragraph:
                yield box


def _above(element: Any, name: str) -> Iterator[Any]:
    return element.iterancestors(qn(f"w:{name}"))  # type: ignore[no-any-return]


def _covered(paragraph: Any) -> bool:
    """Tell whether a paragraph is hidden by a merged cell above it, or is one's second rendering."""
    if any(local_name(above) == "Fallback" for above in paragraph.iterancestors()):
        return True
    for cell in _above(paragraph, "tc"):
        merge = cell.find(f"{qn('w:tcPr')}/{qn('w:vMerge')}")
        if merge is not None and merge.get(qn("w:val")) != "restart":
            return True
    return False


def _rows(table: Any) -> Iterator[Any]:
    for row in table.iter(qn("w:tr")):
        if next(_above(row, "tbl")) is table:
            yield row


def _properties(element: Any, style: Any) -> Iterator[Any]:
    """Yield the properties of a paragraph, then those of its style and of what that is based on."""
    own = element.find(qn("w:pPr"))
    if own is not None:
        yield own
    for _ in range(10):
        if style is None:
            return
        inner = style.element.find(qn("w:pPr"))
        if inner is not None:
            yield inner
        style = getattr(style, "base_style", None)


def _numbering(document: Any) -> dict[tuple[str, int], str]:
    """Return the number format of each list and level."""
    parts = [r.target_part for r in document.part.rels.values() if r.reltype == RELATIONSHIP_TYPE.NUMBERING]
    if not parts:
        return {}
    root = read_xml(parts[0].blob)
    levels = {
        (one.get(qn("w:abstractNumId")), int(level.get(qn("w:ilvl")) or 0)): form.get(qn("w:val"))
        for one in root.iter(qn("w:abstractNum"))
        for level in one.iter(qn("w:lvl")) for form in level.iter(qn("w:numFmt"))
    }  # fmt: skip
    out = {}
    for number in root.iter(qn("w:num")):
        link = number.find(qn("w:abstractNumId"))
        for (name, level), form in levels.items():
            if link is not None and name == link.get(qn("w:val")):
                out[number.get(qn("w:numId")), level] = form
    return out
