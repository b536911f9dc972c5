"""How calls of Bedrock fail and how to react: one table for clients, emulator and tests.

Codes and HTTP statuses are from botocore 1.44.5's service models. Retried are the four codes that
botocore retries, the agent runtime's 502, and network failures. Failures of the model
(`ModelErrorException`, `ModelTimeoutException`, and in mid-stream `modelStreamErrorException`, for which
AWS's API reference says to retry) are retried once, because each attempt may take a minute; so is a
broken stream. Nothing is retried once part of an answer has been delivered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

Again = Literal["yes", "once", "no"]

_PROFILE = "newer models need an inference profile such as global.anthropic.…"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail.

    Attributes
    ----------
    code : str
        As in the ``x-amzn-ErrorType`` header, or the name of botocore's exception class.
    status : int
        HTTP status; 0 if there is no reply.
    again : {"yes", "once", "no"}
        Whether to retry the call. An embedder, whose calls are short, treats "once" as "yes".
    slower : bool
        Whether it means that calls are sent too fast.
    elsewhere : bool
        Whether another model may succeed; the fallback uses it.
    strike : bool
        Whether it counts against the model's health; the circuit breaker uses it.
    advice : str
        What the user should do.
    """

    code: str
    status: int
    again: Again
    slower: bool
    elsewhere: bool
    strike: bool
    advice: str


_TABLE = (
    Fault("ThrottlingException", 429, "yes", True, True, True,
          "the account's quota is exhausted: retry later, or request a higher quota from AWS"),
    Fault("ModelNotReadyException", 429, "yes", False, True, True, "the model is starting: retry later"),
    Fault("InternalServerException", 500, "yes", False, True, True, "AWS failed: retry later"),
    Fault("ServiceUnavailableException", 503, "yes", True, True, True, "AWS is busy: retry later"),
    Fault("ModelTimeoutException", 408, "once", False, True, True,
          "the model took too long: request a shorter answer, or retry"),
    Fault("ModelErrorException", 424, "once", False, True, True, "the model failed: retry"),
    Fault("ModelStreamErrorException", 424, "once", False, True, True, "the model failed: retry"),
    Fault("ServiceQuotaExceededException", 400, "no", False, True, True,
          "request a higher quota from AWS"),
    Fault("ValidationException", 400, "no", False, False, False,
          f"check the model id and its arguments; {_PROFILE}"),
    Fault("ContextOverflow", 400, "no", False, True, False,
          "the context is too long for the model: lower the trimmer's budget"),
    Fault("AccessDeniedException", 403, "no", False, True, True,
          "allow bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream on this model (and on the "
          "inference profile), and request access to it in the Bedrock console"),
    Fault("ResourceNotFoundException", 404, "no", False, True, True,
          f"check the model id, and that the region offers it; {_PROFILE}"),
    Fault("ConflictException", 409, "no", False, False, False,
          "the name is taken: choose another"),
    Fault("DependencyFailedException", 424, "once", False, True, True,
          "a service that this call depends on failed: retry"),
    Fault("BadGatewayException", 502, "yes", False, True, True, "AWS failed: retry later"),
    Fault("ReadTimeoutError", 0, "once", False, True, True,
          "no reply arrived in time: retry, or raise timeout_s"),
    Fault("ConnectTimeoutError", 0, "yes", False, True, True, "check the network and the region"),
    Fault("EndpointConnectionError", 0, "yes", False, True, True,
          "check the network, the region, and endpoint_url if it is set"),
    Fault("ConnectionClosedError", 0, "yes", False, True, True, "the connection broke: retry"),
    Fault("StreamCut", 0, "once", False, True, True, "the reply's stream broke: ask again"),
    Fault("ExpiredTokenException", 403, "no", False, False, False, "renew the credentials"),
    Fault("UnrecognizedClientException", 403, "no", False, False, False,
          "the credentials are not valid: check them"),
    Fault("InvalidSignatureException", 403, "no", False, False, False,
          "the secret key or the clock is wrong: check both"),
    Fault("NoCredentialsError", 0, "no", False, False, False,
          "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run without --bedrock"),
    Fault("NoRegionError", 0, "no", False, False, False,
          "set AWS_DEFAULT_REGION, or region for the stage in rag.toml"),
    Fault("InvalidRegionError", 0, "no", False, False, False,
          "check AWS_DEFAULT_REGION, and region in rag.toml"),
    Fault("ProfileNotFound", 0, "no", False, False, False,
          "check AWS_PROFILE, and the profiles in ~/.aws/config"),
)  # fmt: skip
FAULTS = {fault.code: fault for fault in _TABLE}
#: For codes that are not in the table: a proxy or a newer service may send one.
_BY_STATUS = {
    429: FAULTS["ThrottlingException"], 500: FAULTS["InternalServerException"],
    502: FAULTS["BadGatewayException"], 503: FAULTS["ServiceUnavailableException"],
    504: FAULTS["ModelTimeoutException"],
}  # fmt: skip
_UNKNOWN = Fault("", 0, "no", False, True, True, "see the AWS documentation of this error")
#: Other names of these faults: in botocore, urllib3 and Python, and older codes of AWS.
_ALIKE = {
    "PartialCredentialsError": "NoCredentialsError", "CredentialRetrievalError": "NoCredentialsError",
    "InvalidConfigError": "NoCredentialsError", "MetadataRetrievalError": "NoCredentialsError",
    "ExpiredToken": "ExpiredTokenException", "TokenRetrievalError": "ExpiredTokenException",
    "SSOTokenLoadError": "ExpiredTokenException", "UnauthorizedSSOTokenError": "ExpiredTokenException",
    "InvalidClientTokenId": "UnrecognizedClientException", "AccessDenied": "AccessDeniedException",
    "MissingAuthenticationTokenException": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException", "ParamValidationError": "ValidationException",
    "ServiceUnavailable": "ServiceUnavailableException", "TooManyRequestsException": "ThrottlingException",
    "ReadTimeout": "ReadTimeoutError", "TimeoutError": "ReadTimeoutError",
    "ProxyConnectionError": "EndpointConnectionError", "SSLError": "EndpointConnectionError",
    "ConnectionRefusedError": "EndpointConnectionError", "HTTPClientError": "ConnectionClosedError",
    "ConnectionResetError": "ConnectionClosedError", "ConnectionAbortedError": "ConnectionClosedError",
    "BrokenPipeError": "ConnectionClosedError", "ResponseStreamingError": "StreamCut",
    "IncompleteReadError": "StreamCut", "ProtocolError": "StreamCut", "ChecksumMismatch": "StreamCut",
    "InvalidHeadersLength": "StreamCut", "InvalidPayloadLength": "StreamCut",
    # langchain_aws raises the first if a stream ends without messageStop; botocore raises the second,
    # without a code, for an exception that the stream's service model does not define.
    "ConnectionError": "StreamCut", "EventStreamError": "StreamCut",
}  # fmt: skip


