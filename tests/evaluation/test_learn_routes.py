"""Routing rules learned and measured on held-out questions: values by hand."""

from __future__ import annotations

import tomllib
from collections.abc import Callable

import pytest

from rag.core.errors import UsageError
from rag.evaluation.answers import AnswersEvaluation
from rag.evaluation.learn_routes import _parts, learn
from tests.evaluation.answered import answer, evaluation

IDS = [f"q{n}" for n in range(200)]
#: 1 to 20 words, each as often.
WORDS = {name: n % 20 + 1 for n, name in enumerate(IDS)}


def models(is_right: Callable[[str], bool]) -> dict[str, AnswersEvaluation]:
    """A small model that is right for some questions, and a large one that costs twenty times as much."""
    said = {name: answer(" ".join(["word"] * words)) for name, words in WORDS.items()}
    marks = {"large": (lambda name: True, 0.02), "small": (is_right, 0.001)}
    return {
        name: evaluation(name, {each: {"correct": float(right(each)), "usd": usd} for each in IDS}, said)
        for name, (right, usd) in marks.items()
    }


def test_a_planted_rule_keeps_its_quality_on_held_out_questions() -> None:
    learned = learn(models(lambda name: WORDS[name] < 10), "correct", 0.02)
    assert str(learned.routed) == "large if question_words_at_least = 10, else small" or str(
        learned.routed
    ) == ("small if question_words_below = 10, else large")
    assert learned.shares == {"small": pytest.approx(0.45), "large": pytest.approx(0.55)}
    assert learned.best == "large" and [each.name for each in learned.models] == ["small", "large"]
    held_out = learned.held_out
    assert (held_out.quality.mean, held_out.loss.mean, held_out.quality.count) == (1.0, 0.0, 200)
    assert 0.55 * 0.02 + 0.45 * 0.001 <= held_out.usd.mean < 0.02
    assert [fold.quality.count for fold in learned.folds] == [100, 100]
    assert learned.keeps and learned.shown  # no loss on 200 questions: at most 1.8 points
    small, large = learned.models
    assert (small.quality.mean, small.usd.mean, large.loss) == (0.45, pytest.approx(0.001), None)
    assert small.loss.mean == pytest.approx(0.55)
    assert learned.lines()[-1] == "on held-out questions the loss is within 2.0 points, its interval included"
    assert learned.table().rows[2][0] == "large" and learned.table().rows[2][3] == ""


def test_what_holds_in_one_half_only_is_not_to_be_used() -> None:
    first, _ = ({IDS[row] for row in part} for part in _parts(IDS))
    learned = learn(models(lambda name: (WORDS[name] < 10) == (name in first)), "correct", 0.02)
    assert not learned.keeps and not learned.shown
    assert learned.held_out.loss.mean > 0.2
    assert learned.lines()[-1].endswith("the rules lose more than 2.0 points: they are not to be used")


def test_too_few_questions_are_named() -> None:
    learned = learn(models(lambda name: WORDS[name] < 10), "correct", 0.001)
    assert learned.keeps and not learned.shown
    assert "but too few questions show it: 200 see a loss of 1.8 points or more" in learned.lines()[-1]


def test_halves_are_equal_and_do_not_depend_on_the_order() -> None:
    first, second = _parts(IDS)
    assert len(first) == len(second) == 100 and not {*first} & {*second}
    turned = [*reversed(IDS)]
    assert [{turned[row] for row in part} for part in _parts(turned)] == [
        {IDS[row] for row in part} for part in (first, second)
    ]


def test_the_file_holds_all_settings_and_what_the_rule_is_worth() -> None:
    learned = learn(models(lambda name: WORDS[name] < 10), "correct", 0.02)
    base = {
        "embedder": None, "trimmer": {"budget": 2000}, "ledger": {"stop_usd": 5.0, "tag": "desk"},
        "generator": "local", "prices": {"my-model": {"input": 1.0}},
    }  # fmt: skip
    generators = {"large": {"use": "claude", "model": "x"}, "small": "local", "unused": "local"}
    text = learned.toml(base, generators)
    read = tomllib.loads(text)
    assert read.pop("generator") == {
        "use": "router", "otherwise": learned.routed.otherwise, "rules": learned.routed.tables(),
        "tiers": {"small": "local", "large": {"use": "claude", "model": "x"}},
    }  # fmt: skip
    assert read == {name: base[name] for name in ("trimmer", "ledger", "prices")}
    assert list(tomllib.loads(text)["generator"]["tiers"]) == ["small", "large"]  # from weak to strong
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert comments[0].startswith("# routing rule from 200 questions: ")
    with pytest.raises(UsageError, match="name the stage as in rag"):
        learned.toml({**base, "retriever": object()}, generators)


def test_one_model_for_all_is_written_without_a_router() -> None:
    learned = learn(models(lambda name: True), "correct", 0.02)
    assert (str(learned.routed), learned.best) == ("small", "small")
    text = learned.toml({}, {"small": {"use": "claude", "model": "x"}, "large": "local"})
    assert tomllib.loads(text) == {"generator": {"use": "claude", "model": "x"}}


def test_what_cannot_be_learned_from_is_refused() -> None:
    both = models(lambda name: True)
    with pytest.raises(UsageError, match="give two or more, with --models"):
        learn({"small": both["small"]}, "correct", 0.02)
    with pytest.raises(UsageError, match="needs prices, and bare has none"):
        learn({**both, "bare": evaluation("bare", dict.fromkeys(IDS))}, "correct", 0.02)
    few = {name: evaluation(name, {"1": {}, "2": {}}) for name in ("a", "b")}
    with pytest.raises(UsageError, match="2 questions are too few for a routing rule: give 20 or more"):
        learn(few, "correct", 0.02)
