"""A citation is what stands in the passage, word for word; a reply can come in any pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.citations import Citation
from rag.core.passages import Hit, joined
from rag.generation.citations import OnFail, ReplyReader, read_reply
from rag.generation.quotes import find_quote

TEXT = "Anyone may declare\na SEV-1.  Pay day is the 25th. Keep 15 days' buffer."
HITS = [
    Hit(
        "a.md", 100, 100 + len(TEXT), TEXT, 1.0, page_start=3, page_end=4, page_breaks=(119,), section=("A",)
    ),
    Hit("b.md", 0, 29, "Leave is 28 days in <Europe>.", 1.0),
]


def test_quote_and_place() -> None:
    """A quote becomes a numbered citation with its place."""
    reader = read_reply(
        'Anyone can.<cite doc="1">may declare a SEV-1</cite> Also 28.<cite doc="2">28 days</cite>', HITS
    )
    assert reader.text == "Anyone can. [1] Also 28. [2]"
    one, two = reader.citations
    assert (one.number, one.source, one.start, one.end, one.verified) == (1, "a.md", 107, 126, True)
    assert one.text == "may declare\na SEV-1"
    assert (one.page_start, one.page_end, one.section) == (3, 4, ("A",))
    assert one.place == "a.md, pp. 3-4, A"
    assert (two.source, two.start, two.end) == ("b.md", 9, 16)


def test_find_quote() -> None:
    """Case, white space and typographic quotes do not matter; words do."""
    assert find_quote(TEXT, "ANYONE may  declare a sev-1") == (0, 26)
    assert find_quote(TEXT, "15 days’ buffer") is not None
    assert find_quote(TEXT, "5 days' buffer") is None  # not at a word's edge
    assert find_quote(TEXT, "anyone can declare") is None
    assert find_quote(TEXT, "  ") is None


def test_missing_quote() -> None:
    """A quote that is in no passage is flagged or dropped."""
    reply = 'Pay is weekly.<cite doc="1">Pay day is weekly</cite>'
    flagged = read_reply(reply, HITS)
    assert flagged.text == "Pay is weekly. [1?]"
    assert flagged.citations[0].verified is False
    assert flagged.citations[0].text == "Pay day is weekly"
    dropped = read_reply(reply, HITS, "drop")
    assert (dropped.text, dropped.citations) == ("Pay is weekly.", [])


def test_misnamed_passage() -> None:
    """A quote of another passage than the one named is cited where it stands."""
    reader = read_reply('x<cite doc="9">Pay day is the 25th</cite>', HITS)
    assert reader.citations[0].source == "a.md"


def test_repeated_quote() -> None:
    """The same quote twice is one citation."""
    reader = read_reply('A<cite doc="2">28 days</cite> B<cite doc="2">28 days</cite>', HITS)
    assert reader.text == "A [1] B [1]"
    assert len(reader.citations) == 1


def test_escaped_quote() -> None:
    """A quote with HTML escapes is found."""
    assert read_reply('x<cite doc="2">in &lt;Europe&gt;.</cite>', HITS).citations[0].verified


@pytest.mark.parametrize("opening", ["<no_answer/>", "<no_answer />\n", " <no_answer></no_answer>"])
def test_no_answer(opening: str) -> None:
    """The tag for no answer is read, and not shown."""
    reader = read_reply(f"{opening}Nothing is said of dogs.", HITS)
    assert reader.answered is False
    assert reader.text == "Nothing is said of dogs."


@pytest.mark.parametrize(
    "odd", ["a < b", "see <citation>", "x <cite-x>", "<b>bold</b>", "<no more", "< cite doc=1>", "<>", ""]
)
def test_no_tags(odd: str) -> None:
    """Text that is no tag is shown as it is."""
    assert read_reply(odd, HITS).text == odd.strip()


def test_wrong_number() -> None:
    """A number that the quote does not contain flags the citation."""
    reader = read_reply('Leave is 30 days.<cite doc="2">28 days</cite> Ask.', HITS)
    assert reader.text == "Leave is 30 days. [1?] Ask."
    assert (reader.citations[0].verified, reader.citations[0].supports) == (True, False)
    dropped = read_reply('Leave is 30 days.<cite doc="2">28 days</cite> Ask.', HITS, "drop")
    assert (dropped.text, dropped.citations) == ("Leave is 30 days. Ask.", [])


def test_numbers_of_the_question() -> None:
    """The question's numbers may be repeated without a source."""
    reply = 'Of your 40 days, 28 are leave.<cite doc="2">28 days</cite>'
    assert read_reply(reply, HITS).text.endswith("[1?]")
    assert read_reply(reply, HITS, question="What of 40 days?").text.endswith("[1]")


