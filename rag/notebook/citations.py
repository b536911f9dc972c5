"""Citations: the quoted span in its surroundings, as they were sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.notebook import lines, parts
from rag.notebook.display import Display
from rag.notebook.places import place, span_text
from rag.notebook.texts import passage

if TYPE_CHECKING:
    from rag.core.citations import Citation
    from rag.core.passages import Hit

#: Characters of a quote, and of the passage on either side of it.
_QUOTE, _AROUND = 1500, 240


class CitationDisplay(Display):
    """A quote and its place."""

    value: Citation

    def html(self) -> str:
        """Return the citation as a card."""
        return parts.card("Citation", mark_text(self.value), surroundings(self.value, ()))

    def text(self) -> str:
        """Return the mark, the place, what is wrong, and the quote."""
        return "\n".join(citation_lines(self.value, ""))

    def line(self) -> str:
        """Return ``<Citation [1] leave.md: "Staff take…">``."""
        each = self.value
        return lines.tagged(f"Citation {mark_text(each)} {each.verdict or each.place}", each.text, 47)


def mark_text(citation: Citation) -> str:
    """Return ``[1]``, or ``[1?]`` for one with a fault."""
    return f"[{citation.number}{'?' if citation.verdict else ''}]"


def citation_lines(citation: Citation, indent: str) -> list[str]:
    """Return a citation as a few lines."""
    where = citation.place if citation.verified else ""
    head = " ".join(filter(None, (mark_text(citation), where, citation.verdict)))
    return [lines.line(head, indent=indent), *lines.wrapped(f'"{citation.text}"', indent + "    ", 3)]


def surroundings(citation: Citation, hits: Sequence[Hit]) -> str:
    """Return the quote in the passage that holds it, with what is wrong with it."""
    fault = f'<p class="bad">{parts.inert(citation.verdict)}</p>' if citation.verdict else ""
    if not citation.verified:
        return fault + passage(citation.text, most=_QUOTE, how="citation.text")
    head = f"{place(citation.place)} <small>{parts.inert(span_text(citation.start, citation.end))}</small>"
    before, after = _around(citation, hits)
    quoted = citation.text[:_QUOTE]
    text = before + quoted + (after if len(quoted) == len(citation.text) else "")
    marks = [(len(before), len(before) + len(quoted), "quote")]
    left = parts.more(len(citation.text) - len(quoted), "character", "citation.text")
    return f'{head}{fault}<div class="source">{passage(text, marks, most=1 << 20)}</div>{left}'


def _around(citation: Citation, hits: Sequence[Hit]) -> tuple[str, str]:
    """Return what stands before and behind a quote in the passage that was sent; "…" where more does."""
    for hit in hits:
        start, end = citation.start - hit.start, citation.end - hit.start
        if hit.source == citation.source and start >= 0 and hit.text[start:end] == citation.text:
            before, after = hit.text[:start], hit.text[end:]
            if len(before) > _AROUND:  # from a word's beginning, and to a word's end
                before = f"… {before[-_AROUND:].partition(' ')[2]}"
            if len(after) > _AROUND:
                after = f"{after[:_AROUND].rpartition(' ')[0]} …"
            return before, after
    return "", ""
