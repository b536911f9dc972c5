"""Pictures of settings: curves over several budgets, else intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from rag.evaluation.plot import MOST_NAMED, Series, draw
from rag.evaluation.statistics import Estimate


def series(number: int, budgets: int) -> Series:
    recalls = tuple(
        Estimate(0.9 - 0.01 * number + 0.01 * at, 0.8 - 0.01 * number, 0.95, 40) for at in range(budgets)
    )
    tokens = tuple(100.0 * 2**at for at in range(budgets))
    return Series(f"k={number}", Estimate(0.9 - 0.01 * number, 0.8, 0.95, 40), tokens, recalls)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    kept: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, path, **more: (kept.append(self), save(self, path, **more))
    )
    return kept


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_curves_name_settings_best_first_and_mark_the_baseline(tmp_path: Path, figures: list[Figure]) -> None:
    draw(tmp_path / "a.png", [series(n, 3) for n in range(3)], baseline="k=1", metric="recall", unit="chars")
    assert labels(figures[0]) == ["1.  0.900  k=0", "2.  0.890  k=1 (the first)", "3.  0.880  k=2"]
    (axes,) = figures[0].axes
    assert list(axes.lines[2].get_xdata()) == [100, 200, 400]
    assert axes.lines[2].get_ydata() == pytest.approx([0.88, 0.89, 0.90])
    assert np.ptp(imread(tmp_path / "a.png")) > 0


def test_baseline_below_the_named_settings_is_still_named(tmp_path: Path, figures: list[Figure]) -> None:
    draw(
        tmp_path / "a.png", [series(n, 2) for n in range(20)], baseline="k=19", metric="recall", unit="chars"
    )
    named = labels(figures[0])
    assert len(named) == MOST_NAMED + 1
    assert named[-2:] == ["20.  0.710  k=19 (the first)", "8 others"]


def test_one_budget_or_gold_only_draws_intervals(tmp_path: Path, figures: list[Figure]) -> None:
    draw(tmp_path / "a.png", [series(n, 1) for n in range(2)], baseline="k=0", metric="recall", unit="chars")
    gold = [Series("k=0", Estimate(0.7, 0.6, 0.8, 9)), Series("k=1", Estimate(0.5, 0.4, 0.6, 9))]
    draw(tmp_path / "b.png", gold, baseline="k=0", metric="ndcg@10", unit="chars")
    names = [[label.get_text() for label in figure.axes[0].get_yticklabels()] for figure in figures]
    assert names == [["k=0 (the first), 100 tokens", "k=1, 100 tokens"], ["k=0 (the first)", "k=1"]]
    assert figures[1].axes[0].get_xlabel() == "ndcg@10 with its 95 % interval, 9 questions"


def test_single_setting_shows_its_interval(tmp_path: Path, figures: list[Figure]) -> None:
    draw(tmp_path / "a.png", [series(0, 3)], baseline="k=0", metric="recall", unit="tokens")
    assert labels(figures[0]) == ["1.  0.900  k=0", "95 % interval"]
