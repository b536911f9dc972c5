"""Upload a file to Amazon S3 whose SHA-256 is known, in parts if it is large, and check what arrived.

S3 compares the SHA-256 that each request names and refuses what differs ("Checking object integrity", S3 User
Guide). Its reply repeats the checksum; a server whose reply does not is not trusted, and the object is read
back. The checksum of an object in parts is that of the parts' checksums (type COMPOSITE).
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.bedrock.runtime.faults import response_of
from rag.bedrock.storage.ranged_read import ObjectVersion, read_patiently
from rag.bedrock.storage.s3_errors import explained
from rag.core.errors import RemoteError, StoreCorruptError
from rag.index.remote.objects import Tally

#: Permissions of an upload.
WRITES = (
    "s3:PutObject, s3:GetObject and s3:ListMultipartUploadParts on the prefix, and "
    "s3:ListBucketMultipartUploads on the bucket"
)
#: Files up to this size are sent in one request.
SINGLE = 16 << 20
#: Bytes of a part, and most parts (S3 User Guide, "Multipart upload limits": at least 5 MiB, and 10,000).
PART, _MOST_PARTS = 8 << 20, 10_000
#: Parts of one file that are sent at the same time.
_PARALLEL = 4
_TRIES = 3
#: How S3 refuses a request whose body does not have the SHA-256 that it names.
ALTERED = ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch")


def code(error: BaseException) -> str:
    """Return the code of S3's error; that of a HEAD is its status."""
    return str(response_of(error).get("Error", {}).get("Code", ""))


def sha256_text(data: bytes) -> str:
    """Return a SHA-256 as S3's headers have it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a file: its number from 1, its place, and its digests."""

    number: int
    start: int
    size: int
    sha256: bytes
    md5: str

    @property
    def checksum(self) -> str:
        return base64.b64encode(self.sha256).decode()

    def is_in(self, listed: Mapping[str, Any] | None) -> bool:
        """Whether a listing shows that the part has arrived."""
        if listed is None or listed["Size"] != self.size:
            return False
        if "ChecksumSHA256" in listed:
            return bool(listed["ChecksumSHA256"] == self.checksum)
        return bool(listed["ETag"].strip('"') == self.md5)


