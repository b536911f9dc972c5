"""The ONNX models that ship with the package: loaded once, run in batches on all CPUs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from rag.embedding.wordpiece import MODELS

#: Tokens of a batch. Small: one session with a thread of its own per core, called with about five
#: texts of 200 tokens at once, was faster than large batches on a session with several threads.
_BATCH_TOKENS = 1024


def in_batches(model: Any, lengths: Sequence[int], run: Callable[[Any, list[int], int], None]) -> None:
    """Run a model over texts in batches of like length, on all CPUs.

    Parameters
    ----------
    model : onnxruntime.InferenceSession
        See `session`.
    lengths : sequence of int
        Tokens of each text.
    run : callable
        Gets the model, the numbers of a batch's texts, and the length of the longest.
    """
    batches = _batches(lengths)
    if len(batches) == 1:
        run(model, batches[0], lengths[batches[0][0]])
    elif batches:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(lambda batch: run(model, batch, lengths[batch[0]]), batches))


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Group texts of like length, longest first, so that little is padding."""
    out: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        if out and (len(out[-1]) + 1) * lengths[out[-1][0]] <= _BATCH_TOKENS:
            out[-1].append(number)
        else:
            out.append([number])
    return out


@lru_cache(maxsize=1)
def session(name: str) -> Any:
    """Load the model of a folder, once."""
    return opened(MODELS / name / "model.onnx")


def opened(path: Path) -> Any:
    """Load a model that runs on the thread which calls it."""
    from rag.embedding.onnx_runtime import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
