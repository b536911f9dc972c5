"""The text of a paragraph of a Word document, as it reads with all changes accepted."""

from __future__ import annotations

from typing import Any

from rag.loading.formats.archive import local_name
from rag.loading.formats.equations import equation
from rag.loading.formats.ooxml import M, W
from rag.loading.formats.scripts import Piece, flat
from rag.loading.formats.word_lists import Styles, switched, value

_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
#: Deleted text, field codes, properties, and what stands apart from the line.
_SKIP = {
    "del", "moveFrom", "instrText", "delInstrText", "delText", "Fallback", "pPr", "rPr", "sectPr", "tblPr",
    "txbxContent", "sdtPr", "sdtEndPr", "fldData",
}  # fmt: skip
#: Characters of the font Symbol (Adobe's encoding) and of Wingdings that stand for others.
_SYMBOL = dict(zip(
    "ABGDEZHQIKLMNXOPRSTUFCYWabgdezhqiklmnxoprstufcywVJj",
    "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθικλμνξοπρστυφχψωςϑϕ", strict=True,
)) | {
    "\xa3": "≤", "\xb3": "≥", "\xb0": "°", "\xb1": "±", "\xb4": "×", "\xb8": "÷", "\xb9": "≠", "\xba": "≡",
    "\xbb": "≈", "\xa5": "∞", "\xae": "→", "\xac": "←", "\xab": "↔", "\xad": "↑", "\xaf": "↓", "\xb7": "•",
    "\xe5": "∑", "\xd5": "∏", "\xd6": "√", "\xf2": "∫", "\xb6": "∂", "\xce": "∈", "\xcf": "∉", "\xc7": "∩",
    "\xc8": "∪", "\xd1": "∇", "\xd7": "⋅", "\xde": "⇒", "\xdb": "⇔", "\x22": "∀", "\x24": "∃", "\xa2": "′",
    "\xb2": "″", "\xd3": "©", "\xd2": "®", "\xd4": "™", "\xe3": "©", "\xe2": "®", "\xe4": "™", "\xbc": "…",
    "\x40": "≅", "\x5e": "⊥", "\xa0": "€", "\xcc": "⊂", "\xd0": "∠",
}  # fmt: skip
_WINGDINGS = {
    "\xfc": "✓", "\xfb": "✗", "\xfe": "☑", "\xfd": "☒", "\xa8": "☐", "\x6f": "☐", "\x78": "☒", "\xe0": "→",
    "\xdf": "←", "\xe1": "↑", "\xe2": "↓", "\xf0": "⇒", "\xef": "⇐", "\x4a": "☺", "\x4c": "☹", "\x28": "☎",
    "\x2a": "✉", "\xa7": "▪", "\x6e": "■", "\x6c": "●", "\xd8": "➢", "\x76": "❖", "\xab": "★",
}  # fmt: skip


