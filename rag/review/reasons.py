"""Why an answer goes to a person (`rag.review.settings.ReviewSettings`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rag.core.answers import Answer
from rag.core.cpu_slots import turn
from rag.core.format import shortened
from rag.generation.quoting import covers
from rag.review.records import Reason
from rag.review.settings import ReviewSettings


def reasons_for(
    answer: Answer,
    search: str,
    settings: ReviewSettings,
    *,
    where: str | None = None,
    tenant: str = "",
    note: Callable[[str], None] = lambda text: None,
) -> tuple[Reason, ...]:
    """Return why a person should look at an answer; empty if nobody has to.

    Parameters
    ----------
    answer : Answer
    search : str
        In a conversation, the question as it stands on its own.
    settings : ReviewSettings
    where, tenant : optional
        The question's filter and its tenant, which decide a sample together with the question.
    note : callable
        Takes what the user should know. A function of the user's that fails is noted, and queues the answer:
        what cannot be checked, a person looks at.
    """
    found = [*_seen(answer, search, settings)]
    for function in settings.when:
        found += _by_function(function, answer, note)
    if settings.share and draw(search, where, tenant, settings.salt) < settings.share:
        found.append(Reason("sample", f"{100 * settings.share:g} % of all questions"))
    return tuple({each.name: each for each in found}.values())


def _seen(answer: Answer, search: str, settings: ReviewSettings) -> Iterator[Reason]:
    if settings.unsupported and answer.support is not None and answer.support.doubts:
        yield Reason("unsupported", str(answer.support))
    if settings.confidence is not None and answer.answered and answer.context.hits:
        with turn():
            sure = covers(settings.embedder, search, answer.context.hits)
        if sure < settings.confidence:
            yield Reason("confidence", f"{sure:.2f}, below {settings.confidence:g}")
    if settings.escalated:
        steps = [step.detail for step in answer.trace if step.name == "escalate"]
        if steps:
            yield Reason("escalated", f"{steps[0]['from']} to {steps[-1]['to']}: {steps[-1]['why']}")
    if settings.refused and not answer.answered:
        yield Reason("refused", answer.stop_reason)
    if settings.guardrail and answer.guardrail is not None:
        yield Reason("guardrail", answer.guardrail)


def _by_function(
    function: Callable[[Answer], Any], answer: Answer, note: Callable[[str], None]
) -> Iterable[Reason]:
    name = getattr(function, "__name__", type(function).__name__)
    try:
        result = function(answer)
        if result is None or isinstance(result, bool):
            return [Reason(name)] if result else []
        names = [result] if isinstance(result, str) else list(result)
        return [Reason(shortened(str(each), 80)) for each in names if str(each).strip()]
    except Exception as error:
        reason = shortened(f"{type(error).__name__}: {error}", 200)
        note(f"the review queue's {name} failed ({reason}): a person looks at the answer")
        return [Reason(name, "it failed")]


def draw(question: str, where: str | None = None, tenant: str = "", salt: str = "") -> float:
    """Return a number in [0, 1) that is the same for the same question every time, on every machine.

    A share s of questions is that of those whose number is below s, so that a larger share holds a smaller
    one. White space does not count.

    Examples
    --------
    >>> draw("Who declares a SEV-1?") == draw("Who  declares a SEV-1? ")
    True
    """
    values = json.dumps([" ".join(question.split()), where, tenant, salt])
    return int.from_bytes(hashlib.sha256(values.encode()).digest()[:8]) / 2**64
