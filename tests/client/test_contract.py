"""The client returns what the pipeline returns, method by method, with the local answerer and with Claude."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.client.client import Health
from rag.core.errors import MissingSourceError, UsageError, WhereError
from rag.core.passages import Context
from rag.emulator import Emulator
from rag.emulator.pytest_plugin import point_at
from rag.retrieval.explain import Explanation
from rag.serving.app import create_app
from rag.serving.callers import Caller
from rag.serving.keys import OpenAuthenticator
from rag.serving.service import Service
from tests.serving.served import running

LEAVE = "How many days of annual leave do staff in EU take?"
OPTIONS: list[dict[str, Any]] = [
    {}, {"where": rag.field("region") == "us"}, {"where": "year >= 2024 and 'hr' in tags"},
    {"where": {"equals": {"key": "region", "value": "eu"}}}, {"where": {"region": "eu", "year": {"$gte": 2023}}},
    {"k": 1}, {"k": 2, "mode": "lexical"}, {"mode": "dense"}, {"where": "region == 'none'"},
]  # fmt: skip
SIZED = [*OPTIONS, {"budget": 120}, {"budget": 60, "unit": "tokens", "where": "final == True"}]


def same(value: Any) -> Any:
    """A record as plain values, without what no two questions share: ids, times, ages."""
    if isinstance(value, list | tuple):
        return [same(each) for each in value]
    if not isinstance(value, dict):
        return same(value.to_dict()) if hasattr(value, "to_dict") else value
    return {
        name: same(each) for name, each in value.items() if name not in ("id", "seconds", "first_token_s")
    }  # fmt: skip


@pytest.fixture(scope="module")
def pipe(leave: Path) -> rag.Pipeline:
    return rag.Pipeline(leave)


@pytest.mark.parametrize("options", SIZED, ids=str)
async def test_questions(client: rag.Client, pipe: rag.Pipeline, options: dict[str, Any]) -> None:
    expected = pipe.ask(LEAVE, **options)
    answer = client.ask(LEAVE, **options)
    assert isinstance(answer, rag.Answer) and same(answer) == same(expected)
    assert same(await client.aask(LEAVE, **options)) == same(expected)
    assert answer.citations == expected.citations and answer.context == expected.context
    assert (str(answer).split("context ")[0], answer._repr_html_()[:40]) == (
        str(expected).split("context ")[0], expected._repr_html_()[:40]
    )  # fmt: skip


@pytest.mark.parametrize("options", SIZED, ids=str)
async def test_streams(client: rag.Client, pipe: rag.Pipeline, options: dict[str, Any]) -> None:
    expected = [(event.kind, same(event.value)) for event in pipe.stream(LEAVE, **options)]
    assert [(event.kind, same(event.value)) for event in client.stream(LEAVE, **options)] == expected
    assert [(event.kind, same(event.value)) async for event in client.astream(LEAVE, **options)] == expected


@pytest.mark.parametrize("options", SIZED, ids=str)
async def test_passages(client: rag.Client, pipe: rag.Pipeline, options: dict[str, Any]) -> None:
    hits, context = pipe.retrieve(LEAVE, **options), pipe.context(LEAVE, **options)
    assert client.retrieve(LEAVE, **options) == hits == await client.aretrieve(LEAVE, **options)
    assert client.context(LEAVE, **options) == context == await client.acontext(LEAVE, **options)
    assert isinstance(client.context(LEAVE), Context)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
async def test_searches(client: rag.Client, pipe: rag.Pipeline, options: dict[str, Any]) -> None:
    hits = pipe.retrieve(LEAVE, **{"k": 10, **options})[: options.get("k", 10)]
    assert client.search(LEAVE, **options) == hits == await client.asearch(LEAVE, **options)


def test_dates_are_dates(client: rag.Client) -> None:
    (hit, *_) = client.search(LEAVE, where=rag.field("valid_from") >= "2024-01-01")
    assert hit.metadata["valid_from"].isoformat() == "2024-03-01"


@pytest.mark.parametrize(
    ("expect", "options"),
    [
        ("pay.md", {}), ("leave-eu.md:40-60", {}), ("the 25th of each month", {"k": 1}),
        ("22 days of annual leave", {"where": "region == 'eu'"}), ("leave-us.md", {"budget": 60}),
    ],
)  # fmt: skip
async def test_explanations(
    client: rag.Client, pipe: rag.Pipeline, expect: str, options: dict[str, Any]
) -> None:
    expected = pipe.explain(LEAVE, expect, **options)
    found = client.explain(LEAVE, expect, **options)
    assert isinstance(found, Explanation) and found == expected
    assert await client.aexplain(LEAVE, expect, **options) == expected


async def test_a_conversation_is_that_of_a_pipeline_with_the_same_messages(
    client: rag.Client, pipe: rag.Pipeline
) -> None:
    chat, achat = client.chat(where="region == 'eu'"), await client.achat(where="region == 'eu'")
    own = pipe.chat(where="region == 'eu'")
    for question in (LEAVE, "And when I am ill?", "Whom do I tell?"):
        # What a server is sent of the turns before is their texts.
        before = [type(each)(each.content) for each in own.messages]
        own = pipe.chat(before, where="region == 'eu'")
        expected = own.ask(question)
        assert same(chat.ask(question)) == same(expected) == same(await achat.aask(question))
    assert [each.content for each in chat.messages] == [each.content for each in own.messages]
    assert chat.ask("And in the US?", where=None).context.hits != expected.context.hits
    kinds = [event.kind for event in chat.stream(LEAVE)]
    assert kinds[0] == "context" and kinds[-1] == "answer"
    again = client.chat(chat.messages)
    assert len(again.transcript.turns) == 5 and again.ask(LEAVE).text


async def test_sources_schema_models_and_health(client: rag.Client, leave: Path) -> None:
    service = Service(leave, lambda: rag.Pipeline(leave))
    place: tuple[Any, ...] = ("leave-eu.md", 120, 160)
    assert client.source(*place, around=9) == service.source(Caller("a"), *place, 9)
    assert await client.asource("leave-eu.md") == service.source(Caller("a"), "leave-eu.md")
    assert client.schema() == service.schema(Caller("a")) == await client.aschema()
    assert client.models() == ["ix"] == await client.amodels()
    assert client.health() == Health("ok", 1) == await client.ahealth()


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda asks: asks.ask(""), UsageError, "the question is empty"),
        (lambda asks: asks.ask(LEAVE, where="regoin == 'eu'"), WhereError, "no document has a field 'regoin': did you mean 'region'"),
        (lambda asks: asks.context(LEAVE, where="region ="), WhereError, "cannot read where"),
        (lambda asks: asks.retrieve(LEAVE, where="year == 'eu'"), WhereError, "'year' is a number, 'eu' is not"),
        (lambda asks: asks.explain(LEAVE, " "), UsageError, "nothing is expected"),
        (lambda asks: asks.ask(LEAVE, budgte=9), (UsageError, TypeError), "budgte"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_the_same_error(
    client: rag.Client, pipe: rag.Pipeline, call: Callable[[Any], Any], kind: Any, text: str
) -> None:
    for asks in (client, pipe):
        with pytest.raises(kind, match=text):
            call(asks)


def test_what_only_a_server_says(client: rag.Client) -> None:
    with pytest.raises(MissingSourceError, match="there is no such source"):
        client.source("none.md")
    with pytest.raises(MissingSourceError, match="no passage with these words"):
        client.explain(LEAVE, "words that stand nowhere")
    with pytest.raises(UsageError, match="k: Input should be less than or equal to 200") as caught:
        client.search(LEAVE, k=500)
    assert len(caught.value.request_id) == 26 and caught.value.request_id in str(caught.value)
    with pytest.raises(UsageError, match="schema cannot be sent to a server"):
        client.ask(LEAVE, schema=dict)  # type: ignore[call-arg]


def test_a_filter_of_any_length(client: rag.Client, pipe: rag.Pipeline) -> None:
    many = rag.field("region").isin(["eu", *(f"region-{n:05}" for n in range(3000))])
    assert client.retrieve(LEAVE, where=many) == pipe.retrieve(LEAVE, where=many)


@contextlib.contextmanager
def with_claude(
    leave: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Iterator[tuple[rag.Client, Any]]:
    with Emulator() as emulator:
        point_at(monkeypatch, emulator.environment())
        settings = {"generator": "claude", "ledger": str(folder / "ledger.sqlite")}
        served = Service(leave, lambda: rag.Pipeline(leave, settings=settings))
        with running(create_app(served, OpenAuthenticator())) as url, rag.Client(url) as client:
            yield client, rag.Pipeline(leave, settings=settings)


@pytest.mark.slow
async def test_the_same_with_claude(leave: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with with_claude(leave, monkeypatch, tmp_path) as (client, pipe):
        for options in SIZED:
            expected = pipe.ask(LEAVE, **options)
            assert same(client.ask(LEAVE, **options)) == same(expected)
            assert same(await client.aask(LEAVE, **options)) == same(expected)
            # How a reply is cut into pieces is the model's and the network's.
            events, own = list(client.stream(LEAVE, **options)), list(pipe.stream(LEAVE, **options))
            for kind in ("context", "citation", "answer"):
                assert [same(event.value) for event in events if event.kind == kind] == [
                    same(event.value) for event in own if event.kind == kind
                ]
            assert "".join(e.value for e in events if e.kind == "text") == expected.text
        assert expected.generator.startswith("anthropic") or "claude" in expected.generator
        chat, before = client.chat(), []
        for question in (LEAVE, "And when I am ill?"):
            own = pipe.chat([type(each)(each.content) for each in before])
            expected = own.ask(question)
            before = own.messages
            assert same(chat.ask(question)) == same(expected)
