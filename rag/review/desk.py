"""What reviewers work with: the items of a queue, and decisions on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from rag.core.answers import Answer
from rag.core.citations import Citation
from rag.core.errors import UsageError
from rag.review.citing import kept_citations
from rag.review.packing import unpack
from rag.review.records import Decision, Item, State
from rag.review.store import ReviewStore, Selection


class ReviewDesk:
    """The items of a store, and decisions on them.

    Each decision is compared with what its reviewer saw: of two reviewers of one item the first one wins, and
    the other gets a `ReviewConflictError` that names the first.

    Parameters
    ----------
    store : ReviewStore

    Examples
    --------
    >>> desk = ReviewDesk(SqliteReviews("indexes/handbook/reviews.sqlite"))        # doctest: +SKIP
    >>> for item in desk.items(state="open"):                                      # doctest: +SKIP
    ...     print(item.id, item.question, *item.reasons)
    """

    def __init__(self, store: ReviewStore) -> None:
        self.store = store

    def items(
        self,
        state: State | None = None,
        *,
        reason: str | None = None,
        tag: str | None = None,
        tenant: str | None = None,
        since: float = 0.0,
    ) -> Iterator[Item]:
        """Yield items, newest first; the parameters are those of `rag.review.store.Selection`."""
        yield from self.store.items(Selection(state, reason, tag, tenant, since))

    def item(self, id: str) -> Item:
        """Return an item.

        Raises
        ------
        UsageError
            There is none.
        """
        found = self.store.get(id)
        if found is None:
            raise UsageError(f"there is no item {id} in {self.store.place}: see `rag review list`")
        return found

    def answer(self, id: str) -> Answer:
        """Return the answer of an item, with its citations and passages.

        Raises
        ------
        UsageError
            There is no such item.
        RagError
            The answer is damaged.
        """
        data = self.store.answer(self.item(id).id)
        if data is None:
            raise UsageError(f"item {id} was erased just now: see `rag review list`")
        return replace(unpack(data), review_id=id)

    def approve(self, id: str, *, by: str, comment: str = "", seen: int | None = None) -> Item:
        """Decide that an answer is right as it is.

        Parameters
        ----------
        id : str
        by : str
            The reviewer's name.
        comment : str, optional
        seen : int, optional
            How many decisions the item had when the reviewer looked at it; by default as many as it has now.

        Raises
        ------
        ReviewConflictError
            Someone else decided first.
        UsageError
            There is no such item, or `by` is empty.
        """
        return self._decide(id, seen, Decision("approved", by, time.time(), comment))

    def correct(
        self,
        id: str,
        answer: str,
        *,
        by: str,
        citations: Sequence[Citation] = (),
        answerable: bool = True,
        comment: str = "",
        seen: int | None = None,
    ) -> Item:
        """Give the right answer in place of a wrong one.

        Parameters
        ----------
        id : str
        answer : str
            With ``[n]`` for a citation of the first answer that it keeps; those of `citations` are numbered
            behind them.
        by : str
        citations : sequence of Citation, optional
            Further ones, verified by `rag.review.citing.cited`.
        answerable : bool
            False if the right answer is that the documents hold none.
        comment, seen : optional
            As of `approve`.

        Raises
        ------
        ReviewConflictError
            Someone else decided first.
        UsageError
            There is no such item, the text is empty, or ``[n]`` names no verified citation.
        """
        if not answer.strip():
            raise UsageError("the corrected answer is empty: write one, or reject the item")
        if not answerable and citations:
            raise UsageError("a correction that the documents hold no answer cites nothing: leave them out")
        kept = kept_citations(answer, self.answer(id), citations) if answerable else ()
        decision = Decision("corrected", by, time.time(), comment, answer.strip(), kept, answerable)
        return self._decide(id, seen, decision)

    def reject(self, id: str, *, by: str, comment: str, seen: int | None = None) -> Item:
        """Decide that an answer is wrong, and say why; see `approve`."""
        if not comment.strip():
            raise UsageError("a rejection needs a comment: say what is wrong with the answer")
        return self._decide(id, seen, Decision("rejected", by, time.time(), comment))

    def reopen(self, id: str, *, by: str, comment: str = "", seen: int | None = None) -> Item:
        """Open a decided item again; what was decided stays in its history."""
        return self._decide(id, seen, Decision("open", by, time.time(), comment))

    def forget(
        self, *, source: str | None = None, text: str | None = None, before: float | None = None,
        state: State | None = None,
    ) -> int:  # fmt: skip
        """Erase items, with their answers and decisions; all conditions must hold.

        Parameters
        ----------
        source : str, optional
            A document that was sent or cited; ``*`` and ``?`` stand for characters, as in a shell.
        text : str, optional
            Words that stand in the question, an answer, a passage, a comment or a name; case does not count.
        before : float, optional
            Seconds since 1970: items that were queued earlier.
        state : {"open", "approved", "corrected", "rejected"}, optional

        Returns
        -------
        int
            How many were erased.

        Raises
        ------
        UsageError
            No condition is given.
        """
        if source is None and not (text or "").strip() and before is None and state is None:
            raise UsageError("say what to erase: a source, a text, an age or a state")
        tests: list[Callable[[Item, Answer], bool]] = []
        if source is not None:
            tests.append(
                lambda item, answer: any(fnmatchcase(each, source) for each in _sources(item, answer))
            )
        if text is not None:
            words = " ".join(text.lower().split())
            tests.append(lambda item, answer: words in _words(item, answer))
        if before is not None:
            tests.append(lambda item, answer: item.at < before)
        if state is not None:
            tests.append(lambda item, answer: item.state == state)
        return self.store.remove(lambda item, answer: all(test(item, answer) for test in tests))

    def _decide(self, id: str, seen: int | None, decision: Decision) -> Item:
        if not decision.by.strip():
            raise UsageError("a decision needs a name: say who decides")
        if seen is None:
            item = self.item(id)
            item.after(decision)  # refused here with the better message
            seen = len(item.decisions)
        return self.store.decide(id, decision, seen)


def _sources(item: Item, answer: Answer) -> set[str]:
    """Return the documents that an item quotes."""
    cited = [*answer.citations, *(each for made in item.decisions for each in made.citations)]
    return {
        *(hit.source for hit in answer.context.hits),
        *(each.source for each in answer.context.candidates),
        *(each.source for each in cited),
    }


def _words(item: Item, answer: Answer) -> str:
    """Return all that an item says, in lower case with single blanks."""
    cited = [*answer.citations, *(each for made in item.decisions for each in made.citations)]
    texts = [
        item.question, item.search, item.where or "", item.tenant, item.tag, item.user, answer.text,
        *(each.text for each in cited), *(hit.text for hit in answer.context.hits),
        *(f"{made.by} {made.comment} {made.answer}" for made in item.decisions),
        *(f"{use.name} {dict(use.args)} {use.output or ''}" for use in answer.tool_uses),
    ]  # fmt: skip
    return " ".join("\n".join(texts).lower().split())
