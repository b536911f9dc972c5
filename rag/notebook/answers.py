"""An answer: its text with citations that unfold, what is not supported, and what it took."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rag.core.answers import FIELD_HEAD
from rag.core.format import counted, seconds_text
from rag.core.html import pieces
from rag.notebook import lines, parts
from rag.notebook.citations import citation_lines, mark_text, surroundings
from rag.notebook.contexts import fates_text, size_text
from rag.notebook.costs import cost_text
from rag.notebook.display import Display
from rag.notebook.texts import marked

if TYPE_CHECKING:
    from rag.core.answers import Answer
    from rag.core.citations import Citation

#: Most characters of an answer, marks that unfold, and rows of a table that a card shows.
CHARS, _UNFOLDING, _ROWS = 20_000, 60, 50
_MARK = re.compile(r"\[(\d{1,6})\??\]")


class AnswerDisplay(Display):
    """An answer, and all that it rests on."""

    value: Answer

    def html(self) -> str:
        """Return the answer as a card."""
        answer = self.value
        body = self.said() + self.behind()
        return parts.card("Answer" if answer.answered else "No answer", answer.question, body)

    def behind(self) -> str:
        """Return what the text rests on, and what it took."""
        return self._doubts() + self._citations() + self._work()

    def said(self) -> str:
        """Return the text, or data, with citations that unfold, and what a reader must know."""
        return self._text() + parts.notes(self.value.remarks)

    def _text(self) -> str:
        answer = self.value
        if answer.fields:
            rows = answer.field_rows
            left = parts.more(len(rows) - _ROWS, "field", "answer.fields")
            return parts.grid("fields", FIELD_HEAD, rows[:_ROWS]) + left
        text = answer.text[:CHARS]
        by_number = {each.number: each for each in answer.citations}
        cites = [
            (*match.span(), by_number[int(match[1])])
            for match in _MARK.finditer(text) if int(match[1]) in by_number
        ][:_UNFOLDING]  # fmt: skip
        doubts = () if answer.support is None else answer.support.doubts
        spans: list[tuple[int, int, Citation | str]] = [
            *cites,
            *((each.start, each.end, each.why) for each in doubts),
        ]
        body = "".join(self._piece(piece, values) for piece, values in pieces(text, spans))
        left = parts.more(len(answer.text) - len(text), "character", "answer.text")
        return f'<div class="text answer" dir="auto">{body}</div>{left}'

    def _piece(self, piece: str, values: Sequence[Citation | str]) -> str:
        cited = next((each for each in values if not isinstance(each, str)), None)
        if cited is not None:
            fault = " bad" if cited.verdict else ""
            what = parts.inert(f"{piece} citation {cited.number}: {cited.verdict or cited.place}")
            body = surroundings(cited, self.value.context.hits)
            return (
                f'<details class="cite{fault}"><summary aria-label="{what}">{parts.inert(piece)}</summary>'
                f"<div>{body}</div></details>"
            )
        whys = [each for each in values if isinstance(each, str)]
        if whys:
            return f'<span class="doubt" title="{parts.inert("; ".join(whys))}">{marked(piece)}</span>'
        return marked(piece)

    def _doubts(self) -> str:
        support = self.value.support_lines
        if len(support) < 2:
            return ""
        return "".join(f'<p class="warn">{parts.inert(each)}</p>' for each in support[1 : _ROWS + 1])

    def _citations(self) -> str:
        citations = self.value.citations
        if not citations:
            return ""
        rows = [
            (mark_text(each), each.place if each.verified else "", each.verdict or "verified",
             lines.line(f"“{each.text}”", 160))
            for each in citations[:_ROWS]
        ]  # fmt: skip
        table = parts.grid("citations", ("citation", "place", "quote is", "quote"), rows)
        return table + parts.more(len(citations) - _ROWS, "citation", "answer.citations")

    def _work(self) -> str:
        answer = self.value
        total = sum(step.seconds for step in answer.trace)
        sent = "; ".join(filter(None, (size_text(answer.context), fates_text(answer.context))))
        support = answer.support_lines[0] if answer.support_lines else ""
        rows = [
            ("supported", parts.inert(support.removeprefix("supported "))),
            ("model", parts.inert(answer.generator)),
            ("prompt", parts.inert(answer.prompt)),
            ("context", parts.inert(sent)),
            ("cost", parts.inert(answer.spent)),
            ("time", parts.inert(_times(self.value))),
            ("review", parts.inert(answer.review_id)),
            ("id", parts.inert(answer.id)),
        ]  # fmt: skip
        calls = [
            (each.purpose, each.model, cost_text(each.usage)) for each in answer.calls[:_ROWS]
        ]  # fmt: skip
        steps = [
            (step.name, parts.bar(step.seconds / total if total else 0.0) + seconds_text(step.seconds),
             parts.inert(_detail(step.detail)))
            for step in answer.trace[:_ROWS]
        ]  # fmt: skip
        body = parts.facts(rows)
        if steps:
            table = parts.grid("", ("stage", "time", "detail"), steps, bodies=(1, 2))
            body += parts.fold("times by stage", table)
        if calls:
            body += parts.fold(
                counted(len(answer.calls), "call"), parts.grid("", ("for", "model", "cost"), calls)
            )
        return body

    def text(self) -> str:
        """Return the text, the citations, what is not supported, the cost and the times."""
        return "\n".join([*lines.wrapped(self.value.text, most=12), *self.rest()])

    def rest(self) -> list[str]:
        """Return the lines behind the text."""
        answer = self.value
        out = [part for each in answer.citations[:5] for part in citation_lines(each, "  ")]
        out += lines.more(len(answer.citations) - 5, "citation", "answer.citations")
        out += [lines.line(each, indent="  ") for each in [*answer.support_lines, *answer.remarks][:8]]
        for fact in (
            f"{answer.generator}; prompt {answer.prompt}; {answer.spent}",
            f"context {size_text(answer.context)}", _times(answer),
        ):  # fmt: skip
            out += lines.wrapped(fact, "  ", 3) if fact else []
        return out


def _times(answer: Answer) -> str:
    total = sum(step.seconds for step in answer.trace)
    steps = ", ".join(f"{step.name} {seconds_text(step.seconds)}" for step in answer.trace[:12])
    return f"{seconds_text(total)}: {steps}" if answer.trace else ""


def _detail(values: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in values.items()
    )
