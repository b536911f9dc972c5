"""An Amazon Bedrock knowledge base as a retriever, behind the interface of `rag`'s own.

langchain_aws' AmazonKnowledgeBasesRetriever has neither filters by question nor pages nor tries, so this
one calls Retrieve itself.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, PrivateAttr

from rag.bedrock.runtime.agent_runtime import AgentRuntime
from rag.bedrock.search.passage_locator import Texts
from rag.core.errors import UsageError, WhereError
from rag.core.passages import RESERVED, Hit

#: Limits of Retrieve (botocore 1.44.5's model of bedrock-agent-runtime): results of a call, characters
#: of the question and of a filter's key.
MAX_RESULTS = 100
MAX_CHARS = 20_000
MAX_KEY = 100
SOURCE_KEY = "x-amz-bedrock-kb-source-uri"
PAGE_KEY = "x-amz-bedrock-kb-document-page-number"
CHUNK_KEY = "x-amz-bedrock-kb-chunk-id"
#: Says of a passage that it was not found in the index, so that its offsets mean nothing.
PLACED = "placed"

_SEARCH = {"hybrid": "HYBRID", "dense": "SEMANTIC"}
#: Names that are ours in a document's metadata; a user's attribute of such a name gets a ``_``.
_OWN = (*RESERVED, "score", "dense", "lexical", PLACED)
_ORDERED = ("greaterThan", "greaterThanOrEquals", "lessThan", "lessThanOrEquals")


class KnowledgeBaseRetriever(BaseRetriever, AgentRuntime):
    """Passages of a knowledge base, with the sources, and where there is an index the offsets, of `rag`.

    A passage's source is the key of its S3 object below `prefix` (of another data source its URL or
    id), so that it equals that of an index built from the same bucket. With `index` its text is
    looked up in that index, white space aside: a passage that is found there has offsets, pages and
    section, and its citations and evaluation are as exact as the index's own; one that is not has
    none, and ``placed: False`` in its metadata. Passages without text (images) are left out.

    AWS bills the embedding of each question, and the vector store, to the account; Retrieve's reply
    says nothing of it, so neither do we.

    Parameters
    ----------
    knowledge_base_id : str
        Or its ARN.
    index : Index, optional
        Of the same documents; the pipeline's own.
    k : int
        Passages to return; up to 100 are one call.
    mode : {"hybrid", "dense"}, optional
        By default as the knowledge base chooses.
    where : Where, str or dict, optional
        A filter for every question; a question's own is added to it with "and". It needs the
        attributes of the documents' sidecars: fields that `rag` finds by itself, such as
        ``file_mime``, are not there. ``source`` needs an ``s3://`` prefix. Knowledge Bases orders
        numbers only, and has no word for some filters; these are refused.
    prefix : str
        ``s3://bucket/path/`` or ``path/``: what to take off the front of the objects' keys.
    managed : bool
        Whether the knowledge base is one of type MANAGED, which chooses its search itself.
    region, endpoint_url, timeout_s, retry, client
        As `rag.bedrock.runtime.agent_runtime.AgentRuntime` has them.

    Examples
    --------
    >>> found = KnowledgeBaseRetriever(knowledge_base_id="ABCDEFGHIJ", prefix="s3://handbook/")
    >>> found.invoke("how long do we keep CVs?", where="year >= 2024", k=8)      # doctest: +SKIP
    """

    knowledge_base_id: str
    index: Any = Field(default=None, exclude=True)
    k: int = Field(default=MAX_RESULTS, ge=1)
    mode: Literal["hybrid", "dense"] | None = None
    where: Any = None
    prefix: str = ""
    managed: bool = False

    _texts: Texts | None = PrivateAttr(default=None)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        where: Any = None,
        k: int | None = None,
        mode: str | None = None,
    ) -> list[Document]:
        if len(query) > MAX_CHARS:
            raise UsageError(
                f"the question has {len(query)} characters: a knowledge base takes at most {MAX_CHARS}; "
                "ask in fewer words, and leave out what is to be searched in"
            )
        k = self.k if k is None else k
        search = self._search(mode or self.mode)
        if (wanted := self._filter(where)) is not None:
            search["filter"] = wanted
        return [self._document(result, rank) for rank, result in enumerate(self._results(query, k, search))]

    def _search(self, mode: str | None) -> dict[str, Any]:
        if mode is None:
            return {}
        if mode not in _SEARCH or self.managed:
            known = "no choice of mode" if self.managed else "the modes hybrid and dense"
            raise UsageError(f"mode is {mode!r}: this knowledge base has {known}; leave it out")
        return {"overrideSearchType": _SEARCH[mode]}

    def _filter(self, where: Any) -> dict[str, Any] | None:
        """Return the retriever's own filter and a question's as one that Retrieve takes."""
        from rag.index.filters.parse import parse

        given = [parse(one) for one in (self.where, where) if one is not None]
        if self.index is not None:
            given = [self.index.check(one) for one in given]
        if not given:
            return None
        both = functools.reduce(lambda one, other: one & other, given)
        schema = self.index.schema if self.index is not None else {}
        for name in sorted(both.fields()):
            if schema.get(name) == "datetime":
                raise WhereError(
                    f"{name!r} is a time of day, which a knowledge base keeps as text: leave it out"
                )
        return sendable(both.to_bedrock(schema), self.prefix)

    def _results(self, query: str, k: int, search: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return up to k results with text, of as many pages as it takes."""
        kind = "managedSearchConfiguration" if self.managed else "vectorSearchConfiguration"
        out: list[dict[str, Any]] = []
        token = None
        while True:
            settings = {kind: {"numberOfResults": min(k, MAX_RESULTS), **search}}
            ask = functools.partial(
                self._client().retrieve, knowledgeBaseId=self.knowledge_base_id,
                retrievalQuery={"text": query}, retrievalConfiguration=settings,
                **({"nextToken": token} if token else {}),
            )  # fmt: skip
            reply = self._tried(ask, f"knowledge base {self.knowledge_base_id}", _ADVICE)
            out += [one for one in reply["retrievalResults"] if _text(one["content"]).strip()]
            token = reply.get("nextToken")
            if len(out) >= k or not token:
                return out[:k]

    def _document(self, result: Mapping[str, Any], rank: int) -> Document:
        """Return a result as a document, placed in the index where its text is found there."""
        metadata = dict(result.get("metadata", {}))
        uri = _uri(result.get("location", {})) or str(metadata.get(SOURCE_KEY, ""))
        page, chunk = metadata.pop(PAGE_KEY, None), metadata.pop(CHUNK_KEY, None)
        metadata.pop(SOURCE_KEY, None)
        source, text = source_of(uri, self.prefix) or "unknown", _text(result["content"])
        page = int(page) if isinstance(page, int | float) else None
        found = self._places.find(source, text, page) if self._places is not None else None
        hit = replace(
            found or Hit(source, 0, len(text), text, 0.0, page_start=page, page_end=page),
            score=float(result.get("score", -rank)), chunk_id=str(chunk or f"{source}:{rank}"),
            metadata={f"{name}_" if name in _OWN else name: value for name, value in metadata.items()},
        )  # fmt: skip
        document = hit.to_document()
        if found is None:
            told = document.metadata.items()
            document.metadata = {name: value for name, value in told if name not in ("start", "end")}
            document.metadata[PLACED] = False
        return document

    @property
    def _places(self) -> Texts | None:
        with self._lock:
            if self._texts is None and self.index is not None:
                self._texts = Texts(self.index)
            return self._texts


