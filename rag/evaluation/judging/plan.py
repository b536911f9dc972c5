"""What a judge will cost, before it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rag.evaluation.answer_plan import CONTEXT_CHARS, REPLY_TOKENS, AnswersPlan, size_of
from rag.evaluation.answer_prices import id_of, longest
from rag.evaluation.golden_set import Question
from rag.evaluation.judging.judge import Case, Judge
from rag.evaluation.judging.labels import Label
from rag.generation.models import priced_as
from rag.usage.tokens import estimate_all

#: Tokens of a verdict: a reason of two sentences and a score. An assumption.
VERDICT_TOKENS = 80
_WORDS = "Staff may ask their manager about it. "


def plan_judge(
    judge: Judge,
    questions: Iterable[Question],
    prices: Any,
    *,
    trimmer: Any,
    systems: int = 1,
    labels: Sequence[Label] = (),
    pairs: int = 0,
) -> AnswersPlan:
    """Price a judge's verdicts on the answers to questions, as if every one were answered.

    Parameters
    ----------
    judge : Judge
    questions : iterable of Question
    prices : PriceTable
    trimmer : BaseDocumentCompressor
        Contexts are taken to fill its budget.
    systems : int
        How many systems answer.
    labels : sequence of Label
        By which it is measured first.
    pairs : int
        How many pairs of systems are compared, question by question.

    Examples
    --------
    >>> plan = plan_judge(judge, golden, pipe.meter.prices, trimmer=pipe.trimmer)        # doctest: +SKIP
    >>> plan.usd                                                                         # doctest: +SKIP
    0.41
    """
    context_chars = size_of(trimmer) or CONTEXT_CHARS
    passages = ((_WORDS * (context_chars // len(_WORDS) + 1))[:context_chars],)
    answer = (_WORDS * REPLY_TOKENS)[: 4 * REPLY_TOKENS]
    calls = read = 0

    def add(messages: Sequence[Any], times: int) -> None:
        nonlocal calls, read
        texts = [str(message.content) for message in messages]
        read += times * sum(estimate_all(texts, id_of(judge.model)))
        calls += times

    for label in labels:
        add(judge.messages(label.case, judge.rubrics[label.rubric]), judge.votes)
    for each in questions:
        case = Case(each.question, answer, passages, each.expected.answer, each.expected.criteria)
        for by in judge.rubrics_of(case):
            add(judge.messages(case, by), judge.votes * systems)
        if pairs and each.answerable:
            add(judge.pair_messages(case, answer), 2 * pairs)
    model, base = id_of(judge.model), priced_as(judge.model)

    def usd(written: int) -> float | None:
        found = prices.estimate_usd(model, read // max(calls, 1), written, base)
        return None if found is None else float(calls * found)

    most = usd(longest(judge.model, None))
    return AnswersPlan(
        f"judge {judge.name}", calls, 0, read, calls * VERDICT_TOKENS, usd(VERDICT_TOKENS), most,
        (f"a verdict is taken to have {VERDICT_TOKENS} tokens",),
    )  # fmt: skip
