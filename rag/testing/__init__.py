"""Contract suites for authors of stages: pytest classes that say what the pipeline asks of each.

Subclass the suite of your stage, and give the stage in a fixture::

    from rag.testing import RetrieverSuite

    class TestMyRetriever(RetrieverSuite):
        @pytest.fixture
        def retriever(self):
            return MyRetriever()

Every suite takes what the pipeline takes: a stage of `rag`, one of LangChain's, or yours. pytest is not
among the dependencies of `rag`: ``pip install pytest``.
"""

try:
    import pytest
except ImportError as error:
    raise ImportError("rag.testing needs pytest: run pip install pytest") from error

# Before the suites are imported, so that a failed assertion in them shows its values.
pytest.register_assert_rewrite(__name__)

from rag.testing.chunker import ChunkerSuite  # noqa: E402
from rag.testing.embedder import EmbedderSuite  # noqa: E402
from rag.testing.generator import GeneratorSuite  # noqa: E402
from rag.testing.loader import BuildLoaderSuite, LoaderSuite  # noqa: E402
from rag.testing.prompt import PromptSuite  # noqa: E402
from rag.testing.reranker import RerankerSuite  # noqa: E402
from rag.testing.retriever import RetrieverSuite  # noqa: E402
from rag.testing.store import StoreSuite  # noqa: E402
from rag.testing.trimmer import TrimmerSuite  # noqa: E402

__all__ = [
    "BuildLoaderSuite", "ChunkerSuite", "EmbedderSuite", "GeneratorSuite", "LoaderSuite", "PromptSuite",
    "RerankerSuite", "RetrieverSuite", "StoreSuite", "TrimmerSuite",
]  # fmt: skip
