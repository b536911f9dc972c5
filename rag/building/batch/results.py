"""Records of batch jobs: write texts to files, and check results before they become vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.bedrock.storage import batch_jobs as aws
from rag.bedrock.storage.batch_parts import BadResult, Part, PartWriter, result_of
from rag.bedrock.storage.batch_settings import BatchSettings
from rag.core import embedders
from rag.core.embedders import TakesBatchJobs
from rag.core.errors import ConfigError, EmbeddingError
from rag.core.progress import Task
from rag.core.vectors import unit_rows
from rag.embedding.cache import CachedEmbeddings


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
    folder: Path, stem: str, texts: Iterable[str], embedder: Any, settings: BatchSettings, task: Task
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
    writer, count = PartWriter(folder, stem, settings.min_records), 0
    for text in texts:
        count += 1
        if count % 256 == 0:
            task.show(count, detail="texts to embed")
        try:
            line = aws.record(text, embedder.request_body(text))
        except EmbeddingError:  # the build reports it, or embeds it in parts
            continue
        writer.add(line)
    return count, writer.close()


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
    item = result_of(line, ids)
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
