"""Every notebook runs offline, top to bottom, and shows what it is saved with; none holds a machine's traces."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.differences import differences, kinds
from tests.notebooks.run import FOLDER, METADATA, NOTEBOOKS, run, stripped, traces
from tests.scale import scale

IDS = [path.stem for path in NOTEBOOKS]


#: The whole of them takes as long as a third of all other tests, on two cores.
_QUICK = ("03_exact_filters",)


@pytest.mark.soak
@pytest.mark.enable_socket
@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_a_notebook_runs_and_shows_what_it_is_saved_with(path: Path, tmp_path: Path) -> None:
    if path.stem not in scale(_QUICK, tuple(IDS)):
        pytest.skip("runs in make soak, and with python -m tests.notebooks --check")
    now = run(path, tmp_path)
    assert differences(nbformat.read(path, 4), now) == []
    assert traces(now) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_a_saved_notebook_is_stripped_and_has_outputs(path: Path) -> None:
    saved = nbformat.read(path, 4)
    assert saved == stripped(nbformat.read(path, 4)), "save it with python -m tests.notebooks"
    assert saved.metadata == METADATA
    assert traces(saved) == []
    code = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    shown = [cell for cell in code if kinds(cell.outputs)]
    assert len(shown) > len(code) / 2


def test_the_notebooks_are_numbered_in_order_and_listed() -> None:
    assert [int(path.name[:2]) for path in NOTEBOOKS] == [*range(1, len(NOTEBOOKS) + 1)]
    listed = re.findall(r"\]\((\d\d_\w+\.ipynb)\)", (FOLDER / "README.md").read_text(encoding="utf-8"))
    assert listed == [path.name for path in NOTEBOOKS]
