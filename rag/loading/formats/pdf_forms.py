"""What a PDF page shows beside its own text: the values of form fields, text boxes, stamps, notes."""

from __future__ import annotations

import contextlib
import ctypes
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pypdfium2.raw as raw

from rag.core.errors import LoadError
from rag.loading.formats.archive import local_name, read_xml

#: How far from a field its label is looked for, in points, on either side of PDFium's point: beside it,
#: along its row, above it, and off its middle.
_BESIDE, _ALONG, _ABOVE, _OFF = 110.0, 500.0, 7.0, 3.0
#: Fields one above the other with less than this between them have no labels between: a grid.
_GRID = 9.0
_MOST_GRIDDED = 1000  # fields of a page that are compared with one another
#: A gap between two letters of a line, in points, at which another column begins.
_GAP = 12.0
_FILL = frozenset(map(ord, "_.…"))  # what a line to write on is made of
_CHECKED, _UNCHECKED = "☒", "☐"
#: Values of a ticked box that say no more than the tick.
_PLAIN_TICKS = frozenset(("on", "1", "true", "x", "off", ""))

_TYPED = frozenset((raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX))
_TICKED = frozenset((raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON))
#: Annotations that carry no text of their own: links, windows of notes, sounds and the like.
_SILENT = frozenset(
    (raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP, raw.FPDF_ANNOT_SOUND, raw.FPDF_ANNOT_MOVIE,
     raw.FPDF_ANNOT_SCREEN, raw.FPDF_ANNOT_PRINTERMARK, raw.FPDF_ANNOT_TRAPNET, raw.FPDF_ANNOT_THREED)
)  # fmt: skip
_BOXES = frozenset((raw.FPDF_ANNOT_FREETEXT, raw.FPDF_ANNOT_STAMP, raw.FPDF_ANNOT_WATERMARK))
_NOT_SEEN = raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW
_PASSWORD_FIELD = 1 << 13  # field flag 14 (ISO 32000-1, table 228)


@dataclass
class _Shown:
    """What the annotations of a page show."""

    placed: list[tuple[int, float, str]] = field(default_factory=list)  # offset in the text, x, words
    behind: list[str] = field(default_factory=list)  # lines for the end of the page
    boxes: list[str] = field(default_factory=list)  # contents of text boxes and stamps
    notes: list[str] = field(default_factory=list)  # contents of comments
    drawn: bool = False  # whether something is drawn whose text is known to its appearance only


def with_annotations(
    text: str, textpage: Any, page: Any, document: Any, number: int, attached: list[str]
) -> str:
    """Return a page's text with what its fields, text boxes, stamps and comments hold.

    A value stands behind its label where one is seen beside or above the field, a tick before or
    behind its label; what has no label, and all else, stands at the end of the page.

    Parameters
    ----------
    text : str
        The page's own text, a character for each unit of UTF-16.
    textpage, page, document : PDFium's
        The page; it is changed in memory (annotations become part of its contents).
    number : int
        The page's number, from 0.
    attached : list of str
        The names of files that are attached to the page are added here.
    """
    count = raw.FPDFPage_GetAnnotCount(page)
    if count < 1:
        return text
    form = document.formenv
    fields = _rectangles(page, count)
    shown = _Shown()
    for index in range(count):
        with _annotation(page, index) as one:
            kind = raw.FPDFAnnot_GetSubtype(one)
            if kind in _SILENT or raw.FPDFAnnot_GetFlags(one) & _NOT_SEEN:
                continue
            if kind == raw.FPDF_ANNOT_WIDGET:
                if form is not None and _field(form, one, textpage, text, shown, fields):
                    raw.FPDFAnnot_SetFlags(one, raw.FPDF_ANNOT_FLAG_HIDDEN)  # its value is known
                else:
                    shown.drawn = True
                continue
            if kind == raw.FPDF_ANNOT_FILEATTACHMENT:
                attached.append(_attachment(one))
                continue
            words = _string(raw.FPDFAnnot_GetStringValue, one, b"Contents").strip()
            shown.drawn |= kind in _BOXES
            if words:
                (shown.boxes if kind in _BOXES else shown.notes).append(words)
    lines = list(shown.behind)
    appearance = _appearance(text, page, document, number) if shown.drawn else ""
    lines += [appearance] if appearance else []
    there = _letters(text + "".join(lines))
    lines += [words for words in shown.boxes if _letters(words) not in there]
    lines += [f"Note: {words}" for words in shown.notes if _letters(words) not in there]
    for at, _, words in sorted(shown.placed, reverse=True):
        text = text[:at] + words + text[at:]
    return "\n".join([text.rstrip(), *lines]).strip("\n") if lines else text


