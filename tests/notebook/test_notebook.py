"""The notebook runs, shows what it is saved with, and holds no trace of a machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.conftest import ROOT

NOTEBOOK = ROOT / "notebooks" / "01_quickstart.ipynb"


def outputs(path: Path) -> list[str]:
    """The text of each code cell's outputs, without line breaks, scores' last digits and times."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    texts = [
        "".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)
        for cell in cells
    ]
    texts = [
        re.sub(r"(?<='file_mtime': )datetime\.datetime\([^()]*(\([^()]*\))?\)", "T", text) for text in texts
    ]
    texts = [re.sub(r"(under )?\d[\d.]* (ms|s)\b", "T", " ".join(text.split())) for text in texts]
    return [re.sub(r"-?\d+\.\d+(e-?\d+)?", "N", text) for text in texts]


@pytest.mark.enable_socket
def test_the_notebook_runs_and_shows_what_it_is_saved_with(tmp_path: Path) -> None:
    copy = tmp_path / "notebooks" / NOTEBOOK.name
    copy.parent.mkdir()
    copy.write_bytes(NOTEBOOK.read_bytes())
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "indexes").mkdir()
    subprocess.run(
        [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", str(copy)],
        check=True, capture_output=True, cwd=copy.parent, env={**os.environ, "JUPYTER_PLATFORM_DIRS": "1"},
    )  # fmt: skip
    assert outputs(copy) == outputs(NOTEBOOK)


def test_the_saved_notebook_has_outputs_and_no_machines_paths() -> None:
    assert all(outputs(NOTEBOOK)[n] for n in range(len(outputs(NOTEBOOK))))
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert "/home/" not in text
    assert "/root" not in text
    assert "Traceback" not in text
