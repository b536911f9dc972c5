"""Rich text (rtf): paragraphs, lists, tables, notes and text boxes, as a reader sees them.

After Microsoft's Rich Text Format Specification 1.9.1. Text that is deleted, hidden or a second
rendering of what was said before is left out.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from pathlib import Path

from rag.core.errors import LoadError
from rag.loading.formats.html import read_html
from rag.loading.formats.registry import RTF_PADDING, is_rich_text
from rag.loading.formats.rtf_flow import Flow, Paragraph
from rag.loading.formats.rtf_words import (
    CHARACTERS,
    CHARSETS,
    FLOWS,
    INFO,
    KNOWN,
    SKIPPED,
    SYMBOL_BULLETS,
    SYMBOLS,
    WIDE,
    WORDS,
    code_page,
)
from rag.loading.structure import Options, Parsed, joined

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n\0]+"
    rb"|([^\\{}\r\n\0]+)|\\",
    re.DOTALL,
)
_CODE_PAGE = re.compile(rb"\\ansicpg(\d{1,5})")
#: The properties of a formula's parts.
_FORMULA = re.compile(r"(?:m|ctrl)\w*Pr")


def parse_rtf(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a rich text file.

    Raises
    ------
    LoadError
        It is no rich text.
    """
    data = data.lstrip(RTF_PADDING)
    if not is_rich_text(data):
        raise LoadError("is not rich text (.rtf)", "leave it out, or rename it to .txt")
    return _Reader(data).read()


