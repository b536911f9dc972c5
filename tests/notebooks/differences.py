"""What of a notebook's outputs is other than in the saved file: kinds, figures, pictures."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

#: What is another at each run: durations, dates and times, ids and digests.
_VOLATILE = re.compile(
    r"(under )?\d[\d,.]* ?(µs|us|ms|s|min|h)\b|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?( UTC|[+-]\d\d:?\d\d|Z)?"
    r"|datetime\.datetime\([^()]*(\([^()]*\))?\)|\b(?=[0-9a-z]*\d)(?=[0-9a-z]*[a-z])[0-9a-z]{8,}\b"
)
_FRACTION = re.compile(r"-?\d[\d,]*\.\d+(?:e-?\d+)?")
#: Scores differ in their last digits between processors.
_TOLERANCE = 0.02
#: Of the mean difference of a picture's values, from 0 to 1: other fonts pass, another curve does not.
_PICTURES = 0.02
#: A cell with this tag is compared by kinds alone: its figures are times or the like.
VARIES = "varies"


def differences(saved: Any, now: Any) -> list[str]:
    """Compare two notebooks of the same cells; an empty list if they show the same.

    Of each code cell the outputs must be of the same kinds (MIME types, or the stream's name) in the same
    order. Their plain texts must be the same, but for what `_VOLATILE` matches and the last digits of
    fractions; pictures must have the same size and look the same. Cells with the tag ``varies`` are
    compared by kinds alone.
    """
    found = []
    for number, (before, after) in enumerate(zip(saved.cells, now.cells, strict=True)):
        if before.cell_type != "code":
            continue
        what = _of_cell(before.outputs, after.outputs, VARIES in before.metadata.get("tags", ()))
        found += [f"cell {number}: {line}" for line in what]
    return found


def kinds(outputs: Sequence[Any]) -> list[str]:
    """Return the kind of each output: its sorted MIME types, or the name of its stream."""
    return [
        each.get("name") or "+".join(sorted(each.get("data", {}))) or each.output_type for each in outputs
    ]


def _of_cell(before: Sequence[Any], after: Sequence[Any], varies: bool) -> Iterator[str]:
    if kinds(before) != kinds(after):
        yield f"saved as {', '.join(kinds(before)) or 'nothing'}; now {', '.join(kinds(after)) or 'nothing'}"
        return
    if varies:
        return
    for old, new in zip(before, after, strict=True):
        if "image/png" in old.get("data", {}):
            yield from _pictures(old.data["image/png"], new.data["image/png"])
        else:
            yield from _texts(_plain(old), _plain(new))


def _plain(output: Any) -> str:
    return output.get("text") or output.get("data", {}).get("text/plain", "")


def _texts(old: str, new: str) -> Iterator[str]:
    # Lines are wrapped anew where a duration is longer: they are compared without their breaks.
    old, new = (" ".join(_VOLATILE.sub("*", text).split()) for text in (old, new))
    if _FRACTION.sub("#", old) != _FRACTION.sub("#", new):
        at = next(
            (n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
        )
        yield f"saved …{old[max(0, at - 40) : at + 60]!r}; now …{new[max(0, at - 40) : at + 60]!r}"
        return
    for a, b in zip(_FRACTION.findall(old), _FRACTION.findall(new), strict=True):
        x, y = (float(each.replace(",", "")) for each in (a, b))
        if not math.isclose(x, y, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            yield f"saved {a}; now {b}"


def _pictures(old: str, new: str) -> Iterator[str]:
    a, b = (_values(each) for each in (old, new))
    if a.shape != b.shape:
        yield f"a picture of {a.shape} saved; now {b.shape}"
    elif (gap := float(np.abs(a - b).mean())) > _PICTURES:
        yield f"the picture differs by {gap:.3f} of its range, more than {_PICTURES}"


def _values(picture: str) -> np.ndarray:
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    return np.asarray(image, dtype=np.float32) / 255
