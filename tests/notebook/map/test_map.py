"""The map without a browser: places, colours, the question, selections and their filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rag
from rag.core.drawn import OBEYED
from rag.core.errors import UsageError
from rag.index.vector_blocks import blocks, hits_at, positions_of, sampled, values
from rag.notebook.map.messages import message_of
from rag.notebook.map.model import ChunkMap, coloured, inside
from rag.notebook.map.open import model_of
from rag.notebook.map.projection import axes_of, projected
from tests.conftest import index_of_rows
from tests.notebook.objects import HOSTILE


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {"team": f"team {n % 3}", "year": 2020 + n % 5, "tags": [f"t{n % 2}", "all"], "public": n % 2 == 0}
        for n in range(count)
    ]


@pytest.fixture
def index(tmp_path: Path) -> rag.Index:
    return index_of_rows(tmp_path / "ix", rows(60))


def reply(model: ChunkMap, do: str, **parts: Any) -> dict[str, Any]:
    ((answer, _),) = list(model.replies({"do": do, **parts}))
    return answer


def test_the_axes_are_those_of_numpys_singular_vectors() -> None:
    rng = np.random.default_rng(1)
    vectors = (rng.standard_normal((500, 12)) * np.linspace(5, 0.1, 12) + 3).astype(np.float32)
    axes = axes_of(vectors)
    _, singular, right = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    assert np.abs(np.abs(axes.directions.T @ right[:2].T) - np.eye(2)).max() < 1e-3
    assert np.allclose(axes.spread, singular[:2] ** 2 / (singular**2).sum(), rtol=1e-3)
    assert np.allclose(axes.place(vectors).mean(axis=0), 0, atol=1e-3)
    assert axes.directions[np.abs(axes.directions).argmax(axis=0), [0, 1]].min() > 0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_vectors_have_axes_too(count: int) -> None:
    axes = axes_of(np.ones((count, 4), np.float32))
    assert axes.place(np.ones((3, 4), np.float32)).shape == (3, 2) and np.isfinite(axes.spread).all()


def test_places_and_blocks_are_in_the_order_of_the_chunks_and_without_removed_ones(
    tmp_path: Path, folder: Path
) -> None:
    rag.build(folder, tmp_path / "ix", embedder="static")
    (folder / "leave-us.md").unlink()
    (folder / "new.md").write_text("# New\n\nA new page on bicycles.\n", encoding="utf-8")
    rag.build(folder, tmp_path / "ix", embedder="static")
    index = rag.Index.open(tmp_path / "ix")
    pairs = list(index.vectors())
    assert np.array_equal(np.concatenate([*blocks(index)]), np.stack([vector for _, vector in pairs]))
    assert [hit.chunk_id for hit in hits_at(index, range(len(index)))] == [hit.chunk_id for hit, _ in pairs]
    ids = [hit.chunk_id for hit, _ in pairs]
    assert positions_of(index, ["gone", *reversed(ids)]) == [*reversed(range(len(ids)))]
    assert values(index, "chunk_id") == ids and values(index, "source") == [hit.source for hit, _ in pairs]
    assert values(index, "region") == [hit.metadata.get("region") for hit, _ in pairs]
    assert values(index, "section") == [list(hit.section) or None for hit, _ in pairs]
    places, axes = projected(index)
    assert np.allclose(places, axes.place(np.stack([vector for _, vector in pairs])), atol=1e-6)


def test_a_sample_is_drawn_without_replacement(index: rag.Index) -> None:
    assert len(sampled(index, 1000)) == 60 and len(np.unique(sampled(index, 10), axis=0)) == 10


def test_colours_are_the_most_frequent_values() -> None:
    found = [*["a"] * 5, *["b"] * 3, None, *[f"v{n}" for n in range(20)], ["list", "of"], [], True]
    codes, legend = coloured(found)
    assert legend[:2] == [("a", 5), ("b", 3)] and legend[-1] == ("no value", 2) and legend[-2][0] == "other"
    assert len(legend) == 9 and sum(count for _, count in legend) == len(found)
    assert [legend[code][0] for code in codes[[0, 5, 8, -2]]] == ["a", "b", "no value", "no value"]


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), max_size=40), st.floats(-4, 3), st.floats(0.5, 3)
)
def test_a_square_lasso_is_a_comparison(points: list[tuple[float, float]], low: float, side: float) -> None:
    places = np.array(points, np.float32).reshape(-1, 2)
    square = np.array([[low, low], [low + side, low], [low + side, low + side], [low, low + side]])
    within = {
        n for n, (x, y) in enumerate(places.astype(float)) if low < x < low + side and low < y < low + side
    }
    on_edge = {n for n, (x, y) in enumerate(places.astype(float)) if {x, y} & {low, low + side}}
    assert {*inside(places, square).tolist()} - on_edge == within


def test_a_hole_of_a_lasso_is_outside() -> None:
    u_shape = np.array([[0, 0], [3, 0], [3, 3], [2, 3], [2, 1], [1, 1], [1, 3], [0, 3.0]])
    assert inside(np.array([[0.5, 2], [1.5, 2], [2.5, 2], [1.5, 0.5]], np.float32), u_shape).tolist() == [
        0,
        2,
        3,
    ]


def test_the_points_come_as_bytes_with_their_legend(index: rag.Index) -> None:
    model = model_of(index, "team", "document number 7")
    (points, buffers), (question, none) = list(model.replies({"do": "hello"}))
    assert np.frombuffer(buffers[0], np.float32).reshape(-1, 2).tolist() == model.places.tolist()
    assert np.frombuffer(buffers[1], np.uint8).tolist() == [n % 3 for n in range(60)]
    assert points["legend"] == [["team 0", 20], ["team 1", 20], ["team 2", 20]] and points["count"] == 60
    assert question["hits"][0] == 7 and len(question["hits"]) == 8 and none == []
    assert np.allclose(question["at"], model.places[7], atol=1e-5)  # the same words, the same place


def test_a_lasso_is_a_list_and_a_filter(index: rag.Index) -> None:
    model = model_of(index, "team")
    x, y = model.places[5].tolist()
    corners = [x - 1e-4, y - 1e-4, x + 1e-4, y - 1e-4, x + 1e-4, y + 1e-4, x - 1e-4, y + 1e-4]
    done = reply(model, "select", lasso=corners)
    assert done["count"] == 1 and done["where"] == "chunk_id in ['c5']" and done["rows"] == (5,)
    assert [hit.chunk_id for hit in model.selected] == ["c5"] and [
        hit.chunk_id for hit in index.scan(model.where)
    ] == ["c5"]
    assert reply(model, "select", value=1)["where"] == "team == 'team 1'"
    assert index.count(model.where) == 20
    whole = reply(model, "select", lasso=[-9, -9, 9, -9, 9, 9, -9, 9])
    assert whole["count"] == 60 and index.count(whole["where"]) == 60
    assert reply(model, "select", lasso=[])["count"] == 0 and model.where == ""
    reply(model, "ask", question="document number 7")
    assert reply(model, "select", hits=True)["count"] == 8 and 7 in model.selected_rows


def test_what_is_no_filter_says_so(tmp_path: Path) -> None:
    model = model_of(index_of_rows(tmp_path / "many", [{"n": n} for n in range(600)]), "n")
    done = reply(model, "select", lasso=[-9, -9, 9, -9, 9, 9, -9, 9])
    assert done["count"] == 600 and done["where"] == "" and "at most 500" in done["why"]
    assert len(model.selected) == 600 and len(done["listed"]) == 50
    with pytest.raises(UsageError, match="no filter"):
        _ = model.where


@pytest.mark.parametrize("message", [None, {}, {"do": "run"}, {"do": "point", "at": -1}, {"do": "select", "lasso": [1.0, float("nan")]},
                                     {"do": "select", "lasso": [1.0] * 3}, {"do": "select", "lasso": [1.0] * 4001}, {"do": "select", "value": 256},
                                     {"do": "hello", "path": "/etc"}, {"do": "ask", "question": "x" * 4001}])  # fmt: skip
def test_wrong_messages_are_refused(message: Any) -> None:
    with pytest.raises(UsageError):
        message_of(message)


def test_what_is_wrong_is_one_line(index: rag.Index, tmp_path: Path) -> None:
    assert "there is no chunk 60" in reply(model_of(index), "point", at=60)["text"]
    with pytest.raises(UsageError, match="did you mean 'team'"):
        model_of(index, "taem")
    with pytest.raises(UsageError, match="holds no chunks"):
        model_of(index_of_rows(tmp_path / "none", []))
    with pytest.raises(UsageError, match="k is 0"):
        model_of(index, k=0)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_drawn_and_never_obeyed(text: str, tmp_path: Path) -> None:
    model = model_of(index_of_rows(tmp_path / "ix", [{"team": text or "x"}]), "team", text[:2000] or "x")
    for answer, _ in [
        *model.replies({"do": "hello"}),
        *model.replies({"do": "point", "at": 0}),
        *model.replies({"do": "select", "value": 0}),
    ]:
        shown = str([value for name, value in answer.items() if name not in ("where", "question")])
        assert not OBEYED.search(shown.replace("\\n", ""))
