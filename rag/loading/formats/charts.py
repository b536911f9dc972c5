"""Charts of office documents: titles as paragraphs, the figures as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.core.errors import LoadError
from rag.loading.formats.archive import local_name
from rag.loading.formats.number_format import format_number, is_date, is_percent
from rag.loading.formats.ooxml import Package
from rag.loading.formats.registry import parse, parser_of
from rag.loading.structure import Options, Parsed, Text

#: A position is believed up to here: a chart has at most 32,000 points a series in Excel.
_MOST_POINTS = 100_000


@dataclass
class _Series:
    """One row of figures; `points` are those of a scatter, which has x values in place of categories."""

    name: str
    categories: list[str]
    values: list[str]
    sizes: list[str] = field(default_factory=list)
    points: bool = False


def write_chart(package: Package, part: str, root: Any, out: Text, *, figures: bool = True) -> None:
    """Write a chart: its title, the titles of its axes, and a table with a column for each series.

    Parameters
    ----------
    package, part, root
        The file, the name of the chart's part in it, and that part's root element.
    figures : bool
        False where the figures stand in the document already, as those of a sheet's own chart; figures
        that the chart alone holds are written all the same.
    """
    title = root.find(".//{*}chart/{*}title")
    if title is not None:
        out.block(_words(title))
    axes = [_words(element) for element in root.iterfind(".//{*}plotArea//{*}title")]
    out.block("; ".join(axis for axis in axes if axis))
    if figures or root.find(".//{*}numLit") is not None:
        series = [*_series(root), *_extended(root)]
        for group in _alike(series):
            out.table(_rows(group))
        if not any(any(one.values) for one in series):
            _write_source(package, part, out)
    labels = [_words(label) for label in root.iterfind(".//{*}dLbl")]
    out.block("; ".join(dict.fromkeys(label for label in labels if label)))
    for drawn in package.related(part, "chartUserShapes"):
        shapes = package.xml(drawn)
        for paragraph in [] if shapes is None else shapes.iter("{*}p"):
            out.block("".join(element.text or "" for element in paragraph.iter("{*}t")).strip())


def _write_source(package: Package, part: str, out: Text) -> None:
    """Write the tables of the workbook behind a chart that keeps no figures itself."""
    for name in package.related(part, "package"):
        data = package.data(name)
        if data is None:
            continue
        path = Path(name)
        try:
            parsed = parse(parser_of(path, data[:4096]).parser, path, data, Options())
        except LoadError as error:
            package.notes.append(f"the figures of its chart {part} were not read: {name} {error.reason}")
        else:
            for start, below, end in parsed.tables:
                out.include(Parsed(parsed.text[start:end], tables=[(0, below - start, end - start)]))


def _words(element: Any) -> str:
    """Return the text of a title or label, typed or taken from a cell."""
    lines = []
    for paragraph in element.iter("{*}p"):
        lines.append("".join(part.text or "" for part in paragraph.iter("{*}t")))
    if not any(line.strip() for line in lines):
        lines = [value.text or "" for value in element.iterfind(".//{*}tx//{*}v")]
    return " ".join(" ".join(lines).split())


def _series(root: Any) -> Iterable[_Series]:
    since_1904 = _on(root.find("./{*}date1904"))
    for one in root.iterfind(".//{*}plotArea//{*}ser"):
        name = " ".join(value.text or "" for value in one.iterfind("./{*}tx//{*}v"))
        across = one.find("./{*}xVal")
        source = across if across is not None else one.find("./{*}cat")
        values = one.find("./{*}val") if one.find("./{*}val") is not None else one.find("./{*}yVal")
        yield _Series(
            " ".join(name.split()), _categories(source, since_1904), _points(values, since_1904),
            _points(one.find("./{*}bubbleSize"), since_1904), points=across is not None,
        )  # fmt: skip


def _on(element: Any) -> bool:
    return element is not None and element.get("val", "1") not in ("0", "false")


def _categories(source: Any, since_1904: bool) -> list[str]:
    """Return the categories' names, each with those of the levels above it."""
    if source is None:
        return []
    levels = [_points(level, since_1904) for level in source.iterfind(".//{*}lvl")]
    if not levels:
        return _points(source, since_1904)
    names = []
    for at in range(max(map(len, levels))):
        above = (next((name for name in reversed(level[: at + 1]) if name), "") for level in levels[:0:-1])
        innermost = levels[0][at] if at < len(levels[0]) else ""
        names.append(" ".join(name for name in (*above, innermost) if name))
    return names


