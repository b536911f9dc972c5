"""A context: how full its budget is, what was kept, cut and left out, and the passages as sent."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rag.core.format import counted
from rag.notebook import lines, parts
from rag.notebook.display import Display
from rag.notebook.places import place, span_text
from rag.notebook.texts import passage

if TYPE_CHECKING:
    from rag.core.passages import Context

#: Most passages and candidates that a card shows, and most characters of a passage.
_PASSAGES, _CANDIDATES, _CHARS = 30, 100, 3000
_UNITS = {"chars": "character", "tokens": "token"}


class ContextDisplay(Display):
    """What is sent to the model, within its budget."""

    value: Context

    def html(self) -> str:
        """Return the context as a card: budget, passages, and what became of each candidate."""
        context = self.value
        share = context.used / context.budget if context.budget > 0 else 0.0
        items = "".join(
            f'<li class="item">{place(hit.place)} '
            f'<small>{parts.inert(span_text(hit.start, hit.end, placed=hit.placed))}</small>'
            f'{passage(hit.text, head=hit.table_head, most=_CHARS, how=f"context.hits[{at}].text")}</li>'
            for at, hit in enumerate(context.hits[:_PASSAGES])
        )  # fmt: skip
        body = (
            parts.bar(share, wide=True)
            + parts.dim(size_text(context))
            + _fates_html(context)
            + f"<ol>{items}</ol>"
            + parts.more(len(context.hits) - _PASSAGES, "passage", f"context.hits[{_PASSAGES}:]")
            + self._candidates()
        )
        return parts.card("Context", "", body)

    def _candidates(self) -> str:
        candidates = self.value.candidates
        if not candidates:
            return ""
        rows = [
            (each.why, f"{each.kept:.0%}", "" if each.score is None else f"{each.score:.3f}",
             f"{each.source}, {span_text(each.start, each.end)}")
            for each in candidates[:_CANDIDATES]
        ]  # fmt: skip
        table = parts.grid("", ("why", "kept", "score", "candidate"), rows)
        left = parts.more(len(candidates) - _CANDIDATES, "candidate", f"context.candidates[{_CANDIDATES}:]")
        return parts.fold(f"what became of {counted(len(candidates), 'candidate')}", table + left)

    def text(self) -> str:
        """Return how full the context is, and a line for each of its passages."""
        context = self.value
        out = [lines.line(f"Context: {size_text(context)}")]
        out += lines.wrapped(fates_text(context), "  ") if context.candidates else []
        for hit in context.hits[:10]:
            out += [lines.line(hit.place, indent="  "), lines.line(hit.text, indent="    ")]
        return "\n".join(
            [*out, *lines.more(len(context.hits) - 10, "passage", "context.hits, or context.text")]
        )


def size_text(context: Context) -> str:
    """Return how much of the budget is used, with the share and the passages."""
    unit = _UNITS.get(context.unit, context.unit)
    share = f" ({context.used / context.budget:.0%})" if context.budget > 0 else ""
    passages = counted(len(context.hits), "passage")
    return f"{context.used:,} of {counted(context.budget, unit)}{share} in {passages}"


def _fates_html(context: Context) -> str:
    counts = Counter(candidate.why for candidate in context.candidates)
    chips = "".join(
        f'<span class="chip">{parts.inert(why)}<span>{count:,}</span></span>'
        for why, count in counts.most_common()
    )
    return f"<p>of {counted(len(context.candidates), 'candidate')} {chips}</p>" if chips else ""


def fates_text(context: Context) -> str:
    """Return what became of the candidates; empty if that is not known."""
    if not context.candidates:
        return ""
    counts = Counter(candidate.why for candidate in context.candidates)
    reasons = ", ".join(f"{count:,} {why}" for why, count in counts.most_common())
    return f"of {counted(len(context.candidates), 'candidate')} {reasons}"
