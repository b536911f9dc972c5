"""The bill of 1,000 questions, step by step: ``python -m tests.benchmarks.bill [--questions N]``.

The traffic of a day over the sample handbook: 70 % simple questions; 30 % of all were asked before, word for
word; 30 % are asked in conversations of six turns; 20 % come as a list at night. It is answered five times by
the emulator, which counts tokens and keeps prompt caches as Bedrock does, at Bedrock's prices:

1. every question to Opus, with its context sent anew;
2. with prompt caching;
3. and the router: Haiku, Sonnet and Opus by rules that look at the question, and one tier up where a reply
   falls short;
4. and the response cache;
5. and the nightly list by batch jobs, one for each tier of the rules.

Each answer is checked as `rag eval --answers` does. The emulator's models all quote alike, so equal checks
show that nothing of this loses or mixes answers, not that Haiku answers as well as Opus: for that measure
your own models (`rag eval --models`). The rules were written with a trial of 60 questions in view.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

import rag
from rag.core.answers import Answer
from rag.emulator import Emulator
from rag.evaluation.checks import checks
from rag.evaluation.golden_set import Question, read
from rag.evaluation.statistics import estimate
from rag.generation.question import Question as About
from rag.generation.rules import first_match, rules_of
from rag.usage.ledger import Ledger

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "data"
#: Opus, Sonnet and Haiku: today's, and those of 2024, whose prices lie further apart.
GENERATIONS = {
    "5.5": tuple(f"global.anthropic.claude-{name}-5-5" for name in ("opus", "sonnet", "haiku")),
    "3": (
        "anthropic.claude-3-opus-20240229-v1:0", "anthropic.claude-3-5-sonnet-20240620-v1:0",
        "anthropic.claude-3-haiku-20240307-v1:0",
    ),
}  # fmt: skip
OPUS, SONNET, HAIKU = GENERATIONS["5.5"]
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


#: Asks the list of the night.
Night = Callable[[rag.Pipeline, Sequence[Asked]], Iterator[tuple[Asked, Answer]]]
BUCKET = "work"


def one_by_one(pipe: rag.Pipeline, asked: Sequence[Asked]) -> Iterator[tuple[Asked, Answer]]:
    for each in asked:
        yield each, pipe.ask(each.text, **each.options)


def by_jobs_of(models: Sequence[str]) -> Night:
    """Return what asks by batch jobs of some models."""
    return functools.partial(by_jobs, models)


def by_jobs(
    models: Sequence[str], pipe: rag.Pipeline, asked: Sequence[Asked]
) -> Iterator[tuple[Asked, Answer]]:
    """Ask by batch jobs, one for each tier of the router's rules, which jobs do not take; each text once."""
    rules, tiers = rules_of(RULES), dict(zip(("large", "default", "small"), models, strict=True))
    groups: dict[str, list[Asked]] = {}
    for each in asked:
        matched = first_match(rules, About(each.text))
        groups.setdefault(matched[0] if matched else "small", []).append(each)
    for tier, rows in groups.items():
        distinct = list({each.text: each for each in rows}.values())
        one = rag.Pipeline(pipe.index, generator=claude(tiers[tier]), ledger=str(pipe.meter.ledger.path))
        questions = [{"id": n, "question": each.text, **each.options} for n, each in enumerate(distinct)]
        report = one.batch(
            questions,
            s3=f"s3://{BUCKET}/{tier}",
            role_arn="arn:aws:iam::123456789012:role/batch",
            on_demand=True,
        )
        answers = dict(zip((each.text for each in distinct), report.answers, strict=True))
        yield from ((each, answers[each.text]) for each in rows)


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
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    s3 = f"http://{host}:{port}"
    with Emulator(s3_endpoint=s3) as emulator, pytest.MonkeyPatch.context() as patch:
        for key, value in {**emulator.environment(), "AWS_ENDPOINT_URL_S3": s3}.items():
            patch.setenv(key, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        pipe = rag.Pipeline(path, ledger=str(ledger), **settings)
        correct, supported = [], []
        for asked, answer in answered(pipe, day, night):
            found = {check.name: check.value for check in checks(asked.question, answer)}
            correct.append(found["correct"])
            if "supported" in found:
                supported.append(found["supported"])
    moto.stop()
    rows = Ledger(ledger).rows(("model",))
    calls = {re.sub(r".*claude-|-\d{8}.*|[\d.-]*$", "", str(row.group[0])): row.calls for row in rows}
    (total,) = Ledger(ledger).rows()
    return Bill(
        name, total.usd or 0.0, total.calls, str(estimate(correct)), str(estimate(supported)),
        ", ".join(f"{model} {count}" for model, count in sorted(calls.items()) if count),
        time.perf_counter() - started,
    )  # fmt: skip


def claude(model: str, **more: Any) -> dict[str, Any]:
    return {"use": "claude", "model": model, **more}


def configurations(folder: Path, models: Sequence[str]) -> list[tuple[str, dict[str, Any], Night]]:
    """Return the configurations: each has what the one before it has."""
    first, second, third = models
    opus = {"generator": claude(first)}
    cached = {"generator": claude(first, prompt_cache="5m")}
    tiers = {
        "small": claude(third, prompt_cache="5m"), "default": claude(second, prompt_cache="5m"),
        "large": claude(first, prompt_cache="5m"),
    }  # fmt: skip
    routed = {
        "generator": {
            "use": "router", "tiers": tiers, "rules": RULES, "otherwise": "small",
            "escalate": {"on": ["refused", "unsupported", "cut", "empty"]}, "max_calls": 2,
        }
    }  # fmt: skip
    responses, batch = (
        {**routed, "responses": {"path": str(folder / f"{name}.sqlite")}} for name in ("kept", "kept-too")
    )
    return [
        ("all to Opus", opus, one_by_one), ("prompt caching", cached, one_by_one),
        ("router", routed, one_by_one), ("response cache", responses, one_by_one), ("batch", batch, by_jobs_of(models)),
    ]  # fmt: skip


def table(bills: Sequence[Bill]) -> list[str]:
    """Return the bills as Markdown."""
    first = bills[0].usd
    return [
        "| configuration | dollars | of the first | calls | correct | supported | calls by model |",
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
        lines = [
            "# The bill of a day",
            "",
            f"{count} questions of a day (see the head of `bill.py`), answered by the emulator at Bedrock's prices.",
        ]
        for generation, models in GENERATIONS.items():
            work = folder / generation
            work.mkdir()
            bills = []
            for title, settings, night in configurations(work, models):
                bills.append(bill(title, folder / "ix", work, day, settings, night))
                print(json.dumps(bills[-1].__dict__), flush=True)
            lines += ["", f"{', '.join(f'`{model}`' for model in models)}:", "", *table(bills)]
    (HERE / "BILL.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=1000)
    main(parser.parse_args().questions)