@dataclass
class _State:
    """What a group inherits from the group around it."""

    flow: Flow
    into: str = "text"  # or skip, shape, mark, fonts, info, info:<name>, form, choice, html
    shape: Paragraph = field(default_factory=Paragraph)
    font: int = -1
    fallbacks: int = 1  # characters that stand behind \u for readers without Unicode
    hidden: bool = False
    deleted: bool = False
    in_rtf: bool = False  # between \htmlrtf and \htmlrtf0: not of the HTML


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        page = _CODE_PAGE.search(data[:4096])
        self._page = code_page(int(page[1])) if page else "cp1252"
        self._fonts: dict[int, str] = {}
        self._defining = self._default = -1
        self._body = Flow("body")
        self._state = _State(self._body)
        self._stack: list[_State] = []
        self._bytes = bytearray()
        self._raw = False  # whether some of the bytes stood there unescaped
        self._omit = 0
        self._info: dict[str, list[str]] = {}
        self._html: list[str] | None = None
        self._edges: dict[str, list[Parsed]] = {"header": [], "footer": []}
        self._notes = 0
        self._form: dict[str, int] = {}
        self._choices: list[str] = []

    def read(self) -> Parsed:
        at, fresh, starred = 0, False, False
        while match := _TOKEN.match(self._data, at):
            at = match.end()
            word, number, code, symbol, brace, text = match.groups()
            if text is not None or code is not None:
                self._take(text if text is not None else bytes((int(code, 16),)), raw=text is not None)
                fresh = False
                continue
            if brace is None and word is None and symbol is None:
                continue
            self._decode()
            if brace == b"{":
                self._open()
                fresh, starred = True, False
            elif brace == b"}":
                self._close()
                fresh = False
            elif symbol == b"*":
                starred = fresh
            elif symbol is not None:
                self._symbol(symbol)
                fresh = False
            elif word == b"bin":
                at += max(int(number or 0), 0)
            elif word is not None:
                value = int(number) if number is not None else None
                self._word(word.decode(), value, starred=starred and fresh)
                fresh = False
        self._decode()
        while self._stack:
            self._close()
        return self._done()

    def _done(self) -> Parsed:
        metadata = {name: " ".join("".join(words).split()) for name, words in self._info.items()}
        metadata = {name: value for name, value in metadata.items() if value}
        if self._html is not None:
            parsed = read_html(joined("".join(self._html)))
            parsed.metadata = {**parsed.metadata, **metadata}
            return parsed
        body = self._body.done()
        if not any(self._edges.values()):
            body.metadata.update(metadata)
            return body
        whole = Flow("whole").out
        for part in (*self._edges["header"], body, *self._edges["footer"]):
            whole.include(part)
        return whole.done(metadata)

    # ------------------------------------------------------------------ groups

    def _open(self) -> None:
        self._stack.append(self._state)
        self._state = copy.copy(self._state)
        self._state.shape = copy.copy(self._state.shape)
        self._omit = 0

    def _close(self) -> None:
        if not self._stack:
            return
        inner, self._state = self._state, self._stack.pop()
        self._omit = 0
        if inner.flow is not self._state.flow:
            self._end_flow(inner.flow, self._state.flow)
        elif inner.into == "form" and self._state.into != "form":
            self._end_form()

    def _end_flow(self, flow: Flow, outer: Flow) -> None:
        parsed = flow.done()
        words = parsed.text.strip()
        if not words:
            return
        if flow.kind in self._edges:
            if all(words != other.text.strip() for other in self._edges[flow.kind]):
                self._edges[flow.kind].append(parsed)
        elif flow.kind == "note":
            self._notes += 1
            outer.add(f"[^{self._notes}]")
            outer.add_behind(Parsed(f"[^{self._notes}]: {' '.join(words.split())}"))
        elif flow.kind == "comment":
            outer.add_behind(Parsed(f"Note: {' '.join(words.split())}"))
        else:
            outer.add_behind(parsed)

    def _end_form(self) -> None:
        """Show a form field that shows no text: a box to be ticked, or a choice."""
        form, choices, self._form, self._choices = self._form, self._choices, {}, []
        chosen = form.get("ffres", 25)
        chosen = form.get("ffdefres", 0) if chosen == 25 else chosen  # 25: not touched yet
        if form.get("fftype") == 1:
            self._state.flow.add("☒" if chosen else "☐")
        elif form.get("fftype") == 2 and 0 <= chosen < len(choices):
            self._state.flow.add(choices[chosen])

    # ------------------------------------------------------------------ text

    def _take(self, data: bytes, *, raw: bool) -> None:
        if self._omit:
            omitted = min(self._omit, len(data))
            self._omit -= omitted
            data = data[omitted:]
        if data and self._state.into != "skip":
            self._bytes += data
            self._raw |= raw

    def _decode(self) -> None:
        """Decode the bytes since the last control word, by the font's code page."""
        if not self._bytes:
            return
        data, raw = bytes(self._bytes), self._raw
        self._bytes.clear()
        self._raw = False
        if data.isascii():
            self._emit(data.decode("ascii"))
            return
        page = self._fonts.get(self._state.font, self._page)
        if page == "symbol":
            data = bytes(0x95 if byte in SYMBOL_BULLETS else byte for byte in data)
            page = "cp1252"
        elif raw and page not in WIDE:
            try:  # some writers put UTF-8 where a code page is declared
                self._emit(data.decode("utf-8"))
                return
            except UnicodeDecodeError:
                pass
        self._emit(data.decode(page, "replace"))

    def _emit(self, text: str) -> None:
        state = self._state
        into = state.into
        if into == "fonts":
            return
        if into.startswith("info:"):
            self._info.setdefault(into[5:], []).append(text)
        elif into == "choice" and self._choices:
            self._choices[-1] += text
        elif into == "html":
            assert self._html is not None
            self._html.append(text)
        elif state.hidden or state.deleted or into not in ("text", "mark"):
            return
        elif self._html is not None and state.flow is self._body:
            if not state.in_rtf:
                self._html.append(text)
        elif into == "mark":
            state.flow.add_mark(text.replace("\t", " "))
        else:
            state.flow.add(text)

    def _symbol(self, symbol: bytes) -> None:
        if self._omit:
            self._omit -= 1
        elif symbol in (b"\r", b"\n"):
            self._break()
        elif symbol in SYMBOLS:
            self._emit(SYMBOLS[symbol])

    def _break(self) -> None:
        state = self._state
        if state.into != "text" or state.hidden or state.deleted:
            return
        if self._html is not None and state.flow is self._body:
            self._emit("\n")
        else:
            state.flow.end_paragraph(state.shape)

    # ------------------------------------------------------------------ control words

    def _word(self, word: str, value: int | None, *, starred: bool) -> None:
        state = self._state
        if word == "u":
            if not self._omit:
                self._emit(chr((value or 0) & 0xFFFF))
                self._omit = state.fallbacks
            else:
                self._omit -= 1
        elif word == "uc":
            state.fallbacks = max(value if value is not None else 1, 0)
        elif word in CHARACTERS:
            if self._omit:
                self._omit -= 1
            else:
                self._emit(CHARACTERS[word])
        elif word == "fonttbl":
            state.into = "fonts"
        elif state.into == "fonts":
            self._font(word, value)
        elif state.into == "skip" and word not in ("ud", "formfield"):
            return
        elif state.into == "form":
            self._form_word(word, value)
        elif word == "ud" and starred:
            state.into = self._stack[-2].into if len(self._stack) > 1 else "text"
        elif word in SKIPPED or _FORMULA.fullmatch(word) or (starred and word not in KNOWN | FLOWS.keys()):
            state.into = "skip"
        elif word in FLOWS:
            self._enter(word)
        else:
            self._property(word, value)

    def _enter(self, word: str) -> None:
        """Begin a stream of its own, but for what is inside of hidden text."""
        state = self._state
        if state.hidden or state.deleted or state.into not in ("text", "shape"):
            state.into = "skip"
            return
        state.into, state.flow, state.shape = "text", Flow(FLOWS[word]), Paragraph()

    def _font(self, word: str, value: int | None) -> None:
        if word == "f":
            self._defining = value or 0
        elif word == "fcharset" and value == 2:
            self._fonts[self._defining] = "symbol"
        elif word == "fcharset" and value in CHARSETS:
            self._fonts[self._defining] = CHARSETS[value]
        elif word == "cpg" and value:
            self._fonts[self._defining] = code_page(value)

    def _form_word(self, word: str, value: int | None) -> None:
        if word in ("fftype", "ffres", "ffdefres"):
            self._form[word] = value or 0
        elif word == "ffl":
            self._choices.append("")
            self._state.into = "choice"

    def _property(self, word: str, value: int | None) -> None:
        state = self._state
        on = value != 0
        match word:
            case "par" | "sect" | "page" | "column":
                self._break()
            case "cell" | "nestcell" if state.into == "text":
                state.flow.end_cell(state.shape, 1 if word == "cell" else max(state.shape.depth, 2))
            case "row" | "nestrow" if state.into == "text":
                state.flow.end_row(1 if word == "row" else max(state.shape.depth, 2))
            case "trowd" if state.shape.depth < 2:
                state.flow.row_open = True
            case "pard":
                state.shape = Paragraph()
            case "intbl":
                state.shape.in_table = True
            case "itap":
                state.shape.depth = max(value or 0, 1)
                state.shape.in_table = bool(value)
            case "outlinelevel":
                state.shape.outline = min(value if value is not None else 9, 9)
            case "ilvl":
                state.shape.indent = max(min(value or 0, 8), 0)
            case "listtext" | "pntext":
                state.into = "mark" if state.into == "text" else "skip"
            case "v":
                state.hidden = on
            case "deleted" | "mvf":  # moved from here: it stands where it was moved to
                state.deleted = on
            case "plain":
                state.hidden = state.deleted = False
                state.font = self._default
            case "deff" if value is not None:
                self._default = state.font = value
            case "f" if value is not None:
                state.font = value
            case "shpinst" | "do":
                state.into = "shape" if state.into == "text" else "skip"
            case "formfield":
                state.into = "form" if not (state.hidden or state.deleted) else "skip"
            case "fromhtml" if on:
                self._html = []
            case "htmltag":
                state.into = "html" if self._html is not None else "skip"
            case "htmlrtf":
                state.in_rtf = on
            case "mac" | "pc" | "pca":
                self._page = WORDS[word] if b"\\ansicpg" not in self._data[:4096] else self._page
            case _ if word in INFO and state.into == "info":
                state.into = f"info:{INFO[word]}"
            case "info":
                state.into = "info"
