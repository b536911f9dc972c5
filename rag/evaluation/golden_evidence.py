"""Whether a golden set's evidence, gold documents and filters fit the documents of an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rag.core.errors import RagError, near_miss
from rag.core.format import shortened
from rag.core.text import fold
from rag.evaluation.checks import should_cite
from rag.evaluation.expected import Cites
from rag.evaluation.golden_rules import Entry, Finding
from rag.evaluation.golden_set import Span
from rag.generation.quotes import find_quote
from rag.index.filters.parse import parse
from rag.index.filters.where import field as column
from rag.index.texts import Pieces, assemble

#: Sources that a wrong name is compared with: more would take longer than a person waits.
_COMPARED = 2000


class Corpus:
    """The texts of an index's documents, as far as its chunks hold them.

    Parameters
    ----------
    index : Index
    sources : iterable of str
        Documents whose texts are needed at once.
    """

    def __init__(self, index: Any, sources: Sequence[str]) -> None:
        self.index = index
        self.held = {record.source for record in index.sources if record.chunks}
        wanted = sorted({*sources} & self.held)
        self._texts = assemble(index.scan(column("source").isin(wanted))) if wanted else {}
        self._all: dict[str, Pieces] | None = None

    def end(self, source: str) -> int:
        """Return where a document's last chunk ends."""
        start, text = self._texts[source][-1]
        return start + len(text)

    def text(self, span: Span) -> str | None:
        """Return the text of a span; None if the index does not hold it in one piece."""
        for start, text in self._texts.get(span.source, ()):
            if start <= span.start and span.end <= start + len(text):
                return text[span.start - start : span.end - start]
        return None

    def find(self, quote: str, source: str) -> Span | None:
        """Return where a quote stands now: in its document, else in another one."""
        place = _in_pieces(quote, source, self._texts.get(source, ()))
        if place is not None:
            return place
        if self._all is None:
            self._all = assemble(self.index.scan())
        found = (_in_pieces(quote, name, pieces) for name, pieces in sorted(self._all.items()))
        return next((each for each in found if each is not None), None)

    def missing(self, source: str) -> str:
        """Return what to do about a source that the index does not hold."""
        guess = near_miss(source, self.held) if len(self.held) <= _COMPARED else ""
        return guess if guess.startswith("did") else "correct the name, or remove the question"


def _in_pieces(quote: str, source: str, pieces: Pieces | tuple[()]) -> Span | None:
    for start, text in pieces:
        at = find_quote(text, quote)
        if at is not None:
            return Span(source, start + at[0], start + at[1])
    return None


def evidence_findings(entry: Entry, corpus: Corpus) -> Iterator[Finding]:
    """Yield what of a question's evidence, gold and citations does not stand in the documents any more."""
    question = entry.question
    for span, quote in zip(question.evidence, entry.quotes, strict=True):
        yield from _span_findings(entry, span, quote, corpus)
    named = {
        "gold": tuple(question.gold), "cites": tuple(each.source for each in question.expected.cites),
    }  # fmt: skip
    for key, sources in named.items():
        for source in dict.fromkeys(sources):
            if source not in corpus.held:
                what = f"{key} names {source}, which is not in the index"
                yield entry.finding("error", "evidence", what, corpus.missing(source))


def _span_findings(entry: Entry, span: Span, quote: str, corpus: Corpus) -> Iterator[Finding]:
    def wrong(what: str, severity: Any = "error", advice: str = "") -> Finding:
        return entry.finding(severity, "evidence", what, advice or _now(quote, span, corpus))

    if span.source not in corpus.held:
        advice = _now(quote, span, corpus) if quote else corpus.missing(span.source)
        yield wrong(f"its evidence is in {span.source}, which is not in the index", advice=advice)
        return
    end = corpus.end(span.source)
    if span.end > end:
        yield wrong(f"its evidence {span} ends after the last chunk of the document, at {end}")
        return
    text = corpus.text(span)
    if text is None and quote and corpus.find(quote, span.source) is not None:
        yield wrong(f"its quote does not stand at {span}")
    elif text is None:
        yield wrong(
            f"the index does not hold its evidence {span} in one piece", "warning",
            "check the offsets: they may reach into a page's footer or other text that is left out",
        )  # fmt: skip
    elif quote and fold(text)[0].strip() != fold(quote)[0].strip():
        yield wrong(f"the text at {span} is now {shortened(text, 60)!r}, not its quote")


def _now(quote: str, span: Span, corpus: Corpus) -> str:
    """Return what to write instead of a span that no longer holds its quote."""
    if not quote:
        return "choose the evidence anew, and keep its text beside it as quote"
    place = corpus.find(quote, span.source)
    if place is None:
        return (
            "the quote stands in no document of the index: choose the evidence anew, or remove the question"
        )
    elsewhere = f"source {place.source}, " if place.source != span.source else ""
    return f"the quote stands at {elsewhere}start {place.start}, end {place.end} now: write these"


def filter_findings(entry: Entry, corpus: Corpus | None) -> Iterator[Finding]:
    """Yield why a question's filter cannot be applied, or leaves out its own evidence."""
    question = entry.question
    if question.where is None:
        return
    try:
        where = parse(question.where) if corpus is None else corpus.index.both(question.where)
    except RagError as error:
        yield entry.finding("error", "filter", f"its filter is wrong: {error}", "correct where")
        return
    if corpus is None:
        return
    if not corpus.index.count(where):
        yield entry.finding("error", "filter", "no document passes its filter", "correct where")
        return
    evidence = (Cites(**span._asdict()) for span in question.evidence)
    for cited in dict.fromkeys((*should_cite(question), *evidence)):
        if cited.source not in corpus.held:
            continue
        admitted = corpus.index.scan(corpus.index.both(question.where, column("source") == cited.source))
        start, end = cited.start or 0, cited.end
        if not any((end is None or hit.start < end) and start < hit.end for hit in admitted):
            what = f"its filter leaves out {cited.source}, in which its answer stands"
            yield entry.finding("error", "filter", what, "correct where, or the evidence")
            return
