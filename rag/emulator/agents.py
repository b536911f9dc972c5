"""Answer Rerank with local scores, and Retrieve from indexes that stand for knowledge bases.

Filters follow the service's documentation where it differs from an index's filters: an attribute that
no document has is missing everywhere instead of an error, a value of another type equals nothing,
``notEquals`` also matches documents without the attribute, and ``notIn`` does not.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import functools
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rag.core.errors import RagError, WhereError
from rag.emulator import base_state
from rag.emulator.wire import Refusal, Reply, Request

if TYPE_CHECKING:
    from rag.core.passages import Hit
    from rag.index.filters.where import Where
    from rag.index.index import Index

#: Results of Rerank per page.
RERANK_PAGE = 100
#: Default number of results of Retrieve (bedrock-agent-runtime's API reference).
RESULTS = 5
SOURCE_KEY = "x-amz-bedrock-kb-source-uri"
PAGE_KEY = "x-amz-bedrock-kb-document-page-number"
CHUNK_KEY = "x-amz-bedrock-kb-chunk-id"
#: Types of value per operator (Bedrock User Guide, "Configure and customize queries", filter types).
_VALUES: dict[str, tuple[type, ...]] = {
    "equals": (str, int, float, bool), "notEquals": (str, int, float, bool), "in": (list,), "notIn": (list,),
    "startsWith": (str,), "stringContains": (str,), "listContains": (str,),
    **dict.fromkeys(("greaterThan", "greaterThanOrEquals", "lessThan", "lessThanOrEquals"), (int, float)),
}  # fmt: skip


class KnowledgeBases(Protocol):
    """The state of an emulator that Retrieve uses."""

    @property
    def knowledge_bases(self) -> Mapping[str, str | Path]:
        """Ids of knowledge bases, and the folders of their indexes."""

    @property
    def bases(self) -> base_state.KnowledgeBases:
        """The knowledge bases that were created here; without an index until something is ingested."""


# ---------------------------------------------------------------------- Rerank


def rerank(emulator: object, request: Request) -> Reply:
    """Answer Rerank: the mean of the static model's cosine and the rarity-weighted share of query words.

    The scores have a reranker's form, not its quality: they rank worse than `rag`'s hybrid search.
    """
    params = request.params
    settings = params["rerankingConfiguration"]["bedrockRerankingConfiguration"]
    _check_reranker(settings["modelConfiguration"]["modelArn"])
    query = params["queries"][0]["textQuery"].get("text", "")
    texts = [_text(source["inlineDocumentSource"]) for source in params["sources"]]
    # RerankDocument: its type names the member that is set.
    for place, source in enumerate(params["sources"]):
        inline = source["inlineDocumentSource"]
        member = "jsonDocument" if inline["type"] == "JSON" else "textDocument"
        if member not in inline:
            raise _invalid(f"sources[{place}].inlineDocumentSource: type {inline['type']} needs {member}.")
    if not query.strip() or not all(text.strip() for text in texts):
        raise _invalid("The query and every source must hold text.")
    scores = relevance(query, texts)
    order = sorted(range(len(texts)), key=lambda place: (-scores[place], place))
    order = order[: settings.get("numberOfResults", len(order))]
    start = _offset(params.get("nextToken"))
    page = order[start : start + RERANK_PAGE]
    results = [{"index": place, "relevanceScore": scores[place]} for place in page]
    return _page({"results": results}, start + RERANK_PAGE, len(order))


def _check_reranker(model: str) -> None:
    if "rerank" not in model:
        raise _invalid(f"The model {model} is not a reranker.")


def relevance(query: str, texts: Sequence[str]) -> list[float]:
    """Return the relevance of every text to a query, in [0, 1]; equal in every process."""
    from rag.embedding.static import StaticEmbeddings

    vectors = np.asarray(StaticEmbeddings().embed_documents([query, *texts]))
    cosines = np.clip(vectors[1:] @ vectors[0], 0.0, 1.0).tolist()
    query_words, text_words = _stems(query), [_stems(text) for text in texts]
    rarity = {
        word: math.log(1 + len(texts) / (1 + sum(word in words for words in text_words)))
        for word in query_words
    }
    total = sum(rarity.values()) or 1.0
    shares = [sum(rarity[word] for word in query_words & words) / total for words in text_words]
    return [round((cosine + share) / 2, 6) for cosine, share in zip(cosines, shares, strict=True)]


def _text(source: Mapping[str, Any]) -> str:
    if source["type"] == "JSON":
        return json.dumps(source.get("jsonDocument"), ensure_ascii=False)
    return str(source.get("textDocument", {}).get("text", ""))


def _stems(text: str) -> set[str]:
    import Stemmer

    return set(Stemmer.Stemmer("english").stemWords(re.findall(r"\w+", text.lower())))


# ---------------------------------------------------------------------- Retrieve


def retrieve(emulator: KnowledgeBases, request: Request) -> Reply:
    """Answer Retrieve from the knowledge base's index."""
    params = request.params
    query = params["retrievalQuery"].get("text", "")
    if not query.strip():
        raise _invalid("The retrieval query must hold text: the emulator does not search by image.")
    start = _offset(params.get("nextToken"))
    results, end, of = search(
        emulator, params["knowledgeBaseId"], query, params.get("retrievalConfiguration", {}), start
    )
    return _page({"retrievalResults": results, "guardrailAction": "NONE"}, end, of)


