"""The base of the embedders on Bedrock: limits of texts, concurrent calls, and costs."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

from rag.bedrock import models
from rag.bedrock.runtime.client import client as make_client
from rag.bedrock.runtime.client import explain
from rag.bedrock.runtime.dispatch import Dispatcher, GivenUp, Patience
from rag.bedrock.runtime.rate_limiter import RateLimiter
from rag.core.arguments import only_strings
from rag.core.calls import Usage
from rag.core.errors import ConfigError, EmbeddingError
from rag.core.text import sentences
from rag.usage.collector import paid_call
from rag.usage.prices import BUILT_IN
from rag.usage.tokens import estimate_all, estimate_tokens

Vectors = npt.NDArray[np.float32]

#: Model whose token estimates stand for the embedders', whose tokenizers are not public. It counts no
#: fewer: about 4 characters per token, and Titan 4.7 in English (Bedrock User Guide, November 2026).
_ESTIMATED_AS = "anthropic.claude-3-haiku-20240307-v1:0"
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A text or a part of one: the text's position in the request, and its number of parts."""

    position: int
    text: str
    parts: int = 1


class BedrockEmbeddings(Embeddings):
    """An embedding model called by bedrock-runtime's InvokeModel.

    A subclass defines the requests and replies of its model. Calls are sent as fast as the account's
    quota admits, which `rag.bedrock.runtime.rate_limiter` measures; `rag.bedrock.runtime.dispatch` alone
    retries failed calls.

    Parameters
    ----------
    dimensions : int
        One of the model's `SIZES`.
    model : str, optional
        An inference profile (``global.…``) or ARN of the same model; by default its id.
    region, endpoint_url : str, optional
        As boto3 takes them; by default from the environment.
    concurrency : int
        Maximum concurrent calls, hence the most that a crash can lose.
    requests_per_minute : float, optional
        Most calls per minute. Not needed to respect a quota, but to leave part of it to others.
    long : {"refuse", "pool"}
        How to treat a text above the model's limit: refuse it, or split it between sentences or words
        and return the normalised mean of the parts' vectors, weighted by length. It is never truncated.
    patience : Patience, optional
        When to give up a failing call.
    timeout_s : float
        Most seconds between two reads of a reply.
    client : optional
        A bedrock-runtime client; by default it creates one. A client with its own retries hides
        throttling from the rate limiter.

    Raises
    ------
    ConfigError
        An argument is invalid.

    Attributes
    ----------
    model : str
        The id in each call.
    input_tokens : int
        Tokens of all calls so far.
    """

    name: ClassVar[str]
    MODEL: ClassVar[str]
    SIZES: ClassVar[tuple[int, ...]]
    #: Limits of one text, and of one call.
    MAX_CHARS: ClassVar[int]
    MAX_TOKENS: ClassVar[int]
    CALL_TEXTS: ClassVar[int] = 1
    CALL_CHARS: ClassVar[int] = 1
    reports_calls = True
    #: From a common quota of 6,000 calls a minute, with chunks of 400 tokens.
    tokens_per_second = 40_000.0

    def __init__(
        self,
        dimensions: int = 1024,
        *,
        model: str | None = None,
        region: str | None = None,
        endpoint_url: str | None = None,
        concurrency: int = 64,
        requests_per_minute: float | None = None,
        long: Literal["refuse", "pool"] = "refuse",
        patience: Patience | None = None,
        timeout_s: float = 60.0,
        client: Any = None,
    ) -> None:
        if dimensions not in self.SIZES:
            *most, last = map(str, self.SIZES)
            raise ConfigError(f"{self._title} has {', '.join(most)} or {last} dimensions, not {dimensions}")
        if concurrency < 1:
            raise ConfigError(f"concurrency is {concurrency}: set it to 1 or more")
        if requests_per_minute is not None and not requests_per_minute > 0:
            raise ConfigError(f"requests_per_minute is {requests_per_minute}: set it above 0, or omit it")
        if long not in ("refuse", "pool"):
            raise ConfigError(f"long is {long!r}: set it to 'refuse' or 'pool'")
        self.dimensions, self.concurrency, self.long = dimensions, concurrency, long
        self.model = model or self.MODEL
        self.requests_per_minute = requests_per_minute
        self.input_tokens = 0
        price = BUILT_IN.find(self.model)
        self.usd_per_million_tokens = price.input if price else 0.0
        self._limiter = RateLimiter(requests_per_minute)
        self._patience = patience or Patience()
        self._client, self._endpoint, self._timeout_s = client, (region, endpoint_url), timeout_s
        self._lock = threading.Lock()

    @classmethod
    def argument_names(cls) -> set[str]:
        """Return the names of all arguments, including the base class's."""
        kinds: dict[str, Any] = {}
        for base in cls.__mro__:
            if issubclass(base, BedrockEmbeddings) and "__init__" in vars(base):
                parameters = inspect.signature(vars(base)["__init__"]).parameters
                kinds |= {name: parameter.kind for name, parameter in parameters.items()}
        return {name for name, kind in kinds.items() if name != "self" and kind is not Parameter.VAR_KEYWORD}

    # ------------------------------------------------------------------- what a subclass defines

    @property
    def fingerprint(self) -> str:
        """Everything that determines a vector; which inference profile is called does not."""
        known = models.find(self.model)
        pooled = " long=pool" if self.long == "pool" else ""
        return f"{known.id if known else self.model} {self._settings}{pooled}"

    @property
    def _settings(self) -> str:
        return f"dimensions={self.dimensions}"

    @property
    def _title(self) -> str:
        return self.name.capitalize()

    def _body(self, texts: Sequence[str], *, question: bool) -> dict[str, Any]:
        """Return the request for up to `CALL_TEXTS` texts."""
        raise NotImplementedError

    def _rows(self, reply: Mapping[str, Any]) -> Any:
        """Return a reply's vectors, one per text; raise KeyError or TypeError if there are none."""
        raise NotImplementedError

    def _tokens(self, reply: Mapping[str, Any], headers: Mapping[str, str], texts: Sequence[str]) -> int:
        """Return the billed tokens, from the reply or else estimated."""
        count = headers.get("x-amzn-bedrock-input-token-count")
        return int(count) if count else sum(self.count_tokens(texts))

    # ------------------------------------------------------------------------ LangChain's interface

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector per text, in order."""
        rows: list[list[float]] = self.vectors(texts).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """Return a question's vector."""
        [[(_, row)]] = self._embed([text], question=True)
        vector: list[float] = row.tolist()
        return vector

    # ------------------------------------------------------------------------------ rag's interface

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return the texts' vectors, ``(len(texts), dimensions)`` float32, in order."""
        only_strings("texts", texts)
        out = np.zeros((len(texts), self.dimensions), np.float32)
        for group in self.embed_each(texts):
            for position, vector in group:
                out[position] = vector
        return out

    def embed_each(self, texts: Sequence[str]) -> Iterator[list[tuple[int, Vectors]]]:
        """Embed texts, and yield their vectors as they arrive.

        Calls in progress and the group last yielded are together never more than `concurrency` calls.
        So a caller that stores each group before it requests the next one never pays for it again, and
        a crash loses at most `concurrency` calls.

        Parameters
        ----------
        texts : sequence of str
            Each of 1 to `MAX_CHARS` characters, not blank.

        Yields
        ------
        list of (int, ndarray)
            Positions in `texts`, and vectors ``(dimensions,)`` float32.

        Raises
        ------
        EmbeddingError
            A text is blank or too long, raised before any call; or a call failed permanently, raised
            after all vectors that were paid for.

        Examples
        --------
        >>> for group in TitanEmbeddings().embed_each(texts):            # doctest: +SKIP
        ...     store(group)
        """
        return self._embed(texts, question=False)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Estimate tokens, on the high side; the model's tokenizer is not public."""
        return estimate_all(texts, _ESTIMATED_AS)

    def request_body(self, text: str) -> dict[str, Any]:
        """Return InvokeModel's body for one document, also used in a batch job's lines."""
        self._check(0, text)
        return self._body([text], question=False)

    def read_vector(self, output: Mapping[str, Any]) -> Vectors:
        """Return the vector of the reply to `request_body`, ``(dimensions,)`` float32.

        Raises
        ------
        EmbeddingError
            It holds no vector, or one of another length, or numbers that are not finite.
        """
        row: Vectors = self._read(output, 1)[0]
        return row

    # ------------------------------------------------------------------------------------ the calls

    def _embed(self, texts: Sequence[str], *, question: bool) -> Generator[list[tuple[int, Vectors]]]:
        only_strings("texts", texts)
        pieces = [piece for at, text in enumerate(texts) for piece in self._pieces(at, text)]
        if not pieces:
            return
        if self._client is None:
            self._connect()
        calls = list(self._calls(pieces))
        billed: list[int] = []  # tokens of each answered call; several threads append to it
        dispatcher = Dispatcher(
            calls, lambda call: self._invoke([piece.text for piece in call], question, billed),
            self._limiter, concurrency=self.concurrency, patience=self._patience,
        )  # fmt: skip
        parts: dict[int, list[tuple[int, Vectors]]] = {}
        with paid_call(self.model, "embed", input_tokens=lambda: sum(self.count_tokens(texts))) as paid:
            try:
                with contextlib.closing(dispatcher.results()) as groups:
                    for results in groups:
                        pairs = [pair for call, rows in results for pair in zip(call, rows, strict=True)]
                        group = list(_complete(pairs, parts))
                        if group:
                            yield group
            except GivenUp as failure:
                cause = failure.__cause__ or failure
                raise EmbeddingError(f"{explain(cause, self.model)} ({failure})") from cause
            finally:
                paid.usage = Usage(sum(billed)) if billed else None

    def _calls(self, pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
        call: list[_Piece] = []
        chars = 0
        for piece in pieces:
            chars += len(piece.text)
            if call and (len(call) == self.CALL_TEXTS or chars > self.CALL_CHARS):
                yield call
                call, chars = [], len(piece.text)
            call.append(piece)
        yield call

    def _invoke(self, texts: Sequence[str], question: bool, billed: list[int]) -> Vectors:
        reply = self._client.invoke_model(
            modelId=self.model, body=json.dumps(self._body(texts, question=question)),
            accept="application/json", contentType="application/json",
        )  # fmt: skip
        headers = reply["ResponseMetadata"]["HTTPHeaders"]
        try:
            body: dict[str, Any] = json.loads(reply["body"].read())
        except ValueError as error:
            raise EmbeddingError(f"{self.model}: the reply is not JSON: retry") from error
        rows = self._read(body, len(texts))
        tokens = self._tokens(body, headers, texts)
        billed.append(tokens)
        with self._lock:
            self.input_tokens += tokens
        return rows

    def _read(self, reply: Mapping[str, Any], count: int) -> Vectors:
        try:
            rows = np.asarray(self._rows(reply), np.float32)
        except (KeyError, TypeError, ValueError, IndexError):
            rows = np.zeros(0, np.float32)
        if rows.shape != (count, self.dimensions) or not np.isfinite(rows).all():
            raise EmbeddingError(
                f"{self.model}: the reply does not hold {count} vectors of {self.dimensions} dimensions: "
                "check the model id"
            )
        return rows

    def _connect(self) -> None:
        with self._lock:
            if self._client is None:
                region, endpoint_url = self._endpoint
                self._client = make_client(
                    "bedrock-runtime", region=region, endpoint_url=endpoint_url, validate=False,
                    connections=self.concurrency, timeout_s=self._timeout_s,
                )  # fmt: skip

    # ------------------------------------------------------------------------------------ the texts

    def _pieces(self, position: int, text: str) -> list[_Piece]:
        if self.long == "refuse" or self._fits(text):
            self._check(position, text)
            return [_Piece(position, text)]
        parts = [part for part in self._parts(text) if part.strip()]
        self._check(position, "".join(parts[:1]))
        return [_Piece(position, part, len(parts)) for part in parts]

    def _check(self, position: int, text: str) -> None:
        if not text.strip():
            raise EmbeddingError(f"text {position} is blank: omit it")
        if not self._fits(text):
            raise EmbeddingError(
                f"text {position} ({text[:40]!r}…) has {len(text)} characters, about "
                f"{estimate_tokens(text, _ESTIMATED_AS)} tokens: "
                f"{self._title} takes up to {self.MAX_CHARS} characters and {self.MAX_TOKENS} tokens; "
                "configure smaller chunks, or set long = 'pool'"
            )

    def _fits(self, text: str) -> bool:
        # A character is at most four tokens, so most texts need no estimate.
        if len(text) > self.MAX_CHARS:
            return False
        return 4 * len(text) <= self.MAX_TOKENS or estimate_tokens(text, _ESTIMATED_AS) <= self.MAX_TOKENS

    def _parts(self, text: str) -> Iterator[str]:
        """Split a text that is too long between sentences if possible, else between words."""
        if self._fits(text):
            yield text
            return
        cut = middle = len(text) // 2
        for borders in ([start for start, _ in sentences(text)], [m.end() for m in _SPACE.finditer(text)]):
            central = [at for at in borders if 0.1 < at / len(text) < 0.9]
            if central:
                cut = min(central, key=lambda at: abs(at - middle))
                break
        yield from self._parts(text[:cut])
        yield from self._parts(text[cut:])


def _complete(
    arrived: Sequence[tuple[_Piece, Vectors]], parts: dict[int, list[tuple[int, Vectors]]]
) -> Iterator[tuple[int, Vectors]]:
    """Yield the vectors of complete texts; collect vectors of parts in `parts` until the last arrives."""
    for piece, row in arrived:
        if piece.parts == 1:
            yield piece.position, row
            continue
        collected = parts.setdefault(piece.position, [])
        collected.append((len(piece.text), row))
        if len(collected) == piece.parts:
            yield piece.position, _pooled(parts.pop(piece.position))


def _pooled(parts: Sequence[tuple[int, Vectors]]) -> Vectors:
    weights, rows = zip(*parts, strict=True)
    mean = np.average(np.stack(rows), axis=0, weights=weights)
    unit: Vectors = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
    return unit
