"""What a question costs belongs to the question: under threads, tasks, stand-ins, repairs and budgets."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

import rag
from rag.core.answers import Answer
from rag.core.calls import Call
from rag.core.errors import BudgetError, GenerationError
from rag.emulator import Behaviour, Emulator
from rag.generation.fallback import Fallback
from rag.retrieval import Rephrased
from rag.usage.ledger import Ledger

HAIKU = "global.anthropic.claude-haiku-5-5"  # 0.10 in, 0.50 out per million tokens
UNKNOWN = "us.anthropic.claude-of-tomorrow"
QUESTION = "How many days of annual leave do staff in Europe take?"


class Counted(BaseChatModel):
    """Answers with as many tokens as the question says: ``"… #17"`` is 17 in, 17 out."""

    model: str = HAIKU
    max_tokens: int = 100

    @property
    def _llm_type(self) -> str:
        return "counted"

    def _generate(
        self,
        messages: Any,
        stop: Any = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **more: Any,
    ) -> ChatResult:
        count = int(str(messages[-1].content).rsplit("#", 1)[1].split("<")[0])
        usage = {"input_tokens": count, "output_tokens": count, "total_tokens": 2 * count}
        return ChatResult(generations=[ChatGeneration(message=AIMessage("28 days.", usage_metadata=usage))])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    folder = tmp_path_factory.mktemp("costs")
    (folder / "docs").mkdir()
    (folder / "docs" / "leave.md").write_text("# Leave\n\nStaff in Europe take 28 days of annual leave.\n")
    (folder / "docs" / "travel.md").write_text("# Travel\n\nTrains are booked in second class.\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return rag.Index.open(folder / "ix")


def pipeline(index: rag.Index, path: Path, generator: Any, **ledger: Any) -> rag.Pipeline:
    return rag.Pipeline(index, generator=generator, ledger={"path": str(path), **ledger})


def usd(calls: tuple[Call, ...]) -> float:
    return sum(call.usage.cost_usd or 0.0 for call in calls)


def check_each(answers: list[Answer], path: Path) -> None:
    """Each answer has its own tokens, and their sum is the ledger's."""
    for answer in answers:
        count = int(answer.question.rsplit("#", 1)[1])
        (call,) = answer.calls
        assert (call.purpose, call.usage.input_tokens, call.usage.output_tokens) == ("generate", count, count)
        assert answer.usage == call.usage
    (row,) = Ledger(path).rows()
    assert row.calls == len(answers)
    assert row.usd == pytest.approx(sum(usd(answer.calls) for answer in answers))


def test_sixty_four_questions_on_sixteen_threads(index: rag.Index, tmp_path: Path) -> None:
    pipe = pipeline(index, tmp_path / "l.sqlite", Counted())
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(pipe.ask, [f"{QUESTION} #{n + 1}" for n in range(64)]))
    check_each(answers, tmp_path / "l.sqlite")


async def test_two_hundred_asynchronous_questions(index: rag.Index, tmp_path: Path) -> None:
    pipe = pipeline(index, tmp_path / "l.sqlite", Counted())
    tasks = [asyncio.to_thread(pipe.ask, f"{QUESTION} #{n + 1}") for n in range(200)]
    check_each(list(await asyncio.gather(*tasks)), tmp_path / "l.sqlite")


def test_streams_that_take_turns_on_one_thread(index: rag.Index, tmp_path: Path) -> None:
    pipe = pipeline(index, tmp_path / "l.sqlite", Counted())
    streams = [pipe.stream(f"{QUESTION} #{n + 1}") for n in range(8)]
    answers: list[Answer] = []
    while streams:
        stream = random.Random(len(answers)).choice(streams)
        event = next(stream, None)
        if event is None:
            streams.remove(stream)
        elif event.kind == "answer":
            answers.append(event.value)
    check_each(answers, tmp_path / "l.sqlite")


