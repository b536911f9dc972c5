"""Clients of OpenAI's form work unchanged: the `openai` package and LangChain's."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from langchain_openai import ChatOpenAI

import rag
from rag.serving.app import create_app
from rag.serving.keys import KeyAuthenticator, KeyStore
from rag.serving.service import Service
from tests.serving.served import running

LEAVE = "How many days of annual leave do staff in Europe take?"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("openai")
    (folder / "docs").mkdir()
    (folder / "docs" / "eu.md").write_text("# Leave\n\nStaff in Europe take 28 days of annual leave.\n")
    (folder / "docs" / "us.md").write_text("# Pay\n\nPay day is the 25th of each month.\n")
    rag.build(folder / "docs", folder / "handbook", embedder="static")
    store = KeyStore(folder / "keys.sqlite")
    _, key = store.add("test")
    service = Service(folder / "handbook", lambda: rag.Pipeline(folder / "handbook"))
    with running(create_app(service, KeyAuthenticator(store))) as url:
        yield f"{url}/v1", key


@pytest.fixture
def client(address: tuple[str, str]) -> openai.OpenAI:
    return openai.OpenAI(base_url=address[0], api_key=address[1], max_retries=0)


def test_a_completion_has_text_annotations_and_usage(client: openai.OpenAI) -> None:
    made = client.chat.completions.create(model="handbook", messages=[{"role": "user", "content": LEAVE}])
    message = made.choices[0].message
    assert "28 days" in str(message.content) and made.choices[0].finish_reason == "stop"
    assert message.annotations is not None
    note = message.annotations[0].url_citation
    assert str(message.content)[note.start_index : note.end_index] == "[1]" and note.url.startswith(
        "rag:eu.md#"
    )
    assert made.usage is not None and made.usage.total_tokens >= 0


def test_a_stream_joins_to_the_same_text(client: openai.OpenAI) -> None:
    messages: list = [{"role": "system", "content": "Say only yes."}, {"role": "user", "content": LEAVE}]
    whole = client.chat.completions.create(model="handbook", messages=messages).choices[0].message.content
    chunks = list(client.chat.completions.create(
        model="handbook", messages=messages, stream=True, stream_options={"include_usage": True}
    ))  # fmt: skip
    text = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
    assert text == whole and "28 days" in text
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == "stop"
    assert chunks[-1].usage is not None


def test_models_and_errors_are_openais(client: openai.OpenAI, address: tuple[str, str]) -> None:
    assert [each.id for each in client.models.list().data] == ["handbook"]
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-5'"):
        client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": LEAVE}])
    with pytest.raises(openai.BadRequestError, match="the last message must be the user's"):
        client.chat.completions.create(model="handbook", messages=[{"role": "assistant", "content": "x"}])
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=address[0], api_key="wrong").models.list()


def test_langchains_client_works_and_a_conversation_goes_on(address: tuple[str, str]) -> None:
    model = ChatOpenAI(model="handbook", base_url=address[0], api_key=address[1], max_retries=0)  # type: ignore[arg-type]
    assert "28 days" in str(model.invoke(LEAVE).content)
    history = [("user", "When is pay day?"), ("assistant", "The 25th."), ("user", LEAVE)]
    assert "28 days" in str(model.invoke(history).content)
    assert "28 days" in "".join(str(chunk.content) for chunk in model.stream(LEAVE))
