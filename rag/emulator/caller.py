"""Answer GetCallerIdentity of STS and ListServiceQuotas: who calls, and what the account may use.

Wire forms: botocore 1.44.5's models of sts (the query protocol: a form in, XML out) and service-quotas
(JSON 1.1). The quotas are examples; those that the emulator enforces are in `rag.emulator.behaviour`.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

from rag.emulator.wire import ACCOUNT, Refusal, Reply, Request

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
#: Who every caller is.
ARN = f"arn:aws:iam::{ACCOUNT}:user/emulated"
#: STS has older names for these errors (STS API reference, "Common Error Types").
_STS_CODES: Mapping[str, str] = {
    "AccessDeniedException": "AccessDenied", "UnrecognizedClientException": "InvalidClientTokenId",
    "InvalidSignatureException": "SignatureDoesNotMatch", "ThrottlingException": "Throttling",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "IncompleteSignatureException": "IncompleteSignature", "ExpiredTokenException": "ExpiredToken",
}  # fmt: skip
#: Names and values of some quotas; a name says the model, as AWS's do.
_QUOTAS = {
    "On-demand model inference requests per minute for Amazon Titan Text Embeddings V2": 6000.0,
    "Cross-region model inference requests per minute for Anthropic Claude Sonnet 5.5": 1000.0,
    "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 5.5": 2_000_000.0,
    "Minimum number of records per batch inference job for Titan Text Embeddings V2": 100.0,
}


def identity(emulator: object, request: Request) -> Reply:
    """Answer GetCallerIdentity."""
    result = f"<Arn>{ARN}</Arn><UserId>AIDAEMULATED</UserId><Account>{ACCOUNT}</Account>"
    return _xml(
        f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}"><GetCallerIdentityResult>{result}'
        f"</GetCallerIdentityResult>{_metadata(request)}</GetCallerIdentityResponse>"
    )


def quotas(emulator: object, request: Request) -> Reply:
    """Answer ListServiceQuotas, all on one page."""
    if request.params["ServiceCode"] != "bedrock":
        raise Refusal("NoSuchResourceException", f"No such service: {request.params['ServiceCode']}", 400)
    rows = [
        {
            "ServiceCode": "bedrock", "ServiceName": "Amazon Bedrock", "QuotaCode": code, "QuotaName": name,
            "QuotaArn": f"arn:aws:servicequotas:{request.region}:{ACCOUNT}:bedrock/{code}", "Value": value,
            "Unit": "None", "Adjustable": True, "GlobalQuota": False,
        }
        for code, (name, value) in ((f"L-{n:08d}", each) for n, each in enumerate(_QUOTAS.items(), 1))
    ]  # fmt: skip
    return Reply({"Quotas": rows}, headers={"Content-Type": "application/x-amz-json-1.1"})


def refused(service: str, refusal: Refusal, number: int) -> Reply | None:
    """Return a refusal in the form of STS or Service Quotas; None for the other services."""
    if service == "service-quotas":
        return Reply({"__type": refusal.code, "message": refusal.message}, refusal.status)
    if service != "sts":
        return None
    code = _STS_CODES.get(refusal.code, refusal.code)
    error = f"<Type>Sender</Type><Code>{code}</Code><Message>{escape(refusal.message)}</Message>"
    return _xml(
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error>{error}</Error><RequestId>{number}</RequestId>'
        "</ErrorResponse>",
        refusal.status,
    )


def _metadata(request: Request) -> str:
    return f"<ResponseMetadata><RequestId>{request.number}</RequestId></ResponseMetadata>"


def _xml(text: str, status: int = 200) -> Reply:
    return Reply(text.encode(), status, {"Content-Type": "text/xml"})
