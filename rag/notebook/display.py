"""HTML for notebooks; every value that comes from a document or a model is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from rag.core.answers import Answer, Citation, Usage
from rag.core.format import dollars
from rag.core.passages import Context, Hit
from rag.generation.support import Support, support

_CELL = "text-align:left;vertical-align:top;padding:.3em .8em .3em 0"
_DOUBT = "text-decoration:underline dotted #b58900"
_NOTE = "color:#946c00;margin:.3em 0"
#: Stop reasons of an answer that is not whole, as Bedrock and others name them.
_CUT = {
    "max_tokens": "it reached max_tokens", "length": "it reached max_tokens",
    "model_context_window_exceeded": "the model's context window is full",
}  # fmt: skip


def hits_html(hits: Sequence[Hit], caption: str) -> str:
    """Return hits as a table: rank, score, both arms, place, text."""
    head = "".join(
        f'<th style="{_CELL}">{name}</th>' for name in ("", "score", "dense", "lexical", "place", "text")
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="{_CELL}">{cell}</td>'
            for cell in (
                str(rank), f"{hit.score:.3f}", _number(hit.dense), _number(hit.lexical),
                escape(hit.place), escape(_short(hit.text, 300)),
            )
        )
        + "</tr>"
        for rank, hit in enumerate(hits, 1)
    )  # fmt: skip
    return (
        f'<table style="border-collapse:collapse"><caption style="text-align:left">'
        f"<i>{escape(caption)}</i></caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def context_html(context: Context) -> str:
    """Return a context's passages with their places, and what became of the candidates."""
    items = "".join(
        f"<li><small>{escape(hit.place)}</small><br>{escape(_short(hit.text, 1000))}</li>"
        for hit in context.hits
    )
    return (
        f"<ol>{items}</ol><p><small>{context.used} of {context.budget} {escape(context.unit)} in "
        f"{len(context.hits)} passages{escape(fates(context))}</small></p>"
    )


def fates(context: Context) -> str:
    """Return how many candidates were kept, and how many not for which reason; empty if not known."""
    counts = Counter(candidate.why for candidate in context.candidates)
    said = ", ".join(f"{count} {why}" for why, count in counts.most_common())
    return f"; of {len(context.candidates)} candidates {said}" if counts else ""


def answer_html(answer: Answer) -> str:
    """Return an answer with its citations, what a reader must know of it, and what it took.

    A sentence that its citations do not support is underlined with dots, and says why when pointed at.
    """
    found = _support(answer)
    items = "".join(
        f"<li value={citation.number}><q>{escape(_short(citation.text, 400))}</q><br>"
        f"<small>{_place_html(citation)}</small></li>"
        for citation in answer.citations
    )
    notes = "".join(f'<p style="{_NOTE}">{escape(remark)}</p>' for remark in remarks(answer))
    times = " · ".join(f"{escape(step.name)} {1000 * step.seconds:.0f} ms" for step in answer.trace)
    context = answer.context
    parts = (
        *([str(found)] if found else []), escape(answer.generator), f"prompt {escape(answer.prompt)}",
        f"context {context.used} of {context.budget} {escape(context.unit)} in {len(context.hits)} passages",
        escape(spent(answer)), times,
    )  # fmt: skip
    return (
        f"<p>{_text_html(answer.text, found)}</p>{notes}<ol>{items}</ol>"
        f"<p><small>{' · '.join(part for part in parts if part)}</small></p>"
    )


def verdict(citation: Citation) -> str:
    """Return what is wrong with a citation; empty if nothing is."""
    if not citation.verified:
        return "not found in the context"
    return "" if citation.supports else "does not have the numbers of its sentence"


def supported(answer: Answer) -> list[str]:
    """Return ``supported 3 of 4 sentences``, and each that is not with the reason; empty if not judged."""
    found = _support(answer)
    if found is None:
        return []
    return [str(found)] + [
        f'not supported: "{_short(answer.text[each.start : each.end], 80)}": {each.why}'
        for each in found.sentences if not each.supported
    ]  # fmt: skip


def remarks(answer: Answer) -> list[str]:
    """Return what a reader must know of an answer: its notes, and that it is cut, blocked or masked."""
    said = list(answer.notes)
    if answer.stop_reason in _CUT and not any("is cut" in note for note in said):
        said.append(f"the answer is cut: {_CUT[answer.stop_reason]}")
    if answer.guardrail and not any("guardrail" in note for note in said):
        what = "the" if answer.guardrail == "blocked" else "parts of the"
        said.append(f"a guardrail {answer.guardrail} {what} answer")
    return said


def spent(answer: Answer) -> str:
    """Return the answer's tokens and dollars, and those of all its calls where these are more."""
    own = _cost(answer.usage)
    usages = [call.usage for call in answer.calls]
    total = sum(usages, Usage(cost_usd=0.0))
    same = _tokens(total) == _tokens(answer.usage) and total.cost_usd == (answer.usage.cost_usd or 0.0)
    if not usages or same:
        return own
    least = "at least " if any(usage.cost_usd is None for usage in usages) else ""
    purposes = ", ".join(dict.fromkeys(call.purpose for call in answer.calls))
    return f"{own}; all {len(usages)} calls ({purposes}): {least}{_dollars(total.cost_usd)}"


def _cost(usage: Usage) -> str:
    if usage.cost_usd == 0.0:
        return "free"
    cached = (
        (usage.cache_read_input_tokens, "from the cache"), (usage.cache_write_input_tokens, "into the cache"),
    )  # fmt: skip
    more = "".join(f", {count:,} {what}" for count, what in cached if count)
    return f"{usage.input_tokens:,} tokens in{more}, {usage.output_tokens:,} out, {_dollars(usage.cost_usd)}"


def _dollars(cost: float | None) -> str:
    return "no known price" if cost is None else dollars(cost)


def _tokens(usage: Usage) -> tuple[int, ...]:
    return (
        usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens,
        usage.cache_write_input_tokens,
    )  # fmt: skip


def _support(answer: Answer) -> Support | None:
    return None if answer.supported is None else support(answer.text, answer.citations, answer.question)


def _place_html(citation: Citation) -> str:
    wrong = verdict(citation)
    place = escape(citation.place) if citation.verified else ""
    return " · ".join(part for part in (place, f"<b>{wrong}</b>" if wrong else "") if part)


def _text_html(text: str, found: Support | None) -> str:
    out, at = "", 0
    for sentence in found.sentences if found else ():
        if not sentence.supported:
            out += escape(text[at : sentence.start])
            out += f'<span style="{_DOUBT}" title="{escape(sentence.why)}">'
            out += f"{escape(text[sentence.start : sentence.end])}</span>"
            at = sentence.end
    return (out + escape(text[at:])).replace("\n", "<br>")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _short(text: str, most: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
