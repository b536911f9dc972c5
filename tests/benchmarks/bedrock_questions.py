"""Many questions at the same moment, in a process of its own: run by `tests.benchmarks.bedrock`.

    python -m tests.benchmarks.bedrock_questions INDEX COUNT ENDPOINT

COUNT threads stream an answer each from the emulator of the environment, in three rounds; then questions
are asked one by one, stage by stage, of the emulator at ENDPOINT, which does not wait.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import rag
from rag.core.answers import Answer
from rag.core.calls import Call
from rag.generation import reply as replies
from rag.generation.citations import ReplyReader

ROOT = Path(__file__).parents[2]
WARM, STAGED, ROUNDS = 20, 100, 3
EMBED = "embed the question (a part of retrieve)"
WHOLE = "whole, one by one"


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question: seconds to the first text, from the question and from the request."""

    question: str
    answer: Answer | None = None
    first_s: float = 0.0
    request_s: float = 0.0
    error: str = ""

    @property
    def mixed(self) -> bool:
        """Whether anything in the answer is another question's."""
        answer = self.answer
        if answer is None:
            return False
        cited = [citation for citation in answer.citations if citation.verified]
        own = [hit.text for hit in answer.context.hits]
        quoted = bool(cited) and all(any(each.text in text for text in own) for each in cited)
        return answer.question != self.question or not answer.text.startswith(self.question) or not quoted


def questions(count: int) -> list[str]:
    """Return the golden set's questions, as often as it takes, each with a mark of its own."""
    lines = (ROOT / "data" / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line)["question"] for line in lines]
    return [f"{asked[n % len(asked)]} [{_letters(n)}]" for n in range(count)]


def _letters(number: int) -> str:
    """Return a mark without digits: those of a sentence must stand in what it cites."""
    return "".join(chr(ord("a") + number // 26**place % 26) for place in (2, 1, 0))


def ask(pipe: rag.Pipeline, question: str) -> Asked:
    started, first, last = time.perf_counter(), 0.0, None
    try:
        for event in pipe.stream(question):
            if event.kind == "text" and not first:
                first = time.perf_counter() - started
            last = event.value
    except Exception as failed:
        return Asked(question, error=f"{type(failed).__name__}: {failed}")
    assert isinstance(last, Answer)
    sent = next(step.detail["first_token_s"] for step in last.trace if step.name == "generate")
    return Asked(question, last, first, sent)


def at_once(pipe: rag.Pipeline, asked: Sequence[str]) -> dict[str, Any]:
    """Ask all at the same moment, a thread each."""
    gate = threading.Barrier(len(asked))

    def one(question: str) -> Asked:
        gate.wait()
        return ask(pipe, question)

    with ThreadPoolExecutor(len(asked)) as pool:
        used, started = time.process_time(), time.perf_counter()
        found = list(pool.map(one, asked))
        took, used = time.perf_counter() - started, time.process_time() - used
    good = [each for each in found if each.answer]
    return {
        "seconds": took, "cpu_ms": 1000 * used / len(asked), "mixed": sum(each.mixed for each in good),
        "failed": len(found) - len(good), "errors": Counter(each.error for each in found if each.error),
        "first_s": _quantiles([each.first_s for each in good]),
        "request_s": _quantiles([each.request_s for each in good]),
    }  # fmt: skip


def _quantiles(seconds: Sequence[float]) -> list[float]:
    return [float(np.quantile(seconds, share)) for share in (0.5, 0.95)] if seconds else [0.0, 0.0]


def stages(pipe: rag.Pipeline, asked: Sequence[str], fresh: Sequence[str]) -> dict[str, float]:
    """Return milliseconds of processor time that each stage of a question takes, asked one by one.

    The stages are taken as `rag.Pipeline.stream` takes them, one after the other; between them as many
    other questions are asked as users do (an index remembers the vectors of the last ones). All threads
    of the process count.
    """
    spent: Counter[str] = Counter()
    for question, other in zip(asked, fresh, strict=True):
        with _timed(spent, WHOLE):
            pipe.ask(other)
        with _timed(spent, EMBED):
            pipe.index.embedder.embed_query(question)
        with _timed(spent, "retrieve"):
            documents = pipe.retrieve(question)
        with _timed(spent, "trim"):
            context = pipe.trim(question, documents)
        kept = [hit.to_document() for hit in context.hits]
        with _timed(spent, "assemble the prompt"):
            messages = pipe.prompt(question, kept)
        with _timed(spent, "send, and read the stream (botocore, LangChain)"):
            pieces = list(pipe.generator.stream(messages))
        with _timed(spent, "cite, and see what supports it"):
            reader = ReplyReader(context.hits, pipe.on_unverified, question)
            for part in (part for piece in pieces for part in replies.parts(piece)):
                list(reader.feed(part) if isinstance(part, str) else reader.cite(part.quote, part.document))
            list(reader.close())
            _ = reader.support.share
        with _timed(spent, "add up the reply (LangChain)"):
            whole = pieces[0] + pieces[1:]
        with _timed(spent, "usage, and learn how many characters a token has"):
            usage = replies.usage(pipe.generator, whole)
            replies.learn(getattr(pipe.trimmer, "count_tokens", None), replies.sent(messages), usage)
        with _timed(spent, "write the ledger"):
            pipe.meter.record(Call(replies.made_by(pipe.generator, whole), "generate", usage))
    out = {name: 1000 * seconds / len(asked) for name, seconds in spent.items()}
    whole_ms = out.pop(WHOLE)
    return {**out, "all else": whole_ms - sum(out.values()) + out[EMBED], WHOLE: whole_ms}


@contextmanager
def _timed(spent: Counter[str], name: str) -> Iterator[None]:
    started = time.process_time()
    yield
    spent[name] += time.process_time() - started  # type: ignore[assignment]


def main(index: str, count: int, endpoint: str) -> dict[str, Any]:
    most = min(STAGED, count)
    asked = iter(questions(ROUNDS * count + WARM + 2 * most))
    pipe = rag.Pipeline(index, generator=rag.ClaudeBedrock(connections=count))
    warm = list(islice(asked, WARM))
    at_once(pipe, warm)
    rounds = [at_once(pipe, list(islice(asked, count))) for _ in range(ROUNDS)]
    one = rag.Pipeline(index, generator=rag.ClaudeBedrock(endpoint_url=endpoint))
    for question in warm:
        ask(one, question)
    staged = stages(one, list(islice(asked, most)), list(islice(asked, most)))
    return {**together(rounds), "stages": staged}


def together(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the round in the middle by processor time, with the failures of all."""
    order = sorted(rounds, key=lambda each: each["cpu_ms"])
    return {
        **order[len(order) // 2], "rounds_ms": [each["cpu_ms"] for each in order],
        "mixed": sum(each["mixed"] for each in rounds), "failed": sum(each["failed"] for each in rounds),
        "errors": sum((each["errors"] for each in rounds), Counter()),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
