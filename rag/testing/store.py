"""What the pipeline asks of a store, beyond LangChain's own suite for vector stores."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document

from rag.testing.threads import at_once

#: Half of the texts are of an even number; those at the end are the least like the question.
COUNT = 24
TEXTS = [f"Text number {number} on leave, backups and the rota." for number in range(COUNT)]
METADATAS = [{"number": number, "even": number % 2 == 0, "name": f"n{number}"} for number in range(COUNT)]
IDS = [f"id{number}" for number in range(COUNT)]
QUESTION = TEXTS[3]


class StoreSuite:
    """Any `VectorStore`: of `rag`, of LangChain, or yours; LangChain's ``VectorStoreIntegrationTests`` too.

    Give a fixture ``store``: an empty one. If its filters are written in another way than as a mapping
    of names to values, give a fixture ``even``, the filter for ``{"even": True}``.

    Examples
    --------
    >>> class TestMine(StoreSuite):
    ...     @pytest.fixture
    ...     def store(self, tmp_path):
    ...         return MyStore(tmp_path)
    """

    @pytest.fixture
    def store(self) -> Any:
        """Return the store under test, empty."""
        raise NotImplementedError("give the store under test, empty, in a fixture named store")

    @pytest.fixture
    def even(self) -> Any:
        """Return the filter that the documents with ``even: True`` pass."""
        return {"even": True}

    def test_k_is_honoured(self, store: Any) -> None:
        """There are k documents where there are so many, else all; an empty store has none."""
        assert store.similarity_search(QUESTION, k=3) == []
        _fill(store)
        for k in (1, 5, COUNT, COUNT + 10):
            ids = [document.id for document in store.similarity_search(QUESTION, k=k)]
            assert len(ids) == len(set(ids)) == min(k, COUNT)

    def test_the_best_come_first(self, store: Any) -> None:
        """Scores fall or stay, and the text that is the question itself is first."""
        _fill(store)
        scored = store.similarity_search_with_score(QUESTION, k=10)
        assert scored[0][0].id == "id3"
        scores = [score for _, score in scored]
        assert scores == sorted(scores, reverse=True)

    def test_fewer_are_the_first_of_more(self, store: Any) -> None:
        """The best 4 are the first 4 of the best 12, and the same each time."""
        _fill(store)
        many = [document.id for document in store.similarity_search(QUESTION, k=12)]
        for _ in range(2):
            assert [document.id for document in store.similarity_search(QUESTION, k=4)] == many[:4]

    def test_filters_come_before_the_search(self, store: Any, even: Any) -> None:
        """A filter leaves k documents where k pass it, and none that does not."""
        _fill(store)
        for k in (3, COUNT // 2, COUNT):
            passed = store.similarity_search(QUESTION, k=k, filter=even)
            assert len(passed) == min(k, COUNT // 2)
            assert all(document.metadata["even"] is True for document in passed)

    def test_an_unknown_field_is_refused(self, store: Any) -> None:
        """A filter on a field that no document has is an error: it is a misspelling."""
        _fill(store)
        with pytest.raises(Exception):  # noqa: B017  (a store's own kind of error)
            store.similarity_search(QUESTION, k=3, filter={"evne": True})

    def test_documents_come_back_as_they_were_given(self, store: Any) -> None:
        """Ids, texts, and metadata with the types of their values."""
        _fill(store)
        back = {document.id: document for document in store.get_by_ids(IDS)}
        assert back.keys() == set(IDS)
        for number, name in enumerate(IDS):
            assert back[name].page_content == TEXTS[number]
            assert back[name].metadata == METADATAS[number]
            assert type(back[name].metadata["even"]) is bool

    def test_an_id_is_replaced_and_removed(self, store: Any) -> None:
        """A document of a known id takes its place; a deleted one is found no more."""
        _fill(store)
        store.add_documents([Document("A new text.", id="id3", metadata={"number": -1, "even": False})])
        [document] = store.get_by_ids(["id3"])
        assert (document.page_content, document.metadata["number"]) == ("A new text.", -1)
        store.delete(["id3", "id4"])
        left = {document.id for document in store.similarity_search(QUESTION, k=COUNT)}
        assert left == set(IDS) - {"id3", "id4"}

    def test_many_threads_find_the_same(self, store: Any, even: Any) -> None:
        """16 threads at once find what one finds."""
        _fill(store)

        def search(number: int) -> list[str | None]:
            wanted = even if number % 2 else None
            return [each.id for each in store.similarity_search(TEXTS[number % 5], k=6, filter=wanted)]

        expected = [search(number) for number in range(10)]
        for number, ids in enumerate(at_once(search)):
            assert ids == expected[number % 10]


def _fill(store: Any) -> None:
    store.add_texts(TEXTS, [dict(metadata) for metadata in METADATAS], ids=list(IDS))
