"""How many tokens a text costs a Claude model, estimated offline and corrected by what replies cost.

There is no public tokenizer for Claude 3 and later. The estimate adds up what each character costs
after the one before it, from a table over 103 classes of characters, one for each of three
generations of tokenizers: frequent pairs of letters ("th") are cheap, as they stand in long tokens,
rare ones ("qj") cost nearly a token; a word costs one token at the least. So it need not be told a
text's language or kind, and adds up: a whole costs no more than its parts, but for `JOIN` tokens at
each seam.

**Sources.** The tables were fitted in November 2026 (least relative squares, being under weighing
eight times being over) to the counts of 12 million characters: documents, manuals in 25 languages,
translations in 80, quotations in 10, code, logs, tables, numbers, random text.

- Claude 2: ``tokenizer.json`` of the PyPI package anthropic 0.38.0, Anthropic's own.
- Claude 3 to 4.6, and 4.7 and later: the PyPI package ctok 1.3.0 (MIT; github.com/sanderland/ctok),
  a reconstruction from Anthropic's remote counter. It gives exactly what 36 recorded replies and
  counts of 3, 3.5, 3.7, 4, 4.5, 4.6, 4.8, 5, 5.1 and 5.5 models were billed, less a frame of 2 to
  12 tokens that is constant for each kind of call (most are recorded in
  github.com/pydantic/pydantic-ai, tests/models).
- Anthropic says that 4.7 and later need about 30 % more than models before (platform.claude.com,
  "Token counting"); by these counts 1.3 times on English, 1.0 to 1.1 on numbers and on scripts
  other than Latin.

**Accuracy**, estimate over count, on 1,700 texts of up to 3,000 characters kept out of the fit, for
3 to 4.6 and for 4.7 and later: English documents together 1.10 and 1.09 (98 % of them 1.01 to 1.20
and 1.02 to 1.18), code 1.09, numbers 1.08, other languages 1.04 to 1.27; 1.3 % and 0.6 % of all
texts come out below 0.98. Of passages of 600 characters 2 % come out below 0.93. Known to be low:
lists of drug names and the like (0.8 to 0.9), for 3 to 4.6 also random capitals (0.4) and hundreds
of blanks in a row (0.7). `TokenCounter` learns what is left.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from rag.core.calls import Usage
from rag.usage import token_tables

#: Joining two texts may cost this many tokens more than both apart, before any calibration.
JOIN = 4
#: A step of the table is 0.04 token; 2 % on top leave 1 text of 100 more than 2 % too low (see above).
_STEP = 0.04 * 1.02
_BLOCK = 1 << 20
#: Classes of spaces, line ends and tabs: what stands between them is a token at the least.
_BLANK = (1, 3)


def estimate_tokens(text: str, model: str | None = None) -> int:
    """Estimate a text's tokens, high rather than low; the frame of a message is not counted.

    Parameters
    ----------
    text : str
    model : str, optional
        A model's id, an inference profile's id, or an ARN: says which tokenizer. One that says
        nothing (an application inference profile, another vendor's model), or none, is counted as
        the newest, which needs the most tokens.

    Returns
    -------
    int
        0 for the empty text alone. ``estimate(a + b) <= estimate(a) + estimate(b) + JOIN``, and a
        text never has fewer tokens than its beginning.

    Examples
    --------
    >>> estimate_tokens("Anyone may declare a SEV-1.", "anthropic.claude-3-haiku-20240307-v1:0")
    10
    """
    if not text:
        return 0
    costs = token_tables.costs()[generation(model)]
    size = math.isqrt(len(costs))
    classes_of = token_tables.classes()
    steps = words = 0
    padded = "\n" + text
    for start in range(0, len(text), _BLOCK):
        block = padded[start : start + _BLOCK + 1].encode("utf-32-le", "surrogatepass")
        classes = classes_of.take(np.frombuffer(block, dtype="<u4"))
        pairs = classes[:-1].astype(np.intp)
        pairs *= size
        pairs += classes[1:]
        steps += int(costs.take(pairs).sum(dtype=np.int64))
        blank = (classes >= _BLANK[0]) & (classes <= _BLANK[1])
        words += int(np.count_nonzero(blank[:-1] & ~blank[1:]))
    return max(1, words, math.ceil(steps * _STEP))


def estimate_all(texts: Sequence[str], model: str | None = None) -> list[int]:
    """Estimate the tokens of several texts; see `estimate_tokens`."""
    return [estimate_tokens(text, model) for text in texts]


def generation(model: str | None) -> str:
    """Tell a model's tokenizer by its id.

    Returns
    -------
    {"claude-2", "claude-3", "claude-4-7"}
        The first generation of models that has it.

    Examples
    --------
    >>> generation("us.anthropic.claude-opus-4-5-20251101-v1:0")
    'claude-3'
    >>> generation("global.anthropic.claude-sonnet-5-5")
    'claude-4-7'
    """
    name = (model or "").lower()
    if re.search(r"claude-(instant|v?[12](?!\d))", name):
        return "claude-2"
    if re.search(r"claude-3(?!\d)", name):
        return "claude-3"
    found = re.search(r"claude-(?:opus|sonnet|haiku)-(\d+)(?:[-.](\d{1,2})(?!\d))?", name)
    if found and (int(found[1]), int(found[2] or 0)) < (4, 7):
        return "claude-3"
    return "claude-4-7"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a `TokenCounter` learned.

    Attributes
    ----------
    n : int
        Replies it rests on, at most 64.
    ratio : float
        What estimates are multiplied by, 0.5 to 2.5; 1.0 before the first reply.
    """

    n: int
    ratio: float


def room_chars(budget: int, unit: str) -> int:
    """Return roughly how many characters of English a budget in a unit has room for."""
    return budget if unit == "chars" else 4 * budget


class TokenCounter:
    """Counts tokens for one model: the estimate times what its replies taught.

    The ratio is the 95th percentile of the last 64 replies' actual/estimated, each weighing as many
    tokens as it had, times ``1 + 0.1 / sqrt(n)`` while replies are few; never less than 0.98 times
    the highest of them, so that none of these replies would be counted more than 2 % too low; and
    kept within 0.5 to 2.5. (A percentile, as being over the budget costs more than wasting some of
    it; the margin is that of a mean of n values that vary by 10 %, which texts of a kind do.)

    Parameters
    ----------
    model : str, optional
        As in `estimate_tokens`; replies of each id teach that id alone.
    path : path, optional
        A JSON file that keeps what was learned; several processes may share it. It is replaced as a
        whole, the last writer wins. A damaged one is reported as a warning and started anew.

    Examples
    --------
    >>> counter = TokenCounter("global.anthropic.claude-sonnet-5-5")
    >>> sent = "Anyone may declare a SEV-1. " * 50
    >>> counter.observe(counter.estimate(sent), 600)
    True
    >>> counter.calibration.n
    1
    """

    def __init__(self, model: str | None = None, path: str | Path | None = None) -> None:
        self.model = model
        self.path = None if path is None else Path(path)
        self._seen = _pairs(self._read().get(model or ""))

    @property
    def fingerprint(self) -> str:
        """What it counts for; what replies taught it only makes the count closer."""
        return f"tokens of {self.model or 'any model'}"

    def __call__(self, text: str) -> int:
        """Count a text's tokens, calibrated."""
        return math.ceil(self.estimate(text) * self.calibration.ratio)

    def estimate(self, text: str) -> int:
        """Estimate a text's tokens, uncalibrated: what `observe` is told of all that was sent."""
        return estimate_tokens(text, self.model)

    def observe(self, estimated: int, actual: int) -> bool:
        """Learn from the usage of a real reply.

        Parameters
        ----------
        estimated : int
            What `estimate` said for all texts that were sent (or for the reply), together.
        actual : int
            Tokens by the reply's usage, those read from and written to the cache included.

        Returns
        -------
        bool
            False where nothing could be learned: under 100 tokens the frame counts for too much,
            and over four times too high or too low the two are not of the same texts.
        """
        if estimated < 100 or not estimated / 4 <= actual <= estimated * 4:
            return False
        with _WRITING:
            models, own = self._read(), self.model or ""
            before = _pairs(models.get(own)) or self._seen
            self._seen = (*before, (int(estimated), int(actual)))[-_WINDOW:]
            self._write({**models, own: self._seen})
        return True

    def learn(self, texts: Sequence[str], usage: Usage) -> None:
        """Learn from a reply's usage, if these texts are what was sent for it.

        Nothing is learned without a model: the local answerer's usage is an estimate itself.
        """
        actual = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_write_input_tokens
        if actual and self.model is not None:
            self.observe(self.estimate("".join(texts)), actual)

    @property
    def calibration(self) -> Calibration:
        """What was learned so far."""
        return Calibration(len(self._seen), _ratio(self._seen))

    def _read(self) -> dict[str, Any]:
        """Return the file's observations by model."""
        if self.path is None:
            return {}
        try:
            kept = json.loads(self.path.read_text("utf-8"))
            return dict(kept["models"]) if kept["tables"] == token_tables.VERSION else {}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"{self.path} holds no token calibration ({type(error).__name__}): counting starts "
                "uncalibrated and the next reply replaces the file; name another file to keep it",
                stacklevel=3,
            )
            return {}

    def _write(self, models: dict[str, Any]) -> None:
        """Replace the file at once, or say why not."""
        if self.path is None:
            return
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}.{threading.get_ident()}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps({"tables": token_tables.VERSION, "models": models}), "utf-8")
            new.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()
            warnings.warn(
                f"cannot write {self.path} ({error.strerror}): what replies cost is kept for this "
                "process alone; make the folder writable",
                stacklevel=3,
            )


_WINDOW = 64
_WRITING = threading.Lock()  # of this process's threads
_Seen = tuple[tuple[int, int], ...]


@lru_cache(maxsize=64)
def _ratio(seen: _Seen) -> float:
    if not seen:
        return 1.0
    ratios = sorted((actual / estimated, estimated) for estimated, actual in seen)
    left = 0.95 * sum(weight for _, weight in ratios)
    high = ratios[-1][0]
    for ratio, weight in ratios:
        left -= weight
        if left <= 0:
            high = ratio
            break
    high *= 1 + 0.1 / math.sqrt(len(seen))
    return min(max(high, 0.98 * ratios[-1][0], 0.5), 2.5)


def _pairs(kept: Any) -> _Seen:
    """Take what can be believed of a file's observations."""
    rows = kept if isinstance(kept, list) else []
    numbers = [row for row in rows if isinstance(row, list) and len(row) == 2]
    pairs = [(e, a) for e, a in numbers if type(e) is int and type(a) is int]
    return tuple((e, a) for e, a in pairs if e >= 100 and e / 4 <= a <= e * 4)[-_WINDOW:]
