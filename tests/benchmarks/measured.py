"""What the benchmarks share: a run of the command line, and means with their intervals."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np


def command(*arguments: object) -> tuple[float, float]:
    """Run ``rag``; return seconds, and the largest process's memory in MB."""
    called = [sys.executable, "-m", "rag", *map(str, arguments)]
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(called, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if os.waitstatus_to_exitcode(status):
            errors.seek(0)
            raise SystemExit(f"rag {' '.join(called[3:])} failed: {errors.read().decode()[-2000:]}")
    return seconds, usage.ru_maxrss / 1024


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean (percentiles of 2,000 draws)."""
    draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def interval(values: Sequence[float]) -> str:
    """Mean with its 95 % bootstrap interval."""
    low, high = bounds(values)
    return f"{np.mean(values):.3f} ({low:.3f} to {high:.3f})"


def difference(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Mean difference, question by question, with its 95 % bootstrap interval."""
    values = np.subtract(ours, theirs)
    low, high = bounds(values.tolist())
    return f"{values.mean():+.3f} ({low:+.3f} to {high:+.3f})"
