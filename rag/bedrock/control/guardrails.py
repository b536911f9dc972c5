"""The guardrails of an account and region, by the operations of botocore 1.44.5's model of ``bedrock``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.bedrock.runtime.client import client
from rag.bedrock.runtime.retry import Retry
from rag.core.errors import RagError

#: GuardrailStatus while a change is under way.
BUSY = ("CREATING", "UPDATING", "VERSIONING")
#: Seconds that a guardrail may take until it is ready, and the longest wait between two looks.
READY_S, LONGEST_WAIT_S = 300.0, 3.0
_ALLOWED = "allow bedrock:{} on the guardrail"
_ADVICE = {
    "ConflictException": "the guardrail is being changed, or its name is taken: retry, or choose another",
    "ServiceQuotaExceededException": "delete versions or guardrails that nobody uses, or request a higher "
    "quota from AWS",
    "TooManyTagsException": "remove tags",
    "ValidationException": "correct the guardrail's file",
    "ResourceNotFoundException": "check the region, and the version if you name one",
    "NoCredentialsError": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "NoRegionError": "set AWS_REGION, or give --region",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A guardrail, or a version of it, as ListGuardrails has it."""

    id: str
    arn: str
    name: str
    version: str
    status: str
    description: str


class GuardrailControl:
    """The guardrails of one account and region.

    Parameters
    ----------
    region, endpoint_url : str, optional
        As boto3 takes them; by default from the environment.
    client : optional
        A client of ``bedrock``; by default it creates one.
    retry : Retry
        When to retry a call.
    clock, sleep : callable
        Returns the time in seconds; waits.

    Examples
    --------
    >>> [each.name for each in GuardrailControl().all()]       # doctest: +SKIP
    ['support']
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        client: Any = None,
        retry: Retry | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._region, self._endpoint_url, self._client = region, endpoint_url, client
        self._retry, self._clock, self._sleep = retry or Retry(), clock, sleep

    def all(self) -> list[Listed]:
        """Return the drafts of all guardrails."""
        return list(self._listed())

    def named(self, name: str) -> Listed | None:
        """Return the guardrail with a name; None if there is none.

        Raises
        ------
        RagError
            Several have this name, or the call failed.
        """
        found = [each for each in self._listed() if each.name == name]
        if len(found) > 1:
            ids = ", ".join(each.id for each in found)
            raise RagError(f"{len(found)} guardrails have the name {name} ({ids}): delete all but one")
        return found[0] if found else None

    def versions(self, arn: str) -> list[Listed]:
        """Return the numbered versions of a guardrail, the newest first."""
        rows = [row for row in self._listed(guardrailIdentifier=arn) if row.version != "DRAFT"]
        return sorted(rows, key=lambda row: -int(row.version))

    def get(self, identifier: str, version: str = "DRAFT") -> Mapping[str, Any]:
        """Return GetGuardrail's reply."""
        reply: Mapping[str, Any] = self._call(
            "GetGuardrail", guardrailIdentifier=identifier, guardrailVersion=version
        )
        return reply

    def ready(self, identifier: str) -> Mapping[str, Any]:
        """Wait until no change of a guardrail is under way; return GetGuardrail's reply.

        Raises
        ------
        RagError
            Bedrock could not make it, or it takes longer than `READY_S`.
        """
        until, wait_s = self._clock() + READY_S, 0.25
        while (reply := self.get(identifier))["status"] in BUSY:
            if self._clock() > until:
                raise RagError(
                    f"the guardrail {reply['name']} ({identifier}) is still {reply['status']} after "
                    f"{READY_S:.0f} s: run the same again later"
                )
            self._sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        if reply["status"] == "FAILED":
            reasons = "; ".join((*reply.get("statusReasons", ()), *reply.get("failureRecommendations", ())))
            raise RagError(
                f"Bedrock could not make the guardrail {reply['name']} ({identifier}): "
                f"{reasons or 'no reason given'}: correct its file, and apply it again"
            )
        return reply

    def create(self, arguments: Mapping[str, Any], tags: Mapping[str, str], token: str) -> str:
        """Create a guardrail; return its id. An equal token creates no second one."""
        labels = {"tags": _pairs(tags)} if tags else {}
        reply = self._call("CreateGuardrail", **arguments, **labels, clientRequestToken=token)
        return str(reply["guardrailId"])

    def update(self, identifier: str, arguments: Mapping[str, Any]) -> None:
        """Replace a guardrail's draft."""
        self._call("UpdateGuardrail", guardrailIdentifier=identifier, **arguments)

    def number(self, identifier: str, description: str, token: str) -> str:
        """Make a numbered version of the draft; return its number. An equal token makes no second one."""
        reply = self._call(
            "CreateGuardrailVersion", guardrailIdentifier=identifier, description=description,
            clientRequestToken=token,
        )  # fmt: skip
        return str(reply["version"])

    def tags(self, arn: str) -> dict[str, str]:
        """Return a guardrail's tags, but for those of AWS."""
        reply = self._call("ListTagsForResource", resourceARN=arn)
        pairs = ((each["key"], each["value"]) for each in reply.get("tags", ()))
        return {key: value for key, value in pairs if not key.lower().startswith("aws:")}

    def tag(self, arn: str, tags: Mapping[str, str], removed: Sequence[str]) -> None:
        """Set tags of a guardrail, and remove others."""
        if tags:
            self._call("TagResource", resourceARN=arn, tags=_pairs(tags))
        if removed:
            self._call("UntagResource", resourceARN=arn, tagKeys=list(removed))

    def _listed(self, **arguments: Any) -> Iterator[Listed]:
        while True:
            reply = self._call("ListGuardrails", **arguments, maxResults=100)
            for row in reply["guardrails"]:
                yield Listed(
                    row["id"],
                    row["arn"],
                    row["name"],
                    row["version"],
                    row["status"],
                    row.get("description", ""),
                )
            if not reply.get("nextToken"):
                return
            arguments = {**arguments, "nextToken": reply["nextToken"]}

    def _call(self, operation: str, **arguments: Any) -> Any:
        if self._client is None:
            self._client = client("bedrock", region=self._region, endpoint_url=self._endpoint_url)
        method = getattr(self._client, _method(operation))
        advice = {**_ADVICE, "AccessDeniedException": _ALLOWED.format(operation)}
        return self._retry.call(
            lambda: method(**arguments), model=f"bedrock:{operation}", error=RagError, advice=advice
        )


def _method(operation: str) -> str:
    """Return boto3's name of an operation.

    Examples
    --------
    >>> _method("CreateGuardrailVersion")
    'create_guardrail_version'
    """
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in operation).lstrip("_")


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
