"""The objects of a bucket on Amazon S3 as a source of files for `rag.Loader`."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rag.bedrock.runtime.client import explain, region_name
from rag.bedrock.runtime.faults import response_of
from rag.bedrock.storage.ranged_read import ObjectVersion, read_object
from rag.core.errors import LoadError, SourceError
from rag.core.files import SIDECAR, SourceFile
from rag.loading.local_files import SIDECAR_BYTES, check_sidecar, describes, stands_alone

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
        self._sidecars: dict[str, SourceFile] = {}  # by the source that each describes
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
                self._sidecars[source.removesuffix(SIDECAR)] = _file(source, item)
            else:
                files.append(_file(source, item))
        files += self._orphans({file.source for file in files})
        if not files:
            raise SourceError(f"{self.name} holds no objects: check the bucket and the prefix")
        yield from files

    def _orphans(self, sources: set[str]) -> Iterator[SourceFile]:
        """Yield what is named as a sidecar, stands alone, and is a document; note what is not."""
        for partner in sorted(self._sidecars.keys() - sources):
            file = self._sidecars.pop(partner)
            about = False
            if file.problem is None and file.bytes <= SIDECAR_BYTES:  # else it is no sidecar: fetched later
                try:
                    with self.local(file) as path:
                        about = describes(path)
                except LoadError as error:
                    self.notes.append(f"{file.source} {error.reason}")
                    continue
            self.notes.append(stands_alone(file.source, about=about))
            if not about:
                yield file

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
        beside = self._sidecars.get(file.source)
        return None if beside is None else beside.etag

    def sidecar(self, file: SourceFile) -> bytes | None:
        """Return the content of the object's sidecar; one that is too large is not fetched."""
        beside = self._sidecars.get(file.source)
        if beside is None:
            return None
        check_sidecar(beside.bytes)
        with self.local(beside) as path:
            return path.read_bytes()

    @contextlib.contextmanager
    def local(self, file: SourceFile) -> Iterator[Path]:
        """Download the object unless that is done already."""
        version = ObjectVersion(self.bucket, self._key(file.source), file.etag, file.bytes)
        name = hashlib.sha256(f"{version.bucket}/{version.key}\0{version.etag}".encode()).hexdigest()
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


def _file(source: str, item: dict[str, Any]) -> SourceFile:
    """Return an object of a listing as a file."""
    problem = None
    if item.get("StorageClass") in _ARCHIVED:
        problem = (f"is archived ({item['StorageClass']})", "restore it first, or exclude it")
    return SourceFile(source, item["Size"], modified=item["LastModified"], etag=item["ETag"], problem=problem)
