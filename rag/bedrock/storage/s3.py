"""The objects of a bucket on Amazon S3 as a source of files for `rag.Loader`."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rag.bedrock.runtime.client import explain, region_name
from rag.bedrock.runtime.faults import response_of
from rag.bedrock.storage.ranged_read import ObjectVersion, read_object
from rag.core.errors import LoadError, SourceError
from rag.core.files import SIDECAR, SourceFile
from rag.loading.local_files import describes, stands_alone

_ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")


class S3Files:
    """The objects below ``s3://bucket/prefix``; the ETag identifies an object's version.

    Sources are keys relative to the prefix, as files of a folder have paths relative to it, so an index
    of a bucket equals an index of its copy on disk. Keys that end in ``/`` or contain a part that begins
    with a dot are skipped. ``.metadata.json`` sidecars are read, as by Bedrock Knowledge Bases; ignore
    files are not. Downloads are kept until a build is complete, so a killed build continues where it
    stopped, even inside an object.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``; a prefix without a trailing slash may also name a single object.
    client : optional
        A boto3 S3 client; by default one configured by the AWS environment.
    parallel : int
        Objects to fetch concurrently.

    Raises
    ------
    SourceError
        The URL names no bucket.
    """

    def __init__(self, url: str, *, client: Any = None, parallel: int = 16) -> None:
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            raise SourceError(f"{url} names no bucket: write s3://bucket/prefix")
        self.bucket, self.prefix = parts.netloc, url.split("/", 3)[3] if url.count("/") > 2 else ""
        self.name, self.parallel = url, parallel
        self.notes: list[str] = []
        self._client_or_none = client
        self._sidecars: dict[str, tuple[str, int]] = {}  # ETag and size, by the source beside it
        self._folder: Path | None = None
        self._temporary: Path | None = None
        self._lock = threading.Lock()

    @property
    def _client(self) -> Any:
        if self._client_or_none is None:
            import boto3
            from botocore.config import Config

            retries = {"mode": "standard", "max_attempts": 6}
            config = Config(max_pool_connections=self.parallel + 2, retries=retries)
            self._client_or_none = boto3.client("s3", region_name=region_name(), config=config)
        return self._client_or_none

    def list(self) -> Iterator[SourceFile]:
        """Yield the objects except sidecars.

        Raises
        ------
        SourceError
            The bucket cannot be listed, or has no objects below the prefix.
        """
        self.notes, self._sidecars = [], {}
        files: list[SourceFile] = []
        items = list(self._items())
        if any(item["Key"] == self.prefix for item in items):  # the URL names one object
            items = [item for item in items if item["Key"] in (self.prefix, self.prefix + SIDECAR)]
        for item in items:
            source = self._relative(item["Key"])
            if source is None or any(part.startswith(".") for part in source.split("/")):
                continue
            if source.endswith(SIDECAR):
                self._sidecars[source.removesuffix(SIDECAR)] = (item["ETag"], item["Size"])
                continue
            problem = None
            if item.get("StorageClass") in _ARCHIVED:
                problem = (f"is archived ({item['StorageClass']})", "restore it first, or exclude it")
            files.append(SourceFile(
                source, item["Size"], modified=item["LastModified"], etag=item["ETag"], problem=problem,
            ))  # fmt: skip
        files += self._orphans({file.source for file in files}, items)
        if not files:
            raise SourceError(f"{self.name} holds no objects: check the bucket and the prefix")
        yield from files

    def _orphans(self, sources: set[str], items: Iterable[dict[str, Any]]) -> Iterator[SourceFile]:
        """Yield what is named as a sidecar, stands alone, and is a document; note what is not."""
        by_source = {self._relative(item["Key"]): item for item in items}
        for partner in sorted(self._sidecars.keys() - sources):
            source, (etag, size) = partner + SIDECAR, self._sidecars.pop(partner)
            try:
                with self._fetched(source, etag, size) as path:
                    about = describes(path)
            except LoadError as error:
                self.notes.append(f"{source} {error.reason}")
                continue
            self.notes.append(stands_alone(source, about=about))
            if not about:
                yield SourceFile(source, size, modified=by_source[source]["LastModified"], etag=etag)

    def _items(self) -> Iterator[dict[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
                yield from page.get("Contents", ())
        except (BotoCoreError, ClientError) as error:
            raise SourceError(
                f"{self.name} cannot be listed: {explain(error, 'Amazon S3')} (the role needs s3:ListBucket "
                "on the bucket and s3:GetObject on its objects)"
            ) from None

    def _relative(self, key: str) -> str | None:
        """Return a key as a source; None for a folder's key, or if the prefix ends inside a name."""
        if key.endswith("/"):
            return None
        if not self.prefix or self.prefix.endswith("/"):
            return key[len(self.prefix) :]
        if key in (self.prefix, self.prefix + SIDECAR):
            return key.rsplit("/", 1)[-1]
        rest = key[len(self.prefix) :]
        return rest[1:] if rest.startswith("/") else None

    def _key(self, source: str) -> str:
        if not self.prefix or self.prefix.endswith("/"):
            return self.prefix + source
        last = self.prefix.rsplit("/", 1)[-1]
        if source in (last, last + SIDECAR):
            return self.prefix + source[len(last) :]
        return f"{self.prefix}/{source}"

    def identity(self, file: SourceFile) -> str:
        """Return the object's ETag and size."""
        return f"etag:{file.etag.strip(chr(34))}:{file.bytes}"

    def sidecar_identity(self, file: SourceFile) -> str | None:
        """Return the sidecar's ETag."""
        etag, _ = self._sidecars.get(file.source, (None, 0))
        return etag

    def sidecar(self, file: SourceFile) -> bytes | None:
        """Return the content of the object's sidecar."""
        if file.source not in self._sidecars:
            return None
        etag, size = self._sidecars[file.source]
        with self._fetched(file.source + SIDECAR, etag, size) as path:
            return path.read_bytes()

    @contextlib.contextmanager
    def local(self, file: SourceFile) -> Iterator[Path]:
        """Download the object unless that is done already."""
        with self._fetched(file.source, file.etag, file.bytes) as path:
            yield path

    @contextlib.contextmanager
    def _fetched(self, source: str, etag: str, size: int) -> Iterator[Path]:
        version = ObjectVersion(self.bucket, self._key(source), etag, size)
        name = hashlib.sha256(f"{version.bucket}/{version.key}\0{etag}".encode()).hexdigest()
        path = self._downloads() / name[:2] / name
        if not path.exists():
            self._fetch(version, path)
        yield path
        if self._folder is None:
            path.unlink(missing_ok=True)

    def _fetch(self, version: ObjectVersion, path: Path) -> None:
        """Download an object to a file that appears only once it is complete."""
        from botocore.exceptions import BotoCoreError, ClientError

        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        start = part.stat().st_size if part.exists() else 0
        if start >= version.size:  # complete, yet not accepted: its checksum was wrong
            start = 0
        try:
            with part.open("ab" if start else "wb") as sink:
                for piece in read_object(self._client, version, start=start):
                    sink.write(piece)
            part.replace(path)
        except (BotoCoreError, ClientError) as error:
            code = response_of(error).get("Error", {}).get("Code", "")
            if code in ("PreconditionFailed", "412", "NoSuchKey", "404"):
                raise LoadError("changed or disappeared during the build", "build again") from None
            raise LoadError(
                f"cannot be fetched ({explain(error, 'Amazon S3')})", "build again with --retry"
            ) from None

    def keep_in(self, folder: Path) -> None:
        """Keep downloads in a folder until `close` deletes them."""
        self._folder = folder

    def _downloads(self) -> Path:
        if self._folder is not None:
            return self._folder
        with self._lock:
            if self._temporary is None:
                self._temporary = Path(tempfile.mkdtemp(prefix="rag-s3-"))
            return self._temporary

    def close(self, *, done: bool) -> None:
        """Delete the downloads; those in the folder of `keep_in` only if the build is done."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None
        if self._folder is not None and done:
            shutil.rmtree(self._folder, ignore_errors=True)
