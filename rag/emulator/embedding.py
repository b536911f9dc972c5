"""InvokeModel of embedding models: Titan, Cohere and Nova in their own JSON, vectors of the static model.

Wire forms and limits: Amazon Bedrock User Guide, "Amazon Titan Text Embeddings", "Cohere Embed v3" and
"v4"; Amazon Nova User Guide, "Complete embeddings request and response schema" (read November 2026).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rag.emulator.wire import Refusal, Reply, Request
from rag.usage.tokens import estimate_tokens

if TYPE_CHECKING:
    from rag.emulator.server import Emulator

#: The length of a vector that is not to be normalised.
LENGTH = 10.0
#: No tokenizer of these models is public; an earlier Claude's takes no fewer (`rag.bedrock.embeddings.base`).
_LIKE = "anthropic.claude-3-haiku-20240307-v1:0"
_COHERE_TYPES = ("float", "int8", "uint8", "binary", "ubinary")


@dataclass(frozen=True, slots=True)
class Embedded:
    """An answer: its JSON, as bytes, and the tokens that were read."""

    body: bytes
    tokens: int


def invoke_model(emulator: Emulator, request: Request) -> Reply:
    """Answer InvokeModel."""
    made = embed(str(request.params["modelId"]), request.body)
    return Reply(made.body, headers={
        "X-Amzn-Bedrock-Input-Token-Count": str(made.tokens),
        "X-Amzn-Bedrock-Invocation-Latency": "1",
    })  # fmt: skip


def tokens_of(request: Request) -> int:
    """Return what a call asks of the quota of tokens."""
    try:
        return embed(str(request.params["modelId"]), request.body).tokens
    except Refusal:
        return 0


def embed(model: str, body: bytes) -> Embedded:
    """Answer the body of an InvokeModel call (of a batch job's line, too).

    Parameters
    ----------
    model : str
        Id, inference profile or ARN.
    body : bytes
        The model's own JSON.

    Raises
    ------
    Refusal
        ``ValidationException``, as Bedrock says it.

    Examples
    --------
    >>> made = embed("amazon.titan-embed-text-v2:0", b'{"inputText": "SEV-1", "dimensions": 256}')
    >>> len(json.loads(made.body)["embedding"])
    256
    """
    for name, answer in _MODELS.items():
        if name in model:
            try:
                given = json.loads(body)
            except ValueError:
                raise _malformed("Unexpected character: it is not JSON") from None
            if not isinstance(given, dict):
                raise _malformed("#: expected type: JSONObject")
            return answer(model, given)
    raise Refusal(
        "ValidationException",
        f"The provided model identifier is invalid: {model!r}: the emulator's InvokeModel has "
        f"{', '.join(_MODELS)}; use Converse for chat models",
    )


def vectors(texts: Sequence[str], dimensions: int) -> npt.NDArray[np.float32]:
    """Return a unit vector per text, ``(len(texts), dimensions)`` float32.

    They are those of the static model, turned by a fixed matrix with orthonormal columns, so that
    cosines stay as they are. A text without known tokens has a vector of its own.
    """
    rows: npt.NDArray[np.float32] = np.stack([_static(text) for text in texts]) @ _turned(dimensions)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


@lru_cache(maxsize=20_000)
def _static(text: str) -> npt.NDArray[np.float32]:
    row: npt.NDArray[np.float32] = _static_model().vectors([text])[0]
    if row.any():
        return row
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big")).normal(size=row.size).astype(np.float32)


@lru_cache(maxsize=1)
def _static_model() -> Any:
    from rag.embedding.static import StaticEmbeddings

    return StaticEmbeddings()


@lru_cache(maxsize=16)
def _turned(dimensions: int) -> npt.NDArray[np.float32]:
    """Return the matrix from 256 dimensions to `dimensions`, at least 256, of orthonormal rows."""
    drawn = np.random.default_rng(dimensions).normal(size=(dimensions, 256))
    return np.linalg.qr(drawn)[0].T.astype(np.float32)


def _titan(model: str, given: Mapping[str, Any]) -> Embedded:
    second = "embed-text-v2" in model
    optional = {"dimensions": int, "normalize": bool, "embeddingTypes": list} if second else {}
    _check_fields(given, {"inputText": str}, optional)
    text = given["inputText"]
    dimensions = given.get("dimensions", 1024) if second else 1536
    if second and dimensions not in (256, 512, 1024):
        raise _malformed(f"#/dimensions: {dimensions} is not a valid enum value")
    kinds = given.get("embeddingTypes", ["float"])
    if not kinds or any(kind not in ("float", "binary") for kind in kinds):
        raise _malformed(f"#/embeddingTypes: {json.dumps(kinds)}: each is float or binary")
    tokens = _within(text, "#/inputText", chars=50_000, tokens=8_192)
    normal = given.get("normalize", second)
    return Embedded(_titan_body(text, dimensions, normal, tuple(sorted(set(kinds))), tokens), tokens)


@lru_cache(maxsize=512)
def _titan_body(text: str, dimensions: int, normal: bool, kinds: tuple[str, ...], tokens: int) -> bytes:
    row = vectors([text], dimensions)[0] * np.float32(1.0 if normal else LENGTH)
    floats = _numbers(row)
    by_type = [f'"binary":{_bits(row)}'] if "binary" in kinds else []
    by_type += [f'"float":{floats}'] if "float" in kinds else []
    return (
        f'{{"embedding":{floats},"embeddingsByType":{{{",".join(by_type)}}},"inputTextTokenCount":{tokens}}}'
    ).encode()


def _cohere(model: str, given: Mapping[str, Any]) -> Embedded:
    fourth = "embed-v4" in model
    optional: dict[str, type] = {"truncate": str, "embedding_types": list}
    if fourth:
        optional |= {"output_dimension": int, "max_tokens": int}
    _check_fields(given, {"texts": list, "input_type": str}, optional)
    texts = given["texts"]
    if not 1 <= len(texts) <= 96:
        raise _malformed(f"#/texts: expected 1 to 96 items, found {len(texts)}")
    _one_of(given, "input_type", ("search_document", "search_query", "classification", "clustering"))
    _one_of(given, "truncate", ("NONE", "LEFT", "RIGHT") if fourth else ("NONE", "START", "END"))
    _one_of(given, "output_dimension", (256, 512, 1024, 1536))
    kinds = given.get("embedding_types", [])
    if any(kind not in _COHERE_TYPES for kind in kinds):
        raise _malformed(f"#/embedding_types: {json.dumps(kinds)}: each is one of {', '.join(_COHERE_TYPES)}")
    cut = given.get("truncate", "NONE") != "NONE"
    chars, tokens = (2_000_000, given.get("max_tokens", 128_000)) if fourth else (2048, 2048)
    counts = [
        _within(text, f"#/texts/{n}", chars=chars, tokens=tokens, cut=cut) for n, text in enumerate(texts)
    ]
    rows = vectors(texts, given.get("output_dimension", 1536) if fourth else 1024)
    listed = {kind: f"[{','.join(_cohere_row(row, kind) for row in rows)}]" for kind in kinds or ["float"]}
    made = f"{{{','.join(f'{json.dumps(kind)}:{found}' for kind, found in listed.items())}}}"
    digest = hashlib.blake2b(json.dumps(texts).encode(), digest_size=16).hexdigest()
    body = (
        f'{{"id":"{digest}","embeddings":{made if kinds else listed["float"]},'
        f'"response_type":"{"embeddings_by_type" if kinds else "embeddings_floats"}",'
        f'"texts":{json.dumps(texts)}}}'
    )
    return Embedded(body.encode(), sum(counts))


def _cohere_row(row: npt.NDArray[np.float32], kind: str) -> str:
    if kind == "float":
        return _numbers(row)
    if "binary" in kind:  # eight signs in a byte
        packed = np.packbits(row > 0)
        return json.dumps((packed if kind == "ubinary" else packed.view(np.int8)).tolist())
    levels = np.clip(np.rint(row * 127 / np.abs(row).max()), -128, 127).astype(int)
    return json.dumps((levels + (128 if kind == "uint8" else 0)).tolist())


def _nova(model: str, given: Mapping[str, Any]) -> Embedded:
    _check_fields(given, {"taskType": str, "singleEmbeddingParams": dict}, {"schemaVersion": str})
    _one_of(given, "taskType", ("SINGLE_EMBEDDING",))
    _one_of(given, "schemaVersion", ("nova-multimodal-embed-v1",))
    params = given["singleEmbeddingParams"]
    where = "#/singleEmbeddingParams"
    _check_fields(params, {"embeddingPurpose": str, "text": dict}, {"embeddingDimension": int}, where)
    _one_of(params, "embeddingPurpose", (
        "GENERIC_INDEX", "GENERIC_RETRIEVAL", "TEXT_RETRIEVAL", "IMAGE_RETRIEVAL", "VIDEO_RETRIEVAL",
        "DOCUMENT_RETRIEVAL", "AUDIO_RETRIEVAL", "CLASSIFICATION", "CLUSTERING",
    ), where)  # fmt: skip
    _one_of(params, "embeddingDimension", (256, 384, 1024, 3072), where)
    _check_fields(params["text"], {"truncationMode": str, "value": str}, {}, f"{where}/text")
    _one_of(params["text"], "truncationMode", ("START", "END", "NONE"), f"{where}/text")
    text = params["text"]["value"]
    cut = params["text"]["truncationMode"] != "NONE"
    tokens = _within(text, f"{where}/text/value", chars=50_000, tokens=8_192, cut=cut)
    row = vectors([text], params.get("embeddingDimension", 3072))[0]
    body = f'{{"embeddings":[{{"embeddingType":"TEXT","embedding":{_numbers(row)}}}]}}'
    return Embedded(body.encode(), tokens)


#: Parts of model ids and who answers them, in this order.
_MODELS: dict[str, Callable[[str, Mapping[str, Any]], Embedded]] = {
    "titan-embed-text": _titan, "cohere.embed": _cohere, "nova-2-multimodal-embeddings": _nova,
}  # fmt: skip


def _malformed(what: str) -> Refusal:
    return Refusal(
        "ValidationException",
        f"Malformed input request: {what}, please reformat your input and try again.",
    )


def _check_fields(
    given: Mapping[str, Any], needed: Mapping[str, type], optional: Mapping[str, type], where: str = "#"
) -> None:
    """Refuse missing and unknown fields, and wrong types."""
    for name in needed:
        if name not in given:
            raise _malformed(f"{where}: required key [{name}] not found")
    for name, value in given.items():
        kind = needed.get(name) or optional.get(name)
        if kind is None:
            raise _malformed(f"{where}: extraneous key [{name}] is not permitted")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise _malformed(f"{where}/{name}: expected type: {kind.__name__}, found: {type(value).__name__}")


def _one_of(given: Mapping[str, Any], name: str, allowed: tuple[Any, ...], where: str = "#") -> None:
    if name in given and given[name] not in allowed:
        raise _malformed(f"{where}/{name}: {given[name]} is not a valid enum value")


def _within(text: Any, where: str, *, chars: int, tokens: int, cut: bool = False) -> int:
    """Return a text's tokens; refuse what is empty or over the limit, unless it is to be cut."""
    if not isinstance(text, str) or not text:
        raise _malformed(f"{where}: expected minLength: 1, actual: 0")
    if len(text) > chars and not cut:
        raise Refusal(
            "ValidationException",
            f"400 Bad Request: Too many input characters at {where}. Max input characters: {chars}, "
            f"request input character count: {len(text)}",
        )
    count = _count(text)
    if count > tokens and not cut:
        raise Refusal(
            "ValidationException",
            f"400 Bad Request: Too many input tokens at {where}. Max input tokens: {tokens}, "
            f"request input token count: {count}",
        )
    return min(count, tokens)


@lru_cache(maxsize=20_000)
def _count(text: str) -> int:
    return estimate_tokens(text, _LIKE)


def _numbers(row: npt.NDArray[np.float32]) -> str:
    """Return a JSON list: eight digits after the point are all that a float32 of a unit vector has."""
    return f"[{_format(row.size) % tuple(row.tolist())}]"


@lru_cache(maxsize=16)
def _format(size: int) -> str:
    return ",".join(["%.8f"] * size)


def _bits(row: npt.NDArray[np.float32]) -> str:
    return json.dumps((row > 0).astype(int).tolist(), separators=(",", ":"))
