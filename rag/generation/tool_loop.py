"""Tools that the model may call while it answers: each result goes back to it, until it needs no more."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableBinding
from langchain_core.tools import BaseTool, tool

from rag.core.answers import Answer, Event, Step, ToolUse
from rag.core.calls import Usage
from rag.core.errors import BudgetError, ConfigError, UsageError
from rag.core.passages import Hit
from rag.generation import reply
from rag.generation.models import describe, model_of
from rag.generation.numbering import numbering
from rag.generation.quoting import Quoting
from rag.usage.collector import calls

#: Most characters of a tool's result that go to the model: about 5,000 tokens, a fifth of what common clients
#: take of one result.
MOST_CHARS = 20_000


class Tools:
    """The tools of a question, run for the model.

    Parameters
    ----------
    tools : sequence of BaseTool or callable
        A callable's docstring and types tell the model what it does and takes.

    Raises
    ------
    ConfigError
        One is no tool, or two have the same name.
    """

    def __init__(self, tools: Sequence[Any]) -> None:
        made = [_tool(each) for each in tools]
        self.by_name = {each.name: each for each in made}
        if len(self.by_name) < len(made):
            raise ConfigError(f"two tools have the same name: {', '.join(each.name for each in made)}")
        if not made:
            raise UsageError("tools is empty: give at least one tool, or leave it out")

    def bound(self, model: Any) -> Any:
        """Return a chat model that may call the tools.

        Raises
        ------
        ConfigError
            It calls no tools.
        """
        if isinstance(model, RunnableBinding):  # options that the user has bound stay
            return model.model_copy(update={"bound": self.bound(model.bound)})
        name = model_of(model) or describe(model)
        if isinstance(model, Quoting):
            raise ConfigError("the local answerer only quotes, and calls no tools: set generator='claude'")
        try:
            return model.bind_tools(list(self.by_name.values()))
        except (NotImplementedError, AttributeError) as error:
            raise ConfigError(f"{name} calls no tools: choose another model, or leave tools out") from error

    def run(self, call: Mapping[str, Any], hits: list[Hit]) -> ToolMessage:
        """Run a tool; whatever it raises goes to the model, but for a refusal of the budget."""
        try:
            with numbering(hits):
                return self._message(call, self._named(call).invoke(_call(call)))
        except BudgetError:
            raise
        except Exception as error:
            return _failed(call, error)

    async def arun(self, call: Mapping[str, Any], hits: list[Hit]) -> ToolMessage:
        """Run a tool as `run` does, without blocking the event loop."""
        try:
            with numbering(hits):
                return self._message(call, await self._named(call).ainvoke(_call(call)))
        except (BudgetError, asyncio.CancelledError):
            raise
        except Exception as error:
            return _failed(call, error)

    def _named(self, call: Mapping[str, Any]) -> BaseTool:
        if "error" in call:
            raise UsageError(f"the arguments are not valid JSON: {call['error']}")
        if call["name"] not in self.by_name:
            raise UsageError(f"there is no tool {call['name']!r}: use one of {', '.join(self.by_name)}")
        return self.by_name[call["name"]]

    def _message(self, call: Mapping[str, Any], result: Any) -> ToolMessage:
        if not isinstance(result, ToolMessage):
            return ToolMessage(_bounded(_text(result)), tool_call_id=str(call["id"]), name=call["name"])
        content = result.content
        text = content if isinstance(content, str) else "\n".join(reply.texts([result])) or _text(content)
        return ToolMessage(
            _bounded(text), tool_call_id=result.tool_call_id, name=result.name, status=result.status,
            artifact=result.artifact,
        )  # fmt: skip


class ToolReading:
    """A reply with calls of tools; it reads the text as the reading inside it does.

    Parameters
    ----------
    inner : Reading
    hits : list of Hit
        What `inner` may cite; tools that return passages add theirs.
    max_turns : int
        Most calls of the model, at least 1.
    max_usd : float, optional
        The most that the calls may cost: a further one is made only if the calls so far, and once more
        the last one, cost no more.
    """

    def __init__(self, inner: _Inner, hits: list[Hit], *, max_turns: int, max_usd: float | None) -> None:
        self._inner, self.hits = inner, hits
        self._max_turns, self._max_usd = max_turns, max_usd
        self._turn: list[Any] = []
        self._results: list[ToolMessage] = []
        self._uses: list[ToolUse] = []
        self._notes: list[str] = []
        self._turns, self._spoke, self._started = 0, False, 0.0

    @property
    def steps(self) -> list[Step]:
        """The stages so far."""
        return self._inner.steps

    @property
    def purpose(self) -> str:
        """What the next call is for."""
        return "generate"

    @property
    def message(self) -> None:
        """Nothing: in a conversation the answer's text stands for the turns with tools."""
        return

    def feed(self, piece: Any) -> Iterator[Event]:
        """Read one more piece; yield the text and citations that are complete now."""
        if self._spoke and not self._turn:
            yield from self._inner.feed(type(piece)(content="\n\n"))  # between the texts of two turns
        self._turn.append(piece)
        yield from self._inner.feed(piece)

    def requests(self) -> list[Mapping[str, Any]]:
        """Take the end of a reply; return the calls of tools that it asks for, if they may be made."""
        message = reply.whole(self._turn)
        self._turns += 1
        self._spoke = self._spoke or bool(message is not None and str(message.text).strip())
        asked = [*reply.tool_calls(message), *getattr(message, "invalid_tool_calls", ())]
        if asked and (why := self._limit()):
            self._notes.append(f"the tools were stopped before the answer was complete: {why}")
            return []
        return asked

    def starts(self, call: Mapping[str, Any]) -> Event:
        """Return the event of a tool that starts."""
        self._started = time.perf_counter()
        return Event("tool", ToolUse(str(call["name"]), _args(call)))

    def took(self, call: Mapping[str, Any], result: ToolMessage) -> Event:
        """Take a tool's result; return its event."""
        error = result.status == "error"
        use = ToolUse(str(call["name"]), _args(call), _text(result.content), error)
        self._results.append(result)
        self._uses.append(use)
        detail = {"name": use.name, "error": error}
        self.steps.append(Step("tool", time.perf_counter() - self._started, detail))
        return Event("tool", use)

    def more(self, messages: Sequence[Any]) -> Sequence[Any]:
        """Return the messages of the next turn; none if no tool was run."""
        if not self._results:
            return ()
        going = [*messages, reply.whole(self._turn), *self._results]
        self._turn, self._results = [], []
        self._inner.again()
        return going

    def close(self) -> Iterator[Event]:
        """Read the end; yield what was held back."""
        return self._inner.close()

    def answer(self, generator: Any, prompt: str, usage: Usage) -> Answer:
        """Return the answer; see `Reading.answer`.

        Raises
        ------
        GenerationError
            The model's output is malformed.
        """
        answer = self._inner.answer(generator, prompt, usage)
        notes = [note for note in answer.notes if not (self._notes and note.endswith("see tool_calls"))]
        return replace(
            answer, tool_uses=tuple(self._uses), answered=answer.answered and not answer.tool_calls,
            notes=(*self._notes, *notes),
        )  # fmt: skip

    def _limit(self) -> str | None:
        """Return why no further turn may be taken."""
        if self._turns >= self._max_turns:
            return f"the model was called {self._turns} times: raise max_turns"
        if self._max_usd is None:
            return None
        costs = [call.usage.cost_usd for call in calls()]
        known = [cost for cost in costs if cost is not None]
        if len(known) < len(costs):
            return "max_usd is set, and the price of a call is not known: add it to [prices]"
        last = next((call.usage.cost_usd for call in reversed(calls()) if call.purpose == "generate"), None)
        if sum(known) + (last or 0.0) > self._max_usd:
            return f"${sum(known):.4f} are spent, and another call may exceed max_usd: raise it"
        return None


