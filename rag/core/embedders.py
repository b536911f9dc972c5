"""What `rag` asks of an embedder beyond LangChain's interface, and answers for those that lack it.

Each ability is a small protocol, which `rag`'s own embedders satisfy. The functions below answer for
any LangChain embedder: by the protocol where it is satisfied, else from the embedder's public fields.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

Vectors = npt.NDArray[np.float32]
CountTokens = Callable[[Sequence[str]], list[int]]

#: Public fields of LangChain's embedders that decide what a vector is.
_DECIDING = (
    "model", "model_id", "model_name", "model_kwargs", "encode_kwargs", "dimensions", "dimension",
    "normalize",
)  # fmt: skip
#: Of these, the ones that may name the model.
_MODEL_FIELDS = ("model", "model_id", "model_name")
#: Tokens a second where an embedder names no speed: what a small model on a CPU reads.
_USUAL_SPEED = 20_000.0


@runtime_checkable
class Fingerprinted(Protocol):
    """Names what decides its results: two with the same fingerprint give the same."""

    @property
    def fingerprint(self) -> str:
        """Model, dimensions and normalisation, or a chunker's settings."""


@runtime_checkable
class Named(Protocol):
    """Has the name under which ``rag.toml`` knows it."""

    @property
    def name(self) -> object:
        """A string for `rag`'s own; anything for others."""


@runtime_checkable
class Sized(Protocol):
    """Knows the length of its vectors; None where it leaves that to the service."""

    @property
    def dimensions(self) -> int | None:
        """Numbers in a vector."""


@runtime_checkable
class CountsTokens(Protocol):
    """Counts tokens as its model does."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return each text's number of tokens."""


@runtime_checkable
class Paced(Protocol):
    """Knows its usual speed."""

    @property
    def tokens_per_second(self) -> float:
        """Measured, or the usual quota's."""


@runtime_checkable
class OnThisMachine(Protocol):
    """Runs on this machine: its vectors cost nothing."""

    on_this_machine: Literal[True]


@runtime_checkable
class GivesArrays(Protocol):
    """Gives an array at once, where LangChain's interface gives lists of floats."""

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return vectors, ``(len(texts), dimensions)`` float32."""


@runtime_checkable
class EmbedsEach(Protocol):
    """Yields vectors as they arrive, so that each can be stored before the next is paid for."""

    def embed_each(self, texts: Sequence[str]) -> Generator[list[tuple[int, Vectors]]]:
        """Yield groups of (position, vector), in any order."""


@runtime_checkable
class TakesBatchJobs(Protocol):
    """Can be called through batch jobs: its requests and replies are known without a call."""

    model: str

    def request_body(self, text: str) -> dict[str, Any]:
        """Return the request that embeds a text."""

    def read_vector(self, output: Mapping[str, Any]) -> Vectors:
        """Return the vector that a reply holds, ``(dimensions,)`` float32."""


def fingerprint(embedder: Embeddings) -> str:
    """Name what decides an embedder's vectors: model, dimensions, normalisation.

    A cache and an index rely on it: embedders with the same fingerprint give the same vectors.
    """
    if isinstance(embedder, Fingerprinted):
        return embedder.fingerprint
    kind = type(embedder)
    values = {name: value for name in _DECIDING if (value := getattr(embedder, name, None))}
    settings = " ".join(f"{name}={value}" for name, value in sorted(values.items()))
    return f"{kind.__module__}:{kind.__qualname__} {settings}".strip()


def name(embedder: Embeddings) -> str:
    """Return the name under which ``rag.toml`` knows an embedder; empty for one that it does not."""
    return embedder.name if isinstance(embedder, Named) and isinstance(embedder.name, str) else ""


def dimensions(embedder: Embeddings) -> int:
    """Return the length of an embedder's vectors, for third-party ones by embedding a test string."""
    known = embedder.dimensions if isinstance(embedder, Sized) else None
    return known if isinstance(known, int) else len(embedder.embed_query("dimensions"))


def token_counter(embedder: Embeddings) -> CountTokens | None:
    """Return the embedder's count of tokens, or None if it has none."""
    return embedder.count_tokens if isinstance(embedder, CountsTokens) else None


def billed_model(embedder: Embeddings) -> str | None:
    """Return the model that an embedder's calls are billed for; None on this machine, where none are.

    For third-party embedders it is the model they name, else their class.
    """
    if isinstance(embedder, OnThisMachine):
        return None
    names = (getattr(embedder, field, None) for field in _MODEL_FIELDS)
    return next((value for value in names if isinstance(value, str) and value), type(embedder).__name__)


def minutes(embedder: Embeddings, tokens: int) -> float:
    """Return how long embedding so many tokens takes, by the embedder's usual speed."""
    speed = embedder.tokens_per_second if isinstance(embedder, Paced) else _USUAL_SPEED
    return tokens / speed / 60
