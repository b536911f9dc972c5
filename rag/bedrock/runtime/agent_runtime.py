"""The base of stages that call bedrock-agent-runtime: a client, and retries within a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from rag.bedrock.runtime.client import client
from rag.bedrock.runtime.retry import Retry
from rag.core.errors import RagError


class AgentRuntime(BaseModel):
    """A stage that calls bedrock-agent-runtime.

    Parameters
    ----------
    region, endpoint_url : str, optional
        As boto3 takes them; by default from the environment.
    timeout_s : float
        Seconds that a call may take, including retries and waits.
    retry : Retry, optional
        When to retry a failed call; by default 4 attempts within `timeout_s`.
    client : optional
        A bedrock-agent-runtime client; by default it creates one.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    region: str | None = None
    endpoint_url: str | None = None
    timeout_s: float = Field(default=30.0, gt=0)
    retry: Retry | None = None
    client: Any = Field(default=None, exclude=True)

    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def _client(self) -> Any:
        with self._lock:
            if self.client is None:
                self.client = client(
                    "bedrock-agent-runtime", region=self.region, endpoint_url=self.endpoint_url,
                    timeout_s=self.timeout_s,
                )  # fmt: skip
            return self.client

    def _retried(
        self,
        call: Callable[[], Any],
        name: str,
        advice: Mapping[str, str],
        error: type[RagError] = RagError,
    ) -> Any:
        """Return a call's reply; an error begins with `name` and gives this advice for its code."""
        retry = self.retry or Retry(attempts=4, deadline_s=self.timeout_s)
        return retry.call(call, model=name, error=error, advice=advice)