@contextlib.contextmanager
def _annotation(page: Any, index: int) -> Iterator[Any]:
    one = raw.FPDFPage_GetAnnot(page, index)
    try:
        yield one
    finally:
        raw.FPDFPage_CloseAnnot(one)


def _attachment(one: Any) -> str:
    file = raw.FPDFAnnot_GetFileAttachment(one)
    name = _string(raw.FPDFAttachment_GetName, file) if file else ""
    return name or _string(raw.FPDFAnnot_GetStringValue, one, b"Contents") or "unnamed"


def _rectangles(page: Any, count: int) -> list[Any]:
    """Return where the fields of a page are."""
    out = []
    for index in range(count):
        with _annotation(page, index) as one:
            box = raw.FS_RECTF()
            if raw.FPDFAnnot_GetSubtype(one) == raw.FPDF_ANNOT_WIDGET and raw.FPDFAnnot_GetRect(one, box):
                out.append(box)
    return out


def _gridded(box: Any, fields: list[Any]) -> bool:
    return len(fields) <= _MOST_GRIDDED and any(
        abs(other.left - box.left) < 3
        and (-2 < other.bottom - box.top < _GRID or -2 < box.bottom - other.top < _GRID)
        for other in fields
    )


def _field(form: Any, one: Any, textpage: Any, text: str, shown: _Shown, fields: list[Any]) -> bool:
    """Take a field's value; False where PDFium knows no field, or only its appearance tells."""
    kind = raw.FPDFAnnot_GetFormFieldType(form, one)
    if kind == raw.FPDF_FORMFIELD_PUSHBUTTON:
        return True
    if kind not in _TYPED and kind not in _TICKED:
        return False
    page = _Letters(textpage, text)
    box = raw.FS_RECTF()
    raw.FPDFAnnot_GetRect(one, box)
    gridded = _gridded(box, fields)
    label = " ".join(_string(raw.FPDFAnnot_GetFormFieldAlternateName, form, one).split())
    label = label or _string(raw.FPDFAnnot_GetFormFieldName, form, one).strip()
    if kind in _TYPED:
        value = _value(form, one, kind)
        if value and not raw.FPDFAnnot_GetFormFieldFlags(form, one) & _PASSWORD_FIELD:
            at = page.label_before(box, gridded=gridded)
            if at is None:
                shown.behind.append(f"{label}: {value}" if label else value)
            else:
                shown.placed.append((at, box.left, f" {value}"))
        return True
    ticked = bool(raw.FPDFAnnot_IsChecked(form, one))
    mark = _CHECKED if ticked else _UNCHECKED
    at = page.label_behind(box)
    if at is not None:
        shown.placed.append((at, box.left, f"{mark} "))
        return True
    says = _string(raw.FPDFAnnot_GetFormFieldExportValue, form, one).strip()
    more = f" {says}" if ticked and says.lower() not in _PLAIN_TICKS else ""
    at = page.label_before(box, gridded=gridded)
    if at is not None:
        shown.placed.append((at, box.left, f" {mark}{more}"))
    elif ticked:
        shown.behind.append(f"{label}: {mark}{more}")
    return True


def _value(form: Any, one: Any, kind: int) -> str:
    """Return a text, or the labels that are chosen of a list."""
    if kind != raw.FPDF_FORMFIELD_TEXTFIELD:
        chosen = [
            _string(raw.FPDFAnnot_GetOptionLabel, form, one, option).strip()
            for option in range(raw.FPDFAnnot_GetOptionCount(form, one))
            if raw.FPDFAnnot_IsOptionSelected(form, one, option)
        ]
        if any(chosen):
            return ", ".join(filter(None, chosen))
    value = _string(raw.FPDFAnnot_GetFormFieldValue, form, one)
    return value.replace("\r\n", "\n").replace("\r", "\n").strip()


