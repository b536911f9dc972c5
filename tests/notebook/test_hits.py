"""Hits: bars, marked words, and what is left out of many or long ones."""

from __future__ import annotations

import time

from rag.core.passages import Hit
from rag.index.search.results import Hits, SearchPlan
from tests.notebook.objects import markup

TEXT = "Only the duty manager may declare a SEV-1."


def hits(count: int, text: str = TEXT) -> Hits:
    found = [
        Hit(f"p{n}.md", 5, 5 + len(text), text, 8.0 / (n + 1), chunk_id=f"c{n}", section=("Incidents",), dense=0.5,
            lexical=4.0 / (n + 1), metadata={"year": 2024, "tags": ["a", "b"]})
        for n in range(count)
    ]  # fmt: skip
    return Hits(
        found,
        SearchPlan("hybrid", count, count, 2358, 2154, 2154, "status == 'current'", None, "who declares?"),
    )


def test_each_score_has_a_bar_and_a_number() -> None:
    html = hits(2)._repr_html_()
    of_first = html.partition('<li class="item">')[2].partition("</li>")[0]
    assert [part.partition("%")[0] for part in of_first.split('style="width:')[1:]] == ["100", "50", "100"]
    assert "8.000" in of_first and "dense" in of_first and "lexical" in of_first
    assert html.count('style="width:50%"') == 4  # both cosines, and the second's score and BM25


def test_words_of_the_question_are_marked_and_metadata_unfold() -> None:
    html = hits(1)._repr_html_()
    assert "<mark>declare</mark>" in html and "<mark>may" not in html
    assert "<summary>metadata: 2 fields</summary>" in html and "<td>a, b</td>" in html
    assert "characters 5–47" in html and "who declares?" in html


def test_a_search_by_a_vector_marks_nothing() -> None:
    found = Hits(list(hits(1)), SearchPlan("dense", 1, 1, 9, 9, 9, ""))
    assert "<mark>" not in found._repr_html_()


def test_many_hits_are_counted_and_long_ones_cut() -> None:
    begin = time.perf_counter()
    found = hits(10_000, "leave " * 9000)
    made = time.perf_counter()
    html, text = found._repr_html_(), str(found)
    assert time.perf_counter() - made < 1 + (made - begin)
    assert len(html) < 60_000 and html.count('<li class="item">') == 20
    assert "… 9,980 more hits: hits[20:], or hits.to_pandas()" in html
    assert "… 53,400 more characters: hits[19].text" in html
    assert text.endswith("… 9,990 more hits: hits[10:]")
    markup(html)


def test_the_text_has_two_lines_for_each() -> None:
    assert str(hits(2)).splitlines() == [
        "hybrid over 2,154 of 2,358 chunks where status == 'current': 2 of 2",
        "  1  8.000  p0.md, Incidents", f"     {TEXT}", "  2  4.000  p1.md, Incidents", f"     {TEXT}",
    ]  # fmt: skip
    assert repr(hits(2)) == str(hits(2))


def test_a_hit_in_a_list_is_one_line() -> None:
    one = hits(1)[0]
    assert repr([one, one]) == f"[{one!r}, {one!r}]"
    assert repr(one) == '<Hit 8.000 p0.md, Incidents: "Only the duty manager may declare a SEV-1.">'
    assert str(one).splitlines() == [
        "Hit: p0.md, Incidents", "  score 8.000, dense 0.500, lexical 4.000, characters 5–47", f"    {TEXT}",
    ]  # fmt: skip


def test_a_hit_has_many_fields() -> None:
    one = Hit("a.md", 0, 1, "x", 1.0, metadata={f"f{n}": n for n in range(500)})
    html = one._repr_html_()
    assert "metadata: 500 fields" in html and "… 480 more fields: hit.metadata" in html


def test_a_plan_shows_how_much_the_filter_left() -> None:
    plan = hits(1).plan
    html = plan._repr_html_()
    assert (
        'style="width:91%"' in html
        and "2,154 of 2,358 chunks" in html
        and "status == &#x27;current&#x27;" in html
    )
    assert repr(plan) == "<SearchPlan hybrid over 2,154 of 2,358 chunks where status == 'current': 1 of 1>"


def test_hits_are_a_table_of_pandas() -> None:
    table = hits(2).to_pandas()
    assert table["score"].tolist() == [8.0, 4.0] and table["rank"].tolist() == [1, 2]
    assert table["metadata.year"].tolist() == [2024, 2024] and table["section"].tolist() == ["Incidents"] * 2
