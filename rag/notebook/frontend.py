"""Where objects are shown: in a notebook, or in a terminal."""

from __future__ import annotations

import sys


def in_notebook() -> bool:
    """Tell whether this process is a notebook's kernel, which shows HTML; IPython in a terminal is none."""
    ipython = sys.modules.get("IPython")  # what no kernel has imported is none
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")
