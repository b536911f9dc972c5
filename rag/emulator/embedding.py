"""Answer InvokeModel of Titan, Cohere and Nova embedding models, with vectors of the static model.

Wire forms and limits: Amazon Bedrock User Guide, "Amazon Titan Text Embeddings", "Cohere Embed v3" and
"v4"; Amazon Nova User Guide, "Complete embeddings request and response schema" (read November 2026).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.emulator.wire import Refusal, Reply, Request
from rag.usage.tokens import estimate_tokens

#: Length of vectors that are not normalised.
LENGTH = 10.0
#: No tokenizer of these models is public; that of an earlier Claude counts no fewer tokens
#: (`rag.bedrock.embeddings.base`).
_LIKE = "anthropic.claude-3-haiku-20240307-v1:0"
_COHERE_TYPES = ("float", "int8", "uint8", "binary", "ubinary")


@dataclass(frozen=True, slots=True)
class Embedded:
    """The response body, as JSON bytes, and the input tokens."""

    body: bytes
    tokens: int


def invoke_model(emulator: object, request: Request) -> Reply:
    """Answer InvokeModel; no state of the emulator is used."""
    embedded = embed(str(request.params["modelId"]), request.body)
    return Reply(embedded.body, headers={
        "X-Amzn-Bedrock-Input-Token-Count": str(embedded.tokens),
        "X-Amzn-Bedrock-Invocation-Latency": "1",
    })  # fmt: skip


def tokens_of(request: Request) -> int:
    """Return a call's share of the token quota."""
    try:
        return embed(str(request.params["modelId"]), request.body).tokens
    except Refusal:
        return 0


def embed(model: str, body: bytes) -> Embedded:
    """Answer the body of an InvokeModel call, or a line of a batch job.

    Parameters
    ----------
    model : str
        Id, inference profile or ARN.
    body : bytes
        JSON in the model's schema.

    Raises
    ------
    Refusal
        ``ValidationException``, with Bedrock's wording.

    Examples
    --------
    >>> response = embed("amazon.titan-embed-text-v2:0", b'{"inputText": "SEV-1", "dimensions": 256}')
    >>> len(json.loads(response.body)["embedding"])
    256
    """
    for name, answer in _MODELS.items():
        if name in model:
            try:
                params = json.loads(body)
            except ValueError:
                raise _malformed("Unexpected character: it is not JSON") from None
            if not isinstance(params, dict):
                raise _malformed("#: expected type: JSONObject")
            return answer(model, params)
    raise Refusal(
        "ValidationException",
        f"The provided model identifier is invalid: {model!r}: the emulator's InvokeModel supports "
        f"{', '.join(_MODELS)}; use Converse for chat models",
    )


def vectors(texts: Sequence[str], dimensions: int) -> npt.NDArray[np.float32]:
    """Return unit vectors of texts, ``(len(texts), dimensions)`` float32.

    A fixed matrix with orthonormal rows maps the static model's vectors to `dimensions`, which keeps
    their cosines. A text without known tokens gets a pseudo-random vector seeded by its hash.
    """
    rows: npt.NDArray[np.float32] = np.stack([_static(text) for text in texts]) @ _projection(dimensions)
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
def _projection(dimensions: int) -> npt.NDArray[np.float32]:
    """Return the ``(256, dimensions)`` matrix of orthonormal rows; `dimensions` is at least 256."""
    drawn = np.random.default_rng(dimensions).normal(size=(dimensions, 256))
    return np.linalg.qr(drawn)[0].T.astype(np.float32)


def _titan(model: str, params: Mapping[str, Any]) -> Embedded:
    second = "embed-text-v2" in model
    optional = {"dimensions": int, "normalize": bool, "embeddingTypes": list} if second else {}
    _check_fields(params, {"inputText": str}, optional)
    text = params["inputText"]
    dimensions = params.get("dimensions", 1024) if second else 1536
    if second and dimensions not in (256, 512, 1024):
        raise _malformed(f"#/dimensions: {dimensions} is not a valid enum value")
    kinds = params.get("embeddingTypes", ["float"])
    if not kinds or any(kind not in ("float", "binary") for kind in kinds):
        raise _malformed(f"#/embeddingTypes: {json.dumps(kinds)}: each is float or binary")
    tokens = _within(text, "#/inputText", chars=50_000, tokens=8_192)
    normal = params.get("normalize", second)
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


