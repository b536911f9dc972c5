"""Run a notebook in a folder of its own, without the internet, and strip what differs from run to run."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: What every saved notebook says of its kernel: any Python 3.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
#: What no saved output may hold: folders of the machine that ran it, its name, and a failure.
TRACES = (
    str(ROOT),
    str(Path.home()),
    "/tmp/",
    "/private/var/",
    "/home/",
    "/Users/",
    "Traceback (most recent",
)


def run(path: Path, folder: Path) -> Any:
    """Execute a notebook top to bottom and return it with its outputs; the file stays as it is.

    The kernel starts in ``folder/notebooks``, beside which ``data`` is the checkout's and ``indexes`` is
    empty. Its connections are refused but for those to this machine, and its temporary files are below
    `folder`.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        A cell raised what it does not catch.
    """
    work, temporary = folder / "notebooks", folder / "tmp"
    for each in (work, temporary, folder / "indexes"):
        each.mkdir()
    (folder / "data").symlink_to(ROOT / "data")
    notebook = nbformat.read(path, 4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(work)}},
        extra_arguments=["--IPKernelApp.exec_lines=import tests.notebooks.offline", "--log-level=ERROR"],
    )
    client.execute(
        env={
            **os.environ,
            "TMPDIR": str(temporary),
            "IPYTHONDIR": str(temporary / "ipython"),
            "PYTHONPATH": str(ROOT),
            **QUIET,
        }
    )
    return stripped(notebook)


#: Read by the kernel: no colours of terminals, no settings of the user.
QUIET = {
    "JUPYTER_PLATFORM_DIRS": "1",
    "NO_COLOR": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


def stripped(notebook: Any) -> Any:
    """Remove times of execution, names of kernels and ids made by chance; join what was printed in parts."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k == "tags"})
        if cell.cell_type != "code":
            continue
        outputs: list[Any] = []
        for output in cell.outputs:
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
            if output.output_type == "stream" and outputs and outputs[-1].get("name") == output.name:
                outputs[-1].text += output.text
            else:
                outputs.append(output)
        cell.outputs = outputs
    return notebook


def traces(notebook: Any) -> list[str]:
    """Return a line for each output that names a folder, or the machine, or went to standard error."""
    found = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            text = nbformat.writes(
                nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])
            )
            named = [trace for trace in TRACES if trace in text]
            if re.search(rf"\b{re.escape(socket.gethostname())}\b", text):
                named.append("the machine's name")
            if output.get("name") == "stderr":
                named.append(f"standard error: {output.text[:200]}")
            found += [f"cell {number}: {name}" for name in named]
    return found
