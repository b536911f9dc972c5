"""PDFs written by hand: what no library writes, and hostile files do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rag.loading.formats.pdf import parse_pdf
from rag.loading.structure import Options, Parsed

#: A font that is not in the file: of a Japanese collection, its characters as UTF-16 or by ToUnicode.
_DESCRIPTOR = (
    "<< /Type /FontDescriptor /FontName /Mincho /Flags 4 /FontBBox [0 -200 1000 800] /ItalicAngle 0 "
    "/Ascent 800 /Descent -200 /CapHeight 700 /StemV 80 >>"
)
HELVETICA = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


def pdf_of(objects: Sequence[str | bytes]) -> bytes:
    """A file of these objects; the first is its catalogue."""
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, one in enumerate(objects, 1):
        offsets.append(len(out))
        body = one if isinstance(one, bytes) else one.encode("latin-1")
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return bytes(out + b"trailer << /Root 1 0 R /Size %d >>\nstartxref\n%d\n%%%%EOF\n" % (size, start))


def stream(data: str, entries: str = "") -> str:
    return f"<< {entries} /Length {len(data)} >>\nstream\n{data}\nendstream"


def line(x: float, y: float, text: str, font: str = "/F1", size: int = 12) -> str:
    shown = text if text.startswith("<") else f"({text})"
    return f"BT {font} {size} Tf 1 0 0 1 {x} {y} Tm {shown} Tj ET"


def page_of(
    *drawn: str,
    annotations: Sequence[str] = (),
    form: str = "",
    resources: str = "",
    font: Sequence[str] = (),
    more: Sequence[str] = (),
) -> bytes:
    """A file of one page. `font`: its objects, of which the first is /F2. `more`: objects from 20 on."""
    fixed = [
        f"<< /Type /Catalog /Pages 2 0 R {form} >>",
        "<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Annots ["
        f"{' '.join(annotations)}] /Resources << /Font << /F1 5 0 R /F2 6 0 R >> {resources} >> >>",
        stream("\n".join(drawn)),
        HELVETICA,
        *(font or [HELVETICA]),
    ]
    return pdf_of([*fixed, *["null"] * (19 - len(fixed)), *more])


def cjk_font(encoding: str = "UniJIS-UCS2-H", ordering: str = "Japan1", unicode: str = "") -> list[str]:
    """Objects 6 to 9: a composite font that is not in the file."""
    return [
        f"<< /Type /Font /Subtype /Type0 /BaseFont /Mincho /Encoding /{encoding} "
        f"/DescendantFonts [7 0 R] {'/ToUnicode 9 0 R' if unicode else ''} >>",
        "<< /Type /Font /Subtype /CIDFontType0 /BaseFont /Mincho /CIDSystemInfo << /Registry (Adobe) "
        f"/Ordering ({ordering}) /Supplement 2 >> /DW 1000 /FontDescriptor 8 0 R >>",
        _DESCRIPTOR,
        stream(unicode or "%"),
    ]


def glyph_by_glyph(glyphs: Sequence[str], right: float = 560, y: float = 700) -> bytes:
    """A line drawn from the right; each glyph is named by the letters that it stands for."""
    codes = {letters: 843 + at for at, letters in enumerate(dict.fromkeys(glyphs))}
    rows = "\n".join(f"<{code:04x}> <{_utf16(letters)}>" for letters, code in codes.items())
    unicode = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /A def /CMapType 2 def\n"
        "1 begincodespacerange <0000> <ffff> endcodespacerange\n"
        f"{len(codes)} beginbfchar\n{rows}\nendbfchar endcmap end end"
    )
    drawn = [
        line(right - 14 * (at + 1), y, f"<{codes[glyph]:04x}>", "/F2", 14) for at, glyph in enumerate(glyphs)
    ]
    return page_of(*reversed(drawn), font=cjk_font("Identity-H", unicode=unicode))


def utf16(text: str) -> str:
    return f"<{_utf16(text)}>"


def _utf16(text: str) -> str:
    return text.encode("utf-16-be").hex()


def read(data: bytes, page_texts: Mapping[int, str] | None = None) -> Parsed:
    return parse_pdf(Path("a.pdf"), data, Options(page_texts=page_texts or {}))


def lines_of(data: bytes) -> list[str]:
    return read(data).text.strip("\n").split("\n")
