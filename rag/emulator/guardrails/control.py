"""Answer the operations that manage guardrails and their tags; wire form: botocore 1.44.5's bedrock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rag.emulator.guardrails.store import Guardrail, Guardrails, Version
from rag.emulator.wire import ACCOUNT, Refusal, Reply, Request, moment


class Account(Protocol):
    """The state of an emulator that these operations use."""

    @property
    def guardrails(self) -> Guardrails:
        """The account's guardrails."""


def create(emulator: Account, request: Request) -> Reply:
    """Answer CreateGuardrail."""
    store = emulator.guardrails
    with store.lock:
        made = store.add(request.params, request.region)
    return Reply({**_names(made), "version": "DRAFT", "createdAt": moment(made.draft.created)}, 202)


def update(emulator: Account, request: Request) -> Reply:
    """Answer UpdateGuardrail."""
    store = emulator.guardrails
    with store.lock:
        guardrail = store.find(request.params["guardrailIdentifier"])
        store.update(guardrail, request.params, request.region)
    return Reply({**_names(guardrail), "version": "DRAFT", "updatedAt": moment(guardrail.draft.updated)}, 202)


def version(emulator: Account, request: Request) -> Reply:
    """Answer CreateGuardrailVersion."""
    store, params = emulator.guardrails, request.params
    with store.lock:
        guardrail = store.find(params["guardrailIdentifier"])
        number = store.number(guardrail, params.get("description"), params.get("clientRequestToken"))
    return Reply({"guardrailId": guardrail.id, "version": number}, 202)


def get(emulator: Account, request: Request) -> Reply:
    """Answer GetGuardrail."""
    store, name = emulator.guardrails, request.params.get("guardrailVersion", "DRAFT")
    with store.lock:
        guardrail = store.find(request.params["guardrailIdentifier"])
        found = guardrail.version(name)
        if found is None:
            raise Refusal("ResourceNotFoundException", f"The guardrail {guardrail.id} has no version {name}.")
        body = {
            **_names(guardrail), "version": name, "status": guardrail.status,
            "createdAt": moment(found.created), "updatedAt": moment(found.updated),
            **_returned(found.config, request.region),
        }  # fmt: skip
        if found.description is not None:
            body["description"] = found.description
        if guardrail.kms_key is not None:
            body["kmsKeyArn"] = guardrail.kms_key
    return Reply(body)


def list_guardrails(emulator: Account, request: Request) -> Reply:
    """Answer ListGuardrails: all drafts, or the draft and versions of one guardrail."""
    store, params = emulator.guardrails, request.params
    with store.lock:
        if "guardrailIdentifier" in params:
            one = store.find(params["guardrailIdentifier"])
            rows = [_summary(one, "DRAFT", one.draft), *(_summary(one, *row) for row in one.versions.items())]
        else:
            rows = [_summary(each, "DRAFT", each.draft) for each in store.known.values()]
    at, most = int(params.get("nextToken", "0")), int(params.get("maxResults", 100))
    more = {"nextToken": str(at + most)} if at + most < len(rows) else {}
    return Reply({"guardrails": rows[at : at + most], **more})


def delete(emulator: Account, request: Request) -> Reply:
    """Answer DeleteGuardrail: a version, or a guardrail with all of them."""
    store, number = emulator.guardrails, request.params.get("guardrailVersion")
    with store.lock:
        guardrail = store.find(request.params["guardrailIdentifier"])
        if number is None:
            del store.known[guardrail.id]
        elif guardrail.versions.pop(number, None) is None:
            raise Refusal(
                "ResourceNotFoundException", f"The guardrail {guardrail.id} has no version {number}."
            )
    return Reply({}, 202)


def list_tags(emulator: Account, request: Request) -> Reply:
    """Answer ListTagsForResource, of guardrails."""
    with emulator.guardrails.lock:
        tags = emulator.guardrails.find(request.params["resourceARN"]).tags
        return Reply({"tags": [{"key": key, "value": value} for key, value in tags.items()]})


def tag(emulator: Account, request: Request) -> Reply:
    """Answer TagResource, of guardrails."""
    with emulator.guardrails.lock:
        guardrail = emulator.guardrails.find(request.params["resourceARN"])
        guardrail.tags |= {each["key"]: each["value"] for each in request.params["tags"]}
    return Reply({})


def untag(emulator: Account, request: Request) -> Reply:
    """Answer UntagResource, of guardrails."""
    with emulator.guardrails.lock:
        guardrail = emulator.guardrails.find(request.params["resourceARN"])
        for key in request.params["tagKeys"]:
            guardrail.tags.pop(key, None)
    return Reply({})


def _names(guardrail: Guardrail) -> dict[str, Any]:
    return {"guardrailId": guardrail.id, "guardrailArn": guardrail.arn}


def _summary(guardrail: Guardrail, number: str, found: Version) -> dict[str, Any]:
    described = {} if found.description is None else {"description": found.description}
    return {
        "id": guardrail.id, "arn": guardrail.arn, "status": guardrail.status, "name": found.config["name"],
        "version": number, "createdAt": moment(found.created), "updatedAt": moment(found.updated),
        **described,
    }  # fmt: skip


def _returned(config: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Return a guardrail as GetGuardrail does, which names a policy's members without their end "Config"."""
    body = {
        name.removesuffix("Config"): {
            inner.removesuffix("Config"): value for inner, value in members.items()
        } if name.endswith("PolicyConfig") else members
        for name, members in config.items() if name != "crossRegionConfig"
    }  # fmt: skip
    if "crossRegionConfig" in config:
        profile = config["crossRegionConfig"]["guardrailProfileIdentifier"].rsplit("/", 1)[-1]
        arn = f"arn:aws:bedrock:{region}:{ACCOUNT}:guardrail-profile/{profile}"
        body["crossRegionDetails"] = {"guardrailProfileId": profile, "guardrailProfileArn": arn}
    return body
