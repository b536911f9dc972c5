"""Decided items as golden questions (`rag.evaluation.golden_set`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from rag.core.answers import Answer
from rag.core.citations import Citation
from rag.core.format import utc_text
from rag.review.desk import ReviewDesk
from rag.review.records import Decision, Item

_MARK = re.compile(r" ?\[\d{1,4}\??\]")


def golden_rows(desk: ReviewDesk, items: Iterable[Item]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return decided items as lines of a golden set, and notes on those that are left out.

    An approved answer gives its text, and its verified citations as evidence; a corrected one what the
    reviewer wrote and cited. Rejected ones are left out: nobody said what the right answer is, nor whether
    there is one, and a line without either is a question that the documents do not answer.

    Parameters
    ----------
    desk : ReviewDesk
    items : iterable of Item
        Open ones are left out without a note.

    Returns
    -------
    rows : list of dict
        ``id``, ``question``, ``where``, ``evidence``, ``answer``, ``answerable`` (false, if it is), ``tags``
        (``"review"``, and the question's own), and ``review``: the item, the reviewer, the time, the comment.
    notes : list of str
    """
    rows, rejected, bare = [], 0, 0
    for item in items:
        if item.state == "rejected":
            rejected += 1
        elif item.last is not None:
            rows.append(_row(item, item.last, desk.answer(item.id)))
            bare += not rows[-1].get("evidence") and rows[-1].get("answerable", True)
    notes = []
    if rejected:
        notes.append(
            f"{rejected} rejected left out: reopen and correct them, so that it is known what is right"
        )
    if bare:
        notes.append(f"{bare} without evidence, as no citation of theirs is verified: reopen, and cite")
    return rows, notes


def _row(item: Item, decision: Decision, answer: Answer) -> dict[str, Any]:
    corrected = decision.state == "corrected"
    answerable = decision.answerable if corrected else item.answered
    text = decision.answer if corrected else answer.text
    evidence = _spans(decision.citations if corrected else answer.citations) if answerable else []
    return {
        "id": f"review-{item.id}",
        "question": item.search,
        **({} if item.where is None else {"where": item.where}),
        **({"evidence": evidence} if evidence else {}),
        **({} if answerable else {"answerable": False}),
        # Of data, a list is no mark.
        "answer": text if answer.data is not None and not corrected else _MARK.sub("", text),
        "tags": list(dict.fromkeys(filter(None, ("review", item.tag)))),
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
