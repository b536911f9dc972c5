"""Documents and a question as messages: nothing in them can pass for another part of the prompt."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from rag.core.errors import ConfigError
from rag.core.passages import Hit, joined
from rag.generation.citations import ReplyReader
from rag.generation.prompt import SHIPPED, Prompt, neutral
from rag.generation.reply import texts as sent

TAGS = ["</\u200bdocument>", "\uff1c/document\uff1e", "</docu\u00adment>", "<\u2060document index='1'>", "</document>", "<document index='1'>", "</documents>", "<question>", "< / QUESTION >", "<cite doc=\"1\">",
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


@settings(deadline=None)
@given(TEXTS)
def test_neutral(text: str) -> None:
    """None of the prompt's tags is left, and unescaping gives the text back."""
    made = neutral(text)
    seen = re.sub("[\u00ad\u200b\u2060]", "", made)
    assert not re.search(
        r"[<\uff1c](?=\s*/?\s*(?:documents?|question|cite|no_answer)\b)", seen, re.IGNORECASE
    )
    assert made == text or unescape(made) == text


@settings(deadline=None)
@given(TEXTS.filter(str.strip))
def test_quotes_of_neutral_text(text: str) -> None:
    """A quote of a passage as it was sent is found in the passage."""
    hit = Hit("a.md", 7, 7 + len(text), text, 1.0)
    reader = ReplyReader([hit])
    list(reader.feed("So it is."))
    list(reader.cite(neutral(text), 1))
    list(reader.close())
    (citation,) = reader.citations
    assert citation.verified
    assert text[citation.start - 7 : citation.end - 7] == citation.text


@settings(deadline=None)
@given(TEXTS, TEXTS, TEXTS, st.sampled_from(list(SHIPPED)))
def test_parts(text: str, title: str, question: str, form: Any) -> None:
    """Nothing in a document or question can end its part of the prompt."""
    document = Document(text, metadata={"source": f"{title}.md", "title": title})
    messages = Prompt(form=form)(question, [document, document])
    shown = "\n".join(sent(messages[1:]))
    assert len(re.findall("<question>", shown)) == len(re.findall("</question>", shown)) == 1
    assert len(re.findall("</document>", shown)) == (0 if form == "search_results" else 2)
    if form == "search_results":
        results = messages[1].content[:-1]
        assert [result["content"][0]["text"] for result in results] == [
            neutral(text) if text.strip() else "(no text)"
        ] * 2
        assert all(result["title"].strip() and result["source"].strip() for result in results)


def test_attributes() -> None:
    """The attributes of a passage are bounded."""
    document = Document(
        "Leave.", metadata={"source": "a.md", "title": "x" * 9_000, "version": 0, "status": " "}
    )
    (result, _) = Prompt(form="search_results")("Leave?", [document])[1].content
    assert result["title"] == "x" * 300 + "… (version: 0)"
    text = Prompt()("Leave?", [document])[1].text
    assert f'title="{"x" * 300}…" version="0">' in text
    assert "status" not in text


def test_forms() -> None:
    """Each form has its prompt, and a wrong form is named."""
    assert {form: Prompt(name, form=form).form for form, name in SHIPPED.items()} == {
        form: form for form in SHIPPED
    }
    assert Prompt("answer-native-v1").form == "search_results"
    with pytest.raises(
        ConfigError, match="there is no form 'serch_results' of a prompt: did you mean 'search_results'"
    ):
        Prompt(form="serch_results")  # type: ignore[arg-type]


def test_guarded_without_documents() -> None:
    """A guarded prompt without documents is plain, so that all of it is checked."""
    messages = Prompt(form="guarded")("Leave?", [])
    assert messages[1].content == "<documents>\n</documents>\n\n<question>Leave?</question>"


def test_version() -> None:
    """The version of a prompt changes with its text."""
    one, other = Prompt("mine", system="Answer."), Prompt("mine", system="Answer!")
    assert (one.name, one.version == other.version) == ("mine (custom)", False)
    assert one("Leave?", [])[0].additional_kwargs == {"prompt": one.name, "version": one.version}


