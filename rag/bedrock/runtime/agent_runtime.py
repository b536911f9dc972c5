"""What calls of bedrock-agent-runtime have in common: a client, and tries within a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from rag.bedrock.runtime.client import client
from rag.bedrock.runtime.retry import Retry
from rag.core.errors import RagError


class AgentRuntime(BaseModel):
    """A stage that asks bedrock-agent-runtime.

    Parameters
    ----------
    region, endpoint_url : str, optional
        As boto3 takes them; by default from the environment.
    timeout_s : float
        Seconds that a call may take, tries and waiting together.
    retry : Retry, optional
        When a failed call is tried again; by default 4 tries within `timeout_s`.
    client : optional
        A bedrock-agent-runtime client to use instead of one of its own.
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

    def _tried(self, ask: Callable[[], Any], name: str, advice: Mapping[str, str]) -> Any:
        """Return a call's reply; an error names whom was asked, and has this advice for its code."""
        retry = self.retry or Retry(attempts=4, deadline_s=self.timeout_s)
        return retry.call(ask, model=name, error=RagError, advice=advice)
