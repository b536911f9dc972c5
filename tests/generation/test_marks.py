"""Marks that a model writes itself never look like a checked citation; tags never show."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core.passages import Hit
from rag.generation.citations import OnFail, ReplyReader, read_reply
from rag.generation.marks import MarkFilter, without_marks
from rag.generation.tags import Quote, TagReader

HITS = [Hit("a.md", 0, 27, "Parental leave is 18 weeks.", 1.0), Hit("b.md", 0, 9, "Ask Anna.", 1.0)]
FORMS = [
    ("[1]", "(1)"), ("[12?]", "(12?)"), ("［1］", "(1)"), ("【3】", "(3)"), ("[1](http://a.b)", "(1)(http://a.b)"),
    ("[[1]](#x)", "[(1)](#x)"), ("[^1]", "(^1)"), ("[1, 2]", "(1, 2)"), ("[1][2]", "(1)(2)"), ("[1-3]", "(1-3)"),
    ("\\[1\\]", "(1)"), ("[ 1 ]", "( 1 )"), ("[**1**]", "(**1**)"), ("[\u200b1]", "(\u200b1)"), ("[١]", "(١)"), ("[¹]", "(¹)"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "shown"), FORMS)
@pytest.mark.parametrize("on_fail", ["flag", "drop"])
def test_literal_marks(form: str, shown: str, on_fail: OnFail) -> None:
    """Every form is shown in round brackets, beside a citation or alone."""
    quote = '<cite doc="1">Parental leave is 18 weeks</cite>'
    reader = read_reply(f"Leave is long {form}. Leave is 18 weeks.{quote}", HITS, on_fail)
    assert reader.text == f"Leave is long {shown}. Leave is 18 weeks. [1]"
    assert read_reply(f"Leave is 40 weeks. {form}", HITS, on_fail).text == f"Leave is 40 weeks. {shown}"


@pytest.mark.parametrize(
    "text", ["[a]", "[ ]", "[x] done", "[see 1]", "a[i]", "[?]", f"[{'1' * 41}]", "[", "\\"]
)
def test_other_brackets(text: str) -> None:
    """Brackets around anything else stay."""
    assert without_marks(text) == text
    assert read_reply(f"It is {text}", HITS).text == f"It is {text}"


def test_dropped_citations_forge_nothing() -> None:
    """A bracket before a dropped citation and a number behind it are no mark."""
    reply = 'Leave [<cite doc="2">nowhere</cite>1].'
    assert read_reply(reply, HITS, "drop").text == "Leave (1)."
    assert read_reply(reply, HITS, "flag").text == "Leave [ [1?]1]."


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["[", "1", "]", "\\", "［", "?", " ", "a", "^", "[1]", ", ", "】", "\u200b", "2" * 25]), max_size=25),
    st.lists(st.integers(1, 6), min_size=1),
)  # fmt: skip
def test_marks_in_pieces(parts: list[str], sizes: list[int]) -> None:
    """The filter gives the same text in any pieces, without a mark in it."""
    text, pieces, at, n = "".join(parts), MarkFilter(), 0, 0
    out = ""
    while at < len(text):
        out += pieces.feed(text[at : at + sizes[n % len(sizes)]])
        at, n = at + sizes[n % len(sizes)], n + 1
    assert out + pieces.close() == without_marks(text)
    assert not re.search(r"[\[［]\d+\??[\]］]", without_marks(text))


TAGS = st.lists(
    st.sampled_from([
        "Leave is 18 weeks.", '<cite doc="1">', "Parental leave is 18 weeks", "</cite>", " ", "<cite", "<", "</ci", "[", "1", "]",
        "<cite doc='2'>Ask Anna</cite>", "<CITE>", "<cite/>", "<no_answer/>", "\n\n", "Dogs. ", "[2]", "a < b", "<b>", "</no_answer>",
    ]), max_size=14,
).map("".join)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(TAGS, st.lists(st.integers(1, 12), min_size=1, max_size=40), st.sampled_from(["flag", "drop"]))
def test_replies_in_pieces(reply: str, sizes: list[int], on_fail: OnFail) -> None:
    """Any pieces give the whole's text and citations; every mark is ours, and no tag shows."""
    whole = read_reply(reply, HITS, on_fail)
    reader, at, shown = ReplyReader(HITS, on_fail), 0, []
    for size in sizes * (len(reply) // sum(sizes) + 1):
        shown += reader.feed(reply[at : at + size])
        at += size
    shown += reader.close()
    assert (reader.text, reader.answered, reader.citations) == (whole.text, whole.answered, whole.citations)
    assert "".join(piece for piece in shown if isinstance(piece, str)) == whole.text
    marks = set(re.findall(r"\[\d+\??\]", whole.text))
    assert marks == {f"[{c.number}{'?' if c.verdict else ''}]" for c in whole.citations}
    assert not re.search(r"</?(cite|no_answer)\s*[^<>]*>", whole.text, re.IGNORECASE)


@pytest.mark.parametrize("cut", ["<", "<c", "<cite", "<cite doc=", '<cite doc="1"', '<cite doc="1">'])
def test_cut_tag(cut: str) -> None:
    """A reply that ends inside a tag, or right behind it, shows nothing of it."""
    reader = read_reply(f"Leave is 18 weeks.{cut}", HITS)
    assert (reader.text, reader.citations) == ("Leave is 18 weeks.", [])


@pytest.mark.parametrize("end", ["", "</", "</cite", "<"])
def test_cut_quote(end: str) -> None:
    """The words of a broken quote are kept in a citation that is not verified, or dropped."""
    reply = f'Leave is 18 weeks.<cite doc="1">Parental leave is 18{end}'
    reader = read_reply(reply, HITS)
    assert reader.text == "Leave is 18 weeks. [1?]"
    (citation,) = reader.citations
    assert (citation.text, citation.verified, citation.source) == ("Parental leave is 18…", False, "a.md")
    assert reader.support.share == 0
    assert read_reply(reply, HITS, "drop").text == "Leave is 18 weeks."


def test_unclosed_tag() -> None:
    """A tag that another one follows, or 8,000 characters, is left out, and its words stay."""
    reader = read_reply('A is 5.<cite doc="1">B is 6.<cite doc="2">Ask Anna</cite> C.', HITS)
    assert reader.text == "A is 5. B is 6. [1?] C."
    assert read_reply(f'A.<cite doc="1">{"b " * 4500}end', HITS).text.endswith("b end")


@pytest.mark.parametrize("tag", ["<cite doc=1>", "<CITE DOC='1'>", '<cite document="1" page="2">', "<cite>"])
def test_tag_spellings(tag: str) -> None:
    """Other spellings of the tag are read as the tag."""
    assert [*TagReader().feed(f"x {tag}Ask</cite>")][1] in (Quote("Ask", 1), Quote("Ask", None))
    assert read_reply(f"Ask. {tag}Ask Anna</cite>", HITS).citations[0].source == "b.md"


@pytest.mark.parametrize("reply", ["", " \n", "<no_ans", "<", '<cite doc="1">'])
def test_empty_reply(reply: str) -> None:
    """An empty reply is no answer, and says so."""
    reader = read_reply(reply, HITS)
    assert (reader.text, reader.answered) == ("", False)
    assert reader.notes == ("the model's reply is empty: ask again, or allow more output tokens",)


def test_unsupported_reply() -> None:
    """An answer of which no sentence is supported says so; one with a supported sentence does not."""
    assert "no sentence of the answer is supported" in read_reply("Leave is 40 weeks.", HITS).notes[0]
    cited = read_reply('Leave is 18 weeks.<cite doc="1">Parental leave is 18 weeks</cite> Ask.', HITS)
    assert (cited.support.share, cited.notes) == (0.5, ())
    assert read_reply("<no_answer/>Nothing is known of dogs.", HITS).notes == ()
