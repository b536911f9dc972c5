"""A font of last resort: PDFium drops a glyph whose font is neither in the file nor on the machine.

PDFium takes the size of a glyph from its outline, and leaves text out that has no width. Chinese,
Japanese and Korean files often name a font without holding it; where the machine has none, a glyph
that is placed on its own (a cell "是", justified or vertical text) would be missing from the text. So would
a letter of any script that PDFium's built-in fonts lack.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pypdfium2.raw as raw

#: How the names begin of the fonts that PDFium holds itself, with their widths, for Latin text.
_BUILT_IN = (b"helvetica", b"arial", b"times", b"courier", b"symbol", b"zapfdingbats", b"dingbats")
#: Windows charset of Latin text (public/fpdf_sysfontinfo.h).
_ANSI = 0
_HANDLE = 0x52414701  # any number that is no font of PDFium's
_NAME = "Last Resort"
_UNITS, _ASCENT, _DESCENT = 1000, 800, -200

_kept: list[Any] = []  # what PDFium points at: callbacks must outlive it
_drawing = threading.Event()


@functools.cache
def add_last_resort() -> None:
    """Let PDFium fall back on a font whose one glyph has a size and draws nothing, for any character."""
    default = raw.FPDF_GetDefaultSystemFontInfo()
    if not default:  # a platform without a mapper of its own has nothing to fall back from
        return
    system = default.contents
    types = dict(raw.FPDF_SYSFONTINFO._fields_)
    font, tables = _font()

    def handed(data: bytes, buffer: Any, size: int) -> int:
        if buffer and size >= len(data):
            ctypes.memmove(buffer, data, len(data))
        return len(data)

    def enumerate_fonts(_: Any, mapper: Any) -> None:
        system.EnumFonts(default, mapper)

    def map_font(
        _: Any, weight: int, italic: int, charset: int, pitch: int, face: Any, exact: Any
    ) -> int | None:
        mine = system.MapFont(default, weight, italic, charset, pitch, face, exact)
        if mine or _drawing.is_set():
            return mine or None
        name = bytes(face or b"") if isinstance(face, bytes) else ctypes.string_at(face) if face else b""
        held = name.lower().replace(b" ", b"").startswith(_BUILT_IN)
        return None if charset == _ANSI and held else _HANDLE

    def get_font(_: Any, face: Any) -> int | None:
        return system.GetFont(default, face) if system.GetFont else None

    def font_data(_: Any, handle: int, table: int, buffer: Any, size: int) -> int:
        if handle != _HANDLE:
            return int(system.GetFontData(default, handle, table, buffer, size))
        return handed(tables.get(struct.pack(">I", table), b"") if table else font, buffer, size)

    def face_name(_: Any, handle: int, buffer: Any, size: int) -> int:
        if handle != _HANDLE:
            return int(system.GetFaceName(default, handle, buffer, size))
        return handed(_NAME.encode() + b"\0", buffer, size)

    def charset_of(_: Any, handle: int) -> int:
        return 1 if handle == _HANDLE else int(system.GetFontCharset(default, handle))

    def delete(_: Any, handle: int) -> None:
        if handle != _HANDLE:
            system.DeleteFont(default, handle)

    info = raw.FPDF_SYSFONTINFO(version=system.version)
    calls = {
        "EnumFonts": enumerate_fonts, "MapFont": map_font, "GetFont": get_font, "GetFontData": font_data,
        "GetFaceName": face_name, "GetFontCharset": charset_of, "DeleteFont": delete,
    }  # fmt: skip
    for name, call in calls.items():
        setattr(info, name, types[name](call))
    _kept.extend((info, default))
    raw.FPDF_SetSystemFontInfo(ctypes.byref(info))


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Leave pages to the fonts that draw something, while this lasts."""
    _drawing.set()
    try:
        yield
    finally:
        _drawing.clear()


def _font() -> tuple[bytes, dict[bytes, bytes]]:
    """Return a TrueType font, and its tables: one glyph, two points, for all of Unicode."""
    glyph = struct.pack(
        ">hhhhhHHH2B2h2h2x", 2, 0, _DESCENT, _UNITS, _ASCENT, 0, 1, 0,  # two contours of a point each
        1, 1, 0, _UNITS, _DESCENT, _UNITS,
    )  # fmt: skip
    name = _NAME.encode("utf-16-be")
    metrics = (_ASCENT, _DESCENT)
    tables = {
        b"OS/2": struct.pack(
            ">HhHHH11h10s4I4sHHHhhhHHII", 1, _UNITS, 400, 5, 0, *[0] * 11, bytes(10), 0, 0, 0, 0, b"NONE",
            64, 0x20, 0xFFFF, *metrics, 0, _ASCENT, -_DESCENT, 0, 0,
        ),
        # Subtable format 13 maps a range of characters to one glyph.
        b"cmap": struct.pack(
            ">HHHHIHHIIIIII", 0, 1, 3, 10, 12, 13, 0, 28, 0, 1, 0x21, 0x10FFFF, 1
        ),
        b"glyf": glyph * 2,
        b"head": struct.pack(
            ">IIIIHHqqhhhhHHhhh", 0x10000, 0x10000, 0, 0x5F0F3CF5, 0, _UNITS, 0, 0, 0, _DESCENT, _UNITS,
            _ASCENT, 0, 8, 2, 1, 0,
        ),
        b"hhea": struct.pack(
            ">IhhhHhhhhhhhhhhhH", 0x10000, *metrics, 0, _UNITS, 0, 0, _UNITS, 1, *[0] * 7, 2
        ),
        b"hmtx": struct.pack(">HhHh", _UNITS, 0, _UNITS, 0),
        b"loca": struct.pack(">3I", 0, len(glyph), 2 * len(glyph)),
        b"maxp": struct.pack(">I14H", 0x10000, 2, 2, 2, 0, 0, 2, *[0] * 8),
        b"name": struct.pack(">3H6H6H", 0, 2, 30, 3, 1, 0x409, 1, len(name), 0, 3, 1, 0x409, 6, len(name), 0)
        + name,
        b"post": struct.pack(">IIhh5I", 0x30000, 0, 0, 0, 0, 0, 0, 0, 0),
    }  # fmt: skip
    directory, body = struct.pack(">IHHHH", 0x10000, len(tables), 128, 3, 16 * len(tables) - 128), b""
    for tag in sorted(tables):
        at = 12 + 16 * len(tables) + len(body)
        directory += tag + struct.pack(">III", 0, at, len(tables[tag]))
        body += tables[tag] + bytes(-len(tables[tag]) % 4)
    return directory + body, tables
