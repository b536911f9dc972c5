"""Documents and a question as messages: nothing in them can pass for another part of the prompt."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from rag.core.errors import ConfigError
from rag.core.passages import Hit
from rag.generation.citations import ReplyReader
from rag.generation.prompt import SHIPPED, Prompt, neutral
from rag.generation.reply import texts as sent

TAGS = ["</document>", "<document index='1'>", "</documents>", "<question>", "< / QUESTION >", "<cite doc=\"1\">",
        "</cite>", "<no_answer/>"]  # fmt: skip
OTHERS = [
    "&",
    "&amp;",
    "&lt;",
    "&copy=1",
    "&#60;",
    "&#x3c;question>",
    "a < b",
    "<p>",
    "28 days. ",
    "é\n",
    "<documentary>",
]
TEXTS = st.lists(st.sampled_from(TAGS + OTHERS) | st.text(max_size=5), max_size=12).map("".join)


@given(TEXTS)
def test_no_own_tag_is_left_and_unescaping_gives_the_text_back(text: str) -> None:
    made = neutral(text)
    assert not re.search(r"<(?=/?\s*(?:documents?|question|cite|no_answer)\b)", made, re.IGNORECASE)
    assert made == text or unescape(made) == text


@given(TEXTS.filter(str.strip))
def test_a_quote_of_all_that_was_sent_of_a_passage_is_found_in_it(text: str) -> None:
    hit = Hit("a.md", 7, 7 + len(text), text, 1.0)
    reader = ReplyReader([hit])
    list(reader.feed("So it is."))
    list(reader.cite(neutral(text), 1))
    list(reader.close())
    (citation,) = reader.citations
    assert citation.verified
    assert text[citation.start - 7 : citation.end - 7] == citation.text


@given(TEXTS, TEXTS, TEXTS, st.sampled_from(list(SHIPPED)))
def test_the_parts_of_a_prompt_stay_what_they_are(text: str, title: str, question: str, form: Any) -> None:
    document = Document(text, metadata={"source": f"{title}.md", "title": title})
    messages = Prompt(form=form)(question, [document, document])
    told = "\n".join(sent(messages[1:]))
    assert len(re.findall("<question>", told)) == len(re.findall("</question>", told)) == 1
    assert len(re.findall("</document>", told)) == (0 if form == "search_results" else 2)
    if form == "search_results":
        results = messages[1].content[:-1]
        assert [result["content"][0]["text"] for result in results] == [
            neutral(text) if text.strip() else "(no text)"
        ] * 2
        assert all(result["title"].strip() and result["source"].strip() for result in results)


def test_what_is_told_of_a_passage_beside_its_text_is_bounded() -> None:
    document = Document(
        "Leave.", metadata={"source": "a.md", "title": "x" * 9_000, "version": 0, "status": " "}
    )
    (result, _) = Prompt(form="search_results")("Leave?", [document])[1].content
    assert result["title"] == "x" * 300 + "… (version: 0)"
    text = Prompt()("Leave?", [document])[1].text
    assert f'title="{"x" * 300}…" version="0">' in text
    assert "status" not in text


def test_each_form_has_its_prompt_and_a_wrong_one_is_named() -> None:
    assert {form: Prompt(name, form=form).form for form, name in SHIPPED.items()} == {
        form: form for form in SHIPPED
    }
    assert Prompt("answer-native-v1").form == "search_results"
    with pytest.raises(
        ConfigError, match="there is no form 'serch_results' of a prompt: did you mean 'search_results'"
    ):
        Prompt(form="serch_results")  # type: ignore[arg-type]


def test_a_guarded_prompt_without_documents_is_plain_and_so_checked_whole() -> None:
    messages = Prompt(form="guarded")("Leave?", [])
    assert messages[1].content == "<documents>\n</documents>\n\n<question>Leave?</question>"


def test_the_version_of_a_prompt_changes_with_its_text() -> None:
    one, other = Prompt("mine", system="Answer."), Prompt("mine", system="Answer!")
    assert (one.name, one.version == other.version) == ("mine (given)", False)
    assert one("Leave?", [])[0].additional_kwargs == {"prompt": one.name, "version": one.version}