class _Inner(Protocol):
    """What reads the text (`rag.generation.reading.Reading`)."""

    steps: list[Step]

    def feed(self, piece: Any) -> Iterator[Event]: ...
    def again(self) -> None: ...
    def close(self) -> Iterator[Event]: ...
    def answer(self, generator: Any, prompt: str, usage: Usage) -> Answer: ...


def _tool(value: Any) -> BaseTool:
    if isinstance(value, BaseTool):
        return value
    if not callable(value):
        raise ConfigError(f"{value!r} is no tool: give LangChain tools, or functions with a docstring")
    function: Callable[..., Any] = value
    try:
        made = tool(function)
    except (ValueError, TypeError, AttributeError) as error:
        name = getattr(value, "__name__", repr(value))
        raise ConfigError(f"{name} is no tool: {' '.join(str(error).split())}") from error
    assert isinstance(made, BaseTool)
    return made


def _call(call: Mapping[str, Any]) -> Any:
    return {"name": call["name"], "args": dict(call["args"]), "id": call["id"], "type": "tool_call"}


def _args(call: Mapping[str, Any]) -> Mapping[str, Any]:
    args = call.get("args")
    return dict(args) if isinstance(args, Mapping) else {"": args}


def _failed(call: Mapping[str, Any], error: Exception) -> ToolMessage:
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ToolMessage(_bounded(text), tool_call_id=str(call["id"]), name=str(call["name"]), status="error")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _bounded(text: str) -> str:
    if len(text) <= MOST_CHARS:
        return text or "(nothing)"  # Bedrock refuses empty texts
    return f"{text[:MOST_CHARS]}\n… cut: {len(text) - MOST_CHARS} more characters; ask for less"
