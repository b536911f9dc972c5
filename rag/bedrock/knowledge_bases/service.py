"""Calls of a control service of AWS: retried by our table of faults, explained in one line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rag.bedrock.runtime.client import client
from rag.bedrock.runtime.faults import code_of
from rag.bedrock.runtime.retry import Retry
from rag.core.errors import RagError


class Service:
    """A control service, such as ``bedrock-agent``.

    Parameters
    ----------
    name : str
        As boto3 names it.
    action : str
        What IAM writes before its operations: ``bedrock``.
    region : str, optional
        By default the environment's.
    given : optional
        A boto3 client of it.
    retry : Retry, optional
    """

    def __init__(
        self,
        name: str,
        action: str,
        *,
        region: str | None = None,
        given: Any = None,
        retry: Retry | None = None,
    ) -> None:
        self._name, self._action, self._region = name, action, region
        self._given, self._retry = given, retry or Retry()

    @property
    def client(self) -> Any:
        """The boto3 client."""
        if self._given is None:
            self._given = client(self._name, region=self._region)
        return self._given

    @property
    def region(self) -> str:
        """The region that it is called in."""
        return str(self.client.meta.region_name)

    @property
    def partition(self) -> str:
        """The first part of ARNs: ``aws``, ``aws-cn``."""
        return str(self.client.meta.partition)

    def call(
        self, operation: str, advice: Mapping[str, str] | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Call an operation, such as ``CreateKnowledgeBase``.

        Parameters
        ----------
        operation : str
        advice : mapping, optional
            What to do, by the code of the fault.
        **arguments
            As boto3 takes them; None counts as missing.

        Raises
        ------
        RagError
            The call failed; `fault_code` tells why.
        """
        method = getattr(self.client, _snake(operation))
        given = {name: value for name, value in arguments.items() if value is not None}
        name = f"{self._action}:{operation}"
        known = {
            "AccessDeniedException": f"allow {name}",
            "ValidationException": "check the names, ARNs and settings",
            "ResourceNotFoundException": "check the id and the region",
            "ConflictException": "another change is under way: wait for it, and run the same command again",
            **(advice or {}),
        }  # fmt: skip
        reply: dict[str, Any] = self._retry.call(
            lambda: method(**given), model=name, error=RagError, advice=known
        )
        return reply

    def pages(self, operation: str, member: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list, page by page."""
        token = None
        while True:
            reply = self.call(operation, nextToken=token, **arguments)
            yield from reply[member]
            token = reply.get("nextToken")
            if not token:
                return


def fault_code(error: RagError) -> str:
    """Return the code of the fault behind an error of `Service.call`; empty if there is none."""
    return code_of(error.__cause__) if error.__cause__ is not None else ""


def until(
    done: Callable[[], bool],
    what: str,
    *,
    timeout_s: float,
    every_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until something is done, with pauses that grow from `every_s` to eight times that.

    Raises
    ------
    RagError
        It is not within `timeout_s` seconds.
    """
    began, pause = time.monotonic(), every_s
    while not done():
        if time.monotonic() - began + pause > timeout_s:
            raise RagError(f"{what} is not ready after {timeout_s:g} s: look at it later with `rag kb show`")
        sleep(pause)
        pause = min(pause * 1.5, every_s * 8)


def _snake(operation: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