def _cohere(model: str, params: Mapping[str, Any]) -> Embedded:
    fourth = "embed-v4" in model
    optional: dict[str, type] = {"truncate": str, "embedding_types": list}
    if fourth:
        optional |= {"output_dimension": int, "max_tokens": int}
    _check_fields(params, {"texts": list, "input_type": str}, optional)
    texts = params["texts"]
    if not 1 <= len(texts) <= 96:
        raise _malformed(f"#/texts: expected 1 to 96 items, found {len(texts)}")
    _one_of(params, "input_type", ("search_document", "search_query", "classification", "clustering"))
    _one_of(params, "truncate", ("NONE", "LEFT", "RIGHT") if fourth else ("NONE", "START", "END"))
    _one_of(params, "output_dimension", (256, 512, 1024, 1536))
    kinds = params.get("embedding_types", [])
    if any(kind not in _COHERE_TYPES for kind in kinds):
        raise _malformed(f"#/embedding_types: {json.dumps(kinds)}: each is one of {', '.join(_COHERE_TYPES)}")
    cut = params.get("truncate", "NONE") != "NONE"
    chars, tokens = (2_000_000, params.get("max_tokens", 128_000)) if fourth else (2048, 2048)
    counts = [
        _within(text, f"#/texts/{n}", chars=chars, tokens=tokens, cut=cut) for n, text in enumerate(texts)
    ]
    rows = vectors(texts, params.get("output_dimension", 1536) if fourth else 1024)
    listed = {kind: f"[{','.join(_cohere_row(row, kind) for row in rows)}]" for kind in kinds or ["float"]}
    by_type = f"{{{','.join(f'{json.dumps(kind)}:{array}' for kind, array in listed.items())}}}"
    digest = hashlib.blake2b(json.dumps(texts).encode(), digest_size=16).hexdigest()
    body = (
        f'{{"id":"{digest}","embeddings":{by_type if kinds else listed["float"]},'
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


def _nova(model: str, params: Mapping[str, Any]) -> Embedded:
    _check_fields(params, {"taskType": str, "singleEmbeddingParams": dict}, {"schemaVersion": str})
    _one_of(params, "taskType", ("SINGLE_EMBEDDING",))
    _one_of(params, "schemaVersion", ("nova-multimodal-embed-v1",))
    single = params["singleEmbeddingParams"]
    where = "#/singleEmbeddingParams"
    _check_fields(single, {"embeddingPurpose": str, "text": dict}, {"embeddingDimension": int}, where)
    _one_of(single, "embeddingPurpose", (
        "GENERIC_INDEX", "GENERIC_RETRIEVAL", "TEXT_RETRIEVAL", "IMAGE_RETRIEVAL", "VIDEO_RETRIEVAL",
        "DOCUMENT_RETRIEVAL", "AUDIO_RETRIEVAL", "CLASSIFICATION", "CLUSTERING",
    ), where)  # fmt: skip
    _one_of(single, "embeddingDimension", (256, 384, 1024, 3072), where)
    _check_fields(single["text"], {"truncationMode": str, "value": str}, {}, f"{where}/text")
    _one_of(single["text"], "truncationMode", ("START", "END", "NONE"), f"{where}/text")
    text = single["text"]["value"]
    cut = single["text"]["truncationMode"] != "NONE"
    tokens = _within(text, f"{where}/text/value", chars=50_000, tokens=8_192, cut=cut)
    row = vectors([text], single.get("embeddingDimension", 3072))[0]
    body = f'{{"embeddings":[{{"embeddingType":"TEXT","embedding":{_numbers(row)}}}]}}'
    return Embedded(body.encode(), tokens)


#: Parts of model ids and the functions that answer them, in this order.
_MODELS: dict[str, Callable[[str, Mapping[str, Any]], Embedded]] = {
    "titan-embed-text": _titan, "cohere.embed": _cohere, "nova-2-multimodal-embeddings": _nova,
}  # fmt: skip


def _malformed(what: str) -> Refusal:
    return Refusal(
        "ValidationException",
        f"Malformed input request: {what}, please reformat your input and try again.",
    )


def _check_fields(
    params: Mapping[str, Any], needed: Mapping[str, type], optional: Mapping[str, type], where: str = "#"
) -> None:
    """Refuse missing and unknown fields, and wrong types."""
    for name in needed:
        if name not in params:
            raise _malformed(f"{where}: required key [{name}] not found")
    for name, value in params.items():
        kind = needed.get(name) or optional.get(name)
        if kind is None:
            raise _malformed(f"{where}: extraneous key [{name}] is not permitted")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise _malformed(f"{where}/{name}: expected type: {kind.__name__}, found: {type(value).__name__}")


def _one_of(params: Mapping[str, Any], name: str, allowed: tuple[Any, ...], where: str = "#") -> None:
    if name in params and params[name] not in allowed:
        raise _malformed(f"{where}/{name}: {params[name]} is not a valid enum value")


def _within(text: Any, where: str, *, chars: int, tokens: int, cut: bool = False) -> int:
    """Return a text's tokens; refuse an empty text, and one over a limit unless `cut`."""
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
    """Return a JSON list with eight decimals, the precision of float32 in a unit vector."""
    return f"[{_format(row.size) % tuple(row.tolist())}]"


@lru_cache(maxsize=16)
def _format(size: int) -> str:
    return ",".join(["%.8f"] * size)


def _bits(row: npt.NDArray[np.float32]) -> str:
    return json.dumps((row > 0).astype(int).tolist(), separators=(",", ":"))
