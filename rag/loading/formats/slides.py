"""PowerPoint (pptx): each slide a page, with its title, lists, tables, charts and notes."""

from __future__ import annotations

import datetime as dt
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rag.core.extras import require
from rag.loading.formats.archive import core_properties, damaged, open_zip, unlocked, without_damage
from rag.loading.structure import Options, Parsed, Text

pptx = require("pptx", extra="office")

_KIND = "a PowerPoint presentation (.pptx)"


def parse_slides(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a presentation; a slide that cannot be read is named in the notes."""
    data = unlocked(data, options, _KIND, "an old PowerPoint presentation (.ppt)")
    whole, notes = without_damage(open_zip(data, _KIND), "ppt/presentation.xml")
    out = Text()
    out.parsed.notes += notes
    try:
        deck = pptx.Presentation(io.BytesIO(whole or data))
        slides = list(deck.slides)
    except Exception as error:  # python-pptx raises anything on a damaged file
        raise damaged(_KIND, error) from None
    failed: Exception | None = None
    for number, slide in enumerate(slides, 1):
        out.page()
        try:
            _slide(slide, out)
        except Exception as error:
            failed = error
            out.parsed.notes.append(f"slide {number} was not read to its end ({type(error).__name__})")
    if failed is not None and not out.length:
        raise damaged(_KIND, failed) from None
    return out.done(core_properties(deck.core_properties, "PowerPoint Presentation"))


def _slide(slide: Any, out: Text) -> None:
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        out.heading(1, title.text_frame.text)
    for shape in _shapes(slide.shapes):
        if title is None or shape.element is not title.element:
            _shape(shape, out)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = slide.notes_slide.notes_text_frame.text.strip()
        if notes:
            out.block("Notes: " + notes)


def _shapes(shapes: Iterable[Any]) -> Iterator[Any]:
    """Yield the shapes in reading order, those of groups in their place."""
    for shape in shapes:
        inner = getattr(shape, "shapes", None)
        if inner is not None:
            yield from _shapes(inner)
        else:
            yield shape


def _shape(shape: Any, out: Text) -> None:
    if getattr(shape, "has_table", False) and shape.has_table:
        out.table([[_cell(cell) for cell in row.cells] for row in shape.table.rows])
    elif getattr(shape, "has_chart", False) and shape.has_chart:
        _chart(shape.chart, out)
    elif shape.has_text_frame:
        paragraphs = [p for p in shape.text_frame.paragraphs if p.text.strip()]
        listed = len(paragraphs) > 1 and shape.is_placeholder
        for number, paragraph in enumerate(paragraphs):
            if listed or paragraph.level:
                out.item(_text(paragraph), level=paragraph.level, first=not number)
            else:
                out.block(_text(paragraph).strip())


def _text(paragraph: Any) -> str:
    return str(paragraph.text).replace("\v", "\n")


def _cell(cell: Any) -> str:
    return "" if cell.is_spanned else str(cell.text_frame.text)


def _chart(chart: Any, out: Text) -> None:
    """Write a chart as the table of its figures."""
    if chart.has_title and chart.chart_title.has_text_frame:
        out.block(chart.chart_title.text_frame.text)
    for plot in chart.plots:
        series = list(plot.series)
        categories = [_category(plot, at, str(name)) for at, name in enumerate(plot.categories)]
        if not categories:  # a scatter of points
            for one in series:
                points = [_values(one, kind) for kind in ("xVal", "yVal")]
                out.table([["x", str(one.name)], *map(list, zip(*points, strict=False))])
            continue
        rows = [["", *(str(one.name) for one in series)]]
        values = [list(one.values) for one in series]
        for at, category in enumerate(categories):
            rows.append([category, *(_figure(each[at]) if at < len(each) else "" for each in values)])
        out.table(rows)


def _category(plot: Any, at: int, name: str) -> str:
    """Return a category's name; one that is a date is kept as a number of days, and its format says so."""
    form = next(iter(plot._element.xpath(".//c:cat//c:formatCode")), None)
    if form is None or not re.search(r"[ymd]", form.text or "", re.IGNORECASE):
        return name
    try:
        return (dt.date(1899, 12, 30) + dt.timedelta(days=int(float(name)))).isoformat()
    except (ValueError, OverflowError):
        return name


def _values(series: Any, kind: str) -> list[str]:
    return [str(value.text) for value in series._element.xpath(f"./c:{kind}//c:v")]


def _figure(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.15g}" if isinstance(value, float) else str(value)
