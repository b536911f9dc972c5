"""The picture of quality against dollars, and its frontier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from rag.evaluation.pareto import Point, draw, frontier
from rag.evaluation.statistics import Estimate


def point(name: str, quality: float, usd: float) -> Point:
    around = Estimate(quality, quality - 0.05, quality + 0.04, 40)
    return Point(name, around, Estimate(usd, 0.9 * usd, 1.1 * usd, 40))


POINTS = [
    point("haiku", 0.8, 0.001),
    point("sonnet", 0.9, 0.02),
    point("opus", 0.89, 0.04),
    point("old", 0.7, 0.001),
]


def test_the_frontier_is_what_nothing_beats() -> None:
    assert [each.name for each in frontier(POINTS)] == ["haiku", "sonnet"]
    assert [each.name for each in frontier([*POINTS, point("free", 0.1, 0.0)])] == ["free", "haiku", "sonnet"]
    assert frontier([]) == []


def test_the_picture_has_intervals_names_and_a_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, path: (figures.append(self), save(self, path)))
    draw(tmp_path / "a.png", POINTS, metric="correct", chosen="haiku")
    assert np.ptp(imread(tmp_path / "a.png")) > 0
    texts = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert texts == [
        "frontier: no other is cheaper and better", "1.  haiku: 0.800, $0.001000 (the cheapest within the margin)",
        "2.  sonnet: 0.900, $0.0200", "3.  opus: 0.890, $0.0400", "4.  old: 0.700, $0.001000",
    ]  # fmt: skip
    (axes,) = figures[0].axes
    assert axes.get_xscale() == "log"
    assert list(axes.lines[0].get_xdata()) == [0.001, 0.02] and list(axes.lines[0].get_ydata()) == [0.8, 0.9]
    draw(tmp_path / "b.png", [point("free", 0.5, 0.0), *POINTS], metric="correct")
    assert figures[1].axes[0].get_xscale() == "linear"
