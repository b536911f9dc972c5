"""Keep the drafts that retrieval finds again, that one document alone answers, and that are new."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from rag.core.passages import Hit
from rag.core.quantities import figures
from rag.core.text import sentences, terms
from rag.evaluation.drafting.draft import Draft
from rag.evaluation.golden_set import Span
from rag.evaluation.likeness import Texts, unit_vectors
from rag.evaluation.metrics import overlap

#: Sentences are compared by their cosine with the question and the share of its terms that they, or the
#: headings over them, have, weighed as the local answerer does (`rag.generation.quoting`). One of another
#: document that falls short of the evidence by no more than the margin answers as well.
_WEIGHT, _MARGIN = 0.3, 0.1
#: Passages of other documents, best first, whose sentences are compared.
_COMPARED = 16
#: Words that ask, and that an answer need not have.
_ASKING = frozenset(terms("how many much often long say percentage according"))
T = TypeVar("T")


def spread(
    items: Iterable[T],
    seed: int,
    source: Callable[[T], str],
    groups: Callable[[T], tuple[Hashable, ...]],
    rank: Callable[[T], int] = lambda item: 0,
) -> list[T]:
    """Order items so that any first few come from many documents, and from many groups in each.

    Each round takes one item of every document. The same seed gives the same order of items that come in the
    same order.

    Parameters
    ----------
    items : iterable
    seed : int
    source : callable
        Returns an item's document.
    groups : callable
        Returns what an item belongs to: its section, its kind.
    rank : callable
        Of a document's items, those of a lower rank come first.
    """
    chance = random.Random(seed)
    by_source: dict[str, list[T]] = {}
    for item in items:
        by_source.setdefault(source(item), []).append(item)
    queues = []
    for name in sorted(by_source):
        own = by_source[name]
        chance.shuffle(own)
        seen = Counter[Hashable]()
        ranked = []
        for number, item in enumerate(own):
            ranked.append((rank(item), sum(seen[group] for group in groups(item)), number))
            seen.update(groups(item))
        queues.append([own[number] for *_, number in sorted(ranked)])
    chance.shuffle(queues)
    rounds = max(map(len, queues), default=0)
    return [queue[turn] for turn in range(rounds) for queue in queues if turn < len(queue)]


@dataclass
class Sieve:
    """Lets drafts through that are good enough to show to a person.

    Attributes
    ----------
    pipe : Pipeline
        Whose default context must hold the evidence.
    dropped : Counter of str
        How many drafts were left out, by reason.
    """

    pipe: Any
    dropped: Counter[str] = field(default_factory=Counter)

    def passed(self, draft: Draft) -> Draft | None:
        """Return a draft that is found and that one document answers, by its title if need be."""
        for each in (draft, _with_title(draft)):
            if each is None:
                break
            why = self._fault(each)
            if not why:
                return each
            if why == "that retrieval does not find" and each is not draft:
                break
        self.dropped[why] += 1
        return None

    def _fault(self, draft: Draft) -> str:
        assert draft.span is not None
        found = self.pipe.retrieve(draft.question)
        hits = [each if isinstance(each, Hit) else Hit.from_document(each) for each in found]
        context = self.pipe.trim(draft.question, hits)
        held = [Span(hit.source, hit.start, hit.end) for hit in context.hits if hit.placed]
        if overlap([draft.span], held).recall < 1:
            return "that retrieval does not find"
        # Not the context alone: a trimmer sends of two equal passages one.
        others = [hit for hit in hits if hit.source != draft.span.source][:_COMPARED]
        return "that another document answers" if self._rivals(draft, others) else ""

    def _rivals(self, draft: Draft, hits: Sequence[Hit]) -> bool:
        """Tell whether a sentence of another document answers a question as well as its evidence."""
        wanted = set(terms(draft.question)) - _ASKING
        about = " ".join((*draft.section, draft.title))
        texts, shares = [draft.quote], [_share(wanted, f"{draft.quote} {about}")]
        for hit in hits:
            title = str(hit.metadata.get("title") or "")
            if draft.title and draft.title in draft.question and title != draft.title:
                continue  # the question says which document it means
            about = " ".join((*hit.section, title))
            for start, end in sentences(hit.text):
                text = hit.text[start:end]
                if not draft.numbers or any(each.needs for each in figures(text)):
                    texts.append(text)
                    shares.append(_share(wanted, f"{text} {about}"))
        vectors = unit_vectors([draft.question, *texts])
        scores = vectors[1:] @ vectors[0] + _WEIGHT * np.asarray(shares, np.float32)
        return bool(np.any(scores[1:] >= scores[0] - _MARGIN))


def _share(wanted: set[str], text: str) -> float:
    return len(wanted & set(terms(text))) / (len(wanted) or 1)


def _with_title(draft: Draft) -> Draft | None:
    if not draft.title or draft.title in draft.question or not draft.question.endswith("?"):
        return None
    return replace(draft, question=f"{draft.question[:-1]}, according to “{draft.title}”?")


def chosen(drafts: Iterable[Draft], known: Sequence[str], sieve: Sieve) -> Iterator[Draft]:
    """Yield the drafts that pass, and ask nothing that a known question or a draft before asks already.

    Each piece of evidence has one question.
    """
    asked, places = Texts(known), set[Any]()
    for draft in drafts:
        kept = None
        if draft.span in places or _is_asked(draft, asked):
            sieve.dropped["asked already"] += 1
        elif (kept := sieve.passed(draft)) is not None and kept is not draft and _is_asked(kept, asked):
            sieve.dropped["asked already"] += 1
            kept = None
        if kept is not None:
            places.add(kept.span)
            asked.add(Texts([kept.question]))
            yield kept


def _is_asked(draft: Draft, asked: Texts) -> bool:
    return next(Texts([draft.question]).pairs(asked), None) is not None
