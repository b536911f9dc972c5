"""Signature version 4 of a request, computed again and compared.

The method is AWS's (IAM User Guide, "Create a signed AWS API request"). botocore's own
`SigV4Auth` gives the same, three times slower; the tests let it sign what is checked here.
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

#: The signing name of all three services.
SERVICE = "bedrock"
#: Clocks may differ by this much (AWS: five minutes).
SKEW_S = 300
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request,\s*"
    r"SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)


def check(request: Request, secrets: Mapping[str, str] | None, secret: str) -> None:
    """Check a request's signature.

    Parameters
    ----------
    request : Request
    secrets : Mapping, optional
        Access keys and their secrets. A bearer token is taken if it is among the secrets; any is
        where this is None.
    secret : str
        That of any key where `secrets` is None.

    Raises
    ------
    Refusal
        ``MissingAuthenticationTokenException``, ``UnrecognizedClientException`` or
        ``InvalidSignatureException``, all with status 403.
    """
    given = request.headers.get("authorization", "")
    if not given:
        raise Refusal("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
    scheme, _, token = given.partition(" ")
    if scheme == "Bearer":
        if not token or (secrets is not None and token not in secrets.values()):
            raise Refusal("UnrecognizedClientException", "The bearer token is not valid.")
        return
    found = _SIGNED.fullmatch(given)
    if found is None:
        raise Refusal("IncompleteSignatureException", f"not an Authorization header: {given[:200]}", 400)
    key, date, region, service, names, signature = found.groups()
    if secrets is not None and key not in secrets:
        raise Refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
    if service != SERVICE:
        raise Refusal("InvalidSignatureException", f"Credential should be scoped to service: '{SERVICE}'.")
    stamp = request.headers.get("x-amz-date", "")
    _check_clock(stamp, date)
    text = "\n".join((
        "AWS4-HMAC-SHA256", stamp, f"{date}/{region}/{service}/aws4_request",
        hashlib.sha256(_canonical(request, names).encode()).hexdigest(),
    ))  # fmt: skip
    right = secret if secrets is None else secrets[key]
    if not hmac.compare_digest(_hmac(_signing_key(right, date, region, service), text).hex(), signature):
        raise Refusal(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )


def _check_clock(stamp: str, date: str) -> None:
    try:
        signed = dt.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    except ValueError:
        raise Refusal("InvalidSignatureException", f"no date in X-Amz-Date: {stamp!r}") from None
    now = dt.datetime.now(dt.UTC)
    if not stamp.startswith(date):
        raise Refusal("InvalidSignatureException", f"Date in Credential scope does not match {stamp}.")
    if abs((now - signed).total_seconds()) > SKEW_S:
        told = "expired" if signed < now else "not yet current"
        raise Refusal(
            "InvalidSignatureException", f"Signature {told}: {stamp}; here it is {now:%Y%m%dT%H%M%SZ}."
        )


def _canonical(request: Request, names: str) -> str:
    path, _, query = request.path.partition("?")
    headers = [f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names.split(";")]
    digest = hashlib.sha256(request.body).hexdigest()
    told = request.headers.get("x-amz-content-sha256", digest)
    if told not in (digest, "UNSIGNED-PAYLOAD"):
        raise Refusal("InvalidSignatureException", "X-Amz-Content-SHA256 is not the body's.")
    return "\n".join((
        request.method, quote(path, safe="/~"), "&".join(sorted(query.split("&"))),
        *headers, "", names, told,
    ))  # fmt: skip


@lru_cache(maxsize=1024)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