_ADVICE = {
    "AccessDeniedException": "allow bedrock:Retrieve on the knowledge base",
    "ResourceNotFoundException": "check knowledge_base_id and the region",
    "ValidationException": "check knowledge_base_id and the filter; a knowledge base of type MANAGED "
    "needs managed = true, and not every vector store has mode hybrid, startswith or contains",
}  # fmt: skip


# ---------------------------------------------------------------------- sources


def source_of(uri: str, prefix: str) -> str:
    """Return a document's source.

    Examples
    --------
    >>> source_of("s3://handbook/docs/people/leave.md", "s3://handbook/docs")
    'people/leave.md'
    >>> source_of("s3://handbook/docs/people/leave.md", "")
    'docs/people/leave.md'
    """
    if not uri.startswith("s3://"):
        return uri
    whole = uri if prefix.startswith("s3://") else uri.partition("s3://")[2].partition("/")[2]
    below = f"{prefix.rstrip('/')}/" if prefix else ""
    if whole == prefix:  # of a single object
        return whole.rsplit("/", 1)[-1]
    return whole.removeprefix(below)


def _uri(location: Mapping[str, Any]) -> str:
    """Return where a document is: of S3, the web, SharePoint and so on."""
    for place in location.values():
        if isinstance(place, Mapping):
            for name in ("uri", "url", "id", "query"):
                if place.get(name):
                    return str(place[name])
    return ""


