"""A judge on the emulator whose verdicts a function plants, and the labels that it is measured by."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from rag.bedrock.chat.claude import ClaudeBedrock
from rag.emulator import Behaviour, Emulator
from rag.emulator.wire import Request
from rag.evaluation.judging.calibration import Calibration, calibrate
from rag.evaluation.judging.judge import Judge
from rag.evaluation.judging.labels import read_labels

Reads = Callable[[str], float]


def label(number: int) -> dict[str, Any]:
    """An answer whose quality stands in it, as a person sees it; long and short ones of each quality."""
    quality, words = 1 + number % 5, 3 + 15 * (number // 5 % 2)
    return {
        "id": f"l{number}", "rubric": "faithfulness", "question": f"Question {number}?", "label": quality,
        "answer": f"quality {quality}: " + " ".join(["word"] * words), "context": ["The passage."],
    }  # fmt: skip


LABELS = [label(number) for number in range(60)]


def text_of(request: Request) -> tuple[str, str]:
    return str(request.params["system"]), request.params["messages"][0]["content"][0].get("text", "")


def part(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>\n")[2].partition(f"\n</{tag}>")[0]


def quality(answer: str) -> int:
    return int(answer.partition("quality ")[2][:1])


def noisy(answer: str) -> float:
    """Mostly the quality, sometimes one off: how careful people differ."""
    off = random.Random(answer).choice([0, 0, 0, 0, 1, -1])
    return min(max(quality(answer) + off, 1), 5)


def judge(emulator: Emulator, score: Reads, better: Callable[[str, str], str]) -> Judge:
    def reply(request: Request) -> str | None:
        system, text = text_of(request)
        if "You judge" not in system:
            return None  # the emulator answers
        if "<first_answer>" in text:
            choice = better(part(text, "first_answer"), part(text, "second_answer"))
            return json.dumps({"reason": "so", "better": choice})
        return json.dumps({"reason": "so", "score": int(score(part(text, "answer")))})

    emulator.behaviour = Behaviour(reply=reply)
    return Judge(ClaudeBedrock(), ["faithfulness"])


def fair(first: str, second: str) -> str:
    a, b = quality(first), quality(second)
    return "tie" if a == b else "first" if a > b else "second"


def found(emulator: Emulator, score: Reads, better: Callable[[str, str], str] = fair) -> Calibration:
    return calibrate(judge(emulator, score, better), read_labels(LABELS))["faithfulness"]


def brief(answer: str) -> bool:
    """A metric of a user's."""
    return len(answer) < 200
