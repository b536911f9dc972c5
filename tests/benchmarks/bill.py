"""The bill of 1,000 questions, step by step: ``python -m tests.benchmarks.bill [--questions N]``.

The traffic of a day over the sample handbook: 70 % simple questions; 30 % of all were asked before, word for
word; 30 % are asked in conversations of six turns; 20 % come as a list at night. It is answered five times by
the emulator, which counts tokens and keeps prompt caches as Bedrock does, at Bedrock's prices:

1. every question to Opus, with its context sent anew;
2. with prompt caching;
3. and the router: Haiku, Sonnet and Opus by rules that look at the question, and one tier up where a reply
   falls short;
4. and the response cache;
5. and the nightly list as a batch.

Each answer is checked as `rag eval --answers` does. The emulator's models all quote alike, so equal checks
show that nothing of this loses or mixes answers, not that Haiku answers as well as Opus: for that measure
your own models (`rag eval --models`). The rules were written with a trial of 60 questions in view.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.answers import Answer
from rag.emulator import Emulator
from rag.evaluation.checks import checks
from rag.evaluation.golden_set import Question, read
from rag.evaluation.statistics import estimate
from rag.usage.ledger import Ledger

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "data"
OPUS, SONNET, HAIKU = (f"global.anthropic.claude-{name}-5-5" for name in ("opus", "sonnet", "haiku"))
#: In front of a question, so that there are more distinct ones than the golden set has.
OPENINGS = ("", "Quick one: ", "A colleague wants to know: ", "For a customer: ")
#: Words from which on a question counts as hard; so does one whose evidence stands in two places.
HARD_WORDS = 24
RULES = [
    {"when": {"matches": r"\b(compare|difference|versus)\b"}, "tier": "large"},
    {"when": {"question_words_at_least": HARD_WORDS}, "tier": "default"},
]


@dataclass(frozen=True)
class Asked:
    """A question as it is asked."""

    question: Question
    text: str

    @property
    def options(self) -> dict[str, Any]:
        return {} if self.question.where is None else {"where": self.question.where}


@dataclass(frozen=True)
class Day:
    """What is asked: one by one, in conversations, and as a list at night."""

    singles: Sequence[Asked]
    chats: Sequence[Sequence[Asked]]
    night: Sequence[Asked]


def hard(question: Question) -> bool:
    return len(question.evidence) > 1 or len(question.question.split()) >= HARD_WORDS


def traffic(count: int, *, repeats: float = 0.3, simple: float = 0.7, seed: int = 1) -> Day:
    """Draw the questions of a day."""
    choose = random.Random(seed)
    golden = read(DATA / "golden.jsonl")
    rows = [Asked(each, opening + each.question) for opening in OPENINGS for each in golden]
    distinct: list[Asked] = []
    wanted = round(count * (1 - repeats))
    for is_hard, share in ((False, simple), (True, 1 - simple)):
        fits = [row for row in rows if hard(row.question) == is_hard]
        distinct += choose.sample(fits, min(len(fits), round(wanted * share)))
    asked = distinct + choose.choices(distinct, k=count - len(distinct))
    choose.shuffle(asked)
    talks, night = round(0.3 * count), round(0.2 * count)
    chats = [asked[at : at + 6] for at in range(0, talks, 6)]
    return Day(asked[talks + night :], chats, asked[talks : talks + night])


Night = Callable[[rag.Pipeline, Sequence[Asked]], Iterator[tuple[Asked, Answer]]]


def one_by_one(pipe: rag.Pipeline, asked: Sequence[Asked]) -> Iterator[tuple[Asked, Answer]]:
    for each in asked:
        yield each, pipe.ask(each.text, **each.options)


def answered(pipe: rag.Pipeline, day: Day, night: Night) -> Iterator[tuple[Asked, Answer]]:
    """Ask all that a day asks."""
    yield from one_by_one(pipe, day.singles)
    for turns in day.chats:
        chat = pipe.chat(keep_tokens=100_000)
        for each in turns:
            yield each, chat.ask(each.text, **each.options)
    yield from night(pipe, day.night)


@dataclass(frozen=True)
class Bill:
    """What a configuration cost, and how its answers were."""

    name: str
    usd: float
    calls: int
    correct: str
    supported: str
    models: str
    seconds: float


def bill(name: str, path: Path, folder: Path, day: Day, settings: dict[str, Any], night: Night) -> Bill:
    """Answer a day's questions."""
    ledger = folder / f"{name}.sqlite"
    started = time.perf_counter()
    with Emulator() as emulator, pytest.MonkeyPatch.context() as patch:
        for key, value in emulator.environment().items():
            patch.setenv(key, value)
        pipe = rag.Pipeline(path, ledger=str(ledger), **settings)
        correct, supported = [], []
        for asked, answer in answered(pipe, day, night):
            found = {check.name: check.value for check in checks(asked.question, answer)}
            correct.append(found["correct"])
            if "supported" in found:
                supported.append(found["supported"])
    rows = Ledger(ledger).rows(("model",))
    calls = {str(row.group[0]).partition("claude-")[2].partition("-")[0] or "?": row.calls for row in rows}
    (total,) = Ledger(ledger).rows()
    return Bill(
        name, total.usd or 0.0, total.calls, str(estimate(correct)), str(estimate(supported)),
        ", ".join(f"{model} {count}" for model, count in sorted(calls.items()) if count),
        time.perf_counter() - started,
    )  # fmt: skip


def claude(model: str, **more: Any) -> dict[str, Any]:
    return {"use": "claude", "model": model, **more}


def configurations(folder: Path) -> list[tuple[str, dict[str, Any], Night]]:
    """Return the configurations: each has what the one before it has."""
    opus = {"generator": claude(OPUS)}
    cached = {"generator": claude(OPUS, prompt_cache="5m")}
    tiers = {
        "small": claude(HAIKU, prompt_cache="5m"), "default": claude(SONNET, prompt_cache="5m"),
        "large": claude(OPUS, prompt_cache="5m"),
    }  # fmt: skip
    routed = {
        "generator": {
            "use": "router", "tiers": tiers, "rules": RULES, "otherwise": "small",
            "escalate": {"on": ["refused", "unsupported", "cut", "empty"]}, "max_calls": 2,
        }
    }  # fmt: skip
    responses = {**routed, "responses": {"path": str(folder / "responses.sqlite")}}
    return [
        ("all to Opus", opus, one_by_one), ("prompt caching", cached, one_by_one),
        ("router", routed, one_by_one), ("response cache", responses, one_by_one),
    ]  # fmt: skip


def table(bills: Sequence[Bill], count: int) -> list[str]:
    """Return the bills as Markdown."""
    first = bills[0].usd
    return [
        f"{count} questions of a day (see the head of `bill.py`), answered by the emulator at Bedrock's prices.",
        "", "| configuration | dollars | of the first | calls | correct | supported | calls by model |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {'+ ' if number else ''}{each.name} | ${each.usd:.2f} | 1 / {first / each.usd:.1f} | {each.calls} | "
            f"{each.correct} | {each.supported} | {each.models} |"
            for number, each in enumerate(bills)
        ),
    ]  # fmt: skip


def main(count: int = 1000) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rag.build(DATA / "handbook", folder / "ix")
        day = traffic(count)
        bills = []
        for title, settings, night in configurations(folder):
            bills.append(bill(title, folder / "ix", folder, day, settings, night))
            print(json.dumps(bills[-1].__dict__), flush=True)
    lines = table(bills, count)
    (HERE / "BILL.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=1000)
    main(parser.parse_args().questions)
