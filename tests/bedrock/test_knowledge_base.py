"""A knowledge base as a retriever: real HTTP to the emulator, whose knowledge bases are indexes."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_tests.integration_tests import RetrieversIntegrationTests

import rag
from rag.bedrock.runtime.retry import Retry
from rag.bedrock.search.knowledge_base import (
    MAX_CHARS,
    PAGE_KEY,
    SOURCE_KEY,
    KnowledgeBaseRetriever,
    sendable,
    source_of,
)
from rag.cli.main import cli
from rag.core.errors import RagError, UsageError, WhereError
from rag.emulator import Emulator
from rag.index.filters.where import And, Not, Or, Where, field
from rag.index.filters.where import Test as Condition
from tests.conftest import ROOT, index_of_rows

ID, ROWS_ID = "HANDBOOK01", "ROWSROWS01"
BUCKET = "s3://handbook01/"
QUESTION = "who declares a SEV-1?"
ROWS: list[dict[str, Any]] = [
    {"name": "alpha", "year": 2021, "ok": True, "day": dt.date(2021, 1, 1), "tags": ["a", "gdpr"]},
    {"name": "beta", "year": 2023, "ok": False, "day": dt.date(2023, 5, 1), "tags": ["b"]},
    {"name": "Alphabet", "year": -4.5, "tags": []},
    {"year": 2025, "ok": True, "at": dt.datetime(2025, 1, 1, 12, tzinfo=dt.UTC), "tags": ["gdpr", "b"]},
    {"name": "", "day": dt.date(2020, 2, 29)},
    {},
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    """An index with one document, and one chunk, for each of `ROWS`."""
    return index_of_rows(tmp_path_factory.mktemp("rows") / "ix", ROWS)


@pytest.fixture(scope="module")
def emulator(handbook_index: rag.Index, rows: rag.Index) -> Iterator[Emulator]:
    with (
        pytest.MonkeyPatch.context() as patch,
        Emulator(knowledge_bases={ID: handbook_index.path, ROWS_ID: rows.path}) as server,
    ):
        for name, value in server.environment().items():
            patch.setenv(name, value)
        yield server


def retriever(index: rag.Index | None = None, **options: Any) -> KnowledgeBaseRetriever:
    return KnowledgeBaseRetriever(
        **{"knowledge_base_id": ID, "index": index, "prefix": BUCKET, "retry": Retry(base_s=0), **options}
    )


def place(document: Document) -> tuple[str, int, int]:
    return (document.metadata["source"], document.metadata["start"], document.metadata["end"])


# ---------------------------------------------------------------------- what comes back


def test_passages_are_those_of_the_index_with_its_sources_offsets_and_pages(
    emulator: Emulator, handbook_index: rag.Index, handbook_texts: dict[str, str]
) -> None:
    found = retriever(handbook_index, k=150).invoke(QUESTION, where="status == 'current'")
    own = handbook_index.search(QUESTION, 150, where="status == 'current'", spread=False)
    assert [place(document) for document in found] == [(hit.source, hit.start, hit.end) for hit in own]
    for document, hit in zip(found, own, strict=True):
        source, start, end = place(document)
        assert document.page_content == handbook_texts[source][start:end]
        for name in ("page_start", "chunk_id", "doc_id", "score", "gap"):
            assert document.metadata.get(name) == getattr(hit, name), name
        assert tuple(document.metadata.get("section", ())) == hit.section
        assert document.metadata["status"] == "current" and "placed" not in document.metadata
        assert not {SOURCE_KEY, PAGE_KEY} & set(document.metadata)


def test_more_than_a_hundred_passages_are_fetched_in_pages(
    emulator: Emulator, handbook_index: rag.Index
) -> None:
    before = len(emulator.requests)
    found = retriever(handbook_index).invoke(QUESTION, k=230)
    assert len(found) == 230 and len({document.metadata["chunk_id"] for document in found}) == 230
    asked = [request.params for request in emulator.requests[before:]]
    assert len(asked) == 3
    assert {a["retrievalConfiguration"]["vectorSearchConfiguration"]["numberOfResults"] for a in asked} == {
        100
    }
    assert len(retriever(handbook_index).invoke(QUESTION, where="year == 2021", k=500)) < 500


def test_without_an_index_passages_have_sources_and_pages_and_say_they_have_no_place(
    emulator: Emulator,
) -> None:
    found = retriever().invoke(QUESTION, k=30, where="doc_type == 'policy'")
    assert len(found) == 30
    assert all(document.metadata["placed"] is False for document in found)
    assert all("start" not in document.metadata for document in found)
    pdf = [document for document in found if document.metadata["source"].endswith(".pdf")]
    assert pdf and all(document.metadata["page_start"] >= 1 for document in pdf)


def test_a_passage_that_the_index_does_not_hold_is_not_placed_and_never_guessed(
    emulator: Emulator, handbook_index: rag.Index, rows: rag.Index
) -> None:
    found = retriever(handbook_index, knowledge_base_id=ROWS_ID).invoke("text")
    assert len(found) == len(ROWS) and all(document.metadata["placed"] is False for document in found)


def test_a_passage_chunked_otherwise_is_found_white_space_aside(
    handbook_index: rag.Index, handbook_texts: dict[str, str]
) -> None:
    from rag.bedrock.search.passage_locator import Texts

    texts = Texts(handbook_index)
    source = "engineering/on-call-handbook.md"
    whole = handbook_texts[source]
    start = whole.index("Two people per rota")
    end = whole.index("Waking someone is fine")
    hit = texts.find(source, "  ".join(whole[start:end].split()))
    assert hit is not None
    assert (hit.start, hit.end) == (start, len(whole[:end].rstrip()))
    assert hit.text == whole[hit.start : hit.end] and hit.gap == " "
    assert texts.find(source, "words that stand nowhere in it") is None
    assert texts.find("no/such/file.md", "Two people per rota") is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_stretch_of_an_indexed_text_is_placed_where_its_letters_stand(
    handbook_index: rag.Index, handbook_texts: dict[str, str], data: st.DataObject
) -> None:
    from rag.bedrock.search.passage_locator import Texts

    source = data.draw(st.sampled_from(
        ["security/incident-response-policy-v3.pdf", "engineering/on-call-handbook.md"]
    ))  # fmt: skip
    chunks = sorted(handbook_index.scan({"source": source}), key=lambda hit: hit.start)
    first = data.draw(st.integers(0, len(chunks) - 1))
    start = data.draw(st.integers(chunks[first].start, chunks[first].end - 1))
    end = data.draw(st.integers(start + 1, min(start + 900, chunks[-1].end)))
    wanted = handbook_texts[source][start:end]
    hit = Texts(handbook_index).find(source, " ".join(wanted.split()))
    if not wanted.strip():
        assert hit is None
        return
    if hit is None:  # text that no chunk holds stands in between
        assert any(a.gap is None or a.end + len(a.gap) != b.start for a, b in itertools.pairwise(chunks))
        return
    assert hit.text == handbook_texts[source][hit.start : hit.end]
    assert "".join(hit.text.split()) == "".join(wanted.split()) and hit.start <= start + len(wanted)


@pytest.mark.parametrize(
    ("location", "prefix", "source"),
    [
        ("s3://bucket/a/b.md", "", "a/b.md"),
        ("s3://bucket/a/b.md", "a", "b.md"),
        ("s3://bucket/a/b.md", "s3://bucket/a/", "b.md"),
        ("s3://bucket/a/b.md", "s3://bucket/a", "b.md"),
        ("s3://bucket/a/b.md", "s3://bucket/a/b.md", "b.md"),
        ("s3://bucket/ab/c.md", "s3://bucket/a", "s3://bucket/ab/c.md"),
        ("https://example.org/a", "s3://bucket/", "https://example.org/a"),
    ],
)
def test_a_source_is_the_key_below_the_prefix(location: str, prefix: str, source: str) -> None:
    assert source_of(location, prefix) == source


# ---------------------------------------------------------------------- what is refused


def test_a_mode_is_handed_on_and_a_lexical_one_is_refused(
    emulator: Emulator, handbook_index: rag.Index
) -> None:
    found = retriever(handbook_index, mode="dense").invoke(QUESTION, k=5)
    own = handbook_index.search(QUESTION, 5, mode="dense")
    assert [place(document) for document in found] == [(hit.source, hit.start, hit.end) for hit in own]
    sent = emulator.requests[-1].params["retrievalConfiguration"]["vectorSearchConfiguration"]
    assert sent["overrideSearchType"] == "SEMANTIC"
    retriever(handbook_index).invoke(QUESTION, k=5)
    sent = emulator.requests[-1].params["retrievalConfiguration"]["vectorSearchConfiguration"]
    assert "overrideSearchType" not in sent
    with pytest.raises(UsageError, match="'lexical': this knowledge base has the modes hybrid and dense"):
        retriever(handbook_index).invoke(QUESTION, mode="lexical")


def test_a_question_that_is_too_long_is_refused_before_a_call(emulator: Emulator) -> None:
    before = len(emulator.requests)
    with pytest.raises(UsageError, match="a knowledge base takes at most 20000; ask in fewer words"):
        retriever().invoke("x" * (MAX_CHARS + 1))
    assert len(emulator.requests) == before


def test_failures_are_tried_again_and_those_that_stay_say_what_to_do(emulator: Emulator) -> None:
    emulator.fail_next("ThrottlingException", times=2)
    assert len(retriever().invoke(QUESTION, k=3)) == 3
    with pytest.raises(
        RagError, match=r"ABCDEFGHIJ: .*ResourceNotFound.*check knowledge_base_id and the region"
    ):
        retriever(knowledge_base_id="ABCDEFGHIJ").invoke(QUESTION)
    emulator.fail_next("AccessDeniedException")
    with pytest.raises(RagError, match="allow bedrock:Retrieve on the knowledge base"):
        retriever().invoke(QUESTION)


# ---------------------------------------------------------------------- filters

NAMES = st.sampled_from(["alpha", "beta", "Alphabet", "", "pha"])
YEARS = st.sampled_from([2020, 2021, 2023, -4.5, 2025])
DAYS = st.sampled_from([dt.date(2020, 2, 29), dt.date(2021, 1, 1), dt.date(2022, 1, 1)])
OPS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
SOURCES = st.sampled_from(["0.md", "3.md", "x.md"])
LISTED = st.sampled_from(["in", "not in"])
TESTS = st.one_of(
    st.builds(Condition, st.just("name"), OPS, NAMES),
    st.builds(Condition, st.just("year"), OPS, YEARS),
    st.builds(Condition, st.just("day"), OPS, DAYS),
    st.builds(Condition, st.just("at"), OPS, st.just(dt.datetime(2025, 1, 1, 12, tzinfo=dt.UTC))),
    st.builds(Condition, st.just("ok"), st.sampled_from(["==", "!="]), st.booleans()),
    st.builds(Condition, st.just("source"), st.sampled_from(["==", "!=", "startswith"]), SOURCES),
    st.builds(Condition, st.just("source"), LISTED, st.lists(SOURCES, max_size=2).map(tuple)),
    st.builds(Condition, st.just("name"), LISTED, st.lists(NAMES, max_size=3).map(tuple)),
    st.builds(Condition, st.just("year"), LISTED, st.lists(YEARS, max_size=3).map(tuple)),
    st.builds(Condition, st.just("ok"), LISTED, st.lists(st.booleans(), max_size=2).map(tuple)),
    st.builds(Condition, st.just("day"), LISTED, st.lists(DAYS, max_size=2).map(tuple)),
    st.builds(Condition, st.just("name"), st.sampled_from(["startswith", "string_contains", "contains"]), NAMES),
    st.builds(Condition, st.just("tags"), st.sampled_from(["list_contains", "string_contains", "contains"]), st.sampled_from(["a", "b", "gdpr"])),
    st.builds(Condition, st.sampled_from(["name", "year", "ok", "day", "at", "tags", "start"]), st.just("exists")),
)  # fmt: skip
FILTERS = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=5,
)


@settings(max_examples=250, deadline=None)
@given(where=FILTERS)
def test_any_filter_gives_exactly_the_rows_that_the_index_gives_or_is_refused(
    emulator: Emulator, rows: rag.Index, where: Where
) -> None:
    expected = sorted(hit.source for hit in rows.scan(where))
    asker = retriever(rows, knowledge_base_id=ROWS_ID, prefix="s3://rowsrows01/")
    try:
        found = asker.invoke("text", where=where)
    except WhereError:
        return
    assert sorted(document.metadata["source"] for document in found) == expected


@pytest.mark.parametrize(
    ("where", "sources"),
    [
        ("not (name == 'alpha' or year >= 2024) and exists(year)", None),
        ("not (name == 'alpha' or ok != true)", [3]),
        ("not (year in [2021, 2023])", [2, 3, 4, 5]),
        ("year not in [2021, 2025]", [1, 2]),
        ("ok not in [True]", [1]),
        ("not exists(ok)", [2, 4, 5]),
        ("exists(ok)", [0, 1, 3]),
        ("exists(name)", [0, 1, 2, 4]),
        ("exists(year)", [0, 1, 2, 3]),
        ("exists(day)", [0, 1, 4]),
        ("day == '2021-01-01'", [0]),
        ("day != '2021-01-01'", [1, 2, 3, 4, 5]),
        ("'gdpr' in tags and name != 'alpha'", [3]),
        ("source in ['0.md', '5.md']", [0, 5]),
        ("startswith(source, '3')", [3]),
        ("not exists(name)", None),
        ("not exists(tags)", None),
        ("exists(tags)", None),
        ("not (year < 2023)", None),
        ("not startswith(name, 'a')", None),
        ("'gdpr' not in tags", None),
        ("day >= '2021-01-01'", None),
        ("at == '2025-01-01T12:00:00'", None),
        ("name in []", None),
        ("start == 0", None),
        ("contains(source, 'md')", None),
    ],
)
def test_a_filter_is_rewritten_where_that_is_exact_and_refused_where_not(
    emulator: Emulator, rows: rag.Index, where: str, sources: list[int] | None
) -> None:
    asker = retriever(rows, knowledge_base_id=ROWS_ID, prefix="s3://rowsrows01/")
    before = len(emulator.requests)
    if sources is None:
        with pytest.raises(WhereError, match=r"[Kk]nowledge [Bb]ase"):
            asker.invoke("text", where=where)
        assert len(emulator.requests) == before
        return
    found = asker.invoke("text", where=where)
    assert sorted(document.metadata["source"] for document in found) == [f"{n}.md" for n in sources]
    assert emulator.problems == [] or "ROWS" not in emulator.problems[-1]


def test_the_retrievers_filter_and_the_questions_are_joined_in_any_notation(
    emulator: Emulator, rows: rag.Index
) -> None:
    place_ = {"knowledge_base_id": ROWS_ID, "prefix": "s3://rowsrows01/"}
    asker = retriever(rows, **place_, where="ok == true")
    for where in (field("year") >= 2024, {"year": {"$gte": 2024}}, "year >= 2024"):
        assert [d.metadata["source"] for d in asker.invoke("text", where=where)] == ["3.md"]
    unaided = retriever(**place_, where={"equals": {"key": "ok", "value": True}})
    assert [d.metadata["source"] for d in unaided.invoke("text", where="year >= 2024")] == ["3.md"]
    with pytest.raises(WhereError, match="did you mean 'year'"):
        asker.invoke("text", where="yeer == 2024")


def test_keys_are_the_services_own_and_not_too_long() -> None:
    assert sendable({"equals": {"key": "page_start", "value": 3}}) == {
        "equals": {"key": PAGE_KEY, "value": 3}
    }
    whole = {"startsWith": {"key": "source", "value": "hr/"}}
    assert sendable(whole, "s3://b/docs") == {"startsWith": {"key": SOURCE_KEY, "value": "s3://b/docs/hr/"}}
    with pytest.raises(WhereError, match="set prefix to s3"):
        sendable(whole, "docs/")
    with pytest.raises(WhereError, match="has 101 characters"):
        sendable({"equals": {"key": "k" * 101, "value": 3}})


# ---------------------------------------------------------------------- the emulator's own word


@pytest.mark.parametrize(
    ("given_", "sources"),
    [
        ({"notEquals": {"key": "nowhere", "value": "x"}}, [0, 1, 2, 3, 4, 5]),
        ({"equals": {"key": "nowhere", "value": "x"}}, []),
        ({"notIn": {"key": "nowhere", "value": ["x"]}}, []),
        ({"notIn": {"key": "name", "value": ["alpha"]}}, [1, 2, 4]),
        ({"notEquals": {"key": "name", "value": "alpha"}}, [1, 2, 3, 4, 5]),
        ({"equals": {"key": "year", "value": "2021"}}, []),
        ({"notEquals": {"key": "year", "value": "2021"}}, [0, 1, 2, 3, 4, 5]),
        ({"equals": {"key": "source", "value": "0.md"}}, []),  # rag's own name is no attribute there
    ],
)
def test_the_emulator_filters_as_the_service_is_documented(
    emulator: Emulator, given_: dict[str, Any], sources: list[int]
) -> None:
    client = boto3.client("bedrock-agent-runtime")
    found = client.retrieve(
        knowledgeBaseId=ROWS_ID, retrievalQuery={"text": "text"},
        retrievalConfiguration={"vectorSearchConfiguration": {"filter": given_, "numberOfResults": 100}},
    )["retrievalResults"]  # fmt: skip
    keys = sorted(one["location"]["s3Location"]["uri"] for one in found)
    assert keys == [f"s3://rowsrows01/{n}.md" for n in sources]


@pytest.mark.parametrize(
    "given_",
    [
        {"in": {"key": "year", "value": [2021]}},
        {"greaterThan": {"key": "name", "value": "a"}},
        {"startsWith": {"key": "name", "value": 3}},
        {"equals": {"key": "name", "value": ["a"]}},
        {"andAll": [{"equals": {"key": "name", "value": "a"}}]},
        {"equals": {"key": "k" * 101, "value": "a"}},
    ],
)
def test_the_emulator_refuses_what_the_service_does_not_take(
    emulator: Emulator, given_: dict[str, Any]
) -> None:
    from botocore.config import Config

    client = boto3.client("bedrock-agent-runtime", config=Config(parameter_validation=False))
    with pytest.raises(ClientError) as caught:
        client.retrieve(
            knowledgeBaseId=ROWS_ID, retrievalQuery={"text": "text"},
            retrievalConfiguration={"vectorSearchConfiguration": {"filter": given_}},
        )  # fmt: skip
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_the_emulator_gives_five_results_and_a_token_for_more(emulator: Emulator) -> None:
    client = boto3.client("bedrock-agent-runtime")
    asked = {"knowledgeBaseId": ROWS_ID, "retrievalQuery": {"text": "text"}}
    first = client.retrieve(**asked)
    rest = client.retrieve(**asked, nextToken=first["nextToken"])
    assert (len(first["retrievalResults"]), len(rest["retrievalResults"])) == (5, 1)
    assert "nextToken" not in rest
    for name in ("ABCDEFGHIJ", "arn:aws:bedrock:us-east-1:123456789012:knowledge-base/ABCDEFGHIJ"):
        with pytest.raises(ClientError, match="ABCDEFGHIJ does not exist"):
            client.retrieve(**{**asked, "knowledgeBaseId": name})
    with pytest.raises(ClientError, match="nextToken is not valid"):
        client.retrieve(**asked, nextToken="!")


# ---------------------------------------------------------------------- the whole pipeline


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "kb.toml"
    path.write_text(f'[retriever]\nuse = "knowledge-base"\nknowledge_base_id = "{ID}"\nprefix = "{BUCKET}"\n')
    return path


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = (ROOT / "data" / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    answerable = [line for line in lines if json.loads(line).get("evidence")]
    path = tmp_path_factory.mktemp("few") / "golden.jsonl"
    path.write_text("\n".join(answerable[::16]) + "\n", encoding="utf-8")
    return path


def run(*words: str | Path) -> dict[str, Any]:
    result = CliRunner().invoke(cli, list(map(str, words)), standalone_mode=False)
    assert result.exception is None, result.exception
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_rag_eval_compares_a_knowledge_base_with_the_index_on_the_same_questions(
    emulator: Emulator, handbook_index: rag.Index, toml: Path, few: Path
) -> None:
    found = run(
        "eval", handbook_index.path, few, "--budgets", "1000,4000", "--against-config", toml, "--json"
    )
    ours, change = found["metrics"]["recall"]["mean"], found["comparison"]["differences"]["recall"]
    assert ours > 0.6 and found["comparison"]["b"].endswith("kb.toml")
    # The same chunks under the same scores; only how many are retrieved differs.
    assert change["count"] == found["metrics"]["recall"]["count"] and abs(change["mean"]) < 0.1
    assert not any("not in the index as they stand" in note for note in found["comparison"]["notes"])
    alone = run("eval", handbook_index.path, few, "--budgets", "1000,4000", "--config", toml, "--json")
    assert alone["metrics"]["recall"]["mean"] == pytest.approx(ours - change["mean"])


def test_an_evaluation_gives_no_credit_for_passages_without_a_place(
    emulator: Emulator, handbook_index: rag.Index, few: Path
) -> None:
    from rag.evaluation import evaluate

    pipe = rag.Pipeline(handbook_index, retriever=retriever())
    found = evaluate(pipe, few, budgets=(4000,))
    assert found.metrics["recall"].mean == 0
    assert any("not in the index as they stand" in note for note in found.notes)


def test_context_ask_and_explain_work_on_a_knowledge_base_with_exact_citations(
    emulator: Emulator, handbook_index: rag.Index, handbook_texts: dict[str, str], toml: Path
) -> None:
    path = handbook_index.path
    words = ("--config", toml, "--where", "status == 'current'", "--json")
    context = run("context", path, QUESTION, *words, "--budget", "2000")
    assert context["used"] > 1500
    for hit in context["hits"]:
        assert handbook_texts[hit["source"]][hit["start"] : hit["end"]] == hit["text"]
    answer = run("ask", path, QUESTION, *words)
    assert answer["citations"]
    for cite in answer["citations"]:
        assert (
            cite["verified"] and handbook_texts[cite["source"]][cite["start"] : cite["end"]] == cite["text"]
        )
    kept = run("explain", path, QUESTION, "--expect", "Anyone at Kelvara may", *words)
    assert kept["stage"] == "kept"
    lost = run("explain", path, QUESTION, "--expect", "EUR 450 for a week as primary", "-k", "3", *words)
    assert lost["stage"] == "retriever" and "KnowledgeBaseRetriever" in lost["said"]


def test_a_sweep_has_a_knowledge_base_beside_the_index(
    emulator: Emulator, toml: Path, few: Path, tmp_path: Path
) -> None:
    first = few.read_text(encoding="utf-8").splitlines()[0]
    one = tmp_path / "one.jsonl"
    one.write_text(first + "\n", encoding="utf-8")
    source = ROOT / "data" / "handbook" / json.loads(first)["evidence"][0]["source"].split("/")[0]
    docs = tmp_path / "docs"
    shutil.copytree(source, docs / source.name)
    found = run(
        "sweep", docs, one, tmp_path / "sweep", "--config", toml, "--budgets", "4000",
        "--set", "retriever.use=knowledge-base,hybrid", "--json",
    )  # fmt: skip
    assert {trial["settings"]["retriever.use"] for trial in found["trials"]} == {"knowledge-base", "hybrid"}


@pytest.mark.usefixtures("emulator")
class TestLangChainsOwnSuite(RetrieversIntegrationTests):
    """What LangChain asks of a retriever."""

    @property
    def retriever_constructor(self) -> type[KnowledgeBaseRetriever]:
        return KnowledgeBaseRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"knowledge_base_id": ID}

    @property
    def retriever_query_example(self) -> str:
        return QUESTION