class Lines:
    """Reads paragraphs; keeps the notes that they refer to, in the order met.

    Attributes
    ----------
    notes : list of (str, str)
        The kind (``"footnotes"`` or ``"endnotes"``) and identifier of each note met.
    """

    def __init__(self, styles: Styles) -> None:
        self._styles = styles
        self.notes: list[tuple[str, str]] = []
        self._fields = _Fields(None)

    def text(self, paragraph: Any, *, notes: bool = True) -> str:
        """Return a paragraph's text; the numbers of notes only where they are wanted."""
        hidden = False
        key = value(paragraph.find(W + "pPr"), "pStyle")
        if key is not None:
            hidden = bool(self._styles.run(key)[0])
        pieces: list[Piece] = []
        self._fields = _Fields(paragraph)
        self._walk(paragraph, pieces, notes, hidden, 0)
        return flat(pieces)

    def _walk(self, parent: Any, pieces: list[Piece], notes: bool, hidden: bool, place: int) -> None:
        for element in parent:
            name = local_name(element)
            if name == "r" and element.tag.startswith(W):
                gone, height = self._run(element, hidden)
                if not gone:
                    self._walk(element, pieces, notes, hidden, height)
            elif name == "t":
                if not self._fields.in_code():
                    pieces.append((element.text or "", place))
            elif name in _CHARACTERS and element.tag.startswith(W):
                pieces.append((_CHARACTERS[name], 0))
            elif name == "sym":
                pieces.append((_symbol(element), place))
            elif name in ("footnoteReference", "endnoteReference"):
                if notes:
                    self.notes.append((name.removesuffix("Reference") + "s", element.get(W + "id")))
                    pieces.append((f"[^{len(self.notes)}]", 0))
            elif name == "ruby":
                pieces.append((self._ruby(element), place))
            elif name == "oMath" and element.tag.startswith(M):
                pieces.append((equation(element), 0))
            elif name == "fldChar":
                self._fields.meet(element.get(W + "fldCharType") or "")
                pieces.append((_form_field(element), 0))
            elif name == "textpath":  # word art of the old kind
                pieces.append((f" {element.get('string') or ''} ", 0))
            elif name not in _SKIP:
                self._walk(element, pieces, notes, hidden, place)

    def _run(self, run: Any, hidden: bool) -> tuple[bool, int]:
        """Return whether a run is hidden, and whether it stands above or below the line."""
        properties = run.find(W + "rPr")
        if properties is None:
            return hidden, 0
        style_hides, style_raises = self._styles.run(value(properties, "rStyle"))
        direct = switched(properties, "vanish")
        gone = direct if direct is not None else style_hides if style_hides is not None else hidden
        raised = value(properties, "vertAlign") or style_raises
        return gone, {"superscript": 1, "subscript": -1}.get(raised, 0)

    def _ruby(self, element: Any) -> str:
        """Return a text with the reading that stands above it in brackets: 漢字 (かんじ)."""
        parts = []
        for name in ("rubyBase", "rt"):
            pieces: list[Piece] = []
            part = element.find(W + name)
            if part is not None:
                self._walk(part, pieces, False, False, 0)
            parts.append("".join(text for text, _ in pieces).strip())
        return f"{parts[0]} ({parts[1]})" if all(parts) else parts[0] or parts[1]


class _Fields:
    """Knows where a paragraph's text is the code of a field: the results of fields inside of it are.

    Only where all fields of the paragraph end in it: else one that nothing ends would hide the rest.
    """

    def __init__(self, paragraph: Any) -> None:
        marks = [] if paragraph is None else [m.get(W + "fldCharType") for m in paragraph.iter(W + "fldChar")]
        self._balanced = marks.count("begin") == marks.count("end") > 1
        self._in_code: list[bool] = []

    def meet(self, mark: str) -> None:
        """Take a mark: a field's code begins, its result begins, or it ends."""
        if mark == "begin":
            self._in_code.append(True)
        elif self._in_code and mark == "separate":
            self._in_code[-1] = False
        elif self._in_code and mark == "end":
            self._in_code.pop()

    def in_code(self) -> bool:
        """Tell whether what follows stands in the code of a field around another one."""
        return self._balanced and any(self._in_code[:-1])


def _symbol(element: Any) -> str:
    font = (element.get(W + "font") or "").lower()
    try:
        code = int(element.get(W + "char") or "", 16)
    except ValueError:
        return ""
    low = chr(code & 0xFF) if 0xF000 <= code <= 0xF0FF else chr(code) if code < 0x110000 else ""
    table = _SYMBOL if font == "symbol" else _WINGDINGS if font.startswith("wingdings") else {}
    return table.get(low, low if not table or low.isdecimal() or low in ".,()+-=<>[]" else "")


def _form_field(element: Any) -> str:
    """Return what a field of a form shows without a text: a box, or the entry chosen of a list."""
    data = element.find(W + "ffData")
    if data is None:
        return ""
    box, entries = data.find(W + "checkBox"), data.find(W + "ddList")
    if box is not None:
        checked = switched(box, "checked")
        return "☒" if (switched(box, "default") if checked is None else checked) else "☐"
    if entries is None:
        return ""
    names = [each.get(W + "val") or "" for each in entries.iterchildren(W + "listEntry")]
    chosen = value(entries, "result") or value(entries, "default") or "0"
    return names[int(chosen)] if chosen.isdecimal() and int(chosen) < len(names) else ""
