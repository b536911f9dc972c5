"""Process the records of a batch job, as the operation that the job calls would answer them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from rag.emulator import conversing, embedding, routing, rules, validating
from rag.emulator.wire import Request


class Answers(conversing.Chat, Protocol):
    """The state of an emulator that the records of a job use."""

    @property
    def problems(self) -> list[str]:
        """One line per invalid request."""


def answered(
    emulator: Answers, kind: str, model: str, body: Mapping[str, Any]
) -> tuple[Mapping[str, Any], int, int]:
    """Return a record's ``modelOutput``, its input tokens and its output tokens.

    Parameters
    ----------
    emulator : Answers
    kind : {"InvokeModel", "Converse"}
        The operation whose request the record holds.
    model : str
    body : mapping
        The record's ``modelInput``.

    Raises
    ------
    Refusal
        The request is invalid, or cannot be answered.
    """
    if kind == "InvokeModel":
        embedded = embedding.embed(model, json.dumps(body).encode())
        output: Mapping[str, Any] = json.loads(embedded.body)
        return output, embedded.tokens, 0
    reply = conversing.converse(emulator, _converse(emulator, model, body)).body
    assert isinstance(reply, Mapping)
    usage = reply["usage"]
    read = usage["inputTokens"] + usage.get("cacheReadInputTokens", 0) + usage.get("cacheWriteInputTokens", 0)
    return reply, read, usage["outputTokens"]


def _converse(emulator: Answers, model: str, body: Mapping[str, Any]) -> Request:
    """Return a record as the request of a Converse call, validated as such a call is."""
    path, data = f"/model/{quote(model, safe='')}/converse", json.dumps(body).encode()
    route = routing.find("POST", path)
    params, wrong = validating.read(route, path, "", {}, data)
    wrong = wrong or list(rules.of_operation(route.operation, params))
    if wrong:
        refusal = validating.refusal(wrong)
        emulator.problems.append(f"a record of a batch job: {refusal}")
        raise refusal
    return Request(route.service, route.operation, params, "POST", path, {}, data, 0)
