"""Errors of Amazon S3 in one line that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rag.bedrock.runtime.client import explain
from rag.bedrock.runtime.faults import FAULTS, code_of
from rag.core.errors import RagError, RemoteError

T = TypeVar("T")

#: What to do, by the code of the error (S3 API reference, "Error responses"; November 2026).
_ADVICE = {
    "NoSuchBucket": "create the bucket first, or check its name and the region",
    "InvalidBucketName": "check the bucket's name",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION to it",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION to it",
    "IllegalLocationConstraintException": "the bucket is in another region: set AWS_REGION to it",
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it",
    "InvalidAccessKeyId": "the access key does not exist: check the credentials",
    "ExpiredTokenException": "renew the credentials",
    "InvalidTokenException": "the session token is not valid: renew the credentials",
    "InvalidToken": "the session token is not valid: renew the credentials",
    "NoCredentialsError": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "NoRegionError": "set AWS_REGION",
    "InvalidObjectState": "the object is archived: restore it first",
    "SlowDown": "S3 asks for fewer requests: run the same again later",
    "ServiceUnavailableException": "S3 is busy: run the same again later",
    "InternalError": "S3 failed: run the same again",
    "RequestTimeout": "the connection was too slow: run the same again",
    "EndpointConnectionError": "check the network, the region, and AWS_ENDPOINT_URL_S3 if it is set",
    "ConnectionClosedError": "the connection broke: run the same again, it goes on where it stopped",
    "ReadTimeoutError": "no reply arrived in time: run the same again, it goes on where it stopped",
    "StreamCut": "the connection broke: run the same again, it goes on where it stopped",
    "KMS.DisabledException": "the KMS key is disabled: enable it, or name another",
    "KMS.NotFoundException": "there is no such KMS key in the region: check --kms-key",
    "KMS.KMSInvalidStateException": "the KMS key cannot be used: check its state",
    "NotImplemented": "this server lacks an operation of S3 that is needed: update it",
}


def explained(
    action: str, place: object, needs: str, call: Callable[[], T], *, error: type[RagError] = RemoteError
) -> T:
    """Call S3; report a failure in one line.

    Parameters
    ----------
    action : str
        What is done, e.g. ``"list"``.
    place : object
        Where.
    needs : str
        The permissions for it, e.g. ``"s3:ListBucket on the bucket"``.
    call : callable
    error : type of RagError
        What is raised.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    try:
        return call()
    except (BotoCoreError, ClientError, Boto3Error, HTTPError) as failure:
        code = code_of(failure)
        denied = f"allow {needs}"
        advice = {**_ADVICE, "AccessDeniedException": denied, "403": denied, "AllAccessDisabled": denied}
        if code not in FAULTS:
            advice.setdefault(code, f"check the bucket, and allow {needs}")
        raise error(f"cannot {action} {place}: {explain(failure, 'Amazon S3', advice)}") from failure
