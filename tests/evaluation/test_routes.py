"""Routing rules: searched exhaustively, on planted results."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

from rag.evaluation.routes import Results, Routed, _conditions, features, results_of, search
from rag.generation.extractive import ExtractiveAnswerer
from rag.generation.question import Question
from rag.generation.router import Router
from rag.generation.rules import rules_of
from tests.evaluation.answered import answer, evaluation

MODELS = ("small", "large")


def results(questions: list[Question], quality: list[list[float]], usd: list[float] | None = None) -> Results:
    count, models = len(questions), MODELS if len(quality[0]) == 2 else ("small", "middle", "large")
    prices = np.tile(usd or [0.001, 0.02, 0.04][: len(models)], (count, 1))
    return Results(
        models,
        tuple(map(str, range(count))),
        tuple(questions),
        np.array(quality, float),
        prices,
        np.ones(count),
    )


def asked(words: int, passages: int = 3, score: float = 0.5) -> Question:
    text = " ".join(["word"] * words)
    return Question(text, answer(text, passages, score).context.hits)


def test_a_planted_threshold_is_found() -> None:
    questions = [asked(words) for words in range(1, 41) for _ in range(5)]
    found = search(results(questions, [[float(q.word_count < 21), 1.0] for q in questions]), 0.02, 1)
    # 21 is the fifth tenth of 1 to 40, rounded; a fold beyond it would lose 2.5 points.
    assert str(found) == "large if question_words_at_least = 20, else small" or str(found) == (
        "small if question_words_below = 20, else large"
    )
    assert [found.model(question) for question in (asked(19), asked(20))] == ["small", "large"]


def test_two_conditions_where_one_will_not_do() -> None:
    pairs = itertools.product(range(1, 21), np.arange(0.2, 0.8, 0.03))
    questions = [asked(words, score=float(score)) for words, score in pairs]
    easy = [[float(q.word_count < 9 and q.best_score >= 0.5), 1.0] for q in questions]
    found = search(results(questions, easy), 0.02, 1)
    assert sum(len(rule.when.conditions) for rule in found.rules) == 2
    sent = [found.model(question) for question in questions]
    lost = [mark for (mark, _), model in zip(easy, sent, strict=True) if model == "small"]
    assert lost.count(0.0) <= 0.02 * len(questions) and lost.count(1.0) > 0.5 * sum(mark for mark, _ in easy)


def test_it_is_the_best_of_all_rule_sets_tried_one_by_one() -> None:
    choose = random.Random(7)
    questions = [
        asked(choose.randint(3, 9), choose.randint(1, 4), choose.choice([0.3, 0.5, 0.7])) for _ in range(60)
    ]
    quality = [[float(choose.random() < p) for p in (0.6, 0.75, 0.85)] for _ in questions]
    planted = results(questions, quality)
    margin, best = 0.1, planted.best
    conditions, masks = _conditions(questions)

    def price(columns: Any, count: int) -> float:
        """Return the dollars that rule sets are chosen by; none where the loss is too high."""
        loss = planted.quality[:, best] - planted.quality[range(60), columns]
        within = loss.mean() + loss.std() / np.sqrt(60) <= margin + 1e-12
        return float(planted.usd[range(60), columns].mean()) / 0.99**count if within else np.inf

    every = [price(np.full(60, rest), 0) for rest in range(3)]
    for one, two in itertools.product(range(len(conditions)), repeat=2):
        for tier, other, rest in itertools.product(range(3), repeat=3):
            every.append(price(np.where(masks[one], tier, np.where(masks[two], other, rest)), 2))
            if other == rest:
                every.append(price(np.where(masks[one], tier, rest), 1))
                every.append(price(np.where(masks[one] & masks[two], tier, rest), 2))
    found = search(planted, margin, best)
    sent = np.array([planted.models.index(found.model(question)) for question in questions])
    count = sum(len(rule.when.conditions) for rule in found.rules)
    assert price(sent, count) == pytest.approx(min(every)) and count == 2 and len(every) > 5000


def test_without_a_saving_the_best_model_answers_all() -> None:
    questions = [asked(words) for words in range(1, 41)]
    assert str(search(results(questions, [[0.0, 1.0]] * 40), 0.02, 1)) == "large"
    assert str(search(results(questions, [[1.0, 1.0]] * 40), 0.02, 0)) == "small"
    free = results(questions, [[1.0, 1.0]] * 40, usd=[0.0, 0.01])
    assert str(search(free, 0.02, 0)) == "small"  # nothing is cheaper than nothing
    alike = [asked(5)] * 40
    assert search(results(alike, [[0.0, 1.0]] * 40), 0.02, 1).rules == ()  # no condition tells them apart


def test_a_question_is_seen_as_the_router_sees_it() -> None:
    values = {"1": {"correct": 1.0}, "2": None}
    small = evaluation("small", values, {"1": answer("What about it, then?", passages=2, score=0.62)})
    made = results_of(
        {"small": small, "large": evaluation("large", {"1": {"usd": 0.05}, "2": {"usd": 0.07}})}, "correct"
    )
    assert made.models == ("small", "large") and made.ids == ("1", "2")
    assert features(made.questions[0]) == {"question_words": 4.0, "passages": 2.0, "best_score": 0.62}
    assert made.quality.tolist() == [[1.0, 1.0], [0.0, 1.0]]
    assert made.usd.tolist() == [[0.01, 0.05], [0.01, 0.07]]  # a failed answer costs the model's mean


def test_no_passages_have_no_score() -> None:
    assert features(Question("Who?")) == {"question_words": 1.0, "passages": 0.0}


def test_the_router_takes_the_rules_as_they_are() -> None:
    rules = rules_of([{"when": {"passages_below": 3}, "tier": "small"}])
    model = ExtractiveAnswerer(embedder=None)
    router = Router(
        tiers={"small": model, "large": model}, rules=Routed(rules, "large").tables(), otherwise="large"
    )
    assert router.rules == rules


@pytest.mark.parametrize("seed", range(3))
def test_noise_alone_sends_nothing_far(seed: int) -> None:
    """With equally good models of two prices, whatever is chosen costs no more than the best alone."""
    choose = random.Random(seed)
    questions = [asked(choose.randint(3, 30)) for _ in range(80)]
    quality = [[float(choose.random() < 0.8), float(choose.random() < 0.8)] for _ in questions]
    planted = results(questions, quality)
    found = search(planted, 0.02, planted.best)
    columns = [planted.models.index(found.model(question)) for question in questions]
    assert planted.usd[range(80), columns].mean() <= planted.usd[:, planted.best].mean()
