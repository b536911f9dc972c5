"""What the tests of batches of answers share: the emulator, moto's S3 server, an index, and questions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rag
from rag.answer_batches.report import AnswerReport
from rag.bedrock.chat.claude import MODEL
from rag.core.answers import Answer
from rag.usage.ledger import Ledger
from rag.usage.spending import Spending
from tests.building.batch_world import PLACE, ROLE, World, quick

QUESTIONS: list[dict[str, Any]] = [
    {"id": f"q{n}", "question": f"How many days of leave do staff of office {n} take?"} for n in range(12)
]
#: One with a filter of its own, and one whose filter matches nothing.
QUESTIONS[3]["where"] = "year == 2003"
QUESTIONS[7]["where"] = "year == 1999"
#: Records: all questions but the last of these.
SENT = len(QUESTIONS) - 1


@dataclass
class AnswerWorld(World):
    """Documents of a line each, an index of them, and jobs of at least 5 records."""

    @property
    def asked(self) -> int:
        """The calls of the model on demand."""
        return self.emulator.counts["ConverseStream"]

    @property
    def work(self) -> Path:
        return self.index / "answers"

    def pipe(self, **stages: Any) -> rag.Pipeline:
        given: dict[str, Any] = {"generator": "claude", "settings": {"batch": self.settings()}, **stages}
        return rag.Pipeline(self.index, **given)

    def settings(self, **more: Any) -> dict[str, Any]:
        return {"s3": PLACE, "role_arn": ROLE, "min_records": 5, **more}

    def batch(self, pipe: rag.Pipeline | None = None, questions: Any = None, **options: Any) -> AnswerReport:
        if not options.get("wait", True):  # the jobs must not have ended when they are first looked at
            self.emulator.job_s = self.emulator.job_s or 0.7
        return (pipe or self.pipe()).batch(questions or QUESTIONS, sleep=quick, **options)

    def answered_on_demand(self, pipe: rag.Pipeline | None = None) -> list[Answer]:
        """The answers of `ask`."""
        pipe = pipe or self.pipe()
        return [pipe.ask(each["question"], where=each.get("where")) for each in QUESTIONS]

    def spent(self, *by: Any) -> list[Spending]:
        return Ledger(self.index / "ledger.sqlite").rows(by or ("purpose",))

    def calls(self) -> dict[str, int]:
        """The ledger's calls by tag; those of jobs have the tag ``batch``."""
        return {str(row.group[0]): row.calls for row in self.spent("tag")}

    @property
    def file(self) -> Path:
        """A file of the questions."""
        path = self.docs.parent / "questions.jsonl"
        path.write_text("".join(json.dumps(each) + "\n" for each in QUESTIONS))
        return path

    @property
    def output(self) -> Path:
        return self.docs.parent / "out.jsonl"

    def ask(self, *more: str) -> list[str]:
        """The command that answers the questions by jobs."""
        return [
            "ask", str(self.index), "--questions", str(self.file), "--output", str(self.output),
            "--config", str(self.docs.parent / "rag.toml"), "--batch", *more,
        ]  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().splitlines()]


def told(answer: Answer) -> dict[str, Any]:
    """What an answer says, without its id, what it cost and how long it took."""
    values = answer.to_dict()
    return {name: values[name] for name in values if name not in ("trace", "usage", "calls", "id")}


__all__ = ["MODEL", "QUESTIONS", "SENT", "AnswerWorld", "quick", "told"]
