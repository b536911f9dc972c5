"""PowerPoint (pptx and its kin): each slide a page, with its title, lists, tables, charts and notes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rag.loading.formats.archive import damaged, local_name, unlocked
from rag.loading.formats.drawing import AutoNumbers, body_text, paragraph_text, write_graphics
from rag.loading.formats.ooxml import A, P, Package, other_reader, relation_id
from rag.loading.structure import Options, Parsed, Text

_KIND = "a PowerPoint presentation (.pptx)"
_TITLES = ("title", "ctrTitle")


def parse_slides(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a presentation; what cannot be read of a slide is named in the notes."""
    data = unlocked(data, options, _KIND, "an old PowerPoint presentation (.ppt)")
    package = Package(data, _KIND)
    root = package.root()
    parsed = other_reader(root, "presentation", path, data, options)
    if parsed is not None:
        return parsed
    deck = _Deck(package)
    relations = package.relations(package.main)
    failed: Exception | None = None
    listed = [relations.get(relation_id(entry)) for entry in root.iter(P + "sldId")]
    parts = [each.target if each is not None else "" for each in listed]
    for number, part in enumerate(parts or package.related(package.main, "slide"), 1):
        deck.out.page()
        slide = package.xml(part) if part else None
        if slide is None:
            failed = KeyError(f"slide {number}")
            package.notes.append(f"slide {number} is missing or damaged: left out")
            continue
        failed = deck.slide(part, slide, number) or failed
    if failed is not None and not deck.out.length:
        raise damaged(_KIND, failed) from None
    deck.out.parsed.notes += package.notes
    return deck.out.done(package.properties("PowerPoint Presentation"))


class _Deck:
    """Writes slides, and once each what stands on the layouts and masters behind them."""

    def __init__(self, package: Package) -> None:
        self.out = Text()
        self._package = package
        self._behind: dict[str, bool] = {}  # layouts and masters written; whether they show their own master

    def slide(self, part: str, root: Any, number: int) -> Exception | None:
        """Write a slide; return what went wrong with one of its shapes."""
        shapes = list(_shapes(root))
        title = next(
            (shape for shape in shapes if _placeholder(shape) in _TITLES and _body(shape) is not None), None
        )
        if title is not None:
            self.out.heading(1, body_text(_body(title)))
        failed: Exception | None = None
        for shape in shapes:
            if shape is title:
                continue
            try:
                self._shape(part, shape)
            except Exception as error:  # whatever a broken shape makes of the reader
                failed = error
                self._package.notes.append(f"a shape of slide {number} was not read ({type(error).__name__})")
        self._layout(part, root)
        for notes in self._package.related(part, "notesSlide"):
            self._notes(notes)
        return failed

    def _shape(self, part: str, shape: Any) -> None:
        table = shape.find(f".//{A}tbl")
        if table is not None:
            self.out.table(
                [[_cell(cell) for cell in row.iterchildren(A + "tc")] for row in table.iter(A + "tr")]
            )
        body = _body(shape)
        if body is not None:
            self._text(body, placed=_placeholder(shape) is not None)
        write_graphics(self._package, part, shape, self.out)

    def _text(self, body: Any, *, placed: bool) -> None:
        """Write a shape's paragraphs; several in a placeholder are a list."""
        paragraphs = [(p, paragraph_text(p)) for p in body.iterchildren(A + "p")]
        spoken = sum(bool(text.strip()) for _, text in paragraphs)
        styles, numbers, first = body.find(A + "lstStyle"), AutoNumbers(), True
        for paragraph, text in paragraphs:
            if not text.strip():
                continue
            direct = paragraph.find(A + "pPr")
            depth = (direct.get("lvl") if direct is not None else None) or "0"
            level = min(int(depth), 8) if depth.isdecimal() else 0
            style = None if styles is None else styles.find(f"{A}lvl{level + 1}pPr")
            mark = numbers.mark(direct if _marked(direct) or style is None else style, level)
            if mark or level or (placed and spoken > 1):
                self.out.item(text, mark=mark or "-", level=level, first=first)
            else:
                self.out.block(text.strip())
            first = False

    def _layout(self, part: str, root: Any) -> None:
        """Write what stands on the layout and master behind a slide, with the first such slide."""
        goes_on = _shows_master(root)
        for kind in ("slideLayout", "slideMaster"):
            behind = self._package.related(part, kind)
            if not goes_on or not behind:
                return
            part = behind[0]
            if part not in self._behind:
                root = self._package.xml(part)
                self._behind[part] = _shows_master(root)
                for shape in [] if root is None else _shapes(root):
                    body = _body(shape)
                    if body is not None and _placeholder(shape) is None:
                        self.out.block(body_text(body).strip())
            goes_on = self._behind[part]

    def _notes(self, part: str) -> None:
        root = self._package.xml(part)
        for shape in [] if root is None else _shapes(root):
            body = _body(shape)
            if body is None or body.find(f".//{A}r") is None:
                continue  # no words, or a page number
            if _placeholder(shape) in ("body", None):
                text = "\n".join(paragraph_text(p) for p in body.iterchildren(A + "p")).strip()
                self.out.block(f"Notes: {text}" if text else "")


def _shows_master(root: Any) -> bool:
    return root is not None and root.get("showMasterSp") not in ("0", "false")


def _shapes(root: Any) -> Iterator[Any]:
    """Yield the shapes in reading order, those of groups in their place."""
    tree = root.find(f"{P}cSld/{P}spTree")
    yield from () if tree is None else _leaves(tree)


def _leaves(parent: Any) -> Iterator[Any]:
    for element in parent:
        name = local_name(element)
        if name == "grpSp":
            yield from _leaves(element)
        elif name in ("sp", "graphicFrame", "cxnSp", "pic", "contentPart"):
            yield element


def _body(shape: Any) -> Any:
    return shape.find(P + "txBody")


def _placeholder(shape: Any) -> str | None:
    """Return the kind of placeholder that a shape is; None for one that is none."""
    mark = shape.find(f"./*/{P}nvPr/{P}ph")
    return None if mark is None else str(mark.get("type") or "obj")


def _marked(properties: Any) -> bool:
    """Tell whether a paragraph says itself which mark stands before it."""
    return properties is not None and any(
        properties.find(A + name) is not None for name in ("buNone", "buChar", "buAutoNum", "buBlip")
    )


def _cell(cell: Any) -> str:
    if cell.get("hMerge") in ("1", "true") or cell.get("vMerge") in ("1", "true"):
        return ""
    body = cell.find(A + "txBody")
    return "" if body is None else body_text(body)
