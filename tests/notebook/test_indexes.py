"""An index and its store: what they hold, field by field and version by version."""

from __future__ import annotations

from pathlib import Path

import rag
from tests.conftest import index_of_rows
from tests.notebook.objects import HOSTILE, markup


def built(folder: Path, tmp_path: Path) -> rag.Index:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    rag.build(folder, tmp_path / "ix", embedder="static")
    return rag.Index.open(tmp_path / "ix")


def test_an_index_shows_counts_fields_and_frequent_values(folder: Path, tmp_path: Path) -> None:
    index = built(folder, tmp_path)
    text = markup(index._repr_html_()).text
    assert "3 documents, 4 chunks; 1 file in quarantine" in text
    assert "static, 256 dimensions" in text and "1, build, " in text and "1 segment" in text
    assert '<span class="chip">hr<span>2</span></span>' in index._repr_html_()
    row = index._repr_html_().partition("<td>year</td>")[2].partition("</tr>")[0]
    assert row.startswith('<td>number</td><td class="n">2</td><td class="n">2</td>')


def test_its_text_is_a_few_lines(folder: Path, tmp_path: Path) -> None:
    lines = str(built(folder, tmp_path)).splitlines()
    assert "  holds     3 documents, 4 chunks, 1 file in quarantine" in lines
    region = next(line for line in lines if line.startswith("  region"))
    assert region.split() == ["region", "string", "2", "eu", "(1),", "us", "(1)"]
    assert 10 < len(lines) < 24


def test_an_index_without_its_embedder_says_what_that_means(tmp_path: Path) -> None:
    index = index_of_rows(tmp_path / "ix", [{"a": 1}]).with_embedder(None)
    assert "not given: only words are searched" in str(index)


def test_fields_whose_values_all_differ_have_an_example(tmp_path: Path) -> None:
    html = index_of_rows(tmp_path / "ix", [{"title": f"Page {n}"} for n in range(9)])._repr_html_()
    assert '<span class="dim">all different, such as</span> <span class="chip">Page 0</span>' in html


def test_five_hundred_fields_are_cut(tmp_path: Path) -> None:
    index = index_of_rows(tmp_path / "ix", [{f"f{n:03}": n for n in range(500)}])
    assert "… 450 more fields: index.schema" in index._repr_html_()
    assert str(index).endswith("… 488 more fields: index.schema")


def test_hostile_metadata_and_names_are_drawn(tmp_path: Path) -> None:
    index = index_of_rows(tmp_path / "ix", [{text or "x": text for text in HOSTILE if "\x00" not in text}])
    markup(index._repr_html_())
    assert "\x1b" not in str(index) and "<script" not in index._repr_html_()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in index._repr_html_()


def test_a_retriever_does_not_print_its_index(folder: Path, tmp_path: Path) -> None:
    index = built(folder, tmp_path)
    assert "\n" not in repr(rag.HybridRetriever(index=index))


def test_a_store_lists_its_versions_newest_first(folder: Path, tmp_path: Path) -> None:
    built(folder, tmp_path)
    (folder / "leave-us.md").unlink()
    rag.build(folder, tmp_path / "ix", embedder="static")
    store = rag.Store(tmp_path / "ix")
    store.edit("region == 'eu'", {"region": "emea"})
    lines = str(store).partition("  3 versions\n")[2].splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["3", "current"],
        ["2", f"{_day(store)}"],
        ["1", f"{_day(store)}"],
    ]
    html = store._repr_html_()
    assert html.index("<td>edit</td>") < html.index("<td>build</td>") and "3 versions" in html


def _day(store: rag.Store) -> str:
    return store.versions()[0].created[:10]


def test_a_store_of_many_versions_is_cut(tmp_path: Path) -> None:
    index_of_rows(tmp_path / "ix", [{"n": 0}])
    store = rag.Store(tmp_path / "ix")
    for n in range(14):
        store.edit("n >= 0", {"n": n + 1})
    assert str(store).endswith("… 3 more versions: store.versions()")
    assert "… 3 more versions: store.versions()" in store._repr_html_()


def test_a_difference_names_what_changed(folder: Path, tmp_path: Path) -> None:
    built(folder, tmp_path)
    (folder / "leave-us.md").unlink()
    (folder / "new.txt").write_text("The office opens at eight.", encoding="utf-8")
    rag.build(folder, tmp_path / "ix", embedder="static")
    diff = rag.Store(tmp_path / "ix").diff(1)
    assert str(diff).splitlines() == [
        "version 1 → 2: 1 chunk added, 1 removed", "  added     new.txt", "  removed   leave-us.md",
    ]  # fmt: skip
    assert "<td>removed</td><td>leave-us.md</td>" in diff._repr_html_()
    assert str(rag.Store(tmp_path / "ix").diff(2)) == "version 2 → 2: the same documents"