def _text(content: Mapping[str, Any]) -> str:
    if content.get("row"):
        row = {column.get("columnName", ""): column.get("columnValue") for column in content["row"]}
        return json.dumps(row, ensure_ascii=False)
    spoken = (content.get("audio", {}).get("transcription"), content.get("video", {}).get("summary"))
    return next((str(text) for text in (content.get("text"), *spoken) if text), "")


# ---------------------------------------------------------------------- filters


def sendable(given: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a RetrievalFilter as the service takes it, with its own names for source and page.

    Values are as the Bedrock User Guide ("Configure and customize queries") allows: order is for
    numbers, ``in`` and ``notIn`` are for strings. Those of numbers and booleans are written out.

    Raises
    ------
    WhereError
        A test cannot be put exactly.

    Examples
    --------
    >>> sendable({"in": {"key": "year", "value": [2023, 2024]}})["orAll"][0]
    {'equals': {'key': 'year', 'value': 2023}}
    """
    ((name, body),) = given.items()
    if name in ("andAll", "orAll"):
        return {name: [sendable(part, prefix) for part in body]}
    key, value = body["key"], body["value"]
    if key == "source":
        key, value = SOURCE_KEY, _as_uri(name, value, prefix)
    elif key == "page_start":
        key = PAGE_KEY
    elif key in RESERVED:
        raise WhereError(f"a knowledge base knows no {key!r} of a passage: leave it out of the filter")
    if len(key) > MAX_KEY:
        raise WhereError(f"{key!r} has {len(key)} characters: a knowledge base's keys have at most {MAX_KEY}")
    if name in _ORDERED and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise WhereError(
            f"{key!r}: a knowledge base puts only numbers in order, not {value!r}: keep it as a number, "
            "such as 20250131, too"
        )
    if name in ("in", "notIn"):
        return _listed(name, key, value)
    return {name: {"key": key, "value": value}}


def _as_uri(name: str, value: Any, prefix: str) -> Any:
    if not prefix.startswith("s3://"):
        raise WhereError("a filter on source needs the documents' place: set prefix to s3://bucket/path/")
    if name == "stringContains":  # it would also look into the bucket's name
        raise WhereError("a knowledge base cannot look inside source: use == or startswith")
    below = f"{prefix.rstrip('/')}/"
    return [below + str(one) for one in value] if isinstance(value, list) else f"{below}{value}"


def _listed(name: str, key: str, values: Sequence[Any]) -> dict[str, Any]:
    """Return ``in`` or ``notIn``; of numbers and booleans as tests of single values."""
    if not values:
        raise WhereError(f"{key!r}: a knowledge base has no word for a list of no values")
    if all(isinstance(value, str) for value in values):
        return {name: {"key": key, "value": list(values)}}
    if name == "in":
        each = [{"equals": {"key": key, "value": value}} for value in values]
        return each[0] if len(each) == 1 else {"orAll": each}
    if any(isinstance(value, str) for value in values):
        raise WhereError(f"{key!r}: {list(values)!r} are of several types: give values of one")
    there = [("equals", True), ("equals", False)] if isinstance(values[0], bool) else [
        ("lessThan", 0), ("greaterThanOrEquals", 0)
    ]  # fmt: skip
    has = {"orAll": [{test: {"key": key, "value": value}} for test, value in there]}
    return {"andAll": [*({"notEquals": {"key": key, "value": value}} for value in values), has]}
