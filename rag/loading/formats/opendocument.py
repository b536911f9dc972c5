"""OpenDocument text and presentations (odt, odp): headings, lists, tables, notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rag.core.errors import LoadError
from rag.loading.formats.archive import damaged, local_name, open_zip, read_member, read_xml
from rag.loading.structure import Options, Parsed, Text

_KIND = "an OpenDocument file"
_SKIP = {"tracked-changes", "annotation", "sequence-decls", "forms", "note-citation", "styles"}
#: A cell or row says how often it is repeated; sheets say a million for "to the edge".
_MOST_REPEATED = 64


def parse_opendocument(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a text document or a presentation."""
    archive = open_zip(data, _KIND)
    try:
        if b"encryption-data" in read_member(archive, "META-INF/manifest.xml"):
            raise LoadError("needs a password", "save it without one")
        content = read_xml(read_member(archive, "content.xml"))
        metadata = _metadata(archive)
    except LoadError:
        raise
    except Exception as error:  # a member that is missing, cut off or encrypted
        raise damaged(_KIND, error) from None
    out = Text()
    for body in (element for element in content.iter() if local_name(element) == "body"):
        _blocks(body, out)
    return out.done(metadata)


def _blocks(parent: Any, out: Text, depth: int = 0) -> None:
    if depth > 100:
        out.block(_text(parent))
        return
    for element in parent:
        name = local_name(element)
        if name == "h":
            out.heading(int(_attribute(element, "outline-level") or 1), _text(element))
        elif name == "p":
            out.block(_text(element).strip())
        elif name == "list":
            _list(element, out, 0)
        elif name == "table":
            out.table(_rows(element))
        elif name == "page" and _attribute(element, "master-page-name") is not None:
            out.page()
            _blocks(element, out, depth + 1)
        elif name and name not in _SKIP:
            _blocks(element, out, depth + 1)


def _list(element: Any, out: Text, level: int, first: bool = True) -> None:
    for item in element:
        if local_name(item) not in ("list-item", "list-header"):
            continue
        for child in item:
            if local_name(child) in ("p", "h"):
                out.item(_text(child), level=level, first=first)
                first = False
            elif local_name(child) == "list" and level < 20:
                _list(child, out, level + 1, first)
                first = False


def _rows(table: Any) -> list[list[str]]:
    rows: list[list[str]] = []
    for row in table.iter():
        if local_name(row) != "table-row" or _table_of(row) is not table:
            continue
        cells: list[str] = []
        for cell in row:
            if local_name(cell) in ("table-cell", "covered-table-cell"):
                again = min(int(_attribute(cell, "number-columns-repeated") or 1), _MOST_REPEATED)
                cells += [" ".join(_text(p) for p in cell.iter() if _is_outer(p))] * again
        rows.append(cells)
    return rows


def _table_of(row: Any) -> Any:
    return next((above for above in row.iterancestors() if local_name(above) == "table"), None)


def _is_outer(element: Any) -> bool:
    """Tell whether it is a paragraph that stands in no other."""
    above = element.getparent()
    while above is not None and local_name(above) not in ("table-cell", "covered-table-cell"):
        if local_name(above) in ("p", "h"):
            return False
        above = above.getparent()
    return local_name(element) in ("p", "h")


def _text(element: Any) -> str:
    """Return a paragraph's text; its notes follow in brackets."""
    parts: list[str] = []
    notes: list[str] = []

    def walk(node: Any) -> None:
        if node.text:
            parts.append(node.text)
        for child in node:
            name = local_name(child)
            if name == "s":
                parts.append(" " * min(int(_attribute(child, "c") or 1), 1000))
            elif name == "tab":
                parts.append("\t")
            elif name == "line-break":
                parts.append("\n")
            elif name == "note":
                notes.append(" ".join(_text(p) for p in child.iter() if local_name(p) == "p"))
            elif name and name not in _SKIP:
                parts.append(" " if name in ("p", "text-box") else "")  # a box in the line
                walk(child)
                parts.append(" " if name == "text-box" else "")
            if child.tail:
                parts.append(child.tail)

    walk(element)
    return "".join(parts) + "".join(f" [{' '.join(note.split())}]" for note in notes)


def _metadata(archive: Any) -> dict[str, Any]:
    names = {"title": "title", "creator": "author", "subject": "subject", "language": "language"}
    try:
        root = read_xml(read_member(archive, "meta.xml"))
    except KeyError:
        return {}
    out: dict[str, Any] = {}
    for element in root.iter():
        name = names.get(local_name(element))
        if name and (element.text or "").strip():
            out[name] = element.text.strip()
    return out


def _attribute(element: Any, name: str) -> str | None:
    found = next((value for key, value in element.attrib.items() if key.rsplit("}", 1)[-1] == name), None)
    return None if found is None else str(found)
