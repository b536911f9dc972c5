"""Regressions planted in a pipeline over the sample handbook, and the models that make them visible.

The model of these pipelines is a reader: for each golden question it knows a sentence that would answer it,
and nothing else. It looks for the first sentence of the documents in its message that resembles it, digits
apart, and says what that one says, quoting it; where none resembles it, it refuses if its prompt has told it
how. So what it answers depends on the retrieval, the trimming and the prompt, as a model's does that reads
well, and a passage that is out of date makes it say what is out of date.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

import rag
from rag.core.passages import Hit
from rag.core.text import words
from rag.embedding.static import StaticEmbeddings
from rag.retrieval.search import HybridSearch
from tests.conftest import HANDBOOK, ROOT

_DOCUMENT = re.compile(r'<document index="(\d+)"[^>]*>\n(.*?)\n</document>', re.DOTALL)
_QUESTION = re.compile(r"<question>(.*?)</question>", re.DOTALL)
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?!\s)[^.!?\n]*)*[.!?]?")
#: The least share of common words of a sentence that is taken for the one that answers a question.
_RESEMBLES = 0.6


def content(text: str) -> frozenset[str]:
    """The words of a text that are no numbers."""
    return frozenset(word.casefold() for word in words(text) if not any(each.isdigit() for each in word))


def sentences(text: str) -> list[str]:
    """The sentences of a text, whose lines may be broken; a row of a table is one."""
    flat = re.sub(r"(?<![|\n])\n(?![|\n#*-])", " ", text)
    return [each.group().strip() for each in _SENTENCE.finditer(flat) if each.group().strip()]


class Reader(BaseChatModel):
    """Reads its messages, and answers with the sentences that resemble those that it knows."""

    knows: dict[str, tuple[tuple[str, ...], ...]]  # by question, sentences of each of which one is enough
    prefix: str = ""  # before the answer
    change: Callable[[str], str] = staticmethod(lambda text: text)  # of what it says, not of what it quotes
    off_by: int = 0  # sentences between what it says and what it cites
    reads: bool = True
    seconds: float = 0.0
    forgets: float = 0.0  # the share of answers that it garbles, at random
    rng: Any = None

    @property
    def _llm_type(self) -> str:
        return "reader"

    def _generate(self, messages: list[BaseMessage], *args: Any, **more: Any) -> ChatResult:
        if self.seconds:
            time.sleep(self.seconds)
        system, asked = str(messages[0].content), str(messages[-1].content)
        text = self._answer(
            _QUESTION.findall(asked)[-1].strip(), _DOCUMENT.findall(asked), "<no_answer/>" in system
        )
        if self.forgets and self.rng.random() < self.forgets:
            text = "It depends on the case."
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    def _answer(self, question: str, documents: Sequence[tuple[str, str]], may_refuse: bool) -> str:
        wanted = self.knows.get(question, ())
        if not self.reads:
            return "As a rule it is 42 working days, and the team lead decides."
        found = [place for each in wanted if (place := self._find(each, documents)) is not None]
        if not wanted or len(found) < len(wanted):
            return "<no_answer/>The documents do not say." if may_refuse else "It is 42 days, as usual."
        return " ".join(
            f'{self.prefix}{self.change(sentence)}<cite doc="{number}">{quote}</cite>'
            for number, sentence, quote in found
        )

    def _find(
        self, wanted: Sequence[str], documents: Sequence[tuple[str, str]]
    ) -> tuple[int, str, str] | None:
        """The number of a document, the first sentence that resembles one of some, what it cites for it."""
        forms = [content(each) for each in wanted]
        for number, text in documents:
            said = sentences(text)
            for at, sentence in enumerate(said):
                has = content(sentence)
                if any(len(of & has) >= _RESEMBLES * len(of | has) for of in forms):
                    return int(number), sentence, said[(at + self.off_by) % len(said)]
        return None


class Changed(HybridSearch):
    """Hybrid search whose hits' scores, or whose filter, something changes."""

    scored: Callable[[Hit], float] | None = None
    filtered: Callable[[Any], Any] = staticmethod(lambda where: where)

    def hits(self, question: str, *, where: Any = None, **options: Any) -> list[Hit]:
        found = super().hits(question, where=self.filtered(where), **options)
        if self.scored is None:
            return found
        changed = [replace(hit, score=hit.score * self.scored(hit)) for hit in found]
        return sorted(changed, key=lambda hit: -hit.score)


