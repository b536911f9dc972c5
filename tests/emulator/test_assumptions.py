"""Every assumption is confirmed by the emulator itself, and a service that differs is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag.emulator import Emulator
from rag.emulator.assumptions.assumption import Assumption, Untried, each, judge
from rag.emulator.assumptions.exchange import Exchange
from rag.emulator.assumptions.listed import ASSUMPTIONS
from rag.emulator.pytest_plugin import point_at
from rag.emulator.trial.run import STEPS
from tests.emulator import trials
from tests.emulator.trials import Change, Differing, of_body, of_events, of_header, of_status

CHAT = ("converse", "stream")
CACHE = ("cache-write", "cache-read")


def usage(**changes: Any) -> Any:
    """Change the usage of Converse; None drops a field."""

    def edit(body: Any) -> None:
        for name, value in changes.items():
            if value is None:
                body["usage"].pop(name)
            else:
                body["usage"][name] = value

    return of_body("Converse", edit)


def includes_cache(body: Any) -> None:
    counted = body["usage"]
    counted["inputTokens"] += counted["cacheReadInputTokens"] + counted["cacheWriteInputTokens"]
    counted["totalTokens"] = sum(counted[name] for name in (
        "inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens",
    ))  # fmt: skip


def metadata_first(events: list[Any]) -> list[Any]:
    return [*events[:-2], events[-1], events[-2]]


def announced(events: list[Any]) -> list[Any]:
    return [events[0], ("contentBlockStart", {"start": {}, "contentBlockIndex": 0}), *events[1:]]


def renumbered(events: list[Any]) -> list[Any]:
    return [
        (name, {**payload, "contentBlockIndex": payload["contentBlockIndex"] + 1})
        if "contentBlockIndex" in payload else (name, payload) for name, payload in events
    ]  # fmt: skip


def without(name: str, field: str) -> Any:
    return lambda events: [
        (kind, {k: v for k, v in payload.items() if k != field}) if kind == name else (kind, payload)
        for kind, payload in events
    ]


def relocated(body: Any) -> None:
    for block in body["output"]["message"]["content"]:
        for citation in block.get("citationsContent", {}).get("citations", ()):
            citation["location"] = {"documentChar": {"documentIndex": 0, "start": 0, "end": 1}}


def edited(*path: Any, value: Any) -> Any:
    """Return an edit that sets a value in a body."""

    def edit(body: Any) -> None:
        for name in path[:-1]:
            body = body[name]
        body[path[-1]] = value

    return edit


PLANTED: dict[str, tuple[Change, tuple[str, ...], set[str]]] = {
    "a status of success": (of_status("Converse", 200, 202), CHAT, {"http.status"}),
    "a header's name": (of_header("x-amzn-ErrorType", "x-amzn-error"), ("wrong-blank",), {"error.header"}),
    "no request id": (of_header("x-amzn-RequestId", None), ("converse",), {"http.request-id"}),
    "no date": (of_header("Date", None), ("catalog",), {"http.date"}),
    "the status of an error": (of_status("Converse", 400, 422), ("wrong-blank", "wrong-roles"),
                               {"refused.blank", "refused.roles"}),
    "the status of a missing profile": (of_status("GetInferenceProfile", 404, 400), ("wrong-profile",),
                                        {"refused.profile"}),
    "a usage field less": (usage(cacheReadInputTokens=None), ("converse",), {"usage.fields"}),
    "no usage at all": (of_body("Converse", lambda body: body.pop("usage")), ("converse",),
                        {"converse.fields", "shape.Converse", "usage.fields", "usage.total"}),
    "a wrong total": (usage(totalTokens=1), ("converse",), {"usage.total"}),
    "input that includes the cache": (of_body("Converse", includes_cache), CACHE, {"cache.excluded"}),
    "a cache that is never read": (of_body("Converse", edited("usage", "cacheReadInputTokens", value=0)), CACHE,
                                   {"cache.reads", "usage.total"}),
    "cache details of another time": (
        of_body("Converse", lambda body: [row.update(ttl="1h") for row in body["usage"].get("cacheDetails", ())]),
        CACHE, {"cache.details"}),
    "events in another order": (of_events(metadata_first), ("stream",), {"stream.order"}),
    "a text that is announced": (of_events(announced), ("stream",), {"stream.starts"}),
    "blocks from 1": (of_events(renumbered), ("stream",), {"stream.blocks"}),
    "an event that is new": (of_events(lambda events: [*events[:1], ("ping", {}), *events[1:]]), ("stream",),
                             {"shape.ConverseStream", "stream.order"}),
    "no stop reason": (of_events(without("messageStop", "stopReason")), ("stream",),
                       {"shape.ConverseStream", "stream.stop"}),
    "a new member": (of_body("Converse", edited("cost", value=1)), ("converse",), {"shape.Converse"}),
    "a stop reason that is new": (of_body("Converse", edited("stopReason", value="length")), ("max-tokens",),
                                  {"shape.Converse", "stop.max-tokens"}),
    "citations elsewhere": (of_body("Converse", relocated), ("citations",),
                            {"citations.location", "citations.source", "citations.text"}),
    "prose around data": (
        of_body("Converse", edited("output", "message", "content", value=[{"text": "Here: {}"}])), ("data",),
        {"data.schema"}),
    "a tool that is not called": (
        of_body("Converse", edited("output", "message", "content", value=[{"text": "No."}])), ("tool",),
        {"tools.call"}),
    "another count of tokens": (of_body("CountTokens", edited("inputTokens", value=3)), ("converse", "count-tokens"),
                                {"count.equal"}),
    "no count in a header": (of_header("x-amzn-bedrock-input-token-count", None), ("embed",), {"titan.count"}),
    "a vector that is not normalised": (of_body("InvokeModel", edited("embedding", value=[1.0] * 256)), ("embed",),
                                        {"titan.vector"}),
    "results in the order of sources": (
        of_body("Rerank", lambda body: body["results"].sort(key=lambda row: row["relevanceScore"])), ("rerank",),
        {"rerank.results"}),
    "a guardrail without a reason": (of_body("ApplyGuardrail", lambda body: body.pop("actionReason")), ("guardrail",),
                                     {"guardrail.fields"}),
    "models on demand": (
        of_body("ListFoundationModels", lambda body: [
            row.update(inferenceTypesSupported=["ON_DEMAND"]) for row in body["modelSummaries"]]),
        ("catalog",), {"catalog.profile-only"}),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_difference_is_found_and_named(
    planted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, steps, expected = PLANTED[planted]
    with Differing(change) as service:
        point_at(monkeypatch, service.environment())
        found = trials.differing(trials.trial(tmp_path, *steps))
    assert found.keys() == expected
    assert all(differences for differences in found.values())


def test_the_emulator_confirms_every_assumption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator() as service:
        point_at(monkeypatch, service.environment())
        tried = trials.trial(tmp_path)
    verdicts = {verdict.assumption.id: verdict.state for verdict in tried.verdicts()}
    untried = {id for id, state in verdicts.items() if state == "not tried"}
    assert untried == {
        "shape.CreateModelInvocationJob", "shape.GetModelInvocationJob", "batch.arn", "batch.status",
    }  # fmt: skip
    assert set(verdicts.values()) == {"confirmed", "not tried"}
    assert {each.finding.state for each in tried.tried if each.step.name != "batch"} == {"ok"}
    assert 0 < tried.world.spent() < 0.05


def test_assumptions_are_data() -> None:
    ids = [assumption.id for assumption in ASSUMPTIONS]
    assert len(set(ids)) == len(ids) >= 60
    assert all(assumption.text.endswith(".") and assumption.source for assumption in ASSUMPTIONS)
    assert len({step.name for step in STEPS}) == len(STEPS)


def exchange(**changes: Any) -> Exchange:
    return Exchange(**{
        "step": "converse", "line": 1, "operation": "Converse", "params": {}, "status": 200, "headers": {},
        "names": frozenset(), "body": {}, **changes,
    })  # fmt: skip


def untried(found: Exchange) -> Any:
    raise Untried("the model cited nothing")
    yield


def test_a_reply_of_another_form_differs_and_an_empty_one_is_not_tried() -> None:
    broken = Assumption("a", "A.", "s", lambda _: True, each(lambda found: [found.body["usage"]["a"]]))
    quiet = Assumption("b", "B.", "s", lambda _: True, each(untried))
    never = Assumption("c", "C.", "s", lambda _: False, each(untried))
    verdicts = judge([broken, quiet, never], [exchange()])
    assert [(v.state, v.differences) for v in verdicts] == [
        ("differs", ("converse: the reply lacks 'usage'",)),
        ("not tried", ("the model cited nothing",)),
        ("not tried", ()),
    ]
    [wrong] = judge([broken], [exchange(body=[])])
    assert wrong.state == "differs" and "another form" in wrong.differences[0]