def xfa_values(document: Any) -> list[tuple[str, str]]:
    """Return the names and values of a form whose pages are made by XFA, which PDFium does not draw.

    Such a file has one page, which asks for another viewer; the values are in its packet "datasets".
    """
    if document.get_formtype() != raw.FORMTYPE_XFA_FULL:
        return []
    found = []
    for packet in range(max(raw.FPDF_GetXFAPacketCount(document), 0)):
        size = raw.FPDF_GetXFAPacketName(document, packet, None, 0)
        name = ctypes.create_string_buffer(max(size, 1))
        raw.FPDF_GetXFAPacketName(document, packet, name, size)
        if name.value != b"datasets":
            continue
        length = ctypes.c_ulong()
        raw.FPDF_GetXFAPacketContent(document, packet, None, 0, length)
        content = ctypes.create_string_buffer(max(length.value, 1))
        raw.FPDF_GetXFAPacketContent(document, packet, content, length.value, length)
        with contextlib.suppress(LoadError):
            for element in read_xml(content.raw[: length.value]).iter():
                words = (element.text or "").strip()
                if words and not len(element):
                    found.append((local_name(element), words))
    return found


class _Letters:
    """The letters of a page by where they stand."""

    def __init__(self, textpage: Any, text: str) -> None:
        self._page, self._text = textpage, text

    def label_before(self, box: Any, *, gridded: bool) -> int | None:
        """Return the offset behind the label to the left of a field, or else above it."""
        off = min(_OFF, (box.top - box.bottom) / 4)
        middle, first = (box.top + box.bottom) / 2, box.top - 7  # the first line of a high field
        beside = [(box.left, middle, _BESIDE, off), (box.left, first, _BESIDE, off)]
        along = (box.left, middle, _ALONG, off)
        above = (box.left + 2, box.top + 2, 6.0, _ABOVE)
        for x, y, across, up in (*beside, *((along, above) if gridded else (above, along))):
            letter = raw.FPDFText_GetCharIndexAtPos(self._page, x, y, 2 * across, 2 * up)
            while letter >= 0 and self._blank(letter):  # a blank stands where the letter before it ends
                letter -= 1
            if letter >= 0 and self._box(letter).left < box.right and self._box(letter).left < x + 8:
                return self._end_of_run(letter, box)
        return None

    def label_behind(self, box: Any) -> int | None:
        """Return the offset of the label to the right of a box to be ticked."""
        off = 2 * min(_OFF, (box.top - box.bottom) / 4)
        letter = raw.FPDFText_GetCharIndexAtPos(
            self._page, box.right, (box.top + box.bottom) / 2, 1.5 * (box.right - box.left) + 10, off
        )
        if letter < 0 or self._blank(letter) or self._box(letter).left < box.right - 3:
            return None
        return self._offset(letter)

    def _end_of_run(self, letter: int, field_: Any) -> int:
        """Return the offset behind the last letter of a line that belongs with this one."""
        here, count = self._box(letter), self._page.count_chars()
        for after in range(letter + 1, count):
            code = raw.FPDFText_GetUnicode(self._page, after)
            if code in (10, 13):
                break
            if self._blank(after):
                continue
            there = self._box(after)
            line = code in _FILL and code == raw.FPDFText_GetUnicode(self._page, letter)
            if there.left - here.right > _GAP or (there.left >= field_.right - 1 and not line):
                break
            letter, here = after, there
        return self._offset(letter) + 1

    def _blank(self, letter: int) -> bool:
        generated = raw.FPDFText_IsGenerated(self._page, letter) == 1
        return generated or bool(raw.FPDFText_GetUnicode(self._page, letter) <= 0x20)

    def _box(self, letter: int) -> Any:
        box = raw.FS_RECTF()
        raw.FPDFText_GetLooseCharBox(self._page, letter, box)
        return box

    def _offset(self, letter: int) -> int:
        at = raw.FPDFText_GetTextIndexFromCharIndex(self._page, letter)
        return min(at, len(self._text)) if at >= 0 else len(self._text)


def _appearance(text: str, page: Any, document: Any, number: int) -> str:
    """Return what annotations draw: the text that a page gains when they become part of it."""
    if raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY) != raw.FLATTEN_SUCCESS:
        return ""
    again = document[number]
    textpage = again.get_textpage()
    try:
        whole = textpage.get_text_range()
    finally:
        textpage.close()
        again.close()
    before = Counter(map(_letters, _lines(text)))
    gained = []
    for line in _lines(whole):
        if before[_letters(line)] > 0:
            before[_letters(line)] -= 1
        else:
            gained.append(line)
    return "\n".join(gained)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]


def _letters(text: str) -> str:
    return "".join(text.replace("\0", "").split())


def _string(read: Callable[..., int], *what: Any) -> str:
    size = read(*what, None, 0)
    if size <= 2:
        return ""
    buffer = (ctypes.c_ushort * ((size + 1) // 2))()
    read(*what, buffer, size)
    return bytes(buffer)[: size - 2].decode("utf-16-le", "replace")
