"""Embedders that do not report what they spend, paid for by the question under way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from rag.core.calls import Usage
from rag.core.embedders import billed_model
from rag.usage.collector import ReportsCalls, paid_call
from rag.usage.tokens import estimate_all


@contextlib.contextmanager
def embedding_call(embedder: Any, texts: Sequence[str]) -> Iterator[None]:
    """Pay for embedding some texts, if the embedder does not report its calls itself.

    The price is that of the model that the embedder names, else of its class. What has no price is not
    recorded, as most such embedders are on the user's machine; under ``stop_usd`` it is refused.

    Raises
    ------
    BudgetError
    """
    if isinstance(embedder, ReportsCalls):
        yield
        return
    model = billed_model(embedder)
    with paid_call(model, "embed", input_tokens=lambda: sum(estimate_all(list(texts)))) as call:
        yield
        if call.has_price:
            call.usage = Usage(sum(estimate_all(list(texts))))
