"""A retriever over an Amazon Bedrock knowledge base, with the interface of `rag`'s own retriever.

langchain_aws' AmazonKnowledgeBasesRetriever supports neither a filter per question, nor pagination, nor
retries, so this retriever calls Retrieve itself.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, PrivateAttr

from rag.bedrock.runtime.agent_runtime import AgentRuntime
from rag.bedrock.search.passage_locator import IndexedDocuments, PassageLocator
from rag.bedrock.search.retrieval_filter import PAGE_KEY, SOURCE_KEY, retrieval_filter
from rag.core.errors import UsageError, WhereError
from rag.core.passages import RESERVED, Hit

#: Limits of Retrieve (botocore 1.44.5's model of bedrock-agent-runtime): results per call, and
#: characters of the question.
MAX_RESULTS = 100
MAX_CHARS = 20_000
CHUNK_KEY = "x-amz-bedrock-kb-chunk-id"

_SEARCH = {"hybrid": "HYBRID", "dense": "SEMANTIC"}
#: Metadata keys that `rag` writes; an attribute of that name gets a ``_`` appended.
_RESERVED = (*RESERVED, "score", "dense", "lexical")


class KnowledgeBaseRetriever(BaseRetriever, AgentRuntime):
    """Retrieves passages from a knowledge base, with the sources and, given an index, offsets of `rag`.

    A passage's source is the key of its S3 object below `prefix` (for another data source its URL or
    id), so it equals the source in an index built from the same bucket. With `index`, each passage's
    text is looked up there, ignoring white space. A passage that the index contains gets its offsets,
    pages and section, so citations and evaluation are exact; any other passage is a `Hit` with
    ``placed=False``, and its Document has no ``start`` and ``end``. Passages without text (images) are
    omitted.

    AWS bills the embedding of each question and the vector store to the account. Retrieve's reply does
    not report these costs, so they are missing from `Answer.usage`.

    Parameters
    ----------
    knowledge_base_id : str
        Or its ARN.
    index : Index, optional
        An index of the same documents; a pipeline passes its index.
    k : int
        Passages to return; up to 100 take one call.
    mode : {"hybrid", "dense"}, optional
        By default the knowledge base chooses.
    where : Where, str or dict, optional
        A filter for every question, combined with the question's filter by "and". It can use only
        the attributes in the documents' sidecars, not fields that `rag` derives, such as
        ``file_mime``. A filter on ``source`` needs an ``s3://`` prefix. Knowledge Bases compares
        only numbers by order and cannot express some filters; these are refused.
    prefix : str
        ``s3://bucket/path/`` or ``path/``: the part to remove from the front of object keys.
    dates : {"text", "day"}
        How dates are stored: as text alone, whose order cannot be compared; or with a number beside each,
        as ``rag kb upload`` writes them.
    managed : bool
        Whether the knowledge base has type MANAGED; such a knowledge base chooses the search mode.
    region, endpoint_url, timeout_s, retry, client
        As in `rag.bedrock.runtime.agent_runtime.AgentRuntime`.

    Examples
    --------
    >>> retriever = KnowledgeBaseRetriever(knowledge_base_id="ABCDEFGHIJ", prefix="s3://handbook/")
    >>> retriever.hits("how long do we keep CVs?", where="year >= 2024", k=8)    # doctest: +SKIP
    """

    knowledge_base_id: str
    index: IndexedDocuments | None = Field(default=None, exclude=True)
    k: int = Field(default=MAX_RESULTS, ge=1)
    mode: Literal["hybrid", "dense"] | None = None
    where: Any = None
    prefix: str = ""
    dates: Literal["text", "day"] = "text"
    managed: bool = False

    _locator: PassageLocator | None = PrivateAttr(default=None)

    def hits(
        self,
        question: str,
        *,
        where: Any = None,
        k: int | None = None,
        mode: str | None = None,
        room_chars: int | None = None,
    ) -> list[Hit]:
        """Return the passages for a question, best first.

        Parameters
        ----------
        question : str
            At most 20,000 characters.
        where, k, mode
            Override or extend those of the retriever.
        room_chars : int, optional
            Ignored: `k` alone decides how many passages the knowledge base returns.

        Raises
        ------
        UsageError
            The question is too long, or the knowledge base does not have this mode.
        WhereError
            The filter cannot be read, or Knowledge Bases cannot express it.
        RagError
            The call failed.
        """
        if len(question) > MAX_CHARS:
            raise UsageError(
                f"the question has {len(question)} characters: a knowledge base takes at most {MAX_CHARS}; "
                "shorten it"
            )
        results = self._results(question, self.k if k is None else k, self.search(where, mode))
        return [self.hit(result, rank) for rank, result in enumerate(results)]

    def search(self, where: Any = None, mode: str | None = None) -> dict[str, Any]:
        """Return the settings of a search: its filter and mode, as Knowledge Bases takes them.

        Raises
        ------
        UsageError, WhereError
            As `hits`.
        """
        search = self._search(mode or self.mode)
        if (filter_ := self._filter(where)) is not None:
            search["filter"] = filter_
        return search

    @property
    def kind(self) -> str:
        """The name under which the service takes settings of a search."""
        return "managedSearchConfiguration" if self.managed else "vectorSearchConfiguration"

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        where: Any = None,
        k: int | None = None,
        mode: str | None = None,
    ) -> list[Document]:
        return [hit.to_document() for hit in self.hits(query, where=where, k=k, mode=mode)]

    def _search(self, mode: str | None) -> dict[str, Any]:
        if mode is None:
            return {}
        if mode not in _SEARCH or self.managed:
            modes = "no choice of mode" if self.managed else "the modes hybrid and dense"
            raise UsageError(f"mode is {mode!r}: this knowledge base has {modes}; omit it")
        return {"overrideSearchType": _SEARCH[mode]}

    def _filter(self, where: Any) -> dict[str, Any] | None:
        """Return the retriever's and the question's filter as one RetrievalFilter."""
        from rag.index.filters.parse import parse

        filters = [parse(one) for one in (self.where, where) if one is not None]
        if self.index is not None:
            filters = [self.index.check(one) for one in filters]
        if not filters:
            return None
        both = functools.reduce(lambda one, other: one & other, filters)
        schema = self.index.schema if self.index is not None else {}
        for name in sorted(both.fields()):
            if schema.get(name) == "datetime":
                raise WhereError(
                    f"{name!r} is a date with a time, which a knowledge base stores as text: omit it"
                )

        def is_day(name: str) -> bool:  # without an index, whatever is written as a date
            return self.dates == "day" and (self.index is None or schema.get(name) == "date")

        return retrieval_filter(both.to_bedrock(schema), self.prefix, is_day)

    def _results(self, question: str, k: int, search: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return up to k results with text, from as many pages as needed."""
        out: list[dict[str, Any]] = []
        token = None
        while True:
            settings = {self.kind: {"numberOfResults": min(k, MAX_RESULTS), **search}}
            call = functools.partial(
                self._client().retrieve, knowledgeBaseId=self.knowledge_base_id,
                retrievalQuery={"text": question}, retrievalConfiguration=settings,
                **({"nextToken": token} if token else {}),
            )  # fmt: skip
            reply = self._retried(call, f"knowledge base {self.knowledge_base_id}", _ADVICE)
            out += [one for one in reply["retrievalResults"] if _text(one["content"]).strip()]
            token = reply.get("nextToken")
            if len(out) >= k or not token:
                return out[:k]

    def hit(self, result: Mapping[str, Any], rank: int) -> Hit:
        """Return a result as a Hit, with the offsets of its text in the index if the index contains it."""
        metadata = dict(result.get("metadata", {}))
        uri = _uri(result.get("location", {})) or str(metadata.get(SOURCE_KEY, ""))
        page, chunk = metadata.pop(PAGE_KEY, None), metadata.pop(CHUNK_KEY, None)
        metadata.pop(SOURCE_KEY, None)
        source, text = source_of(uri, self.prefix) or "unknown", _text(result["content"])
        page = int(page) if isinstance(page, int | float) else None
        hit = self._located(source, text, page) or Hit(
            source, 0, len(text), text, 0.0, page_start=page, page_end=page, placed=False
        )
        return replace(
            hit, score=float(result.get("score", -rank)), chunk_id=str(chunk or f"{source}:{rank}"),
            metadata={f"{name}_" if name in _RESERVED else name: value for name, value in metadata.items()},
        )  # fmt: skip

    def _located(self, source: str, text: str, page: int | None) -> Hit | None:
        if self.index is None:
            return None
        with self._lock:
            if self._locator is None:
                self._locator = PassageLocator(self.index)
        return self._locator.find(source, text, page)


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
    if whole == prefix:  # the prefix names a single object
        return whole.rsplit("/", 1)[-1]
    return whole.removeprefix(below)


def _uri(location: Mapping[str, Any]) -> str:
    """Return the URI, URL or id in a result's location: on S3, the web, SharePoint and so on."""
    for member in location.values():
        if isinstance(member, Mapping):
            for name in ("uri", "url", "id", "query"):
                if member.get(name):
                    return str(member[name])
    return ""


def _text(content: Mapping[str, Any]) -> str:
    if content.get("row"):
        row = {column.get("columnName", ""): column.get("columnValue") for column in content["row"]}
        return json.dumps(row, ensure_ascii=False)
    spoken = (content.get("audio", {}).get("transcription"), content.get("video", {}).get("summary"))
    return next((str(text) for text in (content.get("text"), *spoken) if text), "")
