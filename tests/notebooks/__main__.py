"""Run the notebooks and save them with their outputs: ``python -m tests.notebooks [03 05 …]``.

Each is executed offline in a folder of its own and stripped of what a run leaves (times, kernel, ids). A
notebook that fails, prints to standard error, or shows a path of this machine is not saved. With ``--check``
nothing is saved, and the exit code is 1 if a notebook shows something else than it is saved with.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import nbformat

from tests.notebooks.differences import differences
from tests.notebooks.run import NOTEBOOKS, run, traces


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    names = [each for each in arguments if each != "--check"]
    chosen = [path for path in NOTEBOOKS if not names or path.name.startswith(tuple(names))]
    if not chosen:
        print(f"no notebook begins with {', '.join(names)}", file=sys.stderr)
        return 2
    wrong = 0
    for path in chosen:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            notebook = run(path, Path(folder))
        found = traces(notebook)
        if check:
            found += differences(nbformat.read(path, 4), notebook)
        elif not found:
            nbformat.write(notebook, path)
        print(
            f"{path.name}: {time.perf_counter() - began:.0f} s, {'as saved' if check else 'saved'}"
            if not found
            else f"{path.name}: {'differs' if check else 'not saved'}"
        )
        print(*(f"  {line}" for line in found), sep="\n", end="\n" if found else "")
        wrong += bool(found)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
