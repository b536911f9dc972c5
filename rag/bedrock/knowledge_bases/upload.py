"""Upload documents with their sidecars to S3, for a knowledge base to ingest.

What is on S3 already is told by the listing: an object is unchanged if its size is, and its ETag is the MD5
of the content or, where the bucket's encryption gives other ETags, the SHA-256 that the upload left with it.
So there is no state to keep or lose: an upload that was killed goes on when it is run again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.bedrock.knowledge_bases.attributes import sidecars
from rag.bedrock.knowledge_bases.bucket import Bucket, Stored
from rag.bedrock.knowledge_bases.limits import FORMATS, MAX_BYTES
from rag.core.displayable import Displayable
from rag.core.errors import LoadError, RagError, SourceError
from rag.core.files import SIDECAR, Quarantined, SourceFile
from rag.core.progress import Progress, Task
from rag.loading.loader import Loader

#: Bytes of a key (Amazon S3 User Guide, "Naming Amazon S3 objects").
MAX_KEY_BYTES = 1024
_KEPT = "what was written stays: upload again, only the rest is moved"
_RENAME = {".htm": ".html", ".xhtml": ".html", ".markdown": ".md", ".text": ".txt", ".log": ".txt"}


@dataclass(frozen=True, slots=True)
class Item:
    """An object to write.

    Attributes
    ----------
    key : str
    source : str
        The document's path.
    content : Path or bytes
        The document's file; a sidecar's content.
    new : bool
        Whether there is no object of this key.
    """

    key: str
    source: str
    content: Path | bytes = field(repr=False)
    sha256: str
    content_type: str
    new: bool

    @property
    def is_sidecar(self) -> bool:
        """Whether it is the metadata of a document."""
        return isinstance(self.content, bytes)


@dataclass(frozen=True, slots=True, repr=False)
class UploadPlan(Displayable):
    """What an upload has to do.

    Attributes
    ----------
    items : tuple of Item
        What is new or changed; a document's sidecar comes before it.
    unchanged : int
        Documents of which nothing has changed.
    cleared : tuple of str
        Keys of sidecars whose documents have no attributes any more: deleted.
    gone : tuple of str
        Keys of documents and sidecars that the folder no longer has: deleted if that is asked for.
    refused : tuple of Quarantined
        Files that are not uploaded, why, and what to do.
    notes : tuple of str
    """

    items: tuple[Item, ...]
    unchanged: int
    cleared: tuple[str, ...]
    gone: tuple[str, ...]
    refused: tuple[Quarantined, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many documents are new, changed and unchanged, sidecars written, objects gone."""
        documents = [item for item in self.items if not item.is_sidecar]
        new = sum(item.new for item in documents)
        return {
            "new": new, "changed": len(documents) - new, "unchanged": self.unchanged,
            "sidecars": len(self.items) - len(documents) + len(self.cleared),
            "gone": len(self.gone), "refused": len(self.refused),
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            **self.counts,
            "keys": [item.key for item in self.items], "cleared_keys": list(self.cleared),
            "gone_keys": list(self.gone), "notes": list(self.notes),
            "refused_files": [
                {"source": each.source, "reason": each.reason, "advice": each.advice} for each in self.refused
            ],
        }  # fmt: skip


def plan(loader: Loader, bucket: Bucket, progress: Progress | None = None) -> UploadPlan:
    """Compare a folder with what is on S3; nothing is written.

    Parameters
    ----------
    loader : Loader
        Of files on this machine; its settings decide which, and their metadata, as in a build.
    bucket : Bucket
    progress : Progress, optional
        Told how far it is: `rag.progress_bar`, or any callable (`rag.core.progress`).

    Raises
    ------
    SourceError
        The folder or the metadata cannot be read, or a value fits no attribute.
    RagError
        The bucket cannot be listed.
    """
    files = loader.files()
    if not files:  # with `delete` this would empty the prefix
        raise SourceError(f"{loader.name} holds no files: nothing was changed")
    stored = bucket.list()  # before the files are read: a wrong bucket is known at once
    refused = [refusal for file in files if (refusal := _refusal(file, bucket.place.prefix)) is not None]
    names = {each.source for each in refused}
    left = [file for file in files if file.source not in names]
    metadata: dict[str, dict[str, Any]] = {}
    paths = {file.source: file.path for file in left}
    # Without LibreOffice nothing here reads .doc, which Knowledge Bases does.
    unread = () if loader.converter is not None else (".doc",)
    with Task(progress, "files", of=len(left), unit="file") as task:
        for file, fields in task.each(loader.metadata(left, unread)):
            if isinstance(fields, LoadError):
                refused.append(Quarantined(file.source, fields.reason, fields.advice))
            else:
                metadata[file.source] = fields
    notes = list(loader.notes)
    prefix = bucket.place.prefix
    written = dict(sidecars(metadata, notes))
    wanted: dict[str, list[Item]] = {}
    for source, sidecar in written.items():
        key, path = prefix + source, paths[source]
        assert path is not None  # the files are on this machine
        about = key + SIDECAR
        beside = [] if sidecar is None else [
            Item(about, source, sidecar, _sha256(sidecar), "application/json", about not in stored)
        ]  # fmt: skip
        sha256, kind = _sha256(path.read_bytes()), FORMATS[Path(source).suffix.lower()]
        wanted[source] = [*beside, Item(key, source, path, sha256, kind, key not in stored)]
    changed = _changed(wanted, stored, bucket)
    cleared = [prefix + source + SIDECAR for source, sidecar in written.items() if sidecar is None]
    gone = _gone(stored, {prefix + file.source for file in files}, bucket, notes)
    return UploadPlan(
        tuple(changed), len(wanted) - len({item.source for item in changed}),
        tuple(key for key in cleared if key in stored), gone,
        tuple(sorted(refused, key=lambda each: each.source)), tuple(notes),
    )  # fmt: skip


