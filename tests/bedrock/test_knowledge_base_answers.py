"""RetrieveAndGenerate as a system of its own: its citations, costs and refusals, by HTTP to the emulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import rag
from rag.bedrock.runtime.retry import Retry
from rag.bedrock.search.cited_reply import CitedReply
from rag.bedrock.search.knowledge_base import KnowledgeBaseRetriever
from rag.bedrock.search.knowledge_base_answers import KnowledgeBaseAnswers
from rag.core.answers import Answer, Event
from rag.core.errors import BudgetError, GenerationError
from rag.emulator import Emulator
from rag.evaluation.answers import evaluate_answers
from rag.evaluation.compare_answers import against
from rag.usage.ledger_settings import settings as ledger_settings
from rag.usage.meter import Meter
from tests.bedrock.emulated_bases import BUCKET, ID, QUESTION, ROWS_ID


@pytest.fixture(scope="module")
def emulator(knowledge_base_emulator: Emulator) -> Emulator:
    return knowledge_base_emulator


@pytest.fixture(autouse=True)
def fresh(emulator: Emulator) -> Iterator[None]:
    yield
    emulator.behaviour.reply = emulator.behaviour.guardrail = None


@pytest.fixture
def base(emulator: Emulator, handbook_index: rag.Index) -> Callable[..., KnowledgeBaseAnswers]:
    def made(**options: Any) -> KnowledgeBaseAnswers:
        return KnowledgeBaseAnswers(**{
            "knowledge_base_id": ID, "index": handbook_index, "prefix": BUCKET, "retry": Retry(base_s=0), **options,
        })  # fmt: skip

    return made


def meter(folder: Path, prices: Any = None, **ledger: Any) -> Meter:
    return Meter.of(ledger_settings({"path": str(folder / "ledger.sqlite"), **ledger}), folder, prices)


def sent(emulator: Emulator) -> Any:
    return emulator.requests[-1].params["retrieveAndGenerateConfiguration"]["knowledgeBaseConfiguration"]


def test_citations_are_verified_and_have_offsets(
    base: Callable[..., KnowledgeBaseAnswers], handbook_texts: dict[str, str]
) -> None:
    answer = base().ask(QUESTION, where="status == 'current'")
    assert answer.answered and answer.citations
    for citation in answer.citations:
        assert citation.verified
        assert handbook_texts[citation.source][citation.start : citation.end] == citation.text
        assert f"[{citation.number}]" in answer.text
    shortest = min(answer.context.hits, key=lambda hit: len(hit.text))
    assert all(hit.placed for hit in answer.context.hits) and shortest.text in handbook_texts[shortest.source]
    assert answer.generator == "global.anthropic.claude-sonnet-5-5 by RetrieveAndGenerate"
    assert answer.prompt == f"knowledge-base/{ID}" and answer.supported is not None


def test_a_stream_joins_to_the_same_answer(base: Callable[..., KnowledgeBaseAnswers]) -> None:
    asker = base()
    whole, events = asker.ask(QUESTION), list(asker.stream(QUESTION))
    streamed = events[-1].value
    assert isinstance(streamed, Answer)
    assert "".join(str(event.value) for event in events if event.kind == "text") == streamed.text
    assert (streamed.text, streamed.citations) == (whole.text, whole.citations)
    assert [event.value for event in events if event.kind == "citation"] == list(streamed.citations)


def test_settings_are_sent(emulator: Emulator, base: Callable[..., KnowledgeBaseAnswers]) -> None:
    asker = base(
        model="anthropic.claude-3-haiku-20240307-v1:0", k=7, mode="hybrid", where="year >= 2020",
        reranker="amazon.rerank-v1:0", reranked=3, template="Use $search_results$. $output_format_instructions$",
        max_tokens=300, temperature=0.2, guardrail="gr1a2b3c:2",
    )  # fmt: skip
    asker.ask(QUESTION, where="doc_type == 'policy'")
    request = sent(emulator)
    assert request["modelArn"] == (
        "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
    )  # fmt: skip
    search = request["retrievalConfiguration"]["vectorSearchConfiguration"]
    assert (search["numberOfResults"], search["overrideSearchType"]) == (7, "HYBRID")
    assert search["filter"] == {"andAll": [
        {"greaterThanOrEquals": {"key": "year", "value": 2020}},
        {"equals": {"key": "doc_type", "value": "policy"}},
    ]}  # fmt: skip
    assert search["rerankingConfiguration"]["bedrockRerankingConfiguration"] == {
        "modelConfiguration": {"modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.rerank-v1:0"},
        "numberOfRerankedResults": 3,
    }  # fmt: skip
    assert request["generationConfiguration"] == {
        "promptTemplate": {"textPromptTemplate": "Use $search_results$. $output_format_instructions$"},
        "inferenceConfig": {"textInferenceConfig": {"maxTokens": 300, "temperature": 0.2}},
        "guardrailConfiguration": {"guardrailId": "gr1a2b3c", "guardrailVersion": "2"},
    }  # fmt: skip
    assert not any("RetrieveAndGenerate" in problem for problem in emulator.problems)


def test_a_filter_keeps_documents_out(base: Callable[..., KnowledgeBaseAnswers]) -> None:
    answer = base().ask(QUESTION, where="status == 'no such status'")
    assert (answer.answered, answer.citations, answer.support) == (False, (), None)
    assert answer.text == "Sorry, I am unable to assist you with this request."


def test_a_template_that_forbids_citations_is_noted(base: Callable[..., KnowledgeBaseAnswers]) -> None:
    answer = base(template="Answer from $search_results$.").ask(QUESTION)
    assert answer.citations == () and answer.answered
    assert any("lacks $output_format_instructions$, so the service cites nothing" in n for n in answer.notes)


def test_passages_that_the_index_lacks_are_no_evidence(base: Callable[..., KnowledgeBaseAnswers]) -> None:
    answer = base(knowledge_base_id=ROWS_ID).ask("text")
    assert answer.context.hits and not any(hit.placed for hit in answer.context.hits)
    assert all((citation.start, citation.end) == (0, 0) for citation in answer.citations)
    assert any("cited passages are not in the index verbatim" in note for note in answer.notes)


def test_marks_of_the_model_are_no_citations(
    emulator: Emulator, base: Callable[..., KnowledgeBaseAnswers]
) -> None:
    emulator.behaviour.reply = "Anyone may [1]."
    answer = base().ask(QUESTION)
    assert answer.text == "Anyone may (1)." and answer.citations == ()


def test_a_guardrail_withholds_the_answer(
    emulator: Emulator, base: Callable[..., KnowledgeBaseAnswers]
) -> None:
    emulator.behaviour.guardrail = "blocked"
    for answer in (
        base(guardrail="gr1:1").ask(QUESTION), list(base(guardrail="gr1:1").stream(QUESTION))[-1].value,
    ):  # fmt: skip
        assert isinstance(answer, Answer)
        assert (answer.answered, answer.guardrail, answer.support) == (False, "blocked", None)


@pytest.mark.parametrize("question", ["x" * 1001, "  "], ids=["long", "blank"])
def test_a_question_of_the_wrong_length_is_refused(
    emulator: Emulator, base: Callable[..., KnowledgeBaseAnswers], question: str
) -> None:
    before = len(emulator.requests)
    with pytest.raises(
        GenerationError, match=r"RetrieveAndGenerate takes 1 to 1000; shorten it, or ask a pipeline"
    ):
        base().ask(question)
    assert len(emulator.requests) == before


def test_what_it_cannot_do_is_refused(base: Callable[..., KnowledgeBaseAnswers]) -> None:
    with pytest.raises(GenerationError, match="takes no schema: a knowledge base answers in text alone"):
        base().ask(QUESTION, schema={"type": "object"})


def test_wrong_settings_are_refused(base: Callable[..., KnowledgeBaseAnswers]) -> None:
    with pytest.raises(ValidationError, match=r"lacks \$search_results\$"):
        base(template="Answer.")
    with pytest.raises(ValidationError, match="reranked goes with a reranker"):
        base(reranked=3)
    with pytest.raises(ValidationError, match="at most 4000"):
        base(template="$search_results$" * 300)


def test_failures_are_retried_and_explained(
    emulator: Emulator, base: Callable[..., KnowledgeBaseAnswers]
) -> None:
    emulator.fail_next("ThrottlingException", times=2)
    assert base().ask(QUESTION).answered
    emulator.fail_next("AccessDeniedException")
    with pytest.raises(GenerationError, match="allow bedrock:RetrieveAndGenerate, and bedrock:Retrieve"):
        base().ask(QUESTION)
    emulator.fail_next("ThrottlingException", moment="stream", events=1)
    with pytest.raises(GenerationError, match="the answer is cut here"):
        list(base().stream(QUESTION))


# ---------------------------------------------------------------------- costs


def test_the_cost_is_unknown_without_a_price(
    base: Callable[..., KnowledgeBaseAnswers], tmp_path: Path
) -> None:
    answer = base(meter=meter(tmp_path)).ask(QUESTION, tag="t")
    (call,) = answer.calls
    assert (call.purpose, call.usage.cost_usd, answer.usage.cost_usd) == ("retrieve_and_generate", None, None)
    assert "no known price" in answer.spent
    (row,) = meter(tmp_path).ledger.rows(("model", "tag", "purpose"))
    assert row.group == (f"knowledge-base/{ID}", "t", "retrieve_and_generate")
    assert (row.calls, row.unpriced) == (1, 1)


@pytest.mark.parametrize("name", [f"knowledge-base/{ID}", "knowledge-base"])
def test_a_price_per_question_counts(
    base: Callable[..., KnowledgeBaseAnswers], tmp_path: Path, name: str
) -> None:
    prices = {name: {"per_query": 0.02}}
    asker = base(meter=meter(tmp_path, prices, stop_usd=0.05))
    assert asker.ask(QUESTION).usage.cost_usd == 0.02
    assert list(asker.stream(QUESTION))[-1].value.usage.cost_usd == 0.02
    with pytest.raises(BudgetError, match="above stop_usd"):
        asker.ask(QUESTION)


def test_a_budget_refuses_questions_without_a_price(
    emulator: Emulator, base: Callable[..., KnowledgeBaseAnswers], tmp_path: Path
) -> None:
    before = len(emulator.requests)
    for ask in (
        base(meter=meter(tmp_path, stop_usd=1)).ask,
        lambda q: list(base(meter=meter(tmp_path, stop_usd=1)).stream(q)),
    ):
        with pytest.raises(BudgetError, match=rf'\[prices."knowledge-base/{ID}"\] with per_query = …'):
            ask(QUESTION)
    assert len(emulator.requests) == before


# ---------------------------------------------------------------------- conversations and evaluation


def test_a_conversation_is_kept_by_the_service(
    emulator: Emulator, base: Callable[..., KnowledgeBaseAnswers]
) -> None:
    chat = base().chat()
    chat.ask(QUESTION)
    assert "sessionId" not in emulator.requests[-1].params
    chat.ask("And who else?")
    first = emulator.requests[-1].params["sessionId"]
    chat.ask("Why?")
    assert emulator.requests[-1].params["sessionId"] == first


def test_it_is_evaluated_beside_a_pipeline(
    base: Callable[..., KnowledgeBaseAnswers], handbook_index: rag.Index, handbook_texts: dict[str, str],
    tmp_path: Path,
) -> None:  # fmt: skip
    gold = [source for source, text in handbook_texts.items() if "Anyone at Kelvara may" in text]
    questions = [
        {"id": "sev", "question": QUESTION, "where": "status == 'current'", "gold": gold},
        {"id": "long", "question": "x" * 1001, "gold": gold},
    ]
    pipe = rag.Pipeline(handbook_index, ledger={"path": str(tmp_path / "ledger.sqlite")})
    results = evaluate_answers({"pipe": pipe, "base": base()}, questions, log=tmp_path / "log.jsonl")
    found = results["base"]
    assert found.failed == 1 and found.questions[1].error.startswith("the question has 1001 characters")
    assert found.values["sev"]["verified"] == found.values["sev"]["cite_recall"] == 1
    assert "tokens" in results["pipe"].metrics and not {"tokens", "usd"} & set(found.values["sev"])
    assert any("answers are not kept" in note for note in found.notes)
    assert against(results["pipe"], found).differences["answered"].count == 2


# ---------------------------------------------------------------------- reading replies


class Places:
    def hit(self, result: Any, rank: int) -> rag.Hit:
        return KnowledgeBaseRetriever(knowledge_base_id=ID).hit(result, rank)


def reply(text: str, *parts: tuple[str, str], span: bool = False) -> dict[str, Any]:
    citations = []
    for part, passage in parts:
        response = {"text": part} if not span else {"span": {"start": 0, "end": text.index(part) + len(part)}}
        citations.append({
            "generatedResponsePart": {"textResponsePart": response},
            "retrievedReferences": [{
                "content": {"text": passage}, "location": {"s3Location": {"uri": "s3://b/a.md"}}, "metadata": {},
            }],
        })  # fmt: skip
    return {"output": {"text": text}, "citations": citations}


@pytest.mark.parametrize("span", [False, True], ids=["by its words", "by its span"])
def test_a_citation_stands_behind_its_part(span: bool) -> None:
    reading = CitedReply(Places(), "")
    reading.whole(reply(
        "Leave is 28 days. Dogs are welcome.", ("Leave is 28 days.", "Leave is 28 days in Europe."),
        ("Dogs are welcome.", "Dogs are welcome here."), span=span,
    ))  # fmt: skip
    answer = reading.answer(notes=(), question="", usage=None, trace=(), generator="", prompt="")
    assert answer.text == "Leave is 28 days. [1] Dogs are welcome. [2]"
    assert [citation.text for citation in answer.citations] == [
        "Leave is 28 days in Europe.", "Dogs are welcome here.",
    ]  # fmt: skip


def test_a_number_that_the_passage_lacks_is_flagged() -> None:
    reading = CitedReply(Places(), "")
    reading.whole(reply("Leave is 30 days.", ("Leave is 30 days.", "Leave is 28 days in Europe.")))
    assert "[1?]" in reading.answer(notes=(), question="", usage=None, trace=(), generator="", prompt="").text


def test_both_forms_of_a_citation_event_are_read() -> None:
    inner = reply("Dogs.", ("Dogs.", "Dogs are welcome."))["citations"][0]
    for event in ({"citation": inner}, {"citation": {"citation": inner}}):
        reading = CitedReply(Places(), "")
        events: list[Event] = [*reading.take({"output": {"text": "Dogs are welcome."}}), *reading.take(event)]
        events += reading.close()
        assert [each.kind for each in events] == ["text", "citation", "text"]
