"""Runs `rag` where modules are not installed: an import hook of the interpreter's start refuses them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Run by every interpreter that has its folder on PYTHONPATH, so by the parsers' processes, too.
HOOK = """
import sys

class Absent:
    names = set({names!r})

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def python(
    *arguments: object, absent: tuple[str, ...], folder: Path, hook: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run Python with modules absent; `folder` is where the hook is written."""
    place = folder / ("hook-" + "-".join(absent) if absent or hook else "hook")
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(HOOK.format(names=absent) + hook, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"PYTHONPATH": os.pathsep.join([str(place), str(ROOT)]), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done
