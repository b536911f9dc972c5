"""``rag demo``: the whole pipeline on the sample handbook, offline, on one screen of 24 lines."""

from __future__ import annotations

import textwrap

import rag
from rag.cli.output import bar, say
from rag.core.answers import Answer
from rag.core.citations import Citation
from rag.core.format import counted, shortened
from rag.core.passages import Hit
from rag.core.sample import handbook

#: The questions, each with its filter: a plain one, one with another answer in each region, and one
#: that nothing answers.
QUESTIONS = (
    ("How much is the learning budget, and how many days?", None),
    ("How many weeks of parental leave do I get?", "region == 'us'"),
    ("How do I descale the espresso machine?", None),
)
#: The narrowest terminal that it fits.
_COLUMNS = 79
#: Passages of the first context that are named.
_PASSAGES = 3
_NEXT = (
    ("rag ask {index} 'A question?'", "ask this index more"),
    ("rag build FOLDER indexes/mine", "index your own files"),
    ("rag build FOLDER indexes/mine --bedrock", "the same with Titan on Amazon Bedrock"),
)


def run(index: str) -> None:
    """Build the sample index, ask the questions, and print each answer with its citations."""
    source = handbook()
    say(f"Building {index} from the sample handbook, on this machine, for free:", "bold")
    report = rag.build(source, index, progress=bar())
    say(
        f"{counted(report.files, 'file')}, {counted(report.chunks, 'chunk')}, "
        f"{report.seconds['total']:.1f} s",
        "dim",
    )
    pipe = rag.Pipeline(rag.Index.open(index))
    for number, (question, where) in enumerate(QUESTIONS, 1):
        say()
        say(f"{number}. {question}" + (f"   where {where}" if where else ""), "bold green")
        answer = pipe.ask(question, where=where)
        _show(answer)
        if number == 1:
            _show_context(answer.context.hits)
    say()
    for command, purpose in _NEXT:
        say(f"{command.format(index=index):<41} {purpose}", "bold")


def _show(answer: Answer) -> None:
    for line in textwrap.wrap(answer.text, _COLUMNS - 3):
        say(f"   {line}")
    for citation in answer.citations:
        mark = f"[{citation.number}]" if not citation.verdict else f"[{citation.number}?]"
        say(_line(f"   {mark} {_place(citation)}"), "cyan")


def _show_context(hits: tuple[Hit, ...]) -> None:
    """Name the best passages that the model was sent."""
    for number, hit in enumerate(hits[:_PASSAGES]):
        label = "" if number else f"{min(len(hits), _PASSAGES)} of {len(hits)} sent:"
        say(_line(f"   {label:<12} {_place(hit)}"), "dim")


def _place(spot: Citation | Hit) -> str:
    """Return the file, the page and the last heading."""
    page = "" if spot.page_start is None else f", p. {spot.page_start}"
    return f"{spot.source}{page}" + (f" > {spot.section[-1]}" if spot.section else "")


def _line(text: str) -> str:
    """Return a text that fits the line, its leading blanks kept."""
    blanks = len(text) - len(text.lstrip())
    return " " * blanks + shortened(text[blanks:], _COLUMNS - blanks)
