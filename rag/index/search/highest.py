"""Which values are the highest of several arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.index.filters.mask import Mask


def highest(values: Sequence[npt.NDArray[Any]], k: int) -> list[Mask]:
    """Return, for several arrays, which values are among the k highest of all, or tie with the last."""
    together = np.concatenate([np.zeros(0), *values])
    least = np.partition(together, -k)[-k] if len(together) > k else -np.inf
    return [array >= least for array in values]
