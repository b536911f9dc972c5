"""What counts as another output, and what does not."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from tests.notebooks.differences import differences
from tests.notebooks.run import stripped, traces


def notebook(*outputs: Any, tags: tuple[str, ...] = ()) -> Any:
    return new_notebook(cells=[new_code_cell(outputs=list(outputs), metadata={"tags": [*tags]})])


def result(**data: str) -> Any:
    return new_output("execute_result", {name.replace("_", "/"): value for name, value in data.items()})


def printed(text: str) -> Any:
    return new_output("stream", name="stdout", text=text)


def picture(grey: int, size: tuple[int, int] = (4, 4)) -> Any:
    file = io.BytesIO()
    Image.new("L", size, grey).save(file, "PNG")
    return result(image_png=base64.b64encode(file.getvalue()).decode())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("515 ms: retrieve 7 ms, cite under 1 ms", "27 ms: retrieve\n1.2 s, cite 3 ms"),
        ("score 28.409", "score 28.412"),
        ("created 2026-11-27 00:20 UTC", "created 2027-01-01 10:00 UTC"),
        ("answer 01m8c3av02", "answer 01n9d4bw13"),
        ("the same\n  words", "the same words"),
    ],
)
def test_times_ids_and_last_digits_may_differ(before: str, after: str) -> None:
    assert differences(notebook(printed(before)), notebook(printed(after))) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("2,358 chunks", "2,359 chunks"), ("recall 0.905", "recall 0.955"), ("leave.md", "pay.md"),
        ("3 of 3", "3 of 3 and more"), ("0.5 0.5", "0.5"), ("2024-11-18", "2024-11-19"),
    ],
)  # fmt: skip
def test_other_figures_and_words_are_differences(before: str, after: str) -> None:
    assert len(differences(notebook(printed(before)), notebook(printed(after)))) == 1
    assert differences(notebook(printed(before), tags=("varies",)), notebook(printed(after))) == []


def test_other_kinds_are_differences_even_where_figures_vary() -> None:
    html = result(text_plain="x", text_html="<b>x</b>")
    saved = notebook(html, tags=("varies",))
    assert differences(saved, notebook(result(text_plain="x"))) == [
        "cell 0: saved as text/html+text/plain; now text/plain"
    ]
    assert differences(saved, notebook()) == ["cell 0: saved as text/html+text/plain; now nothing"]
    assert differences(saved, notebook(html)) == []


def test_pictures_are_compared_by_size_and_looks() -> None:
    saved = notebook(picture(100))
    assert differences(saved, notebook(picture(102))) == []
    assert "differs by 0.196" in differences(saved, notebook(picture(150)))[0]
    assert "(4, 5, 3)" in differences(saved, notebook(picture(100, (5, 4))))[0]


def test_what_a_run_leaves_is_stripped() -> None:
    made = notebook(printed("a"), printed("b"), result(text_plain="c"), tags=("varies",))
    made.metadata["kernelspec"] = {"name": "mine", "display_name": "Mine"}
    made.cells[0].metadata["execution"] = {"iopub.status.busy": "2026-11-27"}
    cell = stripped(made).cells[0]
    assert [each.get("text") for each in cell.outputs] == ["ab", None]
    assert (cell.id, cell.metadata, made.metadata["kernelspec"]["name"]) == (
        "cell-0",
        {"tags": ["varies"]},
        "python3",
    )


def test_paths_and_standard_error_are_traces() -> None:
    assert traces(notebook(printed("index at /tmp/x/index"))) == ["cell 0: /tmp/"]
    warned = new_output("stream", name="stderr", text="UserWarning: x")
    assert traces(notebook(warned)) == ["cell 0: standard error: UserWarning: x"]
    assert traces(notebook(printed("index at index"))) == []
