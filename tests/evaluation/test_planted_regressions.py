"""What goes wrong is caught by the check that is meant for it, and what is as it was passes."""

from __future__ import annotations

import random

import pytest

from rag.evaluation.gate import gate
from rag.evaluation.gate_values import measure
from rag.evaluation.measured import Measured
from tests.evaluation.planted import Planted, planted
from tests.evaluation.regressions import REGRESSIONS, Regression, failed, judged, measured
from tests.scale import scale

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def over(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Every fifth question of the handbook; `make soak` asks all."""
    return planted(tmp_path_factory.mktemp("planted"), every=scale(5, 1))


@pytest.mark.parametrize("each", REGRESSIONS, ids=lambda each: each.name)
def test_a_regression_is_caught_by_the_check_that_is_meant_for_it(each: Regression, over: Planted) -> None:
    before = measured(each, over, each.right(over))
    bounded = {*dict(each.least), *dict(each.most)}
    assert judged(each, before, before).passed
    outcome = judged(each, before, measured(each, over, each.wrong(over)))
    assert {*each.caught} <= failed(outcome)
    # Not by luck: what is tested is far from chance, and what is bounded far from its bound.
    assert all(test.p < 0.02 for test in outcome.tests if test.metric in each.caught)
    for limit in outcome.limits:
        assert limit.metric in bounded and limit.mean is not None
        assert abs(limit.mean.mean - limit.bound) > 0.25 * limit.bound


def test_gates_without_a_change_fail_no_more_often_than_they_say(over: Planted) -> None:
    """A model whose answers differ at random from run to run, and nothing else."""
    rows = [row for row in over.questions if row["evidence"]][: scale(20, 100)]
    rng = random.Random(5)
    pipe = over.pipe(model={"forgets": 0.15, "rng": rng})

    def run() -> Measured:
        return measure(pipe, rows, ["correct", "cite_recall", "f1"], parallel=1)

    gates = scale(50, 400)
    runs = [run() for _ in range(gates // 5 + 1)]
    pairs = [(runs[rng.randrange(len(runs))], run()) for _ in range(gates)]
    outcomes = [
        gate(after, baseline=before, against=["correct", "cite_recall", "f1"]) for before, after in pairs
    ]
    assert any(test.loss.mean > 0 for each in outcomes for test in each.tests)  # runs do differ
    # By the binomial distribution, more than this many of 50 at a rate of 5 % have a chance of 0.2 %.
    assert sum(not each.passed for each in outcomes) <= 0.05 * gates + 3 * (0.05 * 0.95 * gates) ** 0.5
