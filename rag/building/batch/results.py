"""Records of batch jobs: write texts to files, and check results before they become vectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.bedrock.storage import batch_jobs as aws
from rag.bedrock.storage.batch_settings import BatchSettings
from rag.building.batch.state import Part
from rag.core import embedders
from rag.core.embedders import TakesBatchJobs
from rag.core.errors import ConfigError, EmbeddingError, StoreCorruptError
from rag.core.vectors import unit_rows
from rag.embedding.cache import CachedEmbeddings
from rag.index.storage.manifest import sha256, write_durably

#: Shows progress: what is being done, how many are done, of how many.
Tell = Callable[[str, int, int], None]


class BadResult(Exception):  # noqa: N818 -- counted by its text, never shown as an error
    """Why a line of a job's output holds no vector."""


def model_of(embedder: Any) -> str:
    """Return the id of an embedder's model.

    Raises
    ------
    ConfigError
        It cannot be called in batch jobs (`rag.core.embedders.TakesBatchJobs`).
    """
    if not isinstance(embedder, TakesBatchJobs):
        raise ConfigError(
            f"the embedder {embedders.fingerprint(embedder)} has no batch jobs: choose titan (--bedrock), or "
            "build without --batch"
        )
    return embedder.model


def write_parts(
    folder: Path, stem: str, texts: Iterable[str], embedder: Any, settings: BatchSettings, tell: Tell
) -> tuple[int, list[Part]]:
    """Write texts to files of at most a job's size.

    Returns
    -------
    int
        The number of texts.
    list of Part
        A job's file each. Texts that the embedder refuses, and the last file if it has too few
        records, are left to the build.
    """
    for old in folder.glob("rag-*"):  # left by a batch that was killed before its state was saved
        old.unlink()
    count = size = 0
    parts: list[Part] = []
    lines: list[str] = []

    def close() -> None:
        nonlocal size
        if len(lines) >= settings.min_records:
            path = folder / f"{stem}-{len(parts) + 1:05d}.jsonl"
            write_durably(path, "".join(lines))
            parts.append(Part(path.stem, len(lines), sha256(path)))
        lines.clear()
        size = 0

    for text in texts:
        count += 1
        if count % 256 == 0:
            tell("texts to embed", count, count)
        try:
            line = aws.record(text, embedder.request_body(text))
        except EmbeddingError:  # the build reports it, or embeds it in parts
            continue
        if len(lines) == aws.MAX_RECORDS or size + len(line) > aws.MAX_BYTES:
            close()
        lines.append(line)
        size += len(line)
    close()
    return count, parts


def records_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of an input file.

    Raises
    ------
    StoreCorruptError
        It is missing or damaged.
    """
    try:
        with path.open(encoding="ascii") as lines:
            for line in lines:
                item = json.loads(line)
                yield {"recordId": item["recordId"], "modelInput": item["modelInput"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise StoreCorruptError(
            f"{path} cannot be read, so the results of its job cannot be checked: delete {path.parent} and "
            f"{path.parent}.json, and build again"
        ) from None


def checked(line: bytes, ids: set[str], cache: CachedEmbeddings) -> tuple[str, npt.NDArray[np.float32]]:
    """Return a result's text and unit vector.

    Parameters
    ----------
    line : bytes
        Of the job's output.
    ids : set of str
        The ids of the records that the job was sent.
    cache : CachedEmbeddings
        Of the embedder.

    Raises
    ------
    BadResult
        The record was not sent, its input is another one, or it holds no vector of the right size.
    """
    try:
        item = json.loads(line)
        known = item["recordId"] in ids
    except (ValueError, KeyError, TypeError):
        raise BadResult("unreadable") from None
    if not known:
        raise BadResult("unknown")
    if "modelOutput" not in item:
        error = item.get("error")
        code = error.get("errorCode", "") if isinstance(error, dict) else ""
        raise BadResult(f"with error {code}".rstrip())
    text = text_of(item)
    embedder: Any = cache.embedder
    if text is None or embedder.request_body(text) != item["modelInput"]:
        raise BadResult("of another input")
    try:
        [vector] = unit_rows([embedder.read_vector(item["modelOutput"])], 1, cache.dimensions)
    except (EmbeddingError, LookupError, TypeError, ValueError):
        raise BadResult("without a vector") from None
    if not vector.any():
        raise BadResult("without a vector")
    return text, vector


def text_of(item: Mapping[str, Any]) -> str | None:
    """Return the text of a record: the string in its input whose hash is its id.

    Examples
    --------
    >>> text_of({"recordId": aws.record_id("Leave"), "modelInput": {"inputText": "Leave"}})
    'Leave'
    """
    waiting: list[Any] = [item.get("modelInput")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and aws.record_id(value) == item["recordId"]:
            return value
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return None
