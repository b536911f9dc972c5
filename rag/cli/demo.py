"""``rag demo``: the whole pipeline on the sample handbook, offline."""

from __future__ import annotations

from pathlib import Path

import rag
from rag.cli.output import say, show_answer, show_context, show_report, watch
from rag.core.errors import SourceError
from rag.core.extras import installed

#: What is asked, with which filter, and why.
QUESTIONS = (
    ("How much is the learning budget, and how many days?", None, "A question."),
    (
        "How many weeks of fully paid parental leave do I get?",
        "region == 'us' and department == 'people'",
        "The same question has another answer in each region: the filter decides.",
    ),
    ("How do I descale the espresso machine?", None, "A question that nothing answers."),
)


def handbook() -> Path:
    """Return the sample corpus: of the checkout if there is one, else of the installed package."""
    home = Path(rag.__file__).parent
    for folder in (home.parent / "data" / "handbook", home / "sample" / "handbook"):
        if folder.is_dir():
            return folder
    raise SourceError("the sample handbook is not installed: run the demo from a checkout")


def run(index: str) -> None:
    """Build the sample index, ask, and show what came of it."""
    source = handbook()
    say(f"Building {index} from {source.name} on this machine, with the local model:", "bold")
    left_out = [] if installed("docx") else ["*.docx"]
    if left_out:
        say("(without its Word documents: pip install 'bedrock-rag[office]' reads them, too)", "dim")
    with watch() as progress:
        report = rag.build(source, index, progress=progress, loader={"exclude": left_out})
    show_report(report)
    pipe = rag.Pipeline(rag.Index.open(index))
    for number, (question, where, why) in enumerate(QUESTIONS, 1):
        say()
        say(f"{number}. {why}", "bold")
        say(f"   {question}" + (f"   where: {where}" if where else ""), "bold green")
        say()
        answer = pipe.ask(question, where=where)
        show_answer(answer)
        if number == 1:
            say()
            say("   The context that it was answered from:", "bold")
            show_context(answer.context)
    say()
    say("Your own folder:     rag build FOLDER indexes/mine && rag ask indexes/mine 'A question?'", "bold")
    say(
        "On Amazon Bedrock:   rag build FOLDER indexes/mine --bedrock && rag ask indexes/mine '…' --bedrock",
        "bold",
    )
