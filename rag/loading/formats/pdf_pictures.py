"""Whether a page of a PDF is a picture: a scan, bare or with a line stamped on it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

#: A page with fewer letters than this and pictures over more than this share of it may hold text that
#: only OCR can read. A stamp, a case number and a letterhead are about 200 letters.
FEW_LETTERS, _SHARE = 400, 0.35
#: Most objects of a page that are looked at, and how deep: a map is a hundred thousand lines.
_MOST, _DEEPEST = 20_000, 4


def holds_picture(page: Any) -> bool:
    """Return whether there is any picture on a page."""
    return any(kind == raw.FPDF_PAGEOBJ_IMAGE for kind, _, _ in _objects(page))


def is_stamped_scan(page: Any) -> bool:
    """Return whether pictures cover much of a page, and no OCR has been laid over them."""
    left, bottom, right, top = page.get_bbox()
    covered = 0.0
    for kind, one, matrix in _objects(page):
        if kind == raw.FPDF_PAGEOBJ_TEXT:
            if raw.FPDFTextObj_GetTextRenderMode(one) == raw.FPDF_TEXTRENDERMODE_INVISIBLE:
                return False  # how OCR puts its text over a scan
            continue
        box = _bounds(one)
        if box is None:
            continue
        x1, y1, x2, y2 = matrix.on_rect(*box)
        covered += max(min(x2, right) - max(x1, left), 0) * max(min(y2, top) - max(y1, bottom), 0)
    return bool(covered > _SHARE * (right - left) * (top - bottom))


def _bounds(one: Any) -> tuple[float, float, float, float] | None:
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    if not raw.FPDFPageObj_GetBounds(one, left, bottom, right, top):
        return None
    return left.value, bottom.value, right.value, top.value


def _objects(page: Any) -> Iterator[tuple[int, Any, Any]]:
    """Yield the pictures and texts of a page, those inside of forms, too: kind, object, matrix."""
    waiting = [(page, pdfium.PdfMatrix(), 0)]
    seen = 0
    while waiting:
        holder, matrix, depth = waiting.pop()
        count = raw.FPDFFormObj_CountObjects if depth else raw.FPDFPage_CountObjects
        get = raw.FPDFFormObj_GetObject if depth else raw.FPDFPage_GetObject
        for index in range(count(holder)):
            seen += 1
            if seen > _MOST:
                return
            one = get(holder, index)
            kind = raw.FPDFPageObj_GetType(one)
            if kind in (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_TEXT):
                yield kind, one, matrix
            elif kind == raw.FPDF_PAGEOBJ_FORM and depth < _DEEPEST:
                own = raw.FS_MATRIX()
                raw.FPDFPageObj_GetMatrix(one, own)
                waiting.append((one, pdfium.PdfMatrix.from_raw(own).multiply(matrix), depth + 1))
