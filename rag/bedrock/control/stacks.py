"""Stacks of AWS CloudFormation: what a template would change, and carrying that out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rag.bedrock.runtime.client import client, explain
from rag.bedrock.runtime.faults import response_of
from rag.core.errors import RagError
from rag.core.ids import new_id

_POLL_S, _MOST_S = 1.0, 600.0
_ADVICE = {
    "AccessDeniedException": "allow cloudformation:*ChangeSet, DescribeStacks and DeleteStack on the stack, "
    "and what it makes: cloudwatch:PutMetricAlarm, PutDashboard, logs:CreateLogGroup, PutRetentionPolicy",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StackChange:
    """A resource that would be added, modified or removed."""

    action: str
    name: str
    kind: str
    replaced: bool = False


class ChangeSet:
    """What a template changes in a stack, computed by CloudFormation; nothing is changed until `execute`.

    Parameters
    ----------
    stack : str
    template : mapping
    region, endpoint_url : str, optional

    Attributes
    ----------
    changes : tuple of StackChange
        Empty if the stack is as the template says.

    Raises
    ------
    RagError
        CloudFormation refuses, or cannot be reached.
    """

    def __init__(
        self,
        stack: str,
        template: Mapping[str, Any],
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        self.stack = stack
        self._client: Any = client("cloudformation", region=region, endpoint_url=endpoint_url, attempts=5)
        self.is_new = self._state() in ("", "REVIEW_IN_PROGRESS")
        self._name = f"rag-{new_id()}"
        self._call(self._client.create_change_set, StackName=stack, ChangeSetName=self._name,
            TemplateBody=json.dumps(template), ChangeSetType="CREATE" if self.is_new else "UPDATE",
        )  # fmt: skip
        self.changes = self._changes()

    def _changes(self) -> tuple[StackChange, ...]:
        until = time.monotonic() + _MOST_S
        while True:
            told = self._call(
                self._client.describe_change_set, StackName=self.stack, ChangeSetName=self._name
            )
            if told["Status"] == "CREATE_COMPLETE":
                break
            if told["Status"] == "FAILED":
                reason = str(told.get("StatusReason", ""))
                self.discard()
                if "didn't contain changes" in reason or "No updates" in reason:
                    return ()
                raise RagError(f"CloudFormation, {self.stack}: {reason or 'the change set failed'}")
            self._wait(until)
        each = [row["ResourceChange"] for row in told["Changes"]]
        return tuple(
            StackChange(
                row["Action"], row["LogicalResourceId"], row["ResourceType"], row.get("Replacement") == "True"
            )
            for row in each
        )

    def execute(self) -> None:
        """Carry it out, and wait for the end.

        Raises
        ------
        RagError
            It failed: CloudFormation then restores what was.
        """
        self._call(self._client.execute_change_set, StackName=self.stack, ChangeSetName=self._name)
        until = time.monotonic() + _MOST_S
        while (state := self._state()).endswith("_IN_PROGRESS"):
            self._wait(until)
        if state not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise RagError(f"CloudFormation, {self.stack}: {state}: see the stack's events for the reason")

    def discard(self) -> None:
        """Delete the change set, and the stack that would have been new, which is empty."""
        self._call(self._client.delete_change_set, StackName=self.stack, ChangeSetName=self._name)
        if self.is_new:
            self._call(self._client.delete_stack, StackName=self.stack)

    def _state(self) -> str:
        try:
            stacks = self._client.describe_stacks(StackName=self.stack)["Stacks"]
        except Exception as error:
            if "does not exist" in str(response_of(error).get("Error", {}).get("Message", "")):
                return ""
            raise RagError(explain(error, f"CloudFormation, {self.stack}", _ADVICE)) from error
        return str(stacks[0]["StackStatus"])

    def _wait(self, until: float) -> None:
        if time.monotonic() > until:
            raise RagError(
                f"CloudFormation, {self.stack}: not done after {_MOST_S:.0f} s: look at its events"
            )
        time.sleep(_POLL_S)

    def _call(self, call: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return call(**arguments)
        except Exception as error:
            raise RagError(explain(error, f"CloudFormation, {self.stack}", _ADVICE)) from error
