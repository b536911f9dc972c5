"""Why an answer goes to a person, and the settings that say so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.answers import Answer, Step
from rag.core.citations import Sentence, Support
from rag.core.errors import ConfigError
from rag.embedding.static_model import StaticModel
from rag.review.reasons import draw, reasons_for
from rag.review.settings import ReviewSettings, split
from tests.review.items import answer_of

HALF = Support(0.5, (Sentence(0, 5, (1,), True, ""), Sentence(6, 9, (), False, "it has no citation")))
WHOLE = Support(1.0, HALF.sentences[:1])
UP = Step("escalate", 0.1, {"from": "small", "to": "large", "why": "unsupported", "detail": "x"})


def names(answer: Answer, **settings: Any) -> list[str]:
    return [str(each) for each in reasons_for(answer, answer.question, ReviewSettings(**settings))]


@pytest.mark.parametrize(
    ("settings", "bad", "good", "reason"),
    [
        ({"unsupported": True}, {"support": HALF}, {"support": WHOLE}, "unsupported (supported 1 of 2 sentences)"),
        ({"escalated": True}, {"trace": (UP,)}, {}, "escalated (small to large: unsupported)"),
        ({"refused": True}, {"answered": False}, {}, "refused (end_turn)"),
        ({"guardrail": True}, {"guardrail": "masked"}, {}, "guardrail (masked)"),
        ({"sample": 1}, {}, None, "sample (100 % of all questions)"),
    ],
    ids=["unsupported", "escalated", "refused", "guardrail", "sample"],
)  # fmt: skip
def test_a_reason_is_what_was_switched_on(
    settings: dict[str, Any], bad: dict[str, Any], good: dict[str, Any] | None, reason: str
) -> None:
    assert names(answer_of(**bad), **settings) == [reason]
    if good is not None:
        assert names(answer_of(**good), **settings) == []
        assert names(answer_of(**bad), when=lambda answer: False) == []  # not switched on


def test_all_reasons_are_kept() -> None:
    answer = answer_of(answered=False, guardrail="blocked", support=HALF, trace=(UP,))
    settings = ReviewSettings(unsupported=True, escalated=True, refused=True, guardrail=True, sample=0.999999)
    assert [each.name for each in reasons_for(answer, "q", settings)] == [
        "unsupported", "escalated", "refused", "guardrail", "sample",
    ]  # fmt: skip


def test_passages_that_do_not_answer_give_little_confidence() -> None:
    settings: dict[str, Any] = {"confidence": 0.5, "embedder": StaticModel()}
    good, bad = (
        answer_of("How many days of annual leave do staff in Europe take?"),
        answer_of("Who won the cup?"),
    )
    assert names(good, **settings) == []
    (reason,) = names(bad, **settings)
    assert reason.startswith("confidence (0.") and reason.endswith(", below 0.5)")
    assert names(replace(bad, answered=False), **settings) == []  # a refusal is right then


def test_a_sample_is_the_same_every_time_and_a_larger_one_holds_it() -> None:
    questions = [f"question {n}" for n in range(4000)]
    small, large = ({q for q in questions if draw(q) < share} for share in (0.05, 0.2))
    assert small < large
    assert 140 < len(small) < 260 and 700 < len(large) < 900
    other = {q for q in questions if draw(q, salt="2026-12") < 0.05}
    assert len(other & small) < 40
    assert draw("a", "year >= 2024") != draw("a") != draw("a", tenant="t")
    answers = [answer_of(question) for question in questions[:400]]
    taken = [answer.question for answer in answers if names(answer, sample=20)]
    assert taken == [question for question in questions[:400] if question in small]


def risky(answer: Answer) -> bool:
    return "28" in answer.text


def test_functions_give_reasons_of_their_own() -> None:
    answer = answer_of()
    assert names(answer, when="tests.review.test_reasons:risky") == ["risky"]
    assert names(answer_of(text="none"), when=[risky]) == []

    def several(answer: Answer) -> Any:
        return ["legal", " ", "legal", "money"]

    assert names(answer, when=(risky, several)) == ["risky", "legal", "money"]
    assert names(answer, when=lambda answer: "too short") == ["too short"]
    assert names(answer, when=lambda answer: None) == []


def test_a_function_that_fails_queues_the_answer() -> None:
    def broken(answer: Answer) -> bool:
        raise KeyError("x")

    notes: list[str] = []
    (reason,) = reasons_for(answer_of(), "q", ReviewSettings(when=broken), note=notes.append)
    assert str(reason) == "broken (it failed)"
    assert notes == ["the review queue's broken failed (KeyError: 'x'): a person looks at the answer"]


# ------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('use = "sqlit"', "there is no review queue 'sqlit': did you mean 'sqlite'"),
        ("unsuported = true", "did you mean 'unsupported'"),
        ("unsupported = 1", "the review queue's unsupported is true or false, not 1"),
        ("confidence = 60", r"the review queue's confidence is a number in \(0, 1\], not 60"),
        ("sample = 0", "a share above 0 and up to 1, or a whole number n"),
        ("sample = 2.5", "it is 2.5: write a share"),
        ('when = "math:nothing"', "'math' has no 'nothing'"),
        ("unsupported = false", "queues nothing: switch on one of unsupported, confidence"),
        ("ttl_days = 0", "ttl_days is days above 0"),
        ('confidence = 0.5\nembedder = "locl"', "there is no embedder 'locl'"),
        ('use = "dynamodb"\npath = "x"', "no argument 'path'"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "rag.toml").write_text(f"[review]\n{table}\n")
    with pytest.raises(ConfigError, match=message):
        rag.config.settings.read(tmp_path / "rag.toml")


def test_without_a_reason_the_usual_ones_hold() -> None:
    for value in (True, {"ttl_days": 3.0}, "reviews.sqlite", Path("x"), {"path": "y"}):
        _, settings, _ = split(value)
        assert (settings.unsupported, settings.escalated, settings.guardrail) == (True, True, True)
        assert (settings.refused, settings.confidence, settings.sample) == (False, None, None)
    use, settings, arguments = split({"sample": 20, "use": "dynamodb", "table": "t"})
    assert (use, settings.share, settings.unsupported, arguments) == ("dynamodb", 0.05, False, {"table": "t"})
    assert split({"sample": 0.05})[1].share == 0.05
