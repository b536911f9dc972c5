"""Decided items as golden questions (`rag.evaluation.golden_set`)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rag.core.answers import Answer
from rag.core.citations import Citation
from rag.core.format import utc_text
from rag.review.desk import ReviewDesk
from rag.review.records import Item

_MARK = re.compile(r" ?\[\d{1,4}\??\]")


def golden_rows(desk: ReviewDesk, items: Iterable[Item]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return decided items as lines of a golden set, and notes on those that are left out.

    An approved answer gives its text, and its verified citations as evidence; a corrected one what the
    reviewer wrote and cited. Where both say that the documents hold no answer, the line has no evidence,
    which is how a golden set says so. All else would say that wrongly, and is left out: rejected answers, and
    those without a verified citation.

    Parameters
    ----------
    desk : ReviewDesk
    items : iterable of Item
        Open ones are left out without a note.

    Returns
    -------
    rows : list of dict
        ``id``, ``question``, ``where``, ``evidence``, ``answer``, ``answerable`` (false, if it is), and
        ``review``: the item, the reviewer, the time and the comment.
    notes : list of str
    """
    rows, left_out = [], Counter[str]()
    for item in items:
        if item.last is None:
            continue
        if item.state == "rejected":
            left_out["rejected: what the right answer is nobody said; correct them"] += 1
            continue
        row = _row(item, desk.answer(item.id))
        if row is None:
            left_out[
                f"{item.state} without a verified citation: reopen and correct them, with citations"
            ] += 1
        else:
            rows.append(row)
    return rows, [f"left out, {count} {why}" for why, count in left_out.items()]


def _row(item: Item, answer: Answer) -> dict[str, Any] | None:
    decision = item.last
    assert decision is not None
    corrected = decision.state == "corrected"
    answerable = decision.answerable if corrected else item.answered
    text = decision.answer if corrected else answer.text
    citations = decision.citations if corrected else answer.citations
    evidence = _spans(citations) if answerable else []
    if answerable and not evidence:
        return None
    return {
        "id": f"review-{item.id}",
        "question": item.search,
        **({} if item.where is None else {"where": item.where}),
        **({"evidence": evidence} if answerable else {"answerable": False}),
        # Of data, a list is no mark.
        "answer": text if answer.data is not None and not corrected else _MARK.sub("", text),
        "review": {
            "item": item.id, "state": item.state, "by": decision.by, "at": utc_text(decision.at),
            "comment": decision.comment, "index": item.index, "version": item.version,
        },
    }  # fmt: skip


def _spans(citations: Sequence[Citation]) -> list[dict[str, Any]]:
    spans = dict.fromkeys(
        (each.source, each.start, each.end)
        for each in citations
        if each.verified and each.start < each.end  # a person has judged whether it supports the answer
    )
    return [{"source": source, "start": start, "end": end} for source, start, end in spans]
