"""A call of Converse as a record of a batch job: its request, and its reply.

A record of the type Converse holds the body of a Converse request (Bedrock User Guide, "Format and upload
your batch inference data"; `modelInvocationType` in botocore 1.44.5's service model of ``bedrock``). Request
and reply pass through the code of ChatBedrockConverse that makes and reads those on demand, and through
botocore, so that nothing but the way of sending differs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from botocore.parsers import ResponseParserError, create_parser
from botocore.serialize import create_serializer
from langchain_aws import ChatBedrockConverse
from langchain_core.messages import BaseMessage, HumanMessage

#: Members of a Converse request that select how a call on demand is served; the job decides that here.
_SERVED = ("serviceTier", "performanceConfig")


class _Made(Exception):  # noqa: N818 -- carries a request, no error
    def __init__(self, request: dict[str, Any]) -> None:
        super().__init__("a request was made")
        self.request = request


class _Maker:
    """Stands for a client: gives back the request instead of sending it."""

    def converse(self, **request: Any) -> Any:
        raise _Made(request)


class _Player:
    """Stands for a client: gives a reply that is there already, as the events of a stream."""

    def __init__(self, events: Iterator[Mapping[str, Any]]) -> None:
        self._events = events

    def converse_stream(self, **_: Any) -> Mapping[str, Any]:
        return {"stream": self._events}


def record_of(
    model: ChatBedrockConverse, messages: Sequence[BaseMessage], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the ``modelInput`` of the record that calls a model: the body of its Converse request.

    Cache points are left out: requests of a job share no cache.

    Raises
    ------
    botocore.exceptions.ParamValidationError
        The request does not fit the service model.
    """
    copy = model.model_copy(update={"client": _Maker()})
    try:
        ChatBedrockConverse._generate(copy, list(messages), **options)
    except _Made as made:
        request = made.request
    else:
        raise AssertionError("ChatBedrockConverse made no request")
    for name in _SERVED:
        request.pop(name, None)
    request["messages"] = [
        {**message, "content": _without_points(message["content"])} for message in request["messages"]
    ]
    if "system" in request:
        request["system"] = _without_points(request["system"])
    if "toolConfig" in request:
        tools = _without_points(request["toolConfig"]["tools"])
        request["toolConfig"] = {**request["toolConfig"], "tools": tools}
    body: dict[str, Any] = json.loads(_serializer().serialize_to_request(request, _converse())["body"])
    return body


def reply_of(model: ChatBedrockConverse, output: Mapping[str, Any]) -> BaseMessage:
    """Return the reply in a record's ``modelOutput``, as a stream on demand would have given it.

    Raises
    ------
    ValueError, LookupError, TypeError, AttributeError
        It is not the body of a Converse response.
    """
    response = {"status_code": 200, "headers": {}, "body": json.dumps(output).encode()}
    try:
        parsed = _parser().parse(response, _converse().output_shape)
    except ResponseParserError as error:
        raise ValueError(str(error)) from error
    copy = model.model_copy(update={"client": _Player(_events(parsed))})
    # The messages that would be sent; they do not change how a reply is read.
    pieces = [piece.message for piece in ChatBedrockConverse._stream(copy, [HumanMessage("-")])]
    message: BaseMessage = pieces[0] + pieces[1:]
    return message


def _without_points(blocks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [block for block in blocks if "cachePoint" not in block]


def _events(response: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a response as the events of ConverseStream."""
    message = response["output"]["message"]
    yield {"messageStart": {"role": message["role"]}}
    for number, block in enumerate(message["content"]):
        if "toolUse" in block:
            start = {name: value for name, value in block["toolUse"].items() if name != "input"}
            yield {"contentBlockStart": {"start": {"toolUse": start}, "contentBlockIndex": number}}
        for delta in _deltas(block):
            yield {"contentBlockDelta": {"delta": delta, "contentBlockIndex": number}}
        yield {"contentBlockStop": {"contentBlockIndex": number}}
    fields = response.get("additionalModelResponseFields")
    more = {} if fields is None else {"additionalModelResponseFields": fields}
    yield {"messageStop": {"stopReason": response["stopReason"], **more}}
    told = {name: response[name] for name in ("usage", "metrics", "trace") if name in response}
    yield {"metadata": told}


def _deltas(block: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "text" in block:
        yield {"text": block["text"]}
    elif "citationsContent" in block:
        cited = block["citationsContent"]
        yield from ({"text": part["text"]} for part in cited.get("content", ()) if "text" in part)
        yield from ({"citation": citation} for citation in cited.get("citations", ()))
    elif "toolUse" in block:
        yield {"toolUse": {"input": json.dumps(block["toolUse"]["input"])}}
    elif "reasoningContent" in block:
        thought = block["reasoningContent"]
        text = thought.get("reasoningText", {})
        yield from (
            {"reasoningContent": {name: text[name]}} for name in ("text", "signature") if name in text
        )
        if "redactedContent" in thought:
            yield {"reasoningContent": {"redactedContent": thought["redactedContent"]}}


@lru_cache(maxsize=1)
def _converse() -> Any:
    import botocore.session

    return botocore.session.get_session().get_service_model("bedrock-runtime").operation_model("Converse")


@lru_cache(maxsize=1)
def _serializer() -> Any:
    return create_serializer("rest-json")


@lru_cache(maxsize=1)
def _parser() -> Any:
    return create_parser("rest-json")
