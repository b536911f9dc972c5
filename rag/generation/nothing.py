"""The answer where no passage is sent: no model is asked, as it could only guess."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.answers import Answer, Step
from rag.core.calls import Usage
from rag.core.passages import Context

#: The answer where no passage was found; no model is asked then.
NOTHING_FOUND = "Nothing was found in the index for this question and its filter."
#: The answer where a trimmer keeps no passage for another reason than its budget.
NOTHING_KEPT = "Passages were found, but none was sent to a model."


def nothing_sent(
    question: str,
    context: Context,
    steps: Sequence[Step],
    prompt: str,
    text: str | None = None,
    *,
    filtered: bool,
) -> Answer:
    """Return the answer to a question for which no passage is sent, with the reason among its notes.

    Parameters
    ----------
    question : str
    context : Context
        Without passages.
    steps : sequence of Step
        With the step ``retrieve``.
    prompt : str
        The prompt's name.
    text : str, optional
        In place of words, such as the JSON of an answer as data.
    filtered : bool
        Whether the question or the retriever has a filter.
    """
    found = next(step.detail["documents"] for step in steps if step.name == "retrieve")
    words, why = _why(context, found, filtered=filtered)
    return Answer(
        question=question, text=text or words, answered=False, citations=(), context=context,
        usage=Usage(cost_usd=0.0), trace=tuple(steps), generator="none: there was nothing to read",
        prompt=prompt, stop_reason="nothing_found", notes=(why,),
    )  # fmt: skip


def _why(context: Context, found: int, *, filtered: bool) -> tuple[str, str]:
    """Return the text of the answer, and why no passage is sent."""
    if not found:
        hint = "is the filter right?" if filtered else "ask in other words, or add documents"
        return NOTHING_FOUND, f"nothing in the index fits: {hint}"
    if not any(candidate.why == "no room" for candidate in context.candidates):
        reasons = f" ({context.fates})" if context.fates else ""
        return NOTHING_KEPT, f"the trimmer kept none of {found} passages{reasons}: check the trimmer"
    budget, unit = context.budget, context.unit
    shortest = min(candidate.end - candidate.start for candidate in context.candidates)
    return f"No passage fits the budget of {budget} {unit}.", (
        f"no passage fits the budget of {budget} {unit}: the shortest of {found} has {shortest} characters; "
        "raise the budget"
    )
