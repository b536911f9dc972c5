"""What is seen of one question beside its events: failed attempts, ids of AWS, and what models were told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.telemetry.spans import QuestionSpan

#: Ids of AWS's requests that a record has, the last ones: a question makes few calls, a loop of tools more.
_MOST_IDS = 20


class Observation:
    """Observes a question (`rag.core.observed.Observer`), whose threads may report to it at once.

    Attributes
    ----------
    retries, throttles : int
        Attempts after one that failed, and attempts that AWS throttled.
    request_ids : list of str
        Of AWS, in the order of the replies.
    temperature : float or None
        Of the last call of a model that names one.
    span : QuestionSpan or None
    """

    def __init__(self) -> None:
        self.retries = self.throttles = 0
        self.request_ids: list[str] = []
        self.temperature: float | None = None
        self.span: QuestionSpan | None = None

    @contextlib.contextmanager
    def stage(self, name: str, detail: Mapping[str, Any]) -> Iterator[None]:
        """Run a stage in a span of its own, if the question is traced."""
        if self.span is None:
            yield
            return
        with self.span.stage(name, detail):
            yield

    def failed_attempt(self, code: str, *, again: bool) -> None:
        """Count an attempt that failed."""
        self.retries += again
        self.throttles += code == "ThrottlingException"

    def replied(self, request_id: str) -> None:
        """Keep an id of AWS."""
        self.request_ids = [*self.request_ids, request_id][-_MOST_IDS:]
