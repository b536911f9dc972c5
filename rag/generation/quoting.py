"""The local answerer: quotes the sentences that answer a question, or says that none does.

It writes nothing of its own. It reads the same messages that a model would be sent, so it can stand
wherever a chat model stands.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from rag.core.passages import Hit
from rag.core.text import sentences, terms
from rag.core.vectors import embed
from rag.usage.tokens import estimate_tokens

_DOCUMENT = re.compile(r'<document index="(\d+)"([^>]*)>\n(.*?)\n</document>', re.DOTALL)
_QUESTION = re.compile(r'<question(?: in_full=(?:"([^"]*)"|\'([^\']*)\'))?>(.*?)</question>', re.DOTALL)
_AGAIN = re.compile(r"Of the documents above these concern the question, too: ([\d, ]+)\.")
_SOURCE = re.compile(r'source="([^"]*)"')
_SECTION = re.compile(r'(?:title|section)="([^"]*)"')
_HEADING = re.compile(r"^#{1,6}[ \t].*$", re.MULTILINE)

NO_ANSWER = "The documents do not hold an answer to this question."


class Quoting(BaseModel):
    """Answers by quoting, offline and free.

    Parameters
    ----------
    embedder : Embeddings
        Embeds the question and the sentences.
    threshold : float
        Confidence in [0, 1] below which it replies that the documents do not answer the question.
    max_sentences : int
        Most sentences to quote.

    Notes
    -----
    Sentences are ranked by their cosine with the question, alone and together with their neighbours and
    headings, and by the share of the question's terms that they contain. Whether there is an answer at
    all is decided for the whole context: see `confidence`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    embedder: Any
    threshold: float = Field(default=0.5, ge=0, le=1)
    max_sentences: int = Field(default=3, ge=1)

    @property
    def description(self) -> str:
        """The line that tells the user who answered."""
        return "local extractive answerer: quotes only, no text of its own"

    def pieces(self, prompt: str) -> Iterator[str]:
        """Yield the answer to a prompt (see `rag.generation.prompt`) in pieces, with citations as tags."""
        question, passages = read_prompt(prompt)
        ranked, sure = self.rank(question, passages)
        if not ranked or sure < self.threshold:
            yield f"<no_answer/>{NO_ANSWER}"
            return
        best = ranked[0][0]
        # A further sentence is quoted only where it is nearly as good as the first.
        kept = [item for item in ranked[: self.max_sentences] if item[0] >= 0.9 * best]
        for number, (_, index, text) in enumerate(kept):
            shown = " ".join(text.lstrip("-*•> \t").replace("**", "").split())
            yield f'{" " if number else ""}{shown}<cite doc="{index}">{text}</cite>'

    def rank(self, question: str, passages: Sequence[Passage]) -> tuple[list[tuple[float, int, str]], float]:
        """Rank the sentences of some passages.

        Returns
        -------
        ranked : list of (float, int, str)
            Score, passage number and sentence, best first.
        confidence : float
            Confidence, in [0, 1], that the passages answer the question.
        """
        candidates: list[tuple[int, str, str]] = []  # passage number, sentence, sentence with neighbours
        for passage in passages:
            text = passage.text
            spans = [text[a:b] for a, b in sentences(text) if not _HEADING.fullmatch(text[a:b])]
            for at, sentence in enumerate(spans):
                neighbours = " ".join([passage.heading, *spans[max(0, at - 1) : at + 2]])
                candidates.append((passage.number, sentence, neighbours))
        if not candidates or not question.strip():
            return [], 0.0
        bodies = [passage.text[:2000] for passage in passages]
        surroundings = [neighbours for _, _, neighbours in candidates]
        texts = [*(sentence for _, sentence, _ in candidates), *surroundings, *bodies]
        query = np.asarray(self.embedder.embed_query(question), np.float64)
        cosines = embed(self.embedder, texts).astype(np.float64) @ query
        alone, around, whole = np.split(cosines, [len(candidates), 2 * len(candidates)])
        score = alone + around + 0.3 * _cover(question, surroundings)
        order = np.argsort(-score, kind="stable").tolist()
        sizes: Counter[str] = Counter()
        for passage in passages:
            sizes[passage.source] += len(passage.text)
        sure = confidence(
            float(np.sort(around)[-5:].mean()), float(whole.max()), max(sizes.values()) / sizes.total()
        )
        return [(float(score[i]), candidates[i][0], candidates[i][1]) for i in order], sure


def covers(embedder: Any, question: str, hits: Sequence[Hit]) -> float:
    """Return the local answerer's confidence, in [0, 1], that passages answer a question."""
    passages = [Passage(n, hit.source, _above(hit), hit.text) for n, hit in enumerate(hits, 1)]
    return Quoting(embedder=embedder).rank(question, passages)[1]


def _above(hit: Hit) -> str:
    return " ".join(filter(None, (str(hit.metadata.get("title", "")), " > ".join(hit.section))))


def confidence(around: float, passage: float, share: float) -> float:
    """Return the estimated probability that a context answers the question.

    A logistic function, fitted by ``tests/benchmarks/calibrate_answerer.py`` on
    ``data/golden.jsonl``; about 86 % of its answerable questions score above 0.5.

    Parameters
    ----------
    around : float
        Mean of the five highest cosines between the question and a sentence with its neighbours.
    passage : float
        Highest cosine between the question and a passage.
    share : float
        Share of the context, in [0, 1], from the document with the most text: if an answer exists, the
        context concentrates on its document.
    """
    weights, bias = (5.32, 5.39, 2.62), -5.70
    logit = weights[0] * around + weights[1] * passage + weights[2] * share + bias
    return float(1 / (1 + np.exp(-logit)))


def _cover(question: str, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the share of the question's terms in each text, weighted by rarity."""
    query_terms = set(terms(question))
    bags = [set(terms(text)) for text in texts]
    weight = {t: float(np.log(1 + len(bags) / (0.5 + sum(t in bag for bag in bags)))) for t in query_terms}
    total = sum(weight.values()) or 1.0
    return np.array([sum(weight[t] for t in query_terms & bag) / total for bag in bags])


@dataclass(frozen=True, slots=True)
class Passage:
    """A document of the prompt: its number, source, title and section, and text."""

    number: int
    source: str
    heading: str
    text: str


def read_prompt(text: str) -> tuple[str, list[Passage]]:
    """Read the question and the passages from a prompt (see `rag.generation.prompt`)."""
    questions = _QUESTION.findall(text)
    question = unescape(next(filter(None, questions[-1]), "")) if questions else text
    passages = []
    for number, attributes, body in _DOCUMENT.findall(text):
        source = "".join(_SOURCE.findall(attributes)[:1])
        heading = " ".join(unescape(value) for value in _SECTION.findall(attributes))
        passages.append(Passage(int(number), source, heading, body))
    return question, passages


def conversation_text(texts: Sequence[str]) -> str:
    """Return what is read of the messages of a conversation: all passages that were sent, and questions.

    The last question is the one that is answered, and of the passages before it those that it refers to.
    """
    last = texts[-1] if texts else ""
    again = _AGAIN.search(last)
    if again is None:
        return last
    numbers = set(map(int, again[1].split(",")))
    kept = (match[0] for text in texts[:-1] for match in _DOCUMENT.finditer(text) if int(match[1]) in numbers)
    return "\n".join([*kept, last])


def tokens_of(texts: Sequence[str], answer: str) -> tuple[int, int]:
    """Return the estimated tokens of the texts that were read, and of the answer."""
    return sum(map(estimate_tokens, texts)), estimate_tokens(answer)
