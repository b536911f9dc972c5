"""The local model tells nobody: ONNX Runtime would keep an id of the machine, and send events."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_onnx_runtime_keeps_no_id_and_starts_no_sender(tmp_path: Path) -> None:
    program = (
        "import os; from rag.embedding.onnx_models import session; session('minilm'); "
        "print(len(os.listdir('/proc/self/task')) if os.path.isdir('/proc/self/task') else 0)"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": ""}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
