"""Models with names, prices and replies of their own, for the tests of a router."""

from __future__ import annotations

from typing import Any

from rag.core.answers import Answer
from rag.emulator import Behaviour, Emulator
from rag.emulator.wire import Request

HAIKU, SONNET, OPUS = (f"global.anthropic.claude-{name}-5-5" for name in ("haiku", "sonnet", "opus"))
#: Dollars per million tokens, in and out (`rag.usage.price_list`).
PRICES = {HAIKU: (0.10, 0.50), SONNET: (2.0, 10.0), OPUS: (4.0, 20.0)}
QUESTION = "How many days of annual leave do staff in Europe take?"
GOOD = 'It is 28 days.<cite doc="1">Staff in Europe take 28 days of annual leave.</cite>'
REFUSED = "<no_answer/>The search results do not say."
UNSUPPORTED = "It is thirty days. That is a lot."


def replies(emulator: Emulator, **more: Any) -> None:
    """Let each model have its reply, by the word of its name; one without has `GOOD`."""
    texts = {name: more.pop(name) for name in ("haiku", "sonnet", "opus", "sort") if name in more}

    def reply(request: Request) -> str:
        sorts = "You sort questions" in str(request.params.get("system"))
        names = ["sort"] if sorts else [name for name in texts if name in str(request.params["modelId"])]
        text = next((texts[name] for name in names if name in texts), GOOD)
        return str(text(request) if callable(text) else text)

    emulator.behaviour = Behaviour(reply=reply, **more)


def models(answer: Answer) -> list[str]:
    return [call.model.rpartition("claude-")[2].partition("-")[0] for call in answer.calls]


def step(answer: Answer, name: str) -> dict[str, Any]:
    return next((dict(each.detail) for each in answer.trace if each.name == name), {})