def test_every_stage_that_is_paid_for(index: rag.Index, tmp_path: Path, bedrock_emulator: Emulator) -> None:
    """Embedding, rephrasing, reranking and generating on Bedrock, by 16 threads: calls match the requests."""
    source = index.path.parent / "docs"
    rag.build(source, tmp_path / "ix", embedder={"use": "titan", "dimensions": 256})
    titan = rag.Index.open(tmp_path / "ix", embedder={"use": "titan", "dimensions": 256})
    bedrock_emulator.requests.clear()
    claude = rag.ClaudeBedrock(HAIKU)
    retriever = {"reranker": "bedrock", "questions": Rephrased(claude, most=1)}
    pipe = rag.Pipeline(titan, retriever=retriever, generator=claude, ledger=str(tmp_path / "l.sqlite"))
    before = Ledger(tmp_path / "ix" / "ledger.sqlite").spent()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(pipe.ask, [f"{QUESTION} In year {2000 + n}?" for n in range(32)]))
    purposes = Counter(call.purpose for answer in answers for call in answer.calls)
    operations = Counter(request.operation for request in bedrock_emulator.requests)
    assert purposes["rerank"] == operations["Rerank"] == 32
    assert purposes["rephrase"] == purposes["generate"] == 32
    assert operations["Converse"] + operations["ConverseStream"] == 64
    assert purposes["embed"] == operations["InvokeModel"]
    assert all(call.usage.cost_usd for answer in answers for call in answer.calls)
    ledger = Ledger(tmp_path / "l.sqlite")
    assert ledger.rows()[0].calls == sum(purposes.values())
    assert ledger.spent() == pytest.approx(sum(usd(answer.calls) for answer in answers))
    assert Ledger(tmp_path / "ix" / "ledger.sqlite").spent() == before > 0


def test_a_stand_in_and_what_failed_before_it(index: rag.Index, tmp_path: Path) -> None:
    class Failing(Counted):
        def _generate(self, *args: Any, **more: Any) -> ChatResult:
            raise GenerationError("it is down", elsewhere=True)

    models = Fallback(models=[Failing(model="global.anthropic.claude-sonnet-5-5"), Counted()])
    answer = pipeline(index, tmp_path / "l.sqlite", models).ask(f"{QUESTION} #40")
    (call,) = answer.calls
    assert (call.model, call.usage.input_tokens, call.usage.cost_usd) == (HAIKU, 40, 40 * 0.6e-6)
    assert answer.usage == call.usage


def test_structured_replies_and_their_repairs(
    index: rag.Index, tmp_path: Path, bedrock_emulator: Emulator
) -> None:
    class Leave(BaseModel):
        days: int

    replies = iter(['{"days": "many"}', '{"days": 28}'])
    bedrock_emulator.behaviour = Behaviour(reply=lambda request: next(replies))
    structured = rag.ClaudeBedrock("anthropic.claude-haiku-4-5-20251001-v1:0").with_structured_output(Leave)
    answer = pipeline(index, tmp_path / "l.sqlite", structured).ask(QUESTION)
    assert [call.purpose for call in answer.calls] == ["generate", "repair"]
    assert all(call.usage.cost_usd for call in answer.calls)
    assert Ledger(tmp_path / "l.sqlite").rows()[0].calls == len(bedrock_emulator.requests) == 2


class Streaming(Counted):
    """Streams ten words; the usage comes last."""

    def _stream(self, messages: Any, *args: Any, **more: Any) -> Iterator[ChatGenerationChunk]:
        for n in range(10):
            yield ChatGenerationChunk(message=AIMessageChunk(f"word{n} "))
        usage = {"input_tokens": 50, "output_tokens": 20, "total_tokens": 70}
        yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=usage))


def test_a_stream_that_its_reader_leaves_is_in_the_ledger(index: rag.Index, tmp_path: Path) -> None:
    stream = pipeline(index, tmp_path / "l.sqlite", Streaming()).stream(QUESTION)
    assert [next(stream).kind for _ in range(3)] == ["context", "text", "text"]
    stream.close()
    (row,) = Ledger(tmp_path / "l.sqlite").rows(("purpose",))
    assert row.calls == 1 and row.input_tokens > 20 and row.output_tokens >= 2 and row.usd


def test_a_stream_that_the_service_cuts_is_in_the_ledger(
    index: rag.Index, tmp_path: Path, bedrock_emulator: Emulator
) -> None:
    pipe = pipeline(index, tmp_path / "l.sqlite", rag.ClaudeBedrock(HAIKU))
    bedrock_emulator.fail_next("StreamCut", moment="stream", events=5)
    with pytest.raises(GenerationError):
        pipe.ask(QUESTION)
    (row,) = Ledger(tmp_path / "l.sqlite").rows()
    assert row.calls == 1 and row.usd


