"""The steps of a trial with requests that are wrong on purpose: a refusal costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rag.emulator.trial.steps import Dollars, Step, request, user
from rag.emulator.trial.world import TITAN, World

#: An id that is none, in a form that no model has.
_NO_MODEL = "rag-doctor-no-such-model"
_LONG = "leave " * 10_000
_RESULT = {"toolResult": {"toolUseId": "tooluse_none", "content": [{"text": "28"}]}}
_CALL = {"toolUse": {"toolUseId": "tooluse_none", "name": "leave", "input": {}}}
_POINTS = [
    part for number in range(5) for part in ({"text": f"Part {number}."}, {"cachePoint": {"type": "default"}})
]


def _converse(what: str, name: str, asked: Mapping[str, Any]) -> Step:
    def run(world: World) -> str:
        world.chat(asked)
        return "accepted"

    return Step(name, what, run, lambda world: world.chat_usd(asked), wrong=True)


def _free(what: str, name: str, call: Callable[[World], object]) -> Step:
    def run(world: World) -> str:
        call(world)
        return "accepted"

    return Step(name, what, run, wrong=True)


def _embed(what: str, name: str, text: str, dimensions: int) -> Step:
    body = {"inputText": text, "dimensions": dimensions, "normalize": True}

    def run(world: World) -> str:
        world.embed(body)
        return "accepted"

    usd: Dollars = lambda world: world.prices.estimate_usd(TITAN, len(text))  # noqa: E731
    return Step(name, what, run, usd, wrong=True)


def _unknown(world: World) -> object:
    return world.runtime.converse(modelId=_NO_MODEL, messages=user("Hi"), inferenceConfig={"maxTokens": 1})


def _unknown_stream(world: World) -> object:
    return world.runtime.converse_stream(
        modelId=_NO_MODEL, messages=user("Hi"), inferenceConfig={"maxTokens": 1}
    )


def _unknown_profile(world: World) -> object:
    return world.control.get_inference_profile(inferenceProfileIdentifier="us.rag.no-such-model-v1:0")


WRONG: tuple[Step, ...] = (
    _free("a model id that is none", "wrong-model", _unknown),
    _free("the same in a stream", "wrong-stream", _unknown_stream),
    _converse("a blank text", "wrong-blank", request("  ", tokens=1)),
    _converse("a temperature of 2", "wrong-temperature",
              request("Hi", inferenceConfig={"maxTokens": 1, "temperature": 2.0})),
    _converse("two messages of the user in a row", "wrong-roles",
              {"messages": [*user("Hi"), *user("Hi")], "inferenceConfig": {"maxTokens": 1}}),
    _converse("five cache points", "wrong-cache-points", request(*_POINTS, tokens=1)),
    _converse("a tool result without toolConfig", "wrong-tools", {
        "messages": [*user("Hi"), {"role": "assistant", "content": [_CALL]}, *user(_RESULT)],
        "inferenceConfig": {"maxTokens": 1},
    }),
    _embed("a text above Titan's limit", "wrong-long", _LONG, 256),
    _embed("300 dimensions of Titan", "wrong-dimensions", "leave", 300),
    _free("an inference profile that does not exist", "wrong-profile", _unknown_profile),
)  # fmt: skip