def search(
    emulator: KnowledgeBases, base: str, query: str, configuration: Mapping[str, Any], start: int = 0
) -> tuple[list[dict[str, Any]], int, int]:
    """Return results from a place in the ranking on, where they end, and how many are known of.

    Raises
    ------
    Refusal
        There is no such knowledge base, or the filter or a setting is refused.
    """
    name = base.rsplit("/", 1)[-1]
    folder, settings = emulator.knowledge_bases.get(name), _settings(configuration)
    if folder is None:
        if name not in emulator.bases.known:
            raise Refusal("ResourceNotFoundException", f"Knowledge Base with id {name} does not exist")
        return [], start, start
    index = _index(Path(folder))
    place = _place(index, name)
    where = settings.get("filter")
    bound = None if where is None else _filter(where, index, place)
    count = settings.get("numberOfResults", RESULTS)
    mode = "dense" if settings.get("overrideSearchType") == "SEMANTIC" else "hybrid"
    mode = mode if index.embedder is not None else "lexical"
    hits = index.search(query, start + count + 1, where=bound, mode=mode, spread=False)  # type: ignore[arg-type]
    results = [_result(hit, place) for hit in hits[start : start + count]]
    return _reranked(results, query, settings), start + count, len(hits)


def _reranked(results: list[dict[str, Any]], query: str, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return results in the order of a reranker, if the settings name one."""
    reranking = settings.get("rerankingConfiguration", {}).get("bedrockRerankingConfiguration")
    if reranking is None or not results:
        return results
    _check_reranker(reranking["modelConfiguration"]["modelArn"])
    scores = relevance(query, [result["content"]["text"] for result in results])
    scored = [{**result, "score": score} for result, score in zip(results, scores, strict=True)]
    scored.sort(key=lambda result: -float(result["score"]))
    return scored[: reranking.get("numberOfRerankedResults", len(scored))]


def _settings(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    kinds = ("vectorSearchConfiguration", "managedSearchConfiguration")
    settings: Mapping[str, Any] = next((configuration[kind] for kind in kinds if configuration.get(kind)), {})
    if "implicitFilterConfiguration" in settings:
        raise _invalid("The emulator does not support implicitFilterConfiguration.")
    return settings


def _index(folder: Path) -> Index:
    from rag.index.storage.manifest import current_version

    try:
        return _opened(folder, current_version(folder))
    except RagError as error:
        raise Refusal("DependencyFailedException", f"The knowledge base's index: {error}") from None


@functools.lru_cache(maxsize=8)
def _opened(folder: Path, version: int | None) -> Index:
    """Open a version of an index once; one with a paid embedder is searched lexically only."""
    from rag.embedding.local import LocalEmbeddings
    from rag.embedding.static import StaticEmbeddings
    from rag.index.index import Index

    index = Index.open(folder, version=version)
    embedder = {"local": LocalEmbeddings, "static": StaticEmbeddings}.get(index.manifest.embedder.name)
    index.embedder = embedder() if embedder is not None else None
    return index


def _place(index: Index, name: str) -> str:
    """Return the S3 prefix of the documents: the one they were read from, or one named like the base."""
    root = index.manifest.root
    if root.startswith("s3://"):
        return root if root.endswith("/") or root.count("/") < 3 else f"{root}/"
    return f"s3://{name.lower()}/"


def _below(place: str) -> str:
    return place if place.endswith("/") else f"{place}/"


def _result(hit: Hit, place: str) -> dict[str, Any]:
    uri = _below(place) + hit.source
    reserved = {SOURCE_KEY: uri, CHUNK_KEY: hit.chunk_id}
    page = {PAGE_KEY: float(hit.page_start)} if hit.page_start is not None else {}
    return {
        "content": {"type": "TEXT", "text": hit.text},
        "location": {"type": "S3", "s3Location": {"uri": uri}},
        "score": float(hit.score),
        "metadata": {**{key: _plain(value) for key, value in hit.metadata.items()}, **reserved, **page},
    }  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple | list) else value


# ---------------------------------------------------------------------- filters


def _filter(retrieval_filter: Mapping[str, Any], index: Index, place: str) -> Where:
    """Convert a RetrievalFilter to one of the index; refuse what the service refuses."""
    from rag.index.filters.where import And, Or

    if len(retrieval_filter) != 1:
        raise _invalid("A filter must have exactly one operator.")
    ((operator, body),) = retrieval_filter.items()
    if operator in ("andAll", "orAll"):
        parts = tuple(_filter(part, index, place) for part in body)
        return And(parts) if operator == "andAll" else Or(parts)
    key, value = body["key"], body["value"]
    if not _takes(operator, value):
        raise _invalid(f"The value of {operator} for the key {key} is of the wrong type: {value!r}")
    if key == SOURCE_KEY:
        return _test("source", *_relative(operator, value, _below(place)), index)
    if key == PAGE_KEY:
        return _test("page_start", operator, value, index)
    if key not in index.manifest.schema:  # missing in every document
        return _constant(operator == "notEquals")
    return _test(key, operator, value, index)


def _takes(operator: str, value: Any) -> bool:
    if isinstance(value, bool):
        return bool in _VALUES[operator]
    if isinstance(value, list):
        return list in _VALUES[operator] and bool(value) and all(isinstance(item, str) for item in value)
    return isinstance(value, _VALUES[operator])


def _relative(operator: str, value: Any, place: str) -> tuple[str, Any]:
    """Convert a test of URIs to one of sources; a URI outside this prefix equals no source."""
    if isinstance(value, list):
        return operator, [str(item).removeprefix(place) for item in value]
    if operator == "startsWith" and place.startswith(value):
        return operator, ""
    return operator, str(value).removeprefix(place)


def _test(key: str, operator: str, value: Any, index: Index) -> Where:
    from rag.index.filters.parse import parse
    from rag.index.filters.where import Test

    try:
        return index.check(parse({operator: {"key": key, "value": value}}))
    except WhereError:  # a value of another type equals nothing
        return Test(key, "exists") if operator == "notIn" else _constant(operator == "notEquals")


def _constant(matches: bool) -> Where:
    from rag.index.filters.where import And, Or

    return And(()) if matches else Or(())


# ---------------------------------------------------------------------- pages


def _page(body: dict[str, Any], end: int, of: int) -> Reply:
    token = {"nextToken": base64.urlsafe_b64encode(f"from:{end}".encode()).decode()} if end < of else {}
    return Reply({**body, **token})


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("from:"))
    except (ValueError, binascii.Error):
        raise _invalid("The nextToken is not valid.") from None


def _invalid(message: str) -> Refusal:
    return Refusal("ValidationException", message)
