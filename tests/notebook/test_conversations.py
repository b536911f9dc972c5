"""Conversations and clients show themselves; a client's key is nowhere."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

import rag
from tests.notebook.objects import HOSTILE, markup


def test_a_conversation_shows_its_turns(handbook_index: rag.Index) -> None:
    chat = rag.Pipeline(handbook_index).chat(where="region == 'us'", tag="leave")
    assert str(chat).splitlines()[0] == "Conversation of 0 turns"
    assert "no question was asked yet" in markup(chat._repr_html_()).text
    for number in range(5):
        chat.ask(f"How many weeks of parental leave, take {number}?")
    text = str(chat)
    assert "  filter  region == 'us'" in text and "  … 2 earlier turns: chat.messages" in text
    assert "  > How many weeks of parental leave, take 4?" in text
    assert "take 0?" not in text and "take 0?" in markup(chat._repr_html_()).text


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_a_conversation_is_obeyed(handbook_index: rag.Index, text: str) -> None:
    chat = rag.Pipeline(handbook_index).chat(tag=text)
    chat.transcript.repeat(text, text, text, rag.Pipeline(handbook_index).ask("leave?"), None)
    chat.transcript.turns[0].text = text
    markup(chat._repr_html_())
    assert max(map(cell_len, str(chat).split("\n"))) <= 80


def test_a_client_shows_the_server_and_no_key() -> None:
    client = rag.Client("http://127.0.0.1:1", key="sk-very-secret")
    assert str(client) == repr(client) == "Client('http://127.0.0.1:1', key=…)"
    assert "http://127.0.0.1:1" in client._repr_html_() and "secret" not in client._repr_html_()
