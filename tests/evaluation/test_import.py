"""`import rag.evaluation` is light."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT


def test_import_loads_no_pipeline_langchain_or_matplotlib() -> None:
    code = "import sys; from rag.evaluation import compare, evaluate, read, sweep; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not {"matplotlib", "langchain", "langchain_core", "faiss", "pyarrow", "boto3"} & loaded
    assert "rag.pipeline" not in done.stdout.split()
