"""The files of the local models, and whether they are as they were shipped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from rag.embedding.wordpiece import MODELS

#: SHA-256 of each file below `MODELS`.
FILES: Mapping[str, str] = {
    "minilm/characters.json": "98fa9fc75266c9a1be7a51dbb46a620ead02cff9d5c8ef4f386ff81413e5acd2",
    "minilm/model.onnx": "69918f85d21a18ea66401a08310faedf44e818a46f75c677eb2d51b10357bcff",
    "minilm/tokenizer.json": "5fd1c882abbd30517dced455a2c9768945ec726b96727927e4959348d9de550b",
    "static/scales.npy": "b00fb79db5637f8f7769d114698c737541001632e35c42a2eec51187730fb027",
    "static/vectors.npy": "67088309be7268270292ac30f60bc868e8ad544c07d09071df0f71a21cb8bebf",
}  # fmt: skip


def altered(folder: Path = MODELS) -> Iterator[str]:
    """Yield a line for each file that is missing or not as it was shipped.

    Examples
    --------
    >>> list(altered())
    []
    """
    for name, expected in FILES.items():
        path = folder / name
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            yield f"{name}: {error.strerror}"
            continue
        if digest != expected:
            yield f"{name} was altered: its SHA-256 is {digest[:12]}…, not {expected[:12]}…"
