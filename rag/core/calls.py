"""Calls of models, and what they use: tokens and US dollars."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rag.core.displayable import Displayable
from rag.core.format import dollars


@dataclass(frozen=True, slots=True, repr=False)
class Usage(Displayable):
    """What a call cost; usages add up with ``+``.

    Attributes
    ----------
    input_tokens : int
        Tokens that the model read, without those from the prompt cache.
    cache_write_1h_input_tokens : int
        Of `cache_write_input_tokens`, those kept for an hour instead of five minutes.
    cost_usd : float or None
        None if no price is known.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    cost_usd: float | None = None
    cache_write_1h_input_tokens: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """The tokens: input, output, read from the cache, written to it."""
        return (
            self.input_tokens, self.output_tokens, self.cache_read_input_tokens,
            self.cache_write_input_tokens,
        )  # fmt: skip

    @property
    def cost(self) -> str:
        """Tokens and dollars for people; ``free`` where the cost is 0."""
        if self.cost_usd == 0.0:
            return "free"
        cached = (
            (self.cache_read_input_tokens, "from the cache"),
            (self.cache_write_input_tokens, "into the cache"),
        )
        more = "".join(f", {count:,} {what}" for count, what in cached if count)
        return (
            f"{self.input_tokens:,} tokens in{more}, {self.output_tokens:,} out, {price_text(self.cost_usd)}"
        )

    def __add__(self, other: Usage) -> Usage:
        known = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_input_tokens + other.cache_read_input_tokens,
            self.cache_write_input_tokens + other.cache_write_input_tokens,
            sum(known) if known else None,
            self.cache_write_1h_input_tokens + other.cache_write_1h_input_tokens,
        )


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a model.

    Attributes
    ----------
    model : str
        The model's id.
    purpose : {"embed", "rerank", "generate", "retrieve_and_generate"}
        ``"cached"`` is a call that was not made: the response cache had the answer.
    saved_usd : float or None
        Of such a call: what the answer cost when a model gave it, if that is known.
    """

    model: str
    purpose: str
    usage: Usage
    saved_usd: float | None = None


def price_text(usd: float | None) -> str:
    """Return an amount for people, or that it is not known."""
    return "no known price" if usd is None else dollars(usd)