def test_several_quotes() -> None:
    """The quotes of a sentence support it together; a wrong part speaks against its own quote."""
    both = 'Pay is on the 25th<cite doc="1">the 25th</cite> and leave is {} days<cite doc="2">28 days</cite>.'
    assert read_reply(both.format(28), HITS).text == "Pay is on the 25th [1] and leave is 28 days [2]."
    assert read_reply(both.format(29), HITS).text == "Pay is on the 25th [1] and leave is 29 days [2?]."
    together = 'On the 25th, 28 days.<cite doc="1">the 25th</cite><cite doc="2">28 days</cite>'
    assert read_reply(together, HITS).text == "On the 25th, 28 days. [1] [2]"
    assert read_reply(together.replace("28 days.", "9 days."), HITS).text == "On the 25th, 9 days. [1?] [2?]"
    behind = 'Leave<cite doc="2">Leave</cite> is 31 days.'
    assert read_reply(behind, HITS).text == "Leave [1?] is 31 days."


def test_quote_of_two_sentences() -> None:
    """One quote that supports one sentence of two is two citations."""
    reader = read_reply(
        'It is 28 days.<cite doc="2">28 days</cite> No, 29.<cite doc="2">28 days</cite>', HITS
    )
    assert reader.text == "It is 28 days. [1] No, 29. [2?]"
    assert [citation.supports for citation in reader.citations] == [True, False]


def test_held_text() -> None:
    """Text is held back from a sentence's first citation to its end, and no longer."""
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


def test_endless_sentence() -> None:
    """A sentence that never ends is not held back for ever."""
    reader = ReplyReader(HITS)
    shown = list(reader.feed('It is 28<cite doc="2">28 days</cite>' + " and on" * 1000))
    assert len("".join(piece for piece in shown if isinstance(piece, str))) > 6000


def test_native_citation() -> None:
    """A citation beside the text is checked, and narrowed to the supporting sentence."""
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


def test_wrong_native_citations() -> None:
    """Citations beside the text are checked like quotes."""
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


def test_repeated_native_citation() -> None:
    """Several citations of one passage for one sentence are one mark."""
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
def test_replies_in_pieces(reply: str, sizes: list[int]) -> None:
    """A reply in pieces reads as the whole."""
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
def test_marks(reply: str, on_fail: OnFail) -> None:
    """Marks and citations agree, and verified quotes are slices of their passages."""
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
def test_native_pieces(pieces: list[str | tuple[str, int | None]], on_fail: OnFail) -> None:
    """Text and the citations beside it join to the answer."""
    reader, shown = ReplyReader(HITS, on_fail), []
    for piece in pieces:
        shown += reader.feed(piece) if isinstance(piece, str) else reader.cite(*piece)
    shown += reader.close()
    assert "".join(piece for piece in shown if isinstance(piece, str)) == reader.text
    assert [piece for piece in shown if isinstance(piece, Citation)] == reader.citations
    plain = re.sub(r" ?\[\d+\??\]", "", reader.text)
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    if pieces and isinstance(pieces[-1], str):  # a reply that ends so may have been cut inside a tag
        text = text.removesuffix("<")
    assert "".join(plain.split()) == "".join(text.split())
    assert all(0 <= share <= 1 for share in [reader.support.share] if share is not None)


def test_section_of_a_quote() -> None:
    """A citation's section is that of its quote; a quote over several sections names them all."""
    texts = ["Ten days a year.", "18 weeks of leave.", "Tell us first."]
    paths = [("Leave", "Paid time off"), ("Leave", "Parental leave"), ("Leave", "Notice")]
    pieces, at = [], 40
    for text, path in zip(texts, paths, strict=True):
        pieces.append(Hit("b.md", at, at + len(text), text, 1.0, gap="\n", section=path))
        at += len(text) + 1
    whole = joined(pieces)
    reader = read_reply(
        '18 weeks.<cite doc="1">18 weeks</cite> Tell.<cite doc="1">of leave. Tell us</cite>', [whole]
    )
    one, two = reader.citations
    assert (one.section, one.place) == (("Leave", "Parental leave"), "b.md, Leave > Parental leave")
    assert (two.section, two.place) == (("Leave", "Parental leave"), "b.md, Leave > Parental leave; Notice")
    assert two.section_breaks == ((whole.start + len("Ten days a year.\n18 weeks of leave.\n"), paths[2]),)
    assert two.to_dict()["section_breaks"] == [[whole.start + 36, ["Leave", "Notice"]]]
    native = ReplyReader([whole])
    for _ in (*native.feed("Parents get 18 weeks."), *native.cite("", 1), *native.close()):
        pass
    assert (native.citations[0].text, native.citations[0].section) == ("18 weeks of leave.", paths[1])
