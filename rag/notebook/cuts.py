"""A document's chunks on its text, every other one in another colour."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rag.core.drawn import drawn
from rag.core.format import counted
from rag.core.html import pieces
from rag.notebook import lines, parts
from rag.notebook.display import Display
from rag.notebook.lines import LINE_END

if TYPE_CHECKING:
    from rag.chunking.cuts import Cuts

#: Most characters of the text that a card shows, and most chunks that the text names.
_CHARS, _CHUNKS = 6000, 12


class CutsDisplay(Display):
    """The text with its chunks marked and numbered."""

    value: Cuts

    def html(self) -> str:
        """Return the text as a card, with each chunk marked."""
        cuts = self.value
        text = cuts.text[:_CHARS]
        spans = [(start, end, at) for at, (start, end) in enumerate(cuts.spans) if start < len(text)]
        starts = {start: at + 1 for start, _, at in spans}
        out, at = [], 0
        for piece, within in pieces(text, spans):
            body = escape(drawn(LINE_END.sub("\n", piece)))
            number = f'<small class="cut">{starts[at]}</small>' if at in starts else ""
            if within:
                body = f'<mark class="{_class(within)}">{body}</mark>'
            elif body.strip():
                body = f'<span class="dim">{body}</span>'
            out.append(number + body)
            at += len(piece)
        body = (
            parts.dim(_sizes(cuts))
            + f'<div class="text source" dir="auto">{"".join(out)}</div>'
            + parts.more(len(cuts.text) - len(text), "character", f".text[{_CHARS}:]")
        )
        return parts.card(cuts.chunker, cuts.source, body)

    def text(self) -> str:
        """Return how many chunks there are, and a line for each of the first."""
        cuts = self.value
        wide = max((len(f"{start}-{end}") for start, end in cuts.spans[:_CHUNKS]), default=0)
        rows = [
            lines.line(
                f"{cuts.text[start:end]}", indent=f"  {at:<3} {f'{start}-{end}':>{wide}}  "
            )
            for at, (start, end) in enumerate(cuts.spans[:_CHUNKS], 1)
        ]  # fmt: skip
        name = f"{cuts.chunker}, {cuts.source}" if cuts.source else cuts.chunker
        return "\n".join(
            [
                *lines.wrapped(f"{name}: {_sizes(cuts)}"),
                *rows,
                *lines.more(len(cuts.chunks) - _CHUNKS, "chunk", "cuts.chunks"),
            ]
        )

    def line(self) -> str:
        """Return how many chunks there are."""
        cuts = self.value
        return lines.tagged(f"Cuts {cuts.chunker} {cuts.source}".rstrip(), _sizes(cuts), 50)


def _class(within: list[int]) -> str:
    both = " twice" if len(within) > 1 else ""
    return ("even" if within[-1] % 2 else "odd") + both


def _sizes(cuts: Cuts) -> str:
    """Return the chunks' number and sizes, and how much of the text they hold."""
    if not cuts.spans:
        return f"no chunks of {counted(len(cuts.text), 'character')}"
    sizes = [end - start for start, end in cuts.spans]
    held, reached = 0, 0
    for start, end in sorted(cuts.spans):
        held += max(end - max(start, reached), 0)
        reached = max(reached, end)
    repeated = f", {sum(sizes) - held:,} of them twice" if sum(sizes) > held else ""
    span = f"{min(sizes):,} to {max(sizes):,}" if min(sizes) < max(sizes) else f"{sizes[0]:,}"
    return (
        f"{counted(len(sizes), 'chunk')} of {span} characters, "
        f"{held:,} of {counted(len(cuts.text), 'character')}{repeated}"
    )
