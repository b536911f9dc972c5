"""The hybrid score: cosines and BM25, of each row and of the rows around it.

Rows are short (about two sentences), so that a context holds little beside the answer. A row alone has
too little text to be ranked well, so it is scored with its neighbours in the document.

    dense    cosine of the row, of its near neighbours, of its wider ones, of the best among these,
             and of its heading path
    lexical  BM25 of the row with its near neighbours, with its wider ones, and of its document

Each is scaled before they are added. The cosines are counted in standard deviations over the corpus.
BM25 is divided by its maximum, that of a row with infinitely many occurrences of every term of the
question (the "theoretical maximum" of Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid
Retrieval", 2023): where a question shares few words with the corpus, a standardised BM25 would still put
its best row far out, but this one stays small. The weight of BM25 beside the cosines depends on the
embedder and is measured in each index (`lexical_balance`).

The weights were chosen on questions written for the purpose about the reference corpora, and on
``data/golden.jsonl``; many settings came within 0.01 of their recall, which is inside the sets' sampling
error.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rag.index.search.reach import NEAR, WIDE
from rag.index.storage.layout import Vectors
from rag.index.storage.segment import Segment

Scores = npt.NDArray[np.float64]

#: Weights of the cosines: the row's, the mean of the near rows, that of the wide ones, the best
#: of the wide ones, and that of the heading path (title and sections).
DENSE = (1.0, 0.5, 0.25, 0.5, 0.6)
#: Weight of BM25 at its theoretical maximum beside one standard deviation of the cosines, for an
#: embedder that ranks neighbours as well as BM25 (`rag.index.search.lexical_balance`).
BALANCE = 26.0


def dense(segment: Segment, unit: Vectors, rows: npt.NDArray[np.int64], mean: float) -> Scores:
    """Return the weighted sum of rows' cosines and their surroundings' (see `DENSE`).

    `rows` ascend without repeats; `mean` is the corpus's mean cosine, which is subtracted from each part.
    """
    first, end = segment.around(rows, WIDE)
    window = rows[:, None] + np.arange(-WIDE, WIDE + 1)
    inside = (window >= first[:, None]) & (window < end[:, None])
    # The rows ascend, so each needs only the cosines beyond the window of the row before it; its own is
    # WIDE before the last of these.
    new = np.minimum(np.diff(rows, prepend=-2 * WIDE - 1), 2 * WIDE + 1)
    last = np.cumsum(new)
    needed = np.repeat(rows + WIDE + 1 - last, new) + np.arange(last[-1] if len(last) else 0)
    cosines = segment.cosines(unit, np.clip(needed, 0, segment.rows - 1)).astype(np.float64)
    cosines = cosines[(last - 1 - WIDE)[:, None] + np.arange(-WIDE, WIDE + 1)]
    cosines = np.where(inside, cosines, cosines[:, WIDE, None])  # outside the document: the row's own
    near = inside & (np.abs(np.arange(-WIDE, WIDE + 1)) <= NEAR)
    means = [np.where(mask, cosines, 0).sum(1) / mask.sum(1) for mask in (near, inside)]
    best = cosines.max(1)
    parts = (cosines[:, WIDE], *means, best, segment.heading_cosines(unit, rows))
    total = np.asarray(sum(weight * part for weight, part in zip(DENSE, parts, strict=True)))
    return np.asarray(total - sum(DENSE[:4]) * mean)
