"""One object of each class that has a display, with one text wherever it holds a text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from langchain_core.documents import Document

import rag
from rag.building.report import BuildPlan, BuildReport
from rag.chunking.cuts import Cuts
from rag.core.answers import Answer, Step, ToolUse
from rag.core.calls import Call, Usage
from rag.core.citations import Citation, Field, Sentence, Support
from rag.core.drawn import OBEYED
from rag.core.files import Quarantined
from rag.core.passages import Candidate, Context, Hit
from rag.evaluation.answers import summary
from rag.evaluation.differences import Comparison, Difference
from rag.evaluation.evaluate import Evaluation, Scored
from rag.evaluation.golden_set import Question
from rag.evaluation.statistics import Estimate
from rag.evaluation.sweep import Sweep, Trial
from rag.index.maintenance import Diff
from rag.index.search.results import Hits, SearchPlan
from rag.retrieval.explain import Explanation

#: What an attacker writes into a document, its metadata or its name.
HOSTILE = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "</div></style><b>",
    "&lt;i&gt;", "**bold** [link](javascript:alert(1))", "$x^2$ costs $5", "\x1b[2J\x1b]0;title\x07", "a\u202eb\u2066c",
    "| a | <b> |\n| --- | --- |\n| <i> | \x1b[31m |", "# <h1>\r\nnext\x9b2J", "\x00\x7f\x85", "'\"`&<>", "東京都の休暇" * 40, "x" * 5000,
)  # fmt: skip
_TAGS = frozenset(
    "div style strong bdi table caption thead tbody tr th td span details summary p small code mark ol ul li".split()
)
_ATTRIBUTES = frozenset(
    "class role aria-label aria-hidden aria-busy aria-valuenow aria-valuemin aria-valuemax style tabindex scope title dir".split()
)


def records(text: str) -> list[Any]:
    """Return the objects that need no file."""
    hit = Hit(
        text, 0, len(text), text, 1.5, doc_id=text, chunk_id=text, section=(text,), table_head=text, dense=0.5,
        lexical=2.0, metadata={text: text, "list": [text, text], "flag": True},
    )  # fmt: skip
    plan = SearchPlan("hybrid", 3, 2, 10, 5, 5, text, None, text)
    context = Context((hit, hit), 4, 9, text, (Candidate(text, 0, 4, 1.0, 0.5, text),))
    bad = (Quarantined(text, text, text),)
    counts = {"added": 1, "changed": 0, "removed": 0, "renamed": 0, "unchanged": 2}
    measured = evaluation(text)
    comparison = Comparison(text, text, {text: Difference(0.1, 0.0, 0.2, 0.03, 9)}, (text,))
    cut = (
        Document(text, metadata={"start": 0, "end": len(text)}),
        Document(text[1:], metadata={"start": 1, "end": len(text)}),
    )
    return [
        hit, Cuts(text, text, text, cut), Hits([hit, hit], plan), plan, context, *answers(text, context), Usage(10, 2, 3, 4, 0.5),
        BuildPlan(text, text, text, chunks=4, texts=5, tokens=6, cost_usd=0.1, minutes=2.0, quarantined=bad, notes=(text,), parsers=text, **counts),
        BuildReport(text, 1, 3, 4, embedded=5, seconds={text: 1.0, "total": 2.0}, quarantined=bad, notes=(text,), **counts),
        *(Explanation(text, text, stage, text, (text, "--budget 9"), (hit,), {text: 3, "dense": None}, 7, 0.5) for stage in ("kept", "filter", text)),
        Diff(1, 2, (text,), (text,), (text,), (text,), 3, 4, {text: (text, None)}),
        measured, comparison, summary(text, [], notes=(text,)) if text else measured,
        Sweep(text, "recall", text, (Trial(text, {text: text}, text, 3, 4, measured, None, None),), 2, bad, (text,)),
        rag.Prompt(system=text or "x"), rag.field(text or "x") == text, ~(rag.field("a").isin([text, text])),
    ]  # fmt: skip


def answers(text: str, context: Context) -> list[Any]:
    """Return an answer as text, one as data, and their citations."""
    cited = Citation(1, text, 0, len(text), text, True, section=(text,))
    lost = Citation(2, text, 0, 0, text, False)
    usage = Usage(1200, 80, cost_usd=0.0016)
    whole = f"{text} [1] [2?]"
    fields: dict[str, Any] = {
        "question": text, "text": whole, "answered": True, "citations": (cited, lost), "context": context,
        "usage": usage, "trace": (Step(text, 0.2, {text: text}),), "generator": text, "prompt": text,
        "support": Support(0.0, (Sentence(0, len(text), (1,), False, text),)), "notes": (text,),
        "calls": (Call(text, text, usage),), "tool_uses": (ToolUse(text, {text: text}),), "review_id": text, "id": text,
    }  # fmt: skip
    data = {**fields, "data": {text: text}, "fields": (Field(text, text, (cited,), False, text),)}
    return [Answer(**fields), Answer(**data), cited, lost]


def evaluation(text: str) -> Evaluation:
    """Return an evaluation with one question."""
    mean = Estimate(0.5, 0.4, 0.6, 9)
    metrics = {f"{name}@1000": mean for name in ("recall", "precision", "iou")} | {"recall": mean}
    question = Question(text, text)
    scored = Scored(question, text, {"recall": 0.5}, (3,), 0.1, 1, (text,))
    return Evaluation(text, metrics, (scored,), (3.0,), (1000,), text, 10, False, 1, {"p50": 0.1}, (text,))


class Markup(HTMLParser):
    """Collects what of HTML is no part of a card; and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.wrong += [tag] if tag not in _TAGS else []
        self.wrong += [f"{tag} {name}" for name, _ in attrs if name not in _ATTRIBUTES]
        # What stands in a style attribute is ours alone: a width.
        self.wrong += [
            f"style {value}"
            for name, value in attrs
            if name == "style" and not str(value).startswith("width:")
        ]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.text += "" if self.open and self.open[-1] == "style" else data

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"comment {data}")


def markup(html: str) -> Markup:
    """Return a card, parsed; its tags are those of cards, and they are closed in their order."""
    read = Markup()
    read.feed(html)
    read.close()
    assert read.wrong == [] and read.open == []
    assert not OBEYED.search(html)
    return read
