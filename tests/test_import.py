"""`import rag` is light, and its public names are pinned."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rag

PUBLIC = {
    "Answer", "BudgetTrimmer", "ClaudeBedrock", "Client", "ExtractiveAnswerer", "FaissStore", "Hit", "HybridRetriever", "Index", "Loader",
    "LocalEmbeddings", "Pipeline", "Progress", "Prompt", "RagError", "SemanticChunker", "StaticEmbeddings",
    "Store", "TitanEmbeddings", "build", "chunk_map", "explore", "field", "forget", "plan", "progress_bar", "pull", "push",
}  # fmt: skip


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_importing_rag_loads_no_model_no_aws_no_faiss_and_no_langchain() -> None:
    loaded = run("import sys, rag; print(' '.join(sorted(sys.modules)))").split()
    heavy = {"faiss", "boto3", "botocore", "langchain_aws", "langchain_core", "onnxruntime",
             "numpy", "pyarrow", "pydantic", "rich", "click"}  # fmt: skip
    assert heavy.isdisjoint(loaded)
    assert [name for name in loaded if name.startswith("rag")] == ["rag"]


def test_importing_rag_loads_nothing_but_itself_and_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import rag; "
        "print({m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    assert run(code) == "{'rag'}"


def test_the_public_names_are_these_and_all_can_be_had() -> None:
    assert set(rag.__all__) == PUBLIC
    assert len(PUBLIC) <= 28
    for name in PUBLIC:
        assert getattr(rag, name) is not None


@pytest.mark.parametrize(
    "first", ["from rag.building.build import build", "import rag.cli.main", "from rag import config"]
)
def test_build_is_the_function_whatever_was_imported_first(first: str) -> None:
    assert run(f"{first}; import rag; print(type(rag.build).__name__)") == "function"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'bild'"):
        rag.bild  # noqa: B018


def test_the_query_path_without_bedrock_loads_no_aws(folder, tmp_path) -> None:
    code = (
        "import sys, rag\n"
        f"rag.build({str(folder)!r}, {str(tmp_path / 'ix')!r}, embedder='static')\n"
        f"rag.Pipeline({str(tmp_path / 'ix')!r}).ask('How many days of leave in Europe?')\n"
        "print([m for m in ('boto3', 'botocore', 'langchain_aws', 'torch') if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_a_search_by_words_and_filter_loads_no_pandas(folder, tmp_path) -> None:
    """pyarrow imports it by itself wherever it is installed, which takes longer than a search."""
    rag.build(folder, tmp_path / "ix", embedder="static")
    code = f"""
import sys
from importlib.util import find_spec
from rag.config.open import Index
index = Index.open({str(tmp_path / "ix")!r}, plain=True)
for where in (None, "region == 'eu'", "region in ['eu', 'us']", "'hr' in tags", "startswith(title, 'L')",
              "region != 'us'", "exists(region)", "year >= 2024"):
    assert index.search("annual leave", k=1, where=where), where
assert find_spec("pandas") is not None
print("pandas" in sys.modules)
"""
    assert run(code) == "False"
