"""The objects below a prefix on Amazon S3, as an index's `rag.index.remote.objects.ObjectStore`."""

from __future__ import annotations

import contextlib
import functools
import re
import threading
import time
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from rag.bedrock.runtime.client import client as new_client
from rag.bedrock.storage.ranged_read import ObjectVersion, read_patiently
from rag.bedrock.storage.s3_errors import explained
from rag.bedrock.storage.s3_upload import ALTERED, WRITES, Upload, code, sha256_text
from rag.core.errors import RemoteError, StoreCorruptError, UsageError, cannot_write
from rag.core.jitter import full_jitter
from rag.index.remote.objects import AbsentError, Blob, ChangedError, Tally

#: Names of buckets (S3 User Guide, "Bucket naming rules").
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
#: Most bytes of a prefix: a key has at most 1,024 (S3 User Guide, "Naming objects"), ours add up to 80.
_MOST_PREFIX = 900
#: Most keys of one DeleteObjects (S3 API reference).
_MOST_DELETED = 1000
_ATTEMPTS = 6
_READS = "s3:GetObject on the prefix, and s3:ListBucket on the bucket"
#: An object that exists only so that `check_conditions` has one to try.
_CONDITIONS = "conditions"

T = TypeVar("T")


class S3Objects:
    """The objects below ``s3://bucket/prefix``.

    Uploads carry the SHA-256 of what they hold, which S3 compares; where a server's reply does not confirm
    it, the object is read back. Region, credentials and endpoint are those of the AWS environment.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``.
    client : optional
        A boto3 S3 client.
    region : str, optional
        By default the environment's.
    endpoint_url : str, optional
        By default AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or Amazon's.
    kms_key : str, optional
        The id or ARN of the KMS key that encrypts what is written; by default the bucket's own setting.
    timeout_s : float
        Most seconds between two reads of a reply.

    Raises
    ------
    UsageError
        The URL is none.
    """

    def __init__(
        self,
        url: str,
        *,
        client: Any = None,
        region: str | None = None,
        endpoint_url: str | None = None,
        kms_key: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        self.bucket, self.prefix = _place_of(url)
        self.name = f"s3://{self.bucket}/{self.prefix}"
        self._given, self._made = client, dict[int, Any]()
        self._region, self._endpoint = region or None, endpoint_url or None
        self._encryption: dict[str, str] = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        )
        self._timeout_s = timeout_s
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """The URL of the service, and that of the place."""
        return f"{self._client.meta.endpoint_url} {self.name}"

    @property
    def _client(self) -> Any:
        return self._trying(_ATTEMPTS)

    def _trying(self, attempts: int) -> Any:
        """Return a client that tries each call so often; one that was given tries as it does."""
        with self._lock:
            if self._given is not None:
                return self._given
            if attempts not in self._made:
                self._made[attempts] = new_client(
                    "s3", region=self._region, endpoint_url=self._endpoint, connections=16,
                    timeout_s=self._timeout_s, attempts=attempts,
                )  # fmt: skip
            return self._made[attempts]

    def read(self, key: str, most: int) -> Blob | None:
        """Read an object of at most `most` bytes; None if there is none."""

        def get() -> Blob | None:
            from botocore.exceptions import ClientError

            try:
                reply = self._client.get_object(Bucket=self.bucket, Key=self.prefix + key)
            except ClientError as error:
                if code(error) in ("NoSuchKey", "404"):
                    return None
                raise
            with contextlib.closing(reply["Body"]) as body:
                data = body.read(most + 1) if reply["ContentLength"] <= most else b" " * (most + 1)
            if len(data) > most:
                raise RemoteError(
                    f"{self.name}{key} has {reply['ContentLength']} bytes, at most {most} were expected: "
                    "check the prefix"
                )
            return Blob(data, reply["ETag"], _age(reply))

        return self._explained("read", key, _READS, lambda: _patiently(get))

    def write(self, key: str, data: bytes, replaces: str | None) -> None:
        """Write an object only if it still has the ETag `replaces`, or, for None, if there is none."""
        condition = {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": replaces}
        for _ in range(_ATTEMPTS):
            put = functools.partial(self._conditionally, key, data, condition)
            reply = self._explained("write", key, WRITES, put)
            if reply.get("ChecksumSHA256") == sha256_text(data):
                return
            found = self.read(key, len(data) + 1000)
            if found is None or found.etag != reply["ETag"] or found.data == data:  # or others wrote since
                return
            condition = {"IfMatch": found.etag}  # altered on its way, by a server that compares nothing
        raise RemoteError(
            f"{self.name}{key} does not hold what was sent: the server or the network alters it"
        )

    def _conditionally(self, key: str, data: bytes, condition: dict[str, str]) -> Any:
        from botocore.exceptions import ClientError

        for attempt in range(_ATTEMPTS):
            try:
                return self._client.put_object(
                    Bucket=self.bucket, Key=self.prefix + key, Body=data, ContentType="application/json",
                    ChecksumSHA256=sha256_text(data), **condition, **self._encryption,
                )  # fmt: skip
            except ClientError as error:
                said = code(error)
                absent = said in ("NoSuchKey", "404") and "IfMatch" in condition
                if absent or said in ("PreconditionFailed", "412"):
                    raise ChangedError(key) from None
                # Another conditional write of the object is under way (S3 User Guide, "Conditional writes").
                again = said in ("ConditionalRequestConflict", "409", *ALTERED)
                if not again or attempt == _ATTEMPTS - 1:
                    raise
            time.sleep(full_jitter(attempt + 1, 0.1, 2.0))
        raise AssertionError("unreachable")

    def check_conditions(self) -> None:
        """Write an object under two conditions that cannot hold; a server that writes it ignores them."""
        refused = 0
        for condition in ({"IfNoneMatch": "*"}, {"IfNoneMatch": "*"}, {"IfMatch": f'"{"0" * 32}"'}):
            try:
                self._explained(
                    "write", _CONDITIONS, WRITES,
                    functools.partial(self._conditionally, _CONDITIONS, b"{}\n", condition),
                )  # fmt: skip
            except ChangedError:
                refused += 1
                if "IfMatch" in condition and refused >= 2:
                    return
        raise RemoteError(
            f"the server of {self.name} ignores If-Match and If-None-Match, so two machines could overwrite "
            "each other's versions unnoticed: use one that honours them, as Amazon S3 does"
        )

    def put(self, key: str, data: bytes, sha256: str) -> None:
        """Write a small object whose SHA-256 is known; the store's copy is checked."""
        self._upload(key, sha256).small(data)

    def upload(self, key: str, path: Path, size: int, sha256: str, tally: Tally) -> None:
        """Write a file as an object and check the store's copy; resumes what a killed upload began."""
        self._upload(key, sha256).file(path, size, tally)

    def holds(self, key: str, size: int, sha256: str) -> bool:
        """Read an object, and compare its size and SHA-256."""
        return self._upload(key, sha256).arrived(size)

    def _upload(self, key: str, sha256: str) -> Upload:
        return Upload(self._client, self.bucket, self.prefix + key, sha256, self._encryption)

    def download(self, key: str, path: Path, size: int, tally: Tally) -> None:
        """Read an object into a file; resumes what the file holds if the object is still the same."""
        version = self._version(key, size)
        beside = path.with_name(path.name + ".etag")
        try:
            if not (path.exists() and beside.exists() and beside.read_text() == version.etag):
                path.unlink(missing_ok=True)
                beside.write_text(version.etag)
            with path.open("ab") as sink:
                tally.kept(sink.tell())
                self._explained("read", key, _READS, functools.partial(self._append, version, sink, tally))
            beside.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(path.parent, error) from error

    def _append(self, version: ObjectVersion, sink: IO[bytes], tally: Tally) -> None:
        """Read an object from where a file ends."""
        from botocore.exceptions import ClientError

        pieces = read_patiently(self._client, version, start=sink.tell())
        while True:
            try:
                piece = next(pieces, b"")
            except ClientError as error:
                if code(error) in ("PreconditionFailed", "412", "NoSuchKey", "404"):
                    raise AbsentError(version.key.removeprefix(self.prefix)) from None
                raise
            except OSError as error:  # of the network: one of the disk says something else
                raise ConnectionError(str(error)) from error
            if not piece:
                return
            if sink.tell() + len(piece) > version.size:
                raise StoreCorruptError(f"s3://{version.bucket}/{version.key} has more bytes than it says")
            sink.write(piece)
            tally.moved(len(piece))

    def _version(self, key: str, size: int) -> ObjectVersion:
        """Ask for an object's ETag; refuse one that does not have the size that it should have."""

        def head() -> ObjectVersion:
            from botocore.exceptions import ClientError

            try:
                reply = self._client.head_object(Bucket=self.bucket, Key=self.prefix + key)
            except ClientError as error:
                if code(error) in ("NoSuchKey", "404"):
                    raise AbsentError(key) from None
                raise
            return ObjectVersion(self.bucket, self.prefix + key, reply["ETag"], reply["ContentLength"])

        found = self._explained("read", key, _READS, head)
        if found.size != size:
            raise StoreCorruptError(
                f"{self.name}{key} has {found.size} bytes, the manifest says {size}: push it again, with "
                "--check, from a folder that has it"
            )
        return found

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the size of each object whose key begins with `prefix`."""

        def listed() -> dict[str, int]:
            pages = self._client.get_paginator("list_objects_v2")
            return {
                item["Key"].removeprefix(self.prefix): item["Size"]
                for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
                for item in page.get("Contents", ())
            }

        return self._explained("list", prefix, "s3:ListBucket on the bucket", listed)

    def delete(self, keys: Iterable[str]) -> bool:
        """Delete objects; False if the bucket keeps earlier versions of them all the same."""
        named, gone = [{"Key": self.prefix + key} for key in keys], True
        # Once: a retry that arrives late could hit what another push relies on by then.
        once = self._trying(1)
        for at in range(0, len(named), _MOST_DELETED):
            wanted = {"Objects": named[at : at + _MOST_DELETED]}
            reply = self._explained(
                "delete from", "", "s3:DeleteObject on the prefix",
                functools.partial(once.delete_objects, Bucket=self.bucket, Delete=wanted),
            )  # fmt: skip
            for error in reply.get("Errors", ()):
                raise RemoteError(
                    f"cannot delete s3://{self.bucket}/{error.get('Key')} ({error.get('Code')}: "
                    f"{error.get('Message')}): allow s3:DeleteObject on the prefix"
                )
            gone = gone and not any(each.get("DeleteMarker") for each in reply.get("Deleted", ()))
        return gone

    def abandon(self, prefix: str) -> None:
        """Abort the multipart uploads below a prefix."""

        def abort() -> None:
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix):
                for item in page.get("Uploads", ()):
                    with contextlib.suppress(self._client.exceptions.NoSuchUpload):
                        self._client.abort_multipart_upload(
                            Bucket=self.bucket, Key=item["Key"], UploadId=item["UploadId"]
                        )

        needs = "s3:ListBucketMultipartUploads on the bucket and s3:AbortMultipartUpload on the prefix"
        self._explained("clear", prefix, needs, abort)

    def _explained(self, action: str, key: str, needs: str, call: Callable[[], T]) -> T:
        return explained(action, f"{self.name}{key}", needs, call)


def _patiently(call: Callable[[], T]) -> T:
    """Call again where the reply's body broke off, which botocore does not do itself."""
    from botocore.exceptions import FlexibleChecksumError, HTTPClientError, IncompleteReadError
    from urllib3.exceptions import HTTPError

    for attempt in range(1, _ATTEMPTS):
        try:
            return call()
        except (HTTPClientError, IncompleteReadError, FlexibleChecksumError, HTTPError):
            time.sleep(full_jitter(attempt, 0.1, 5.0))
    return call()


def _age(reply: Any) -> float:
    """Return how long ago an object was written, both times by the server's clock."""
    date = reply["ResponseMetadata"]["HTTPHeaders"].get("date")
    try:
        return max(0.0, float((parsedate_to_datetime(date) - reply["LastModified"]).total_seconds()))
    except (TypeError, ValueError, KeyError):
        return 0.0


def _place_of(url: str) -> tuple[str, str]:
    """Read ``s3://bucket/prefix``; the prefix is empty, or ends in ``/``."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    parts = prefix.split("/") if prefix else []
    odd = any(part in ("", ".", "..") for part in parts) or not prefix.isprintable()
    if not url.startswith("s3://") or not _BUCKET.fullmatch(bucket) or odd:
        raise UsageError(f"{url!r} is no place on S3: write s3://bucket/prefix")
    if len(prefix.encode()) > _MOST_PREFIX:
        raise UsageError(f"{url!r} has a prefix of more than {_MOST_PREFIX} bytes: shorten it")
    return bucket, prefix and f"{prefix}/"
