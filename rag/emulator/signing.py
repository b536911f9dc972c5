"""Verify a request's AWS Signature Version 4 by computing it again.

The algorithm is AWS's (IAM User Guide, "Create a signed AWS API request"). botocore's `SigV4Auth`
computes the same in three times the time; the tests sign with it and verify here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from rag.emulator.wire import Refusal, Request

#: The signing name of Bedrock's services (botocore's service models), and of those with another one.
SERVICE = "bedrock"
_OTHERS = {"s3vectors": "s3vectors", "sts": "sts", "service-quotas": "servicequotas"}
#: Largest difference between the clocks, in seconds (AWS: five minutes).
SKEW_S = 300
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request,\s*"
    r"SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)


def signing_name(service: str) -> str:
    """Return the name with which requests to a service are signed."""
    return _OTHERS.get(service, SERVICE)


def check(request: Request, secrets: Mapping[str, str] | None, secret: str) -> None:
    """Verify a request's signature.

    Parameters
    ----------
    request : Request
    secrets : Mapping, optional
        Access keys and their secrets; a bearer token must equal one of the secrets. None accepts any
        access key with `secret`, and any bearer token.
    secret : str
        The secret of every access key if `secrets` is None.

    Raises
    ------
    Refusal
        ``MissingAuthenticationTokenException``, ``UnrecognizedClientException`` or
        ``InvalidSignatureException``, all with status 403; ``IncompleteSignatureException`` with 400.
    """
    authorization = request.headers.get("authorization", "")
    if not authorization:
        raise Refusal("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
    scheme, _, token = authorization.partition(" ")
    if scheme == "Bearer":
        if not token or (secrets is not None and token not in secrets.values()):
            raise Refusal("UnrecognizedClientException", "The bearer token is not valid.")
        return
    match = _SIGNED.fullmatch(authorization)
    if match is None:
        raise Refusal(
            "IncompleteSignatureException", f"not an Authorization header: {authorization[:200]}", 400
        )
    key, date, region, service, names, signature = match.groups()
    if secrets is not None and key not in secrets:
        raise Refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
    expected = signing_name(request.service)
    if service != expected:
        raise Refusal("InvalidSignatureException", f"Credential should be scoped to service: '{expected}'.")
    stamp = request.headers.get("x-amz-date", "")
    _check_clock(stamp, date)
    text = "\n".join((
        "AWS4-HMAC-SHA256", stamp, f"{date}/{region}/{service}/aws4_request",
        hashlib.sha256(_canonical(request, names).encode()).hexdigest(),
    ))  # fmt: skip
    key_secret = secret if secrets is None else secrets[key]
    if not hmac.compare_digest(_hmac(_signing_key(key_secret, date, region, service), text).hex(), signature):
        raise Refusal(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )


def _check_clock(stamp: str, date: str) -> None:
    try:
        signed = dt.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    except ValueError:
        raise Refusal("InvalidSignatureException", f"X-Amz-Date is not a date: {stamp!r}") from None
    now = dt.datetime.now(dt.UTC)
    if not stamp.startswith(date):
        raise Refusal("InvalidSignatureException", f"Date in Credential scope does not match {stamp}.")
    if abs((now - signed).total_seconds()) > SKEW_S:
        fault = "expired" if signed < now else "not yet current"
        raise Refusal(
            "InvalidSignatureException",
            f"Signature {fault}: {stamp}; the server's time is {now:%Y%m%dT%H%M%SZ}.",
        )


def _canonical(request: Request, names: str) -> str:
    path, _, query = request.path.partition("?")
    headers = [f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names.split(";")]
    digest = hashlib.sha256(request.body).hexdigest()
    declared = request.headers.get("x-amz-content-sha256", digest)
    if declared not in (digest, "UNSIGNED-PAYLOAD"):
        raise Refusal("InvalidSignatureException", "X-Amz-Content-SHA256 is not the hash of the body.")
    return "\n".join((
        request.method, quote(path, safe="/~"), "&".join(sorted(query.split("&"))),
        *headers, "", names, declared,
    ))  # fmt: skip


@lru_cache(maxsize=1024)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
