"""Conversations: what is searched, what is sent once, what is kept, and what breaks off."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, messages_from_dict, messages_to_dict
from langchain_core.prompts import ChatPromptTemplate
from pydantic import Field

import rag
from rag.conversation.transcript import Transcript
from rag.core.errors import GenerationError, UsageError
from rag.generation.nothing import NOTHING_FOUND


class Recorded(FakeListChatModel):
    """Keeps the messages that it was sent."""

    sent: list[list[Any]] = Field(default_factory=list)

    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self.sent.append(list(messages))
        return super()._stream(messages, *args, **kwargs)


def model(*replies: str) -> Recorded:
    return Recorded(responses=list(replies), sent=[])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    folder = tmp_path_factory.mktemp("chat")
    (folder / "docs").mkdir()
    for name, text in {
        "eu.md": "---\nregion: eu\n---\n# Leave in Europe\n\nStaff in Europe take 28 days of annual leave.\n",
        "us.md": "---\nregion: us\n---\n# Leave in America\n\nStaff in America take 22 days of annual leave.\n",
        "sev.md": "---\nregion: eu\n---\n# Incidents\n\nAnyone may declare a SEV-1 incident.\n",
    }.items():
        (folder / "docs" / name).write_text(text)
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return rag.Index.open(folder / "ix")


LEAVE = "How many days of annual leave do staff in Europe take?"
CITED = 'It is 28 days.<cite doc="1">Staff in Europe take 28 days of annual leave.</cite>'


def step(answer: Any, name: str) -> dict[str, Any]:
    return next(dict(each.detail) for each in answer.trace if each.name == name)


def test_a_follow_up_is_searched_as_a_question_of_its_own(index: rag.Index) -> None:
    chat = rag.Pipeline(index, retriever={"k": 1}).chat()
    assert chat.ask(LEAVE).citations[0].source == "eu.md"
    answer = chat.ask("and in America?")
    assert answer.question == "and in America?"
    assert step(answer, "follow-up") == {
        "search": "How many days of annual leave do staff in America take?", "by": "carry_over",
    }  # fmt: skip
    assert [citation.source for citation in answer.citations] == ["us.md"]


def test_messages_only_grow_and_a_passage_is_sent_once(index: rag.Index) -> None:
    llm = model(CITED, "It is 22 days.", "Anyone.")
    chat = rag.Pipeline(index, generator=llm, retriever={"k": 2}).chat()
    for question in (LEAVE, "and in America?", "Who may declare a SEV-1 incident?"):
        chat.ask(question)
    first, second, third = llm.sent
    assert second[: len(first)] == first and third[: len(second)] == second
    assert [type(message) for message in third[1:]] == [HumanMessage, AIMessage] * 2 + [HumanMessage]
    text = "".join(str(message.content) for message in third)
    for passage in ("28 days of annual leave.\n</document>", "22 days of annual leave.\n</document>"):
        assert text.count(passage) == 1
    assert second[2].content == CITED  # as the model wrote it, so that it goes on citing
    assert 'in_full="How many days of annual leave do staff in America take?"' in second[-1].content
    assert "Of the documents above these concern the question, too: 1" in second[-1].content


def test_a_passage_of_an_earlier_turn_can_be_cited(index: rag.Index) -> None:
    llm = model(
        "It is 28 days.", 'Yes, 28.<cite doc="1">Staff in Europe take 28 days of annual leave.</cite>'
    )
    chat = rag.Pipeline(index, generator=llm, retriever={"k": 1}).chat()
    chat.ask(LEAVE)
    answer = chat.ask("Is that so?")
    assert step(answer, "assemble") == {"turns": 1, "new": 0, "sent_before": 1}
    assert [(cited.source, cited.verified) for cited in answer.citations] == [("eu.md", True)]
    assert answer.text == "Yes, 28. [1]"


def test_the_filter_stays_until_it_is_changed(index: rag.Index) -> None:
    chat = rag.Pipeline(index).chat(where="region == 'us'")
    assert {hit.source for hit in chat.ask(LEAVE).context.hits} == {"us.md"}
    assert {hit.source for hit in chat.ask("and who else?").context.hits} == {"us.md"}
    assert {hit.source for hit in chat.ask(LEAVE, where="region == 'eu'").context.hits} <= {"eu.md", "sev.md"}
    assert chat.where == "region == 'eu'"
    assert len({hit.source for hit in chat.ask(LEAVE, where=None).context.hits}) > 1


def test_a_stored_history_is_continued_word_for_word(index: rag.Index) -> None:
    llm = model(CITED, "It is 22 days.", "Anyone.")
    pipe = rag.Pipeline(index, generator=llm, retriever={"k": 2})
    chat = pipe.chat()
    chat.ask(LEAVE)
    chat.ask("and in America?")
    stored = json.loads(json.dumps(messages_to_dict(chat.messages)))
    assert [row["data"]["content"] for row in stored] == [
        LEAVE, "It is 28 days. [1]", "and in America?", "It is 22 days.",
    ]  # fmt: skip
    resumed = pipe.chat(messages_from_dict(stored))
    resumed.ask("Who may declare a SEV-1 incident?")
    assert llm.sent[2][: len(llm.sent[1])] == llm.sent[1]
    assert len(resumed.messages) == 6


def test_messages_of_another_program_are_a_history(index: rag.Index) -> None:
    llm = model("22.")
    pipe = rag.Pipeline(index, generator=llm)
    answer = pipe.ask("and in America?", history=[HumanMessage(LEAVE), AIMessage("28 days.")])
    assert step(answer, "follow-up")["search"] == "How many days of annual leave do staff in America take?"
    assert [str(message.content) for message in llm.sent[0][2:3]] == ["28 days."]


@pytest.mark.parametrize(
    "history",
    [
        [("human", LEAVE), ("ai", "28 days.")],
        [{"role": "user", "content": LEAVE}, {"role": "assistant", "content": "28 days."}],
    ],
)
def test_pairs_and_mappings_are_a_history(index: rag.Index, history: list[Any]) -> None:
    pipe = rag.Pipeline(index, generator=model("22.", "22."))
    expected = [("human", LEAVE), ("ai", "28 days.")]
    assert [(each.type, each.content) for each in pipe.chat(history).messages] == expected
    for answer in (pipe.ask("and in America?", history=history), pipe.chat(history).ask("and in America?")):
        assert (
            step(answer, "follow-up")["search"] == "How many days of annual leave do staff in America take?"
        )


@pytest.mark.parametrize("history", ["How long?", [LEAVE, 7], [{"text": "How long?"}], 3])
def test_what_is_no_history_is_refused(index: rag.Index, history: Any) -> None:
    with pytest.raises(UsageError, match=r"history is .*: give LangChain's messages"):
        rag.Pipeline(index).chat(history)


def test_old_turns_make_room_and_leave_a_line(index: rag.Index) -> None:
    llm = model("It is 28 days. That is a lot.", "It is 22 days.", "Anyone.")
    chat = rag.Pipeline(index, generator=llm, retriever={"k": 1}).chat(keep_tokens=60)
    for question in (LEAVE, "and in America?", "Who may declare a SEV-1 incident?"):
        answer = chat.ask(question)
    assert step(answer, "assemble") == {"turns": 0, "new": 1, "sent_before": 0, "turns_dropped": 2}
    message = llm.sent[2][1]
    assert f"- {LEAVE} It is 28 days.\n- How many days" in message.content
    assert "a lot" not in message.content
    assert len(chat.messages) == 6  # what is stored stays


def test_a_question_that_fails_is_not_part_of_the_conversation(index: rag.Index) -> None:
    class Failing(FakeListChatModel):
        def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            if "<question>Who may" in str(messages[-1].content):
                raise OSError("down")
            return super()._stream(messages, *args, **kwargs)

    chat = rag.Pipeline(index, generator=Failing(responses=["28.", "22."])).chat()
    chat.ask(LEAVE)
    with pytest.raises(GenerationError, match="down"):
        chat.ask("Who may declare a SEV-1 incident?")
    events = chat.stream("and in America?")
    next(events)
    events.close()
    assert len(chat.messages) == 2 and len(chat.transcript.turns) == 1
    assert chat.ask("and in America?").text == "22."


def test_a_question_without_passages_is_remembered(index: rag.Index) -> None:
    chat = rag.Pipeline(index, generator=model("28.")).chat(where="region == 'eu' and source == 'none'")
    assert chat.ask(LEAVE).text == NOTHING_FOUND
    answer = chat.ask("and in America?", where="region == 'us'")
    assert answer.text == "28."
    assert step(answer, "follow-up")["search"].endswith("staff in America take?")


def test_one_question_at_a_time(index: rag.Index) -> None:
    chat = rag.Pipeline(index, generator=model("28.")).chat()
    events = chat.stream(LEAVE)
    next(events)
    with pytest.raises(UsageError, match="answers another question"):
        chat.ask(LEAVE)
    events.close()
    assert chat.ask(LEAVE).answered


def test_a_prompt_of_others_gets_the_question_in_full(index: rag.Index) -> None:
    llm = model("28.", "22.")
    prompt = ChatPromptTemplate([("human", "{context} Q: {question}")])
    chat = rag.Pipeline(index, generator=llm, prompt=prompt).chat()
    chat.ask(LEAVE)
    answer = chat.ask("and in America?")
    assert llm.sent[1][-1].content.endswith("Q: How many days of annual leave do staff in America take?")
    assert any("not rag's" in note for note in answer.notes)


def test_asynchronously_it_is_the_same(index: rag.Index) -> None:
    async def talk() -> list[str]:
        chat = rag.Pipeline(index, generator=model(CITED, "It is 22 days.")).chat()
        first = await chat.aask(LEAVE)
        second = [event async for event in chat.astream("and in America?")]
        assert second[-1].kind == "answer" and len(chat.messages) == 4
        return [first.text, second[-1].value.text]

    assert asyncio.run(talk()) == ["It is 28 days. [1]", "It is 22 days."]


def test_nobody_elses_turns_are_seen(index: rag.Index) -> None:
    """Conversations over one pipeline, at once, share nothing."""
    pipe = rag.Pipeline(index, retriever={"k": 1})
    searches: dict[int, str] = {}

    def talk(number: int) -> None:
        chat = pipe.chat()
        region = "Europe" if number % 2 else "America"
        chat.ask(f"How many days of annual leave do staff in {region} take?")
        searches[number] = step(chat.ask("since when?"), "follow-up")["search"]

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(searches) == 8
    for number, search in searches.items():
        assert ("Europe" if number % 2 else "America") in search


def test_the_transcript_is_read_back_from_its_messages(index: rag.Index) -> None:
    chat = rag.Pipeline(index, retriever={"k": 2}).chat()
    chat.ask(LEAVE)
    chat.ask("and in America?")
    again = Transcript.of(messages_from_dict(messages_to_dict(chat.messages)))
    assert [(turn.question, turn.search, turn.reply, turn.text) for turn in again.turns] == [
        (turn.question, turn.search, turn.reply, turn.text) for turn in chat.transcript.turns
    ]
    assert [hit.text for hit in again.hits] == [hit.text for hit in chat.transcript.hits]


def test_the_command_talks(index: rag.Index, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from rag.cli.main import cli

    lines = f"{LEAVE}\nand in America?\n/where region == 'us'\n/where regon == 'us'\n/sources\n/cost\n/nope\n/new\n/quit\n"
    done = CliRunner().invoke(cli, ["chat", str(index.path)], input=lines, standalone_mode=False)
    assert done.exception is None
    out = done.output
    assert "Staff in Europe take 28 days of annual leave. [1]" in out
    assert "Staff in America take 22 days of annual leave. [1]" in out
    assert "[1] us.md, Leave in America" in out
    assert "filter: region == 'us'" in out
    assert "did you mean 'region'?" in out
    assert "2 answers, 2 calls:" in out and "there is no command /nope" in out
    assert out.rstrip().endswith("a new conversation")


async def test_a_stored_conversation_is_continued_without_blocking_the_loop(index: rag.Index) -> None:
    """Reading it may take as long as a table on AWS does."""
    loop = threading.get_ident()

    class Stored(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            assert threading.get_ident() != loop
            return super().__iter__()

    history = Stored([HumanMessage(LEAVE), AIMessage("It is 28 days.")])
    chat = await rag.Pipeline(index).achat(history)
    assert len(chat.messages) == 2
    answer = await chat.aask("And in America?")
    assert "22 days" in answer.text