def _points(source: Any, since_1904: bool) -> list[str]:
    if source is None:
        return []
    code = source.findtext(".//{*}formatCode") or "General"
    return _in_places(
        (
            point.get("idx") or "",
            _figure(point.findtext("./{*}v") or "", point.get("formatCode") or code, since_1904),
        )
        for point in source.iter("{*}pt")
    )


def _in_places(points: Iterable[tuple[str, str]]) -> list[str]:
    """Return figures, each at its position; those whose position is no number or too high are left out."""
    values = {int(at): figure for at, figure in points if at.isdecimal() and int(at) < _MOST_POINTS}
    return [values.get(at, "") for at in range(max(values, default=-1) + 1)]


def _figure(text: str, code: str, since_1904: bool) -> str:
    """Return a figure in full; as a date or percentage where the chart shows it as one."""
    try:
        value = float(text)
    except ValueError:
        return text
    if is_date(code):
        return format_number(value, code, since_1904=since_1904)
    return (
        format_number(value * 100, "General") + "%" if is_percent(code) else format_number(value, "General")
    )


def _extended(root: Any) -> Iterable[_Series]:
    """Yield the series of a chart of 2016 and later (waterfall, funnel, treemap, …)."""
    for one in root.iterfind(".//{*}plotAreaRegion/{*}series"):
        link = one.find("./{*}dataId")
        wanted = None if link is None else link.get("val")
        data = next((each for each in root.iter("{*}data") if each.get("id") == wanted), None)
        if data is None:
            continue
        names: list[list[str]] = []
        values: list[str] = []
        for dimension in data:
            levels = [_extended_points(level) for level in dimension.iterfind("./{*}lvl")]
            if local_name(dimension) == "strDim":
                names += levels
            elif levels:
                values = levels[0]
        size = max(map(len, [*names, values]), default=0)
        categories = [
            " ".join(level[at] for level in reversed(names) if at < len(level) and level[at])
            for at in range(size)
        ]
        yield _Series(_words_of_value(one), categories, values)


def _extended_points(level: Any) -> list[str]:
    code = level.get("formatCode") or "General"
    return _in_places(
        (point.get("idx") or "0", _figure(point.text or "", code, False))
        for point in level.iterfind("./{*}pt")
    )


def _words_of_value(series: Any) -> str:
    return " ".join((series.findtext("./{*}tx/{*}txData/{*}v") or "").split())


def _alike(series: Iterable[_Series]) -> list[list[_Series]]:
    """Group the series that share their categories: each group is one table."""
    groups: list[list[_Series]] = []
    for one in series:
        first = groups[-1][0] if groups else None
        if first and (first.categories, first.points) == (one.categories, one.points):
            groups[-1].append(one)
        elif one.values or one.categories:
            groups.append([one])
    return groups


def _rows(group: list[_Series]) -> list[list[str]]:
    columns: list[tuple[str, list[str]]] = []
    for one in group:
        columns.append((one.name, one.values))
        if one.sizes:
            columns.append(("size", one.sizes))
    size = max(len(group[0].categories), *(len(values) for _, values in columns))
    names = group[0].categories or [str(number) for number in range(1, size + 1)]
    rows = [["x" if group[0].points else "", *(name for name, _ in columns)]]
    for at in range(size):
        rows.append([names[at] if at < len(names) else "",
                     *(values[at] if at < len(values) else "" for _, values in columns)])  # fmt: skip
    return rows
