"""OpenDocument files (odt, odp, ods, odg, and as one XML file): text, slides, sheets and drawings."""

from __future__ import annotations

import posixpath
import re
import zipfile
from pathlib import Path
from typing import Any

from rag.core.errors import LoadError
from rag.loading.formats.archive import damaged, local_name, open_zip, read_member, read_xml
from rag.loading.formats.ooxml import Package
from rag.loading.formats.opendocument_sheets import rows_of, write_sheets
from rag.loading.formats.opendocument_styles import Counts, Styles, attribute, number
from rag.loading.formats.scripts import Piece, flat
from rag.loading.structure import Options, Parsed, Text

_KIND = "an OpenDocument file"
_SKIP = {
    "tracked-changes",
    "annotation",
    "sequence-decls",
    "forms",
    "note-citation",
    "styles",
    "number",
    "desc",
    "title",
}
#: A cell or row says how often it is repeated; sheets say a million for "to the edge".
_MOST_REPEATED = 64
_DEEPEST = 100
_MANIFEST = "META-INF/manifest.xml"
_SPACES = re.compile(r"[ \t\r\n]+")
_PROPERTIES = {"title": "title", "creator": "author", "subject": "subject", "language": "language"}


def parse_opendocument(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a text document, presentation, workbook or drawing."""
    if not data.startswith(b"PK"):
        return _Reader(data, None).read()
    archive = open_zip(data, _KIND)
    names = set(archive.namelist())
    if "content.xml" not in names:
        parsed = Package(data, _KIND).parse_as_named_by_content(path, data, options)
        if parsed is not None:
            return parsed
    try:
        if _MANIFEST in names and b"encryption-data" in read_member(archive, _MANIFEST):
            raise LoadError("needs a password", "save it without one")
        content = read_member(archive, "content.xml")
    except LoadError:
        raise
    except Exception as error:  # a member that is missing, cut off or encrypted
        raise damaged(_KIND, error) from None
    return _Reader(content, archive).read()


class _Reader:
    """Reads one document and the objects embedded in it."""

    def __init__(self, content: bytes, archive: zipfile.ZipFile | None) -> None:
        self._archive = archive
        self._out = Text()
        self._content = read_xml(content)
        self._own = self._part("styles.xml")
        self._styles = Styles([self._content] if self._own is None else [self._own, self._content])
        self._lists: dict[str, Counts] = {}
        self._last: Counts | None = None

    def _part(self, name: str) -> Any:
        """Return the root element of a part; None where there is none, and a note where it is damaged."""
        if self._archive is None or name not in self._archive.namelist():
            return None
        try:
            return read_xml(read_member(self._archive, name))
        except Exception as error:  # cut off, encrypted, no XML
            self._out.parsed.notes.append(f"its part {name} is damaged: left out ({type(error).__name__})")
            return None

    def read(self) -> Parsed:
        """Return the document's text."""
        self._margins("header", "header-first", "header-left")
        for body in self._content.iter("{*}body"):
            for kind in body:
                if local_name(kind) == "spreadsheet":
                    write_sheets(kind, self._styles, self._words_of_cell, self._beside, _KIND, self._out)
                elif local_name(kind) == "chart":
                    continue  # of an object inside a flat file, read where it stands
                else:
                    self._blocks(kind, self._out)
        self._margins("footer", "footer-first", "footer-left")
        return self._out.done(self._metadata())

    def _margins(self, *names: str) -> None:
        root = self._content if self._own is None else self._own
        seen = set()
        for page in root.iter("{*}master-page"):
            for element in page:
                if local_name(element) in names and attribute(element, "display") != "false":
                    lines = (self._text(p).strip() for p in element.iter("{*}p", "{*}h"))
                    text = "\n".join(filter(None, lines))
                    if text not in seen:
                        self._out.margin(text)
                    seen.add(text)

    def _blocks(self, parent: Any, out: Text, depth: int = 0) -> None:
        if depth > _DEEPEST:
            out.block(self._text(parent))
            return
        for element in parent:
            name = local_name(element)
            if name == "h":
                self._heading(element, out)
            elif name == "p":
                out.block(self._text(element).strip())
                self._drawn(element, out)
            elif name == "list":
                self._list(element, out)
            elif name == "table":
                out.table(self._rows(element))
                self._drawn(element, out)
            elif name == "page" and attribute(element, "master-page-name") is not None:
                out.page()
                self._blocks(element, out, depth + 1)
            elif name == "notes":
                notes = Text()
                self._blocks(element, notes, depth + 1)
                text = notes.done().text
                out.block(f"Notes: {text}" if text.strip() else "")
            elif name == "frame" and attribute(element, "class") == "title":
                out.heading(1, " ".join(self._text(p) for p in element.iter("{*}p")))
            elif name == "object":
                self._object(element, out)
            elif name == "section" and attribute(element, "display") == "none":
                pass
            elif name and name not in _SKIP:
                self._blocks(element, out, depth + 1)

    def _heading(self, element: Any, out: Text) -> None:
        level = max(number(attribute(element, "outline-level"), 1), 1)
        mark = _written(element)
        if mark is None and attribute(element, "is-list-header") != "true":
            mark = self._styles.headings.mark(level, None) if self._text(element).strip() else ""
        out.heading(level, f"{mark or ''} {self._text(element)}".strip())
        self._drawn(element, out)

    def _list(
        self, element: Any, out: Text, level: int = 0, counts: Counts | None = None, first: bool = True
    ) -> bool:
        """Write a list; return whether nothing of it has been written yet."""
        style = attribute(element, "style-name")
        follows = attribute(element, "continue-list")
        if counts is None or (level and style):
            goes_on = self._lists.get(follows) if follows else None
            if goes_on is None and attribute(element, "continue-numbering") == "true":
                goes_on = self._last
            counts = goes_on or self._styles.counts(style)
        elif attribute(element, "continue-numbering") != "true":
            counts.begin(level + 1)
        if not level:
            self._last = counts
            self._lists[attribute(element, "id") or ""] = counts
        for item in element:
            if local_name(item) not in ("list-item", "list-header"):
                continue
            mark: str | None = ""
            if local_name(item) == "list-item" and any(local_name(child) in ("p", "h") for child in item):
                mark = counts.mark(level + 1, attribute(item, "start-value"))
                mark = _written(item) or mark
            begun = False
            for child in item:
                name = local_name(child)
                if name == "h" and not level:
                    out.heading(
                        max(number(attribute(child, "outline-level"), 1), 1),
                        f"{mark} {self._text(child)}".strip(),
                    )
                elif name in ("p", "h"):
                    text = self._text(child)
                    if begun and text.strip():
                        out.line("  " * (level + 1) + " ".join(text.split()))
                    elif text.strip():
                        out.item(text, mark=mark or "-", level=level, first=first)
                        begun, first = True, False
                    self._drawn(child, out)
                elif name == "list" and level < 20:
                    first = self._list(child, out, level + 1, counts, first)
                elif name == "table":
                    out.table(self._rows(child))
        return first

    def _rows(self, table: Any) -> list[list[str]]:
        rows: list[list[str]] = []
        for row in rows_of(table):
            cells: list[str] = []
            for cell in row:
                if local_name(cell) in ("table-cell", "covered-table-cell"):
                    again = min(number(attribute(cell, "number-columns-repeated"), 1), _MOST_REPEATED)
                    cells += [self._cell(cell) if local_name(cell) == "table-cell" else ""] * again
            rows += [cells] * min(number(attribute(row, "number-rows-repeated"), 1), _MOST_REPEATED)
        return rows

    def _cell(self, cell: Any, apart: tuple[str, ...] = ("annotation",)) -> str:
        """Return the text of a cell's paragraphs, but for those of what stands `apart` from it."""
        return " ".join(filter(str.strip, (self._text(p) for p in cell.iter() if _is_outer(p, cell, apart))))

    def _words_of_cell(self, cell: Any) -> str:
        """Return the text of a sheet's cell, or of a comment on one."""
        return self._cell(cell, ("annotation", "frame", "custom-shape"))

    def _text(self, element: Any) -> str:
        """Return a paragraph's text; its notes follow in brackets."""
        pieces: list[Piece] = []
        notes: list[str] = []

        def walk(node: Any, place: int, hidden: bool) -> None:
            if node.text and not hidden:
                pieces.append((_SPACES.sub(" ", node.text), place))
            for child in node:
                name = local_name(child)
                if name == "s":
                    pieces.append((" " * min(number(attribute(child, "c"), 1), 1000), 0))
                elif name == "tab":
                    pieces.append(("\t", 0))
                elif name == "line-break":
                    pieces.append(("\n", 0))
                elif name == "note":
                    notes.append(" ".join(self._text(p) for p in child.iter("{*}p")))
                elif name == "ruby":
                    pieces.append((self._ruby(child), place))
                elif name == "object" or (name == "hidden-text" and attribute(child, "is-hidden") == "true"):
                    pass
                elif name and name not in _SKIP:
                    inner_hidden, inner_place = hidden, place
                    if name == "span":
                        gone, raised = self._styles.text(attribute(child, "style-name"))
                        inner_hidden, inner_place = hidden or gone, raised or place
                    pieces.append((" " if name in ("p", "text-box") else "", 0))  # a box in the line
                    walk(child, inner_place, inner_hidden)
                    pieces.append((" " if name == "text-box" else "", 0))
                if child.tail and not hidden:
                    pieces.append((_SPACES.sub(" ", child.tail), place))

        walk(element, 0, self._styles.text(attribute(element, "style-name"))[0])
        return flat(pieces) + "".join(f" [{' '.join(note.split())}]" for note in notes)

    def _ruby(self, element: Any) -> str:
        parts = (element.iterchildren(f"{{*}}ruby-{name}") for name in ("base", "text"))
        base, reading = ("".join(map(self._text, part)).strip() for part in parts)
        return f"{base} ({reading})" if base and reading else base or reading

    def _drawn(self, element: Any, out: Text) -> None:
        """Write the objects embedded in a paragraph or table."""
        for inner in element.iter("{*}object"):
            self._object(inner, out)

    def _beside(self, table: Any, out: Text) -> None:
        """Write the shapes of a sheet, and the titles of its charts: their figures are its cells."""
        for paragraph in table.iter("{*}p"):
            if next(paragraph.iterancestors("{*}frame", "{*}custom-shape", "{*}shapes"), None) is not None:
                out.block(self._text(paragraph).strip())
        for inner in table.iter("{*}object"):
            self._object(inner, out, figures=False)

    def _object(self, element: Any, out: Text, *, figures: bool = True) -> None:
        """Write an embedded chart or formula."""
        root = next((child for child in element if isinstance(child.tag, str)), None)
        href = attribute(element, "href") or ""
        if root is None and href and not href.startswith(("http:", "https:", "..")):
            root = self._part(posixpath.normpath(posixpath.join(href, "content.xml")))
        if root is None:
            return
        if local_name(root) == "math":
            source = root.find(".//{*}annotation")
            words = "".join(root.itertext()) if source is None else source.text or ""
            out.block(" ".join(words.split()))
            return
        for chart in root.iter("{*}chart"):
            if attribute(chart, "class") is None:
                continue
            for title in chart.iter("{*}title", "{*}subtitle"):
                out.block(" ".join(self._text(p) for p in title.iter("{*}p")))
            for table in chart.iter("{*}table") if figures else ():
                out.table(self._rows(table))

    def _metadata(self) -> dict[str, Any]:
        root = self._part("meta.xml")
        root = self._content if root is None else root
        out: dict[str, Any] = {}
        for meta in root.iter("{*}meta"):
            for element in meta:
                name = _PROPERTIES.get(local_name(element))
                if name and (element.text or "").strip():
                    out[name] = element.text.strip()
        return out


def _written(element: Any) -> str | None:
    """Return the number that the writing program has left in an item or heading."""
    mark = next(element.iterchildren("{*}number"), None)
    return None if mark is None else (mark.text or "").strip()


def _is_outer(element: Any, cell: Any, apart: tuple[str, ...]) -> bool:
    """Tell whether it is a paragraph of the cell that stands in no other one."""
    if local_name(element) not in ("p", "h"):
        return False
    above = element.getparent()
    while above is not None and above is not cell:
        if local_name(above) in ("p", "h", *apart):
            return False
        above = above.getparent()
    return True