def carry_out(plan: UploadPlan, bucket: Bucket, *, delete: bool, progress: Progress | None = None) -> None:
    """Write what is new or changed, and then delete.

    A document's sidecar is written before it: a knowledge base never ingests a document without the
    attributes by which filters keep it from a reader.

    Parameters
    ----------
    plan : UploadPlan
    bucket : Bucket
    delete : bool
        Whether to delete what the folder no longer has.
    progress : Progress, optional
        Told how far it is: `rag.progress_bar`, or any callable (`rag.core.progress`).

    Raises
    ------
    RagError
        An object cannot be written or deleted, or a file has changed since the plan. What was written stays.
    """
    groups: dict[str, list[Item]] = {}
    for item in plan.items:
        groups.setdefault(item.source, []).append(item)
    done = 0
    with (
        Task(progress, "upload", of=len(plan.items), unit="object", kept=_KEPT) as task,
        ThreadPoolExecutor(bucket.parallel, thread_name_prefix="rag-kb") as pool,
    ):
        futures = [pool.submit(_write, bucket, items) for items in groups.values()]
        try:
            for future, items in zip(futures, groups.values(), strict=True):
                future.result()
                done += len(items)
                task.show(done)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    bucket.delete(plan.cleared)
    if delete:  # documents first: none must stay without its sidecar
        bucket.delete(sorted(plan.gone, key=lambda key: key.endswith(SIDECAR)))


def _write(bucket: Bucket, items: Iterable[Item]) -> None:
    for item in items:
        body = item.content if isinstance(item.content, bytes) else item.content.read_bytes()
        if _sha256(body) != item.sha256:
            raise RagError(f"{item.source} has changed during the upload: run the same command again")
        bucket.put(item.key, body, sha256=item.sha256, content_type=item.content_type)


def _refusal(file: SourceFile, prefix: str) -> Quarantined | None:
    suffix = Path(file.source).suffix.lower()
    if suffix not in FORMATS:
        shown = f"is {suffix}" if suffix else "has no suffix"
        rename = _RENAME.get(suffix)
        advice = f"rename it to {rename}" if rename else "convert it to PDF, HTML or text, or exclude it"
        return Quarantined(file.source, f"{shown}, which Knowledge Bases does not read", advice)
    if file.bytes > MAX_BYTES:
        size = f"has {file.bytes / 1e6:.1f} MB, Knowledge Bases reads at most {MAX_BYTES / 1e6:.0f} MB"
        return Quarantined(file.source, size, "split it, or exclude it")
    if len((prefix + file.source + SIDECAR).encode()) > MAX_KEY_BYTES:
        return Quarantined(file.source, f"has a key of more than {MAX_KEY_BYTES} bytes", "shorten its path")
    return None


def _changed(wanted: Mapping[str, list[Item]], stored: Mapping[str, Stored], bucket: Bucket) -> list[Item]:
    """Return the items that S3 does not hold yet, in order."""

    def differs(item: Item) -> bool:
        held = stored.get(item.key)
        if held is None:
            return True
        body = item.content if isinstance(item.content, bytes) else item.content.read_bytes()
        if len(body) != held.size:
            return True
        same = hashlib.md5(body, usedforsecurity=False).hexdigest() == held.etag
        return not same and bucket.sha256(item.key) != item.sha256

    items = [item for group in wanted.values() for item in group]
    with ThreadPoolExecutor(bucket.parallel, thread_name_prefix="rag-kb") as pool:
        return [item for item, new in zip(items, pool.map(differs, items), strict=True) if new]


def _gone(
    stored: Mapping[str, Stored], documents: Container[str], bucket: Bucket, notes: list[str]
) -> tuple[str, ...]:
    """Return the keys of what the folder no longer has; objects that no upload wrote are left alone."""
    without = [
        key for key in stored
        if (name := key.removesuffix(SIDECAR)) not in documents and Path(name).suffix.lower() in FORMATS
    ]  # fmt: skip
    with ThreadPoolExecutor(bucket.parallel, thread_name_prefix="rag-kb") as pool:
        ours = [key for key, sha256 in zip(without, pool.map(bucket.sha256, without), strict=True) if sha256]
    if others := len(without) - len(ours):
        objects = "object was" if others == 1 else "objects were"
        notes.append(f"{others} {objects} in {bucket.place} before, and not uploaded by rag: left alone")
    return tuple(ours)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