class Reversed(StaticEmbeddings):
    """The static model, of which questions' vectors are turned round: those of another model."""

    def embed_query(self, text: str) -> list[float]:
        return super().embed_query(text)[::-1]


def tables(text: str) -> list[tuple[str, str, str, str]]:
    """Of each Markdown table its head, a row, a label of the row and the name of a column."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = block.splitlines()
        heads, cells = rows[0].strip("|").split("|"), rows[-1].strip("|").split("|")
        if len(rows) >= 5 and len(cells) == len(heads) and cells[0].strip() and heads[-1].strip():
            found.append((rows[0], rows[-1], cells[0].strip(), heads[-1].strip()))
    return found


@dataclass
class Planted:
    """The sample handbook, its questions, and pipelines over it with something wrong or nothing."""

    folder: Path
    golden: list[dict[str, Any]]
    every: int = 2  # which of the questions with evidence are asked
    indexes: dict[str, Path] = field(default_factory=dict)

    @cached_property
    def questions(self) -> list[dict[str, Any]]:
        """Golden questions with evidence, those without an answer, and questions on tables."""
        answered = [row for row in self.golden if row["evidence"]]
        rest = [row for row in self.golden if not row["evidence"]]
        filtered = [row for row in answered if "where" in row]
        plain = [row for row in answered if "where" not in row][:: self.every]
        return [*filtered[:: max(self.every // 2, 1)], *plain, *rest[:: self.every], *self._of_tables()]

    def _of_tables(self) -> list[dict[str, Any]]:
        rows = []
        for path in sorted(HANDBOOK.rglob("*.md")):
            text, source = path.read_text(encoding="utf-8"), path.relative_to(HANDBOOK).as_posix()
            title = next(
                (line.lstrip("# ") for line in text.splitlines() if line.startswith("# ")), path.stem
            )
            for head, row, label, column in tables(text)[:1]:
                spans = [(text.index(part), text.index(part) + len(part)) for part in (head, row)]
                rows.append({
                    "id": f"table-{source}", "question": f"{title}: what is {column} for {label}?",
                    "evidence": [{"source": source, "start": a, "end": b} for a, b in spans], "tags": ["table"],
                })  # fmt: skip
        return rows

    @cached_property
    def knows(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """What the reader looks for: each sentence of a question's evidence, or what is out of date of it."""
        found = {}
        for row in self.questions:
            quotes: list[str] = []
            stale = self._stale(row)
            for span in row["evidence"]:
                quote = span.get("quote")
                if quote is None:
                    text = (HANDBOOK / span["source"]).read_text(encoding="utf-8")
                    quote = text[span["start"] : span["end"]]
                of_weight = [each for each in sentences(quote) if len(content(each)) >= 4]
                quotes += of_weight or [max(sentences(quote), key=len)]
            found[row["question"]] = tuple((quote, *stale) for quote in quotes)
        return found

    def _stale(self, row: Mapping[str, Any]) -> list[str]:
        """Sentences of superseded documents that say what the answer must not."""
        wrong = [each.casefold() for each in row.get("must_not_include", ())]
        if not wrong or "superseded" in row.get("where", ""):
            return []
        hits = self.index().search(row["question"], k=40, where="status == 'superseded'")
        said = [sentence for hit in hits for sentence in sentences(hit.text)]
        return [each for each in said if any(part in each.casefold() for part in wrong)][:3]

    @property
    def versioned(self) -> list[dict[str, Any]]:
        """Questions on what has an older version, without the filter that would choose one."""
        rows = [row for row in self.questions if self._stale(row)]
        return [{name: value for name, value in row.items() if name != "where"} for row in rows]

    def index(self, name: str = "right", folder: Path = HANDBOOK, **options: Any) -> rag.Index:
        """An index of the handbook, built once for each name."""
        if name not in self.indexes:
            self.indexes[name] = self.folder / name
            rag.build(folder, self.indexes[name], **{"embedder": "static", **options})
        return rag.Index.open(self.indexes[name], embedder=options.get("embedder"))

    def pipe(
        self, index: rag.Index | None = None, model: Mapping[str, Any] | None = None, **stages: Any
    ) -> Any:
        """A pipeline; without arguments the right one."""
        reader = Reader(knows=self.knows, **(model or {}))
        return rag.Pipeline(index or self.index(), generator=reader, **stages)


def planted(folder: Path, every: int = 2) -> Planted:
    """The handbook with its golden set, indexes under a folder."""
    import json

    lines = (ROOT / "data" / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    return Planted(folder, [json.loads(line) for line in lines], every)