class Upload:
    """The upload of one object.

    Parameters
    ----------
    client : boto3 S3 client
    bucket, key : str
    sha256 : str
        Of the content, as hex.
    encryption : mapping
        Arguments of the requests that begin an object.
    """

    def __init__(
        self, client: Any, bucket: str, key: str, sha256: str, encryption: Mapping[str, str]
    ) -> None:
        self._client, self._at = client, {"Bucket": bucket, "Key": key}
        self._sha256, self._encryption = sha256, encryption
        self.name = f"s3://{bucket}/{key}"

    def small(self, data: bytes) -> None:
        """Write bytes in one request."""
        for _ in range(_TRIES):
            reply = self._explained(lambda: self._client.put_object(
                **self._at, Body=data, ChecksumSHA256=sha256_text(data), **self._encryption
            ))  # fmt: skip
            if reply.get("ChecksumSHA256") == sha256_text(data) or self.arrived(len(data)):
                return
        self._fail()

    def file(self, path: Path, size: int, tally: Tally) -> None:
        """Write a file; what an earlier upload of the same file has sent is not sent again.

        Raises
        ------
        StoreCorruptError
            The file does not have this size and the upload's SHA-256.
        """
        if size <= SINGLE:
            data = path.read_bytes()
            self._check_local(path, len(data) == size and hashlib.sha256(data).hexdigest() == self._sha256)
            self.small(data)
            tally.moved(size)
            return
        parts = self._parts(path, size)
        for attempt in range(_TRIES):
            if self._in_parts(path, parts, tally, resume=attempt == 0):
                return
            tally.kept(-size)
        self._fail()

    def _parts(self, path: Path, size: int) -> list[_Part]:
        """Cut a file into parts, and check it."""
        step = max(PART, -(-size // _MOST_PARTS))
        whole = hashlib.sha256()
        parts: list[_Part] = []
        with path.open("rb") as file:
            while data := file.read(step):
                whole.update(data)
                parts.append(_Part(
                    len(parts) + 1, len(parts) * step, len(data), hashlib.sha256(data).digest(),
                    hashlib.md5(data, usedforsecurity=False).hexdigest(),
                ))  # fmt: skip
        self._check_local(
            path, sum(part.size for part in parts) == size and whole.hexdigest() == self._sha256
        )
        return parts

    def _check_local(self, path: Path, right: bool) -> None:
        if not right:
            raise StoreCorruptError(
                f"{path} was altered: its SHA-256 differs from the manifest's; `rag verify` names the newest "
                "undamaged version"
            )

    def _in_parts(self, path: Path, parts: list[_Part], tally: Tally, *, resume: bool) -> bool:
        """Send the parts that are missing, and complete the object; whether all of it arrived."""
        upload, there = self._begun(resume)
        arguments = {**self._at, "UploadId": upload}
        etags: dict[int, str] = {}
        missing = []
        for part in parts:
            listed = there.get(part.number)
            if listed is not None and part.is_in(listed):
                etags[part.number] = listed["ETag"]
                tally.kept(part.size)
            else:
                missing.append(part)
        confirmed = dict.fromkeys(etags, False)

        def send(part: _Part) -> None:
            with path.open("rb") as file:
                file.seek(part.start)
                data = file.read(part.size)
            reply = self._explained(lambda: self._client.upload_part(
                **arguments, PartNumber=part.number, Body=data, ChecksumSHA256=part.checksum
            ))  # fmt: skip
            etags[part.number] = reply["ETag"]
            confirmed[part.number] = reply.get("ChecksumSHA256") == part.checksum
            tally.moved(part.size)

        try:
            with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="rag-upload") as pool:
                _all(pool, send, missing)
            named = [
                {"PartNumber": part.number, "ETag": etags[part.number], "ChecksumSHA256": part.checksum}
                for part in parts
            ]  # fmt: skip
            reply = self._explained(lambda: self._client.complete_multipart_upload(
                **arguments, MultipartUpload={"Parts": named}
            ))  # fmt: skip
        except RemoteError as error:
            # Given up by a prune, or completed by an earlier attempt whose reply was lost.
            if not _gone(error):
                raise
            return self.arrived(sum(part.size for part in parts))
        whole = base64.b64encode(hashlib.sha256(b"".join(part.sha256 for part in parts)).digest()).decode()
        said = str(reply.get("ChecksumSHA256", "")).partition("-")[0]
        if said == whole and all(confirmed.get(part.number) for part in missing):
            return True
        return self.arrived(sum(part.size for part in parts))

    def _begun(self, resume: bool) -> tuple[str, dict[int, Mapping[str, Any]]]:
        """Return an upload's id, and its parts by number: the last one that was begun, or a new one."""
        for upload in reversed(self._explained(lambda: list(self._open_uploads())) if resume else []):
            try:
                listed = self._explained(functools.partial(self._sent, upload))
            except RemoteError as error:
                if _gone(error):
                    continue
                raise
            return upload, {part["PartNumber"]: part for part in listed}
        reply = self._explained(lambda: self._client.create_multipart_upload(
            **self._at, ChecksumAlgorithm="SHA256", **self._encryption
        ))  # fmt: skip
        return str(reply["UploadId"]), {}

    def _sent(self, upload: str) -> list[Mapping[str, Any]]:
        pages = self._client.get_paginator("list_parts").paginate(**self._at, UploadId=upload)
        return [part for page in pages for part in page.get("Parts", ())]

    def _open_uploads(self) -> Iterator[str]:
        pages = self._client.get_paginator("list_multipart_uploads")
        for page in pages.paginate(Bucket=self._at["Bucket"], Prefix=self._at["Key"]):
            for item in page.get("Uploads", ()):
                if item["Key"] == self._at["Key"]:
                    yield item["UploadId"]

    def arrived(self, size: int) -> bool:
        """Read the object back, and compare its size and SHA-256."""

        def read() -> bool:
            from botocore.exceptions import ClientError

            try:
                head = self._client.head_object(**self._at)
            except ClientError as error:
                if code(error) in ("NoSuchKey", "404"):
                    return False
                raise
            version = ObjectVersion(self._at["Bucket"], self._at["Key"], head["ETag"], head["ContentLength"])
            digest = hashlib.sha256()
            for piece in read_patiently(self._client, version) if version.size == size else ():
                digest.update(piece)
            return digest.hexdigest() == self._sha256

        return bool(self._explained(read))

    def _fail(self) -> None:
        raise RemoteError(
            f"{self.name} does not hold what was sent, {_TRIES} times in a row: the server or the network "
            "alters it"
        )

    def _explained(self, call: Callable[[], Any]) -> Any:
        return explained("write", self.name, WRITES, lambda: _again_if_altered(call))


def _again_if_altered(call: Callable[[], Any]) -> Any:
    """Call again where the request was altered on its way, which botocore does not do itself."""
    from botocore.exceptions import ClientError

    for _ in range(_TRIES - 1):
        try:
            return call()
        except ClientError as error:
            if code(error) not in ALTERED:
                raise
    return call()


def _gone(error: RemoteError) -> bool:
    """Whether an upload was aborted or completed."""
    return error.__cause__ is not None and code(error.__cause__) == "NoSuchUpload"


def _all(pool: ThreadPoolExecutor, send: Callable[[_Part], None], parts: list[_Part]) -> None:
    """Send parts; the first failure stops those that have not begun."""
    futures = [pool.submit(send, part) for part in parts]
    try:
        for future in futures:
            future.result()
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
