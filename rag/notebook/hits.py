"""Hits: their scores as bars, their texts with the question's words marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.core.format import counted
from rag.notebook import lines, parts
from rag.notebook.display import Display
from rag.notebook.places import metadata, place, span_text
from rag.notebook.texts import passage, word_marks

if TYPE_CHECKING:
    from rag.core.passages import Hit
    from rag.index.search.results import Hits

#: Most hits of a list that a card, and a text, shows; and most characters of each.
_IN_CARD, _IN_TEXT = 20, 10
_OF_EACH, _OF_ONE = 600, 4000


class HitDisplay(Display):
    """A hit: its place, scores, text and metadata."""

    value: Hit

    def html(self) -> str:
        """Return the hit as a card."""
        return parts.card("Hit", "", hit_html(self.value, how="hit.text", limit=_OF_ONE))

    def text(self) -> str:
        """Return place, scores, and the beginning of the text."""
        hit = self.value
        out = [lines.line(f"Hit: {hit.place}"), lines.line(_scores_text(hit), indent="  ")]
        return "\n".join([*out, *lines.wrapped(hit.text, "    ", 6)])

    def line(self) -> str:
        """Return ``<Hit 28.409 leave.md, Leave: "Staff take…">``."""
        hit = self.value
        return lines.tagged(f"Hit {_decimal(hit.score)} {hit.place}", hit.text, 53)


class HitsDisplay(Display):
    """The hits of a search, and how it was done."""

    value: Hits

    def html(self) -> str:
        """Return the hits as a card: the best in full, the others counted."""
        hits = self.value
        question = getattr(hits.plan, "question", "")
        scores = [hit.score for hit in hits[:_IN_CARD]]
        lexical = [hit.lexical or 0.0 for hit in hits[:_IN_CARD]]
        most = max(scores, default=0.0), max(lexical, default=0.0)
        items = "".join(
            f'<li class="item">{hit_html(hit, question, rank, most, how=f"hits[{rank - 1}].text")}</li>'
            for rank, hit in enumerate(hits[:_IN_CARD], 1)
        )
        body = (
            parts.dim(str(hits.plan))
            + f"<ol>{items}</ol>"
            + parts.more(len(hits) - _IN_CARD, "hit", f"hits[{_IN_CARD}:], or hits.to_pandas()")
        )
        return parts.card(counted(len(hits), "hit"), question, body)

    def text(self) -> str:
        """Return the plan, and two lines for each of the best hits."""
        hits = self.value
        out = lines.wrapped(str(hits.plan), most=3)
        for rank, hit in enumerate(hits[:_IN_TEXT], 1):
            out.append(lines.line(hit.place, indent=f"{rank:>3}  {_decimal(hit.score)}  "))
            out.append(lines.line(hit.text, indent="     "))
        return "\n".join([*out, *lines.more(len(hits) - _IN_TEXT, "hit", f"hits[{_IN_TEXT}:]")])


def hit_html(
    hit: Hit,
    question: str = "",
    rank: int | None = None,
    most: tuple[float, float] = (0.0, 0.0),
    *,
    how: str,
    limit: int = _OF_EACH,
) -> str:
    """Return a hit's place, scores, text and metadata.

    Parameters
    ----------
    hit : Hit
    question : str
        Its words are marked.
    rank : int, optional
        From 1, of a list of hits: the scores have bars then.
    most : (float, float)
        The highest score, and BM25, of the list: full bars.
    how : str
        Where the whole text is to be found.
    limit : int
        Most characters of the text.
    """
    number = "" if rank is None else f'<span class="dim">{rank}</span> '
    known = [("score", hit.score, hit.score / most[0] if most[0] > 0 else hit.score)]
    if hit.dense is not None:
        known.append(("dense", hit.dense, hit.dense))
    if hit.lexical is not None:
        known.append(("lexical", hit.lexical, hit.lexical / most[1] if most[1] > 0 else 0.0))
    listed = rank is not None  # a bar compares: one hit alone has none
    scores = "".join(
        f"<span>{name}{parts.bar(share) if listed else ' '}{_decimal(value)}</span>"
        for name, value, share in known
    )
    where = span_text(hit.start, hit.end, placed=hit.placed)
    return (
        f"<div>{number}{place(hit.place)}</div>"
        f'<div class="scores">{scores}<span>{parts.inert(where)}</span></div>'
        + passage(hit.text, word_marks(hit.text[:limit], question), head=hit.table_head, most=limit, how=how)
        + metadata(hit.metadata, how.removesuffix(".text") + ".metadata")
    )


def _scores_text(hit: Hit) -> str:
    arms = (("score", hit.score), ("dense", hit.dense), ("lexical", hit.lexical))
    known = [f"{name} {_decimal(value)}" for name, value in arms if value is not None]
    return ", ".join([*known, span_text(hit.start, hit.end, placed=hit.placed)])


def _decimal(value: float) -> str:
    return f"{value:,.3f}"
