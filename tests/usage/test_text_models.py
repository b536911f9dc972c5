"""LangChain's text models are paid for as chat models are, wherever in a question they are asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.runnables import RunnableLambda
from pydantic import PrivateAttr

import rag
from rag.core.errors import BudgetError, GenerationError
from rag.retrieval import Decomposed, Rephrased
from rag.usage.collector import Collector
from rag.usage.ledger import Ledger

HAIKU = "global.anthropic.claude-haiku-5-5"  # 0.10 in, 0.50 out per million tokens
QUESTION = "How many days of annual leave do staff in Europe take?"
#: Where text models of different makers put their tokens.
PLACES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"token_usage": {"prompt_tokens": 30, "completion_tokens": 7}}, {}),
    ({"usage": {"input_tokens": 30, "output_tokens": 7}}, {}),
    ({}, {"usage_metadata": {"input_tokens": 30, "output_tokens": 7}}),
    ({}, {"prompt_eval_count": 30, "eval_count": 7}),
]


class Text(BaseLLM):
    """Answers each prompt; `waits` is called first, and `asked` counts the prompts."""

    model_id: str = HAIKU
    max_tokens: int = 100
    told: tuple[dict[str, Any], dict[str, Any]] = PLACES[0]
    fails: bool = False
    waits: Any = None
    _asked: list[str] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> int:
        return len(self._asked)

    @property
    def _llm_type(self) -> str:
        return "text"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_id": self.model_id, "max_tokens": self.max_tokens}

    def _generate(self, prompts: list[str], *args: Any, **more: Any) -> LLMResult:
        self._asked += prompts
        if self.waits is not None:
            self.waits()
        if self.fails:
            raise ConnectionError("the line is dead")
        whole, each = self.told
        answer = Generation(text="28 days.", generation_info=each)
        return LLMResult(generations=[[answer] for _ in prompts], llm_output=whole)


class Streaming(Text):
    """Streams ten words."""

    def _stream(self, prompt: str, *args: Any, **more: Any) -> Iterator[GenerationChunk]:
        self._asked.append(prompt)
        for n in range(10):
            if self.fails and n == 4:
                raise ConnectionError("the line is dead")
            chunk = GenerationChunk(text=f"word{n} ")
            run_manager = more.get("run_manager")
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "docs").mkdir()
    (folder / "docs" / "leave.md").write_text("# Leave\n\nStaff in Europe take 28 days of annual leave.\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return rag.Index.open(folder / "ix")


def pipeline(
    index: rag.Index, path: Path, generator: Any, retriever: Any = None, **ledger: Any
) -> rag.Pipeline:
    return rag.Pipeline(index, generator=generator, retriever=retriever, ledger={"path": str(path), **ledger})


def chain(model: Any) -> Any:
    return RunnableLambda(lambda messages: messages[-1].content) | model | StrOutputParser()


MAKES = {
    "alone": lambda model: model,
    "in a chain": chain,
    "with a fallback": lambda model: model.with_fallbacks([Text()]),
    "behind a function": lambda model: RunnableLambda(lambda messages: model.invoke(messages)),
    "with stop words": lambda model: model.bind(stop=["\n\n"]),
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES.keys())
def test_a_text_model_is_recorded_once_and_refused_by_the_budget(
    index: rag.Index, tmp_path: Path, make: Any
) -> None:
    model, path = Text(), tmp_path / "l.sqlite"
    answer = pipeline(index, path, make(model)).ask(QUESTION)
    assert answer.text == "28 days."
    (call,) = answer.calls
    assert (call.model, call.purpose) == (HAIKU, "generate")
    assert (call.usage.input_tokens, call.usage.output_tokens) == (30, 7)
    assert call.usage.cost_usd == pytest.approx(30 * 0.1e-6 + 7 * 0.5e-6)
    assert Ledger(path).spent() == pytest.approx(call.usage.cost_usd)
    with pytest.raises(BudgetError, match="stop_usd"):
        pipeline(index, path, make(model), stop_usd=1e-9, per="ever").ask(QUESTION)
    assert model.asked == 1


@pytest.mark.parametrize(("expand", "purpose"), [(Rephrased, "rephrase"), (Decomposed, "decompose")])
def test_a_text_model_that_expands_questions_is_paid_for(
    index: rag.Index, tmp_path: Path, expand: Any, purpose: str
) -> None:
    model, path = Text(), tmp_path / "l.sqlite"
    retriever = {"questions": expand(chain(model))}
    answer = pipeline(index, path, None, retriever).ask(QUESTION)
    assert next((call.purpose, call.model) for call in answer.calls) == (purpose, HAIKU)
    (row,) = Ledger(path).rows(("purpose",))
    assert (row.group, row.calls, row.input_tokens) == ((purpose,), 1, 30)
    with pytest.raises(BudgetError):
        pipeline(index, path, None, retriever, stop_usd=1e-9, per="ever").ask(QUESTION)
    assert model.asked == 1


@pytest.mark.parametrize("told", PLACES)
def test_tokens_are_read_wherever_a_model_tells_them(index: rag.Index, tmp_path: Path, told: Any) -> None:
    answer = pipeline(index, tmp_path / "l.sqlite", Text(told=told)).ask(QUESTION)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (30, 7)


def test_a_model_that_tells_no_tokens_counts_with_what_was_set_aside(
    index: rag.Index, tmp_path: Path
) -> None:
    path = tmp_path / "l.sqlite"
    silent = Text(told=({}, {}))
    answer = pipeline(index, path, silent, stop_usd=1e-3, per="ever").ask(QUESTION)
    assert answer.usage.cost_usd is None
    (row,) = Ledger(path).rows()
    assert (row.calls, row.unpriced) == (1, 1)
    with pytest.raises(BudgetError):
        pipeline(index, path, silent, stop_usd=8e-5, per="ever").ask(QUESTION)
    assert silent.asked == 1


def test_a_model_without_a_price_is_refused(index: rag.Index, tmp_path: Path) -> None:
    model = Text(model_id="text-of-tomorrow")
    with pytest.raises(BudgetError, match="text-of-tomorrow"):
        pipeline(index, tmp_path / "l.sqlite", model, stop_usd=1e6).ask(QUESTION)
    assert model.asked == 0


@pytest.mark.parametrize("fails", [False, True], ids=["left by its reader", "cut by the service"])
def test_a_stream_that_ends_early_is_in_the_ledger(index: rag.Index, tmp_path: Path, fails: bool) -> None:
    path = tmp_path / "l.sqlite"
    pipe = pipeline(index, path, Streaming(fails=fails))
    if fails:
        with pytest.raises(GenerationError):
            pipe.ask(QUESTION)
    else:
        stream = pipe.stream(QUESTION)
        assert [next(stream).kind for _ in range(3)] == ["context", "text", "text"]
        stream.close()
    (row,) = Ledger(path).rows()
    assert row.calls == 1 and row.input_tokens > 20 and row.output_tokens >= 2 and row.usd


def test_a_call_that_fails_at_once_costs_nothing(index: rag.Index, tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    pipe = pipeline(index, path, Text(fails=True), stop_usd=1e-3, per="ever")
    with pytest.raises(GenerationError):
        pipe.ask(QUESTION)
    assert Ledger(path).rows() == []
    assert Ledger(path).spent() == 0


@pytest.mark.parametrize(
    ("make", "stop_usd"), [(MAKES["alone"], 1.7e-4), (MAKES["in a chain"], 8e-5)], ids=["alone", "in a chain"]
)
def test_twelve_at_a_time_spend_no_more_than_a_limit_that_fits_one(
    index: rag.Index, tmp_path: Path, make: Any, stop_usd: float
) -> None:
    """The first call waits until the others were refused: what it may cost is set aside meanwhile."""
    refused = threading.Semaphore(0)

    def wait() -> None:
        for _ in range(11):
            assert refused.acquire(timeout=30)

    model, path = Text(waits=wait), tmp_path / "l.sqlite"
    pipe = pipeline(index, path, make(model), stop_usd=stop_usd, per="ever")

    def ask(number: int) -> bool:
        try:
            pipe.ask(QUESTION)
        except BudgetError:
            refused.release()
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(ask, range(12))) == 1
    assert model.asked == 1
    assert 0 < Ledger(path).spent() <= stop_usd


def test_a_text_model_asked_asynchronously_is_paid_for() -> None:
    collector, model = Collector(), Text()

    async def ask() -> None:
        await chain(model).ainvoke([HumanMessage("Who?")])
        await model.abatch(["a", "b"])

    collector.run(asyncio.run, ask())
    assert [call.model for call in collector.calls] == [HAIKU] * 3
