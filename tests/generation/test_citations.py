"""A citation is what stands in the passage, word for word; a reply can come in any pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.answers import Citation
from rag.core.passages import Hit
from rag.generation.citations import OnFail, ReplyReader, find_quote, read_reply

TEXT = "Anyone may declare\na SEV-1.  Pay day is the 25th. Keep 15 days' buffer."
HITS = [
    Hit(
        "a.md", 100, 100 + len(TEXT), TEXT, 1.0, page_start=3, page_end=4, page_breaks=(119,), section=("A",)
    ),
    Hit("b.md", 0, 29, "Leave is 28 days in <Europe>.", 1.0),
]


def test_a_quote_becomes_a_numbered_citation_with_its_place() -> None:
    reader = read_reply(
        'Anyone can.<cite doc="1">may declare a SEV-1</cite> Also 28.<cite doc="2">28 days</cite>', HITS
    )
    assert reader.text == "Anyone can. [1] Also 28. [2]"
    one, two = reader.citations
    assert (one.number, one.source, one.start, one.end, one.verified) == (1, "a.md", 107, 126, True)
    assert one.text == "may declare\na SEV-1"
    assert (one.page_start, one.page_end, one.section) == (3, 4, ("A",))
    assert (two.source, two.start, two.end) == ("b.md", 9, 16)


def test_case_white_space_and_typographic_quotes_do_not_matter_but_words_do() -> None:
    assert find_quote(TEXT, "ANYONE may  declare a sev-1") == (0, 26)
    assert find_quote(TEXT, "15 days’ buffer") is not None
    assert find_quote(TEXT, "5 days' buffer") is None  # not at a word's edge
    assert find_quote(TEXT, "anyone can declare") is None
    assert find_quote(TEXT, "  ") is None


def test_a_quote_that_stands_nowhere_is_flagged_or_dropped() -> None:
    reply = 'Pay is weekly.<cite doc="1">Pay day is weekly</cite>'
    flagged = read_reply(reply, HITS)
    assert flagged.text == "Pay is weekly. [1?]"
    assert flagged.citations[0].verified is False
    assert flagged.citations[0].text == "Pay day is weekly"
    dropped = read_reply(reply, HITS, "drop")
    assert (dropped.text, dropped.citations) == ("Pay is weekly.", [])


def test_a_quote_from_another_passage_than_named_is_cited_where_it_stands() -> None:
    reader = read_reply('x<cite doc="9">Pay day is the 25th</cite>', HITS)
    assert reader.citations[0].source == "a.md"


def test_the_same_quote_twice_is_one_citation() -> None:
    reader = read_reply('A<cite doc="2">28 days</cite> B<cite doc="2">28 days</cite>', HITS)
    assert reader.text == "A [1] B [1]"
    assert len(reader.citations) == 1


def test_an_escaped_quote_is_found() -> None:
    assert read_reply('x<cite doc="2">in &lt;Europe&gt;.</cite>', HITS).citations[0].verified


@pytest.mark.parametrize("opening", ["<no_answer/>", "<no_answer />\n", " <no_answer></no_answer>"])
def test_no_answer_is_read_and_not_shown(opening: str) -> None:
    reader = read_reply(f"{opening}Nothing is said of dogs.", HITS)
    assert reader.answered is False
    assert reader.text == "Nothing is said of dogs."


@pytest.mark.parametrize(
    "odd", ["a < b", "see <citation>", "<cite doc=", 'x <cite doc="1">open', "<", "<no", ""]
)
def test_what_is_no_tag_is_shown_as_it_is(odd: str) -> None:
    assert read_reply(odd, HITS).text == odd.strip()


def test_a_number_that_the_quote_has_not_flags_its_citation() -> None:
    reader = read_reply('Leave is 30 days.<cite doc="2">28 days</cite> Ask.', HITS)
    assert reader.text == "Leave is 30 days. [1?] Ask."
    assert (reader.citations[0].verified, reader.citations[0].supports) == (True, False)
    dropped = read_reply('Leave is 30 days.<cite doc="2">28 days</cite> Ask.', HITS, "drop")
    assert (dropped.text, dropped.citations) == ("Leave is 30 days. Ask.", [])


def test_the_questions_numbers_may_be_repeated() -> None:
    reply = 'Of your 40 days, 28 are leave.<cite doc="2">28 days</cite>'
    assert read_reply(reply, HITS).text.endswith("[1?]")
    assert read_reply(reply, HITS, question="What of 40 days?").text.endswith("[1]")


def test_the_quotes_of_a_sentence_bear_it_out_together_and_a_wrong_part_speaks_against_its_own() -> None:
    both = 'Pay is on the 25th<cite doc="1">the 25th</cite> and leave is {} days<cite doc="2">28 days</cite>.'
    assert read_reply(both.format(28), HITS).text == "Pay is on the 25th [1] and leave is 28 days [2]."
    assert read_reply(both.format(29), HITS).text == "Pay is on the 25th [1] and leave is 29 days [2?]."
    together = 'On the 25th, 28 days.<cite doc="1">the 25th</cite><cite doc="2">28 days</cite>'
    assert read_reply(together, HITS).text == "On the 25th, 28 days. [1] [2]"
    assert read_reply(together.replace("28 days.", "9 days."), HITS).text == "On the 25th, 9 days. [1?] [2?]"
    behind = 'Leave<cite doc="2">Leave</cite> is 31 days.'
    assert read_reply(behind, HITS).text == "Leave [1?] is 31 days."


def test_one_quote_that_bears_out_one_sentence_of_two_is_two_citations() -> None:
    reader = read_reply(
        'It is 28 days.<cite doc="2">28 days</cite> No, 29.<cite doc="2">28 days</cite>', HITS
    )
    assert reader.text == "It is 28 days. [1] No, 29. [2?]"
    assert [citation.supports for citation in reader.citations] == [True, False]


def test_text_is_held_back_from_a_sentences_first_citation_to_its_end_and_no_longer() -> None:
    reader = ReplyReader(HITS)
    assert list(reader.feed("It is 28 ")) == ["It is 28"]
    assert list(reader.feed('days<cite doc="2">28 days</cite>')) == [" days"]
    assert list(reader.feed(", or 30")) == []
    assert list(reader.feed(". ")) == []
    assert [getattr(piece, "number", piece) for piece in reader.feed("Ask")] == [
        1,
        " [1?]",
        ", or 30.",
        " Ask",
    ]
    assert list(reader.feed(" HR.")) == [" HR."]
    assert list(reader.close()) == []


def test_a_sentence_that_never_ends_is_not_held_back_for_ever() -> None:
    reader = ReplyReader(HITS)
    shown = list(reader.feed('It is 28<cite doc="2">28 days</cite>' + " and on" * 1000))
    assert len("".join(piece for piece in shown if isinstance(piece, str))) > 6000


def test_a_citation_beside_the_text_is_checked_and_narrowed_to_the_sentence_that_says_it() -> None:
    reader = ReplyReader(HITS)
    shown = [
        *reader.feed("Pay day is the 25th."),
        *reader.cite(TEXT, 1),
        *reader.feed(" Leave is 28 days."),
        *reader.cite(HITS[1].text, 2),
    ]
    shown += reader.close()
    assert [getattr(piece, "number", piece) for piece in shown] == [
        "Pay day is the 25th.", 1, " [1]", " Leave is 28 days.", 2, " [2]",
    ]  # fmt: skip
    one, two = reader.citations
    assert (one.text, one.start, one.page_start) == ("Pay day is the 25th.", 129, 4)
    assert two.text == HITS[1].text
    assert reader.support.share == 1


def test_citations_beside_the_text_are_refused_like_quotes() -> None:
    reader = ReplyReader(HITS)
    for _ in [
        *reader.feed("Pay is weekly."),
        *reader.cite("Pay is weekly", 1),
        *reader.cite(TEXT, None),
        *reader.cite("", 9),
        *reader.close(),
    ]:
        pass
    assert reader.text == "Pay is weekly. [1?] [2] [3?]"
    assert [citation.verified for citation in reader.citations] == [False, True, False]
    bare = ReplyReader(HITS)
    for _ in [*bare.feed("Leave is 28 days."), *bare.cite("", 2), *bare.close()]:
        pass
    assert bare.citations[0].text == HITS[1].text


def test_several_citations_of_one_passage_for_one_sentence_are_one_mark() -> None:
    reader = ReplyReader(HITS)
    for _ in [
        *reader.feed("Leave is 28 days.\n\n"),
        *reader.cite(HITS[1].text, 2),
        *reader.cite(HITS[1].text, 2),
        *reader.feed("Ask."),
        *reader.close(),
    ]:
        pass
    assert reader.text == "Leave is 28 days. [1]\n\nAsk."


REPLIES = st.lists(
    st.sampled_from([
        "Anyone. ", '<cite doc="1">Pay day is the 25th</cite>', '<cite doc="2">nowhere</cite>', "a < b ", "<cite",
        ' <cite doc="1">SEV-1</cite>', "\n", "<no_answer/>", "<b>", "on the 25th", "in 30 days", ".", "\n\n- ", " 2",
    ]), max_size=10,
).map("".join)  # fmt: skip


@given(REPLIES, st.lists(st.integers(1, 9), min_size=1, max_size=60))
def test_a_reply_in_pieces_reads_as_the_whole(reply: str, sizes: list[int]) -> None:
    whole = read_reply(reply, HITS)
    reader, at, shown = ReplyReader(HITS), 0, []
    for size in sizes * (len(reply) // sum(sizes) + 1):
        shown += reader.feed(reply[at : at + size])
        at += size
    shown += reader.close()
    assert (reader.text, reader.answered, reader.citations) == (whole.text, whole.answered, whole.citations)
    text = "".join(piece for piece in shown if isinstance(piece, str))
    assert text == reader.text == reader.text.strip()
    assert [piece for piece in shown if isinstance(piece, Citation)] == reader.citations


@given(REPLIES, st.sampled_from(["flag", "drop"]))
def test_marks_and_citations_agree(reply: str, on_fail: OnFail) -> None:
    reader = read_reply(reply, HITS, on_fail)
    marks = set(re.findall(r"\[\d+\??\]", reader.text))
    assert marks == {f"[{c.number}{'' if c.verified and c.supports else '?'}]" for c in reader.citations}
    assert [citation.number for citation in reader.citations] == list(range(1, len(reader.citations) + 1))
    for citation in reader.citations:
        if citation.verified:
            hit = next(hit for hit in HITS if hit.source == citation.source)
            assert hit.text[citation.start - hit.start : citation.end - hit.start] == citation.text


PIECES = st.lists(
    st.one_of(
        st.sampled_from(["Leave is 28 days. ", "Pay is on the 25th", ".", " and 30 ", "\n\n", "Dogs. ", "<"]),
        st.tuples(st.sampled_from([TEXT, HITS[1].text, "nowhere", "", "28 days"]), st.sampled_from([1, 2, 3, None])),
    ), max_size=12,
)  # fmt: skip


@given(PIECES, st.sampled_from(["flag", "drop"]))
def test_text_and_citations_beside_it_join_to_the_answer(
    pieces: list[str | tuple[str, int | None]], on_fail: OnFail
) -> None:
    reader, shown = ReplyReader(HITS, on_fail), []
    for piece in pieces:
        shown += reader.feed(piece) if isinstance(piece, str) else reader.cite(*piece)
    shown += reader.close()
    assert "".join(piece for piece in shown if isinstance(piece, str)) == reader.text
    assert [piece for piece in shown if isinstance(piece, Citation)] == reader.citations
    plain = re.sub(r" ?\[\d+\??\]", "", reader.text)
    said = "".join(piece for piece in pieces if isinstance(piece, str))
    assert plain.split() == said.split() or "".join(plain.split()) == "".join(said.split())
    assert all(0 <= share <= 1 for share in [reader.support.share] if share is not None)
