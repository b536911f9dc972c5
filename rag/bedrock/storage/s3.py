"""Files of a bucket on Amazon S3, as a place that `rag.Loader` reads from."""

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

from rag.bedrock.runtime.client import explain
from rag.core.errors import LoadError, SourceError
from rag.core.files import SIDECAR, SourceFile

_PIECE = 1 << 20
_ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")


class S3Files:
    """The objects below ``s3://bucket/prefix``, told apart by their ETags.

    Sources are keys relative to the prefix, as a folder's files are paths relative to it: an index
    of a bucket equals that of its copy on disk. Keys that end in ``/`` and those with a part that
    begins with a dot are left out; ``.metadata.json`` sidecars are read, as Bedrock Knowledge Bases
    does; ignore files are not looked for. What was fetched is kept until a build is done, so that a
    killed one goes on where it was; an object that was cut off half-way is fetched from there.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``; a prefix without a slash at its end also names a single object.
    client : optional
        A boto3 S3 client; by default one of the usual AWS environment.
    parallel : int
        Objects fetched at once.

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
        self._given = client
        self._made: Any = None
        self._sidecars: dict[str, str] = {}
        self._folder: Path | None = None
        self._temporary: Path | None = None
        self._lock = threading.Lock()

    @property
    def _client(self) -> Any:
        if self._given is not None:
            return self._given
        if self._made is None:
            import boto3
            from botocore.config import Config

            retries = {"mode": "standard", "max_attempts": 6}
            config = Config(max_pool_connections=self.parallel + 2, retries=retries)
            self._made = boto3.client("s3", config=config)
        return self._made

    def list(self) -> Iterator[SourceFile]:
        """Yield the objects, sidecars left out.

        Raises
        ------
        SourceError
            The bucket cannot be listed, or holds nothing below the prefix.
        """
        self.notes, self._sidecars = [], {}
        found: list[SourceFile] = []
        listed = list(self._listed())
        if any(item["Key"] == self.prefix for item in listed):  # the URL of one object
            listed = [item for item in listed if item["Key"] in (self.prefix, self.prefix + SIDECAR)]
        for item in listed:
            source = self._relative(item["Key"])
            if source is None or any(part.startswith(".") for part in source.split("/")):
                continue
            if source.endswith(SIDECAR):
                self._sidecars[source.removesuffix(SIDECAR)] = item["ETag"]
                continue
            problem = None
            if item.get("StorageClass") in _ARCHIVED:
                problem = (f"is archived ({item['StorageClass']})", "restore it first, or leave it out")
            found.append(SourceFile(
                source, item["Size"], modified=item["LastModified"], etag=item["ETag"], problem=problem,
            ))  # fmt: skip
        if not found:
            raise SourceError(f"{self.name} holds no objects: check the bucket and the prefix")
        yield from found

    def _listed(self) -> Iterator[dict[str, Any]]:
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
        """Return a key as a source; None for a folder's own key, or one of a name that goes on."""
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
        return self._sidecars.get(file.source)

    def sidecar(self, file: SourceFile) -> bytes | None:
        """Return the bytes of the object's sidecar."""
        etag = self._sidecars.get(file.source)
        if etag is None:
            return None
        with self._fetched(file.source + SIDECAR, etag) as path:
            return path.read_bytes()

    @contextlib.contextmanager
    def local(self, file: SourceFile) -> Iterator[Path]:
        """Fetch the object, unless it is here already."""
        with self._fetched(file.source, file.etag) as path:
            yield path

    @contextlib.contextmanager
    def _fetched(self, source: str, etag: str) -> Iterator[Path]:
        name = hashlib.sha256(f"{self.bucket}/{self._key(source)}\0{etag}".encode()).hexdigest()
        path = self._keep() / name[:2] / name
        if not path.exists():
            self._fetch(self._key(source), etag, path)
        yield path
        if self._folder is None:
            path.unlink(missing_ok=True)

    def _fetch(self, key: str, etag: str, path: Path) -> None:
        """Fetch an object to a file that is there only once it is whole."""
        from botocore.exceptions import BotoCoreError, ClientError

        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        have = part.stat().st_size if part.exists() else 0
        asked: dict[str, Any] = {"Bucket": self.bucket, "Key": key, "IfMatch": etag}
        try:
            try:
                answer = self._client.get_object(**asked, **({"Range": f"bytes={have}-"} if have else {}))
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("InvalidRange", "416"):
                    raise
                have, answer = 0, self._client.get_object(**asked)
            with part.open("ab" if have else "wb") as sink:
                for piece in answer["Body"].iter_chunks(_PIECE):
                    sink.write(piece)
            part.replace(path)
        except (BotoCoreError, ClientError) as error:
            code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
            if code in ("PreconditionFailed", "412", "NoSuchKey", "404"):
                raise LoadError("changed or went while the build ran", "build again") from None
            raise LoadError(
                f"cannot be fetched ({explain(error, 'Amazon S3')})", "build again with --retry"
            ) from None

    def keep_in(self, folder: Path) -> None:
        """Keep what is fetched in a folder until `close` says that it is done with."""
        self._folder = folder

    def _keep(self) -> Path:
        if self._folder is not None:
            return self._folder
        with self._lock:
            if self._temporary is None:
                self._temporary = Path(tempfile.mkdtemp(prefix="rag-s3-"))
            return self._temporary

    def close(self, *, done: bool) -> None:
        """Delete what was fetched, if it is not needed again."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None
        if self._folder is not None and done:
            shutil.rmtree(self._folder, ignore_errors=True)
