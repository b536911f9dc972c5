"""A citation is what stands in the passage, word for word; a reply can come in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.citing import ReplyReader, find_quote, read_reply
from rag.records import Citation, Hit

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


REPLIES = st.lists(
    st.sampled_from([
        "Anyone. ", '<cite doc="1">Pay day is the 25th</cite>', '<cite doc="2">nowhere</cite>', "a < b ", "<cite",
        ' <cite doc="1">SEV-1</cite>', "\n", "<no_answer/>", "<b>",
    ]), max_size=8,
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
    assert text.strip() == reader.text
    assert [piece for piece in shown if isinstance(piece, Citation)] == reader.citations
