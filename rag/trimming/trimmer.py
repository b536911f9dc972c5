"""The trimmer with LangChain's interface."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict

from rag.core.passages import Hit
from rag.trimming.passage_trimmer import PassageTrimmer


class BudgetTrimmer(PassageTrimmer, BaseDocumentCompressor):
    """Fill a budget with the most evidence; the parameters are those of `PassageTrimmer`.

    Examples
    --------
    >>> trimmer = BudgetTrimmer(budget=40)
    >>> documents = [Document("Staff take 28 days of leave.", metadata={"source": "a.md", "score": 2.0}),
    ...              Document("The canteen opens at noon.", metadata={"source": "b.md", "score": 1.0})]
    >>> [kept.page_content for kept in trimmer.compress_documents(documents, "How much leave?")]
    ['Staff take 28 days of leave.']
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the passages to send, in the order of sending; each is a slice of a document."""
        hits, _ = self.trim([Hit.from_document(document) for document in documents], query)
        return [hit.to_document() for hit in hits]

    # Beside its LangChain form: a subclass that changes only that one is taken at its word.
    trim = PassageTrimmer.trim
