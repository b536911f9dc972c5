"""Parsers build texts whose structure points at what was written."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from rag.loading.structure import Parsed, Text


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["block", "line", "heading", "page", "table", "margin"]),
            st.text(alphabet="ab |\n", max_size=12),
        ),
        max_size=25,
    )
)
def test_structure_points_at_what_was_written(steps: list[tuple[str, str]]) -> None:
    out = Text()
    pages = 0
    for kind, text in steps:
        if kind == "heading":
            out.heading(2, text)
        elif kind == "page":
            out.page()
            pages += 1
        elif kind == "table":
            out.table([["head", text], [text, "x"]])
        else:
            getattr(out, kind)(text)
    parsed = out.done()
    assert len(parsed.text) == out.length
    for at, level, title in parsed.headings:
        assert parsed.text[at:].startswith(f"{'#' * level} {title}")
    for start, below, end in parsed.tables:
        assert parsed.text[start:below].endswith("---" + " |\n") and parsed.text[below:end].endswith("|")
    assert len(parsed.pages) == pages
    assert parsed.pages == sorted(parsed.pages) and all(at <= len(parsed.text) for at in parsed.pages)


def test_parsed_survives_its_json_with_dates() -> None:
    moment = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)
    parsed = Parsed(
        "é\ud800", {"at": moment, "day": dt.date(2026, 1, 2), "n": {"$date": "x"}}, headings=[(0, 1, "é")]
    )
    again = Parsed.from_json(parsed.to_json())
    assert again == parsed
