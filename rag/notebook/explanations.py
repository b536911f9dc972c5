"""An explanation: the stages of a question as a funnel, down to the one that lost the passage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.core.format import counted
from rag.notebook import lines, parts
from rag.notebook.display import Display
from rag.notebook.places import place
from rag.notebook.texts import passage, word_marks

if TYPE_CHECKING:
    from rag.retrieval.explain import Explanation

    pass

#: Where a passage may be lost, in the order of a question's way; a file in quarantine was not loaded, either.
_STAGES = ("index", "filter", "retriever", "trimmer")
_LOST_AT = {"not loaded": 0, "quarantined": 0, "filter": 1, "retriever": 2, "trimmer": 3, "kept": 4}
_CHUNKS = 5


class ExplanationDisplay(Display):
    """What became of a passage."""

    value: Explanation

    def html(self) -> str:
        """Return the funnel as a card."""
        value = self.value
        lost = _LOST_AT.get(value.stage, len(_STAGES))
        items = []
        for at, (name, body) in enumerate(self._steps()):
            kind = "lost" if at == lost else "skipped" if at > lost else "passed"
            mark = {"lost": "✗ lost", "skipped": "not reached", "passed": "✓ passed"}[kind]
            detail = f": {parts.inert(body)}" if body and kind != "skipped" else ""
            items.append(
                f'<li class="{kind}" style="width:{100 - 12 * at}%">'
                f"<strong>{name}</strong> {mark}{detail}</li>"
            )
        verdict = "good" if value.stage == "kept" else "bad"
        chunks = "".join(
            f'<li class="item">{place(hit.place)}'
            f"{passage(hit.text, word_marks(hit.text[:600], value.question), most=600)}</li>"
            for hit in value.chunks[:_CHUNKS]
        )
        left = parts.more(len(value.chunks) - _CHUNKS, "chunk", "explanation.chunks")
        body = (
            f'<p class="{verdict}">{parts.inert(f"{value.stage}: {value.said}", 1000)}</p>'
            + parts.facts([("expected", parts.inert(value.expected))])
            + f'<ol class="funnel">{"".join(items)}</ol>'
            + "".join(f"<p>{parts.inert(each)}</p>" for each in self._advice())
            + (parts.fold(f"{counted(len(value.chunks), 'chunk')} with it", f"<ol>{chunks}</ol>{left}")
               if chunks else "")
        )  # fmt: skip
        return parts.card("Explanation", value.question, body)

    def _steps(self) -> list[tuple[str, str]]:
        value = self.value
        ranks = ", ".join(
            f"{name} {'none' if rank is None else f'{rank:,}'}" for name, rank in value.ranks.items()
        )
        kept = f"{value.kept:.0%} of it is in the context" if value.kept else ""
        held = f"{counted(len(value.chunks), 'chunk')} with it" if value.chunks else ""
        matched = f"{counted(value.matched, 'chunk')} match it" if value.matched else ""
        return [*zip(_STAGES, (held, matched, f"rank {ranks}" if ranks else "", kept), strict=True)]

    def _advice(self) -> list[str]:
        kept = [
            f"It would have been {'kept' if each.startswith('--budget') else 'retrieved'} by {each}"
            if each.startswith("-") else f"Try: {each}"
            for each in self.value.advice
        ]  # fmt: skip
        return kept[:10]

    def text(self) -> str:
        """Return the verdict, the stages and the advice."""
        value = self.value
        lost = _LOST_AT.get(value.stage, len(_STAGES))
        out = lines.wrapped(f"{value.stage}: {value.said}", most=4)
        for at, (name, body) in enumerate(self._steps()[: lost + 1]):
            out.append(lines.line(body, indent=f"  {'x' if at == lost else '+'} {name:<10}"))
        out += [lines.line(each, indent="  ") for each in self._advice()]
        out += [lines.line(f"{hit.place}: {hit.text}", indent="  ") for hit in value.chunks[:3]]
        return "\n".join([*out, *lines.more(len(value.chunks) - 3, "chunk", "explanation.chunks")])