def code_of(error: BaseException) -> str:
    """Return an error's code as the table spells it; in mid-stream AWS writes it in lower camel case."""
    # langchain_aws has several classes for it, all derived from LangChain's.
    if any(base.__name__ == "ContextOverflowError" for base in type(error).__mro__):
        return "ContextOverflow"
    response = response_of(error)
    code = str(response.get("Error", {}).get("Code", "") or type(error).__name__)
    code = code[:1].upper() + code[1:]
    return _ALIKE.get(code, code)


def fault_of(error: BaseException) -> Fault:
    """Return the table's row for an error's code; for an unknown code, the row for its HTTP status.

    Examples
    --------
    >>> from botocore.exceptions import ClientError
    >>> fault_of(ClientError({"Error": {"Code": "ThrottlingException"}}, "Converse")).again
    'yes'
    """
    status = response_of(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return FAULTS.get(code_of(error)) or _BY_STATUS.get(status, _UNKNOWN)


def is_fault(error: BaseException) -> bool:
    """Return whether an error is a failure of AWS or the network, not a bug in code."""
    kinds = type(error).__mro__
    return (
        code_of(error) in FAULTS
        or bool(response_of(error))
        or any(kind.__module__.split(".")[0] in ("botocore", "urllib3") for kind in kinds)
    )


@runtime_checkable
class _WithResponse(Protocol):
    """botocore's ClientError, or another library's error with an attribute of that name."""

    @property
    def response(self) -> object: ...


def response_of(error: BaseException) -> Mapping[str, Any]:
    """Return the reply that botocore's errors hold; empty for any other error."""
    response = error.response if isinstance(error, _WithResponse) else None
    return response if isinstance(response, Mapping) else {}


def table() -> str:
    """Return the table as Markdown; ``python -m rag.bedrock.runtime.faults`` prints it."""
    lines = [
        "| Fault | HTTP | Retried | Next model tried | Strike | What to do |",
        "|---|---|---|---|---|---|",
    ]
    for fault in FAULTS.values():
        elsewhere, strike = ("yes" if flag else "no" for flag in (fault.elsewhere, fault.strike))
        slower = ", slower" if fault.slower else ""
        lines.append(
            f"| `{fault.code}` | {fault.status or '–'} | {fault.again}{slower} | {elsewhere} | "
            f"{strike} | {fault.advice} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