def test_a_tag_belongs_to_one_question(index: rag.Index, tmp_path: Path) -> None:
    pipe = pipeline(index, tmp_path / "l.sqlite", Counted(), tag="desk")
    pipe.ask(f"{QUESTION} #10", tag="vip")
    pipe.ask(f"{QUESTION} #20")
    rows = {row.group: row.input_tokens for row in Ledger(tmp_path / "l.sqlite").rows(("tag",))}
    assert rows == {("vip",): 10, ("desk",): 20}


def test_the_context_of_a_question_leaves_nothing_for_the_next(index: rag.Index, tmp_path: Path) -> None:
    pipe = pipeline(index, tmp_path / "l.sqlite", Counted())
    pipe.context(QUESTION)
    pipe.retrieve(QUESTION)
    assert len(pipe.ask(f"{QUESTION} #5").calls) == 1


# ---------------------------------------------------------------------- budgets


@pytest.mark.parametrize(
    "generator",
    [
        Counted(model=UNKNOWN),
        Fallback(models=[Counted(model=UNKNOWN)]),
        RunnableLambda(lambda messages: "28 days."),
        RunnableLambda(lambda messages: messages) | Counted(model=UNKNOWN),
    ],
    ids=["chat model", "fallback", "function", "chain"],
)
def test_what_has_no_price_is_refused_under_stop_usd(
    index: rag.Index, tmp_path: Path, generator: Any
) -> None:
    pipe = pipeline(index, tmp_path / "l.sqlite", generator, stop_usd=1e6)
    with pytest.raises(BudgetError, match=r"without a price: .*\[prices"):
        pipe.ask(f"{QUESTION} #1")


def test_a_price_in_rag_toml_lets_a_model_answer(index: rag.Index, tmp_path: Path) -> None:
    prices = {UNKNOWN: {"input": 1.0, "output": 2.0}}
    pipe = rag.Pipeline(
        index, generator=Counted(model=UNKNOWN), prices=prices,
        ledger={"path": str(tmp_path / "l.sqlite"), "stop_usd": 1},
    )  # fmt: skip
    assert pipe.ask(f"{QUESTION} #100").usage.cost_usd == pytest.approx(300e-6)


def test_rephrasing_is_refused_by_the_budget_too(index: rag.Index, tmp_path: Path) -> None:
    retriever = {"questions": Rephrased(Counted())}
    pipe = rag.Pipeline(
        index, retriever=retriever, ledger={"path": str(tmp_path / "l.sqlite"), "stop_usd": 1e-9}
    )
    with pytest.raises(BudgetError):
        pipe.ask(f"{QUESTION} #1")


@settings(max_examples=15, deadline=None)
@given(
    stop=st.floats(1e-5, 4e-4), threads=st.integers(1, 12), seed=st.integers(0, 999),
    stand_in=st.booleans(), rephrase=st.booleans(),
)  # fmt: skip
def test_no_budget_is_passed(
    index: rag.Index, tmp_path_factory: pytest.TempPathFactory, stop: float, threads: int, seed: int,
    stand_in: bool, rephrase: bool,
) -> None:  # fmt: skip
    """Whatever the model, the tag and the stage: what is recorded stays within stop_usd."""
    path = tmp_path_factory.mktemp("budget") / "l.sqlite"
    model: Any = Fallback(models=[Counted(), Counted()]) if stand_in else Counted()
    pipe = rag.Pipeline(
        index, generator=model, retriever={"questions": Rephrased(Counted())} if rephrase else None,
        ledger={"path": str(path), "stop_usd": stop, "per": "ever"},
    )  # fmt: skip
    tags = random.Random(seed)

    def ask(number: int) -> float | None:
        try:
            answer = pipe.ask(f"{QUESTION} #{number % 90 + 1}", tag=tags.choice(["a", "b", None]))
        except BudgetError:
            return None
        return usd(answer.calls)

    with ThreadPoolExecutor(threads) as pool:
        spent = list(pool.map(ask, range(24)))
    assert Ledger(path).spent() <= stop + 1e-12
    if not rephrase:  # a question that is refused half-way has paid for its first half
        assert Ledger(path).spent() == pytest.approx(sum(each for each in spent if each is not None))
