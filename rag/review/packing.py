"""Answers as the bytes that a store of the review queue keeps, and what tells them apart."""

from __future__ import annotations

import hashlib
import json
import zlib

from rag.core.answers import Answer
from rag.core.errors import RagError

#: The most that an answer may be unpacked to: a store that others write to cannot fill the memory.
_MOST_BYTES = 64 << 20


def fingerprint_of(answer: Answer, where: str | None, tenant: str) -> str:
    """Return what is equal for equal answers to equal questions, whether made anew or given again.

    It does not hold the index's version: an answer that outlives a version is queued once.
    """
    passages = [(hit.source, hit.start, hit.end, hit.text) for hit in answer.context.hits]
    values = [
        " ".join(answer.question.split()), where, tenant, answer.text, answer.generator, answer.prompt,
        answer.prompt_hash, passages,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def pack(answer: Answer) -> bytes:
    """Return an answer for a store: compressed JSON, never a pickle.

    Values that JSON does not have, such as a tool's arguments of a type of its own, are kept as text.
    """
    text = json.dumps(answer.to_dict(), ensure_ascii=False, default=str)
    return zlib.compress(text.encode(errors="surrogatepass"))


def unpack(data: bytes) -> Answer:
    """Read an answer.

    Raises
    ------
    RagError
        It is damaged.
    """
    try:
        text = zlib.decompressobj().decompress(data, _MOST_BYTES).decode(errors="surrogatepass")
        return Answer.from_dict(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise RagError(
            f"an answer of the review queue is damaged ({type(error).__name__}: {error})"
        ) from None
