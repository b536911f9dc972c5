"""Documents that something else has loaded: any LangChain loader, or any iterable of Documents."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from rag.core.errors import LoadError, SourceError
from rag.core.files import SourceFile
from rag.core.passages import STRUCTURE
from rag.loading.base import BuildLoader
from rag.loading.limits import Limits
from rag.loading.metadata import Beside, clean
from rag.loading.sandbox import checked
from rag.loading.structure import Parsed, storable

#: What LangChain's PDF loaders say of each page anew.
_OF_PAGES = ("source", "page", "page_label", "total_pages", "start_index")
#: Most pages that one document may have: a loader's page numbers are believed up to here.
_MOST_PAGES = 100_000


class DocumentLoader(BuildLoader):
    """Gives a build Documents that something else has loaded.

    They are taken one at a time and kept in a temporary file, so that a build can compare them with
    the index before it reads them, however many they are. Documents that follow one another with
    the same ``source`` and a number as ``page`` (from 0, as LangChain's PDF loaders have it) are
    the pages of one; others with the same source become ``source#2`` and so on. One without a
    source is named by its `id`, or else by its text's hash.

    Parameters
    ----------
    documents : BaseLoader or iterable of Document
    metadata, metadata_from_path, limits
        As in `rag.Loader`.

    Examples
    --------
    >>> from langchain_core.documents import Document
    >>> documents = [Document("Leave is 28 days.", metadata={"source": "leave", "year": 2026})]
    >>> DocumentLoader(documents).load()[0].metadata["year"]
    2026
    """

    def __init__(
        self,
        documents: BaseLoader | Iterable[Document],
        *,
        metadata: Any = None,
        metadata_from_path: str | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
    ) -> None:
        self._documents = documents
        self._beside = Beside(metadata, metadata_from_path)
        self.limits = limits if isinstance(limits, Limits) else Limits(**(limits or {}))
        self.name = f"{type(documents).__module__}.{type(documents).__qualname__}".removeprefix("builtins.")
        self.notes: list[str] = []
        self.quarantined: list[tuple[str, LoadError]] = []
        self._spool: IO[bytes] | None = None
        self._places: dict[str, int] = {}

    def files(self) -> list[SourceFile]:
        """Take all documents in; list them, in order of their sources.

        Raises
        ------
        SourceError
            The loader failed, or gave something that is no Document.
        """
        self.close(done=True)
        self._spool = spool = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        found: list[SourceFile] = []
        changed: set[str] = set()
        named: Counter[str] = Counter()
        for source, group in itertools.groupby(self._taken(), key=_key):
            for parsed in _joined(group):
                name = source[0]
                while name in self._places:
                    named[source[0]] += 1
                    name = f"{source[0]}#{named[source[0]] + 1}"
                parsed.metadata = clean(parsed.metadata, changed)
                line = parsed.to_json().encode()
                self._places[name] = spool.tell()
                spool.write(line + b"\n")
                found.append(SourceFile(name, len(line), sha256=hashlib.sha256(line).hexdigest()))
        names = "source names" if len(named) == 1 else "sources name"
        told = f"{len(named)} {names} several documents: told apart as source#2, …"
        self.notes = [*([told] if named else []), *sorted(changed)]
        self._beside.check(set(self._places))
        return sorted(found, key=lambda file: file.source)

    def _taken(self) -> Iterator[Document]:
        documents = self._documents
        count = 0
        try:
            each = documents.lazy_load() if isinstance(documents, BaseLoader) else iter(documents)
            for document in each:
                if not isinstance(document, Document):
                    raise SourceError(
                        f"{self.name} gave a {type(document).__name__} as number {count + 1}: "
                        "give LangChain's Document objects"
                    )
                yield document
                count += 1
        except SourceError:
            raise
        except Exception as error:  # the user's own loader
            said = " ".join(str(error).split())[:300]
            raise SourceError(
                f"{self.name} failed after {count} documents ({type(error).__name__}: {said}); "
                "nothing was changed"
            ) from error

    def hashed(self, files: Iterable[SourceFile]) -> Iterator[tuple[SourceFile, LoadError | None]]:
        """Yield the documents' entries with the hashes of the metadata beside them."""
        for file in files:
            try:
                around = self._beside.sha256(file.source, None, (), lambda: None)
                yield replace(file, metadata_sha256=around), None
            except LoadError as error:
                yield file, error

    def read(self, files: Iterable[SourceFile]) -> Iterator[tuple[SourceFile, Document | LoadError]]:
        """Yield the documents, in the order given."""
        changed: set[str] = set()
        for file in files:
            try:
                yield file, self._read(file, changed)
            except LoadError as error:
                yield file, error
        self.notes += sorted(changed - set(self.notes))

    def _read(self, file: SourceFile, changed: set[str]) -> Document:
        assert self._spool is not None
        self._spool.seek(self._places[file.source])
        parsed = checked(Parsed.from_json(self._spool.readline()), self.limits)
        fields = self._beside.of(file.source, None)
        metadata = clean(fields.merged(fields.path, parsed.metadata), changed)
        return Document(
            page_content=parsed.text,
            metadata={**metadata, "source": file.source, STRUCTURE: parsed.structure()},
        )

    def keep_in(self, folder: Path) -> None:
        """Do nothing: the documents are kept already."""

    def close(self, *, done: bool) -> None:
        """Delete the temporary file."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self._places = {}


def _key(document: Document) -> tuple[str, bool]:
    """Return a document's source, and whether it is a page of it."""
    source = document.metadata.get("source") or document.id
    if not source:
        text = document.page_content.encode("utf-8", "surrogatepass")
        source = "document-" + hashlib.sha256(text).hexdigest()[:16]
    return storable(str(source)), _page(document) is not None


def _page(document: Document) -> int | None:
    page = document.metadata.get("page")
    whole = isinstance(page, int) and not isinstance(page, bool) and 0 <= page < _MOST_PAGES
    return page if whole and document.metadata.get("source") else None


def _joined(group: Iterable[Document]) -> Iterator[Parsed]:
    """Yield the documents of one source; pages in ascending order as one."""
    parts: list[str] = []
    labels: list[str] = []
    parsed, at, last = Parsed(""), 0, -1
    for document in group:
        page = _page(document)
        if page is None:
            yield _one(document)
            continue
        if page <= last:
            yield _paged(parsed, parts, labels)
            parsed, parts, labels, at, last = Parsed(""), [], [], 0, -1
        if not parts:
            parsed.metadata = {k: v for k, v in document.metadata.items() if k not in _OF_PAGES}
        labels += [str(number + 1) for number in range(last + 1, page)]
        labels.append(str(document.metadata.get("page_label", page + 1)))
        parsed.pages += [at] * (page - last)
        parts.append(document.page_content)
        at += len(document.page_content) + 2
        last = page
    if parts:
        yield _paged(parsed, parts, labels)


def _paged(parsed: Parsed, parts: list[str], labels: list[str]) -> Parsed:
    parsed.text = "\n\n".join(parts)
    if labels != [str(number) for number in range(1, len(labels) + 1)]:
        parsed.metadata["page_labels"] = labels
    return parsed


def _one(document: Document) -> Parsed:
    metadata = {name: value for name, value in document.metadata.items() if name != "source"}
    structure = metadata.get(STRUCTURE)
    if not isinstance(structure, dict) or structure.keys() != Parsed("").structure().keys():
        return Parsed(document.page_content, metadata)
    del metadata[STRUCTURE]  # made by `rag.Loader`
    return Parsed(document.page_content, metadata, **structure)