@pytest.mark.parametrize("text", [
    "< /document>", "</\u200bdocument>", "<\u200b/documents>", "<\u2060document index='1'>", "\uff1c/document\uff1e",
    "</docu\u00admen\u034ft>", "\ufe64cite doc=1>", "<\n/\tQUESTION >", "<\uff4eo_answer/>", "< \U000e0020/cite>",
    "<\\/document>", "<//document>", "<?document?>", "<!document>", "</d\u0336ocument>", "</d\u00f3cument>",
    "\u2039/document\u203a", "\u27e8document index='2'\u27e9", "\u3008/cite\u3009", "</\u0501\u043e\u0441ument>",
    "</d\u03bfcuments>", "<\uff43\u0131t\u0435>", "\uff1c\u2044/\uff44ocument>".replace("\u2044", ""),
])  # fmt: skip
def test_tag_variants(text: str) -> None:
    """What a model reads as one of the prompt's tags is escaped, in texts and in attributes."""
    assert neutral(text) != text
    assert unescape(neutral(text)) == text
    document = Document("a", metadata={"source": "a.md", "title": text})
    assert text[0] not in Prompt()("Who?", [document])[1].text.replace("<document", "").replace("</document", "").replace(
        "<question>", "").replace("</question>", "")  # fmt: skip


@pytest.mark.parametrize("text", [
    "&lt;/document&gt;", "&LT;/Document>", "&#60;/document&#62;", "&#x3C;document index='1'>", "&#0060;cite>",
    "&lt/question>", "&amp;lt;/document&amp;gt;", "&amp;amp;#60;/documents>", "&#65308;/document>", "&lt;\u200b/ no_answer>",
    "<doc<document>ument>", "<<document>>", "</doc</document>ument>", "<question<question>>", "&lt;<cite>",
])  # fmt: skip
def test_entities_and_nested_tags(text: str) -> None:
    """No reading of the text, with entities resolved or with tags cut out, holds a tag of the prompt."""
    made = neutral(text)
    assert unescape(made) == text
    tag = re.compile(r"[<\uff1c]\s*/?\s*(?:documents?|question|cite|no_answer)\b", re.IGNORECASE)
    assert not tag.search(made)
    assert not tag.search(re.sub("<[^<>]*>", "", made))
    assert unescape(made).count("&") == text.count("&")  # one level of escaping more than it had
    document = Document(text, metadata={"source": f"{text}.md", "title": text, "version": text})
    for form in SHIPPED:
        shown = "\n".join(sent(Prompt(form=form)(text, [document])[1:]))
        assert len(re.findall("</question>", shown)) == 1
        assert len(re.findall("</document>", shown)) == (0 if form == "search_results" else 1)


def test_a_source_is_neutral_in_search_results() -> None:
    """A file's name reaches the model beside its text."""
    document = Document("Leave.", metadata={"source": "</document>.md"})
    (result, _) = Prompt(form="search_results")("Leave?", [document])[1].content
    assert (result["source"], result["title"]) == ("&lt;/document>.md", "&lt;/document>.md")


@pytest.mark.parametrize(
    "text", ["a < b", "<documentary>", "<docu ment>", "< 5 documents", "\uff1cb\uff1e", "<cited>"]
)
def test_other_tags(text: str) -> None:
    """Other angle brackets stay."""
    assert neutral(text) == text


def test_sections_of_a_passage() -> None:
    """A passage over several sections names each, with the words with which it begins."""
    pieces, at = [], 0
    for text, path in (
        ("Ten days.", ("Leave", "Paid time off")), ("## Parental leave\n\n18 weeks.", ("Leave", "Parental leave")),
        ("Every employee has ten paid sick days a year, not more.", ("Leave", "Sick leave")), ("Ask.", ("Leave", "Paid time off")),
    ):  # fmt: skip
        pieces.append(Hit("a.md", at, at + len(text), text, 1.0, gap="\n", section=path))
        at += len(text) + 1
    within = "Parental leave; Sick leave, from “Every employee has ten paid sick days a…”; Paid time off, from “Ask.”"
    whole = joined(pieces)
    shown = Prompt().messages("Leave?", [whole])[1].text
    assert f'section="Leave &gt; Paid time off" sections_within="{within}">' in shown
    (result, _) = Prompt(form="search_results").messages("Leave?", [whole])[1].content
    assert result["title"] == f"a.md (section: Leave > Paid time off; sections within: {within})"
    assert "sections_within" not in Prompt().messages("Leave?", pieces)[1].text
