"""How Bedrock's calls fail, and what is done about each: one table for clients, emulator and tests.

Codes and HTTP statuses are those of botocore 1.44.5's service models. What is retried: the four that
botocore retries, the agent runtime's 502, and network failures. The model's own failures
(`ModelErrorException`, `ModelTimeoutException`, and in mid-stream `modelStreamErrorException`, for which
AWS's API reference says to retry) are tried once more, as each try takes a minute of the user's time and
the model's; so is a stream that was cut. None is tried again once text has been given out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Again = Literal["yes", "once", "no"]

_PROFILE = "newer models need an inference profile such as global.anthropic.…"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail.

    Attributes
    ----------
    code : str
        As the ``x-amzn-ErrorType`` header or botocore's exception class names it.
    status : int
        HTTP status; 0 where there is no reply.
    again : {"yes", "once", "no"}
        Whether the same call is tried again. An embedder, whose calls are short, takes "once" as "yes".
    slower : bool
        Whether it says that calls come too fast.
    elsewhere : bool
        Whether another model may answer where this one failed; decides about fallback.
    strike : bool
        Whether it says that the model is not well; decides about the circuit breaker.
    advice : str
        What to do.
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
          "the account's quota is used up: try again, or ask AWS for a higher one"),
    Fault("ModelNotReadyException", 429, "yes", False, True, True, "the model is starting: try again"),
    Fault("InternalServerException", 500, "yes", False, True, True, "AWS failed: try again"),
    Fault("ServiceUnavailableException", 503, "yes", True, True, True, "AWS is busy: try again"),
    Fault("ModelTimeoutException", 408, "once", False, True, True,
          "the model took too long: ask for less, or try again"),
    Fault("ModelErrorException", 424, "once", False, True, True, "the model failed: try again"),
    Fault("ModelStreamErrorException", 424, "once", False, True, True, "the model failed: try again"),
    Fault("ServiceQuotaExceededException", 400, "no", False, True, True, "ask AWS for a higher quota"),
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
          "something of this name is there: name another"),
    Fault("DependencyFailedException", 424, "once", False, True, True,
          "what it depends on failed: try again"),
    Fault("BadGatewayException", 502, "yes", False, True, True, "AWS failed: try again"),
    Fault("ReadTimeoutError", 0, "once", False, True, True,
          "no reply came in time: try again, or allow more with timeout_s"),
    Fault("ConnectTimeoutError", 0, "yes", False, True, True, "check the network and the region"),
    Fault("EndpointConnectionError", 0, "yes", False, True, True,
          "check the network, the region, and the endpoint if you gave one"),
    Fault("ConnectionClosedError", 0, "yes", False, True, True, "the connection was cut: try again"),
    Fault("StreamCut", 0, "once", False, True, True, "the reply's stream was cut: ask again"),
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
#: A proxy, or a newer service, may answer with a code of its own.
_BY_STATUS = {
    429: FAULTS["ThrottlingException"], 500: FAULTS["InternalServerException"],
    502: FAULTS["BadGatewayException"], 503: FAULTS["ServiceUnavailableException"],
    504: FAULTS["ModelTimeoutException"],
}  # fmt: skip
_UNKNOWN = Fault("", 0, "no", False, True, True, "see the AWS documentation of this error")
#: Other names of the same: botocore's, urllib3's, Python's, and older ones of AWS.
_ALIKE = {
    "PartialCredentialsError": "NoCredentialsError", "CredentialRetrievalError": "NoCredentialsError",
    "ExpiredToken": "ExpiredTokenException", "TokenRetrievalError": "ExpiredTokenException",
    "SSOTokenLoadError": "ExpiredTokenException", "UnauthorizedSSOTokenError": "ExpiredTokenException",
    "InvalidClientTokenId": "UnrecognizedClientException",
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
    # What langchain_aws raises where a stream ends without a messageStop; and botocore, without a code,
    # where an exception comes that the stream's service model does not have.
    "ConnectionError": "StreamCut", "EventStreamError": "StreamCut",
}  # fmt: skip


def code_of(error: BaseException) -> str:
    """Return an error's code as the table spells it; in mid-stream it comes in lower camel case."""
    # langchain_aws makes classes of many names for it, all with LangChain's among their bases.
    if any(base.__name__ == "ContextOverflowError" for base in type(error).__mro__):
        return "ContextOverflow"
    response = _response(error)
    code = str(response.get("Error", {}).get("Code", "") or type(error).__name__)
    code = code[:1].upper() + code[1:]
    return _ALIKE.get(code, code)


def fault_of(error: BaseException) -> Fault:
    """Return the table's row for an error; for a code that it does not know, that of the HTTP status.

    Examples
    --------
    >>> from botocore.exceptions import ClientError
    >>> fault_of(ClientError({"Error": {"Code": "ThrottlingException"}}, "Converse")).again
    'yes'
    """
    status = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return FAULTS.get(code_of(error)) or _BY_STATUS.get(status, _UNKNOWN)


def is_fault(error: BaseException) -> bool:
    """Tell whether an error is AWS's or the network's, not a mistake in somebody's code."""
    kinds = type(error).__mro__
    return (
        code_of(error) in FAULTS
        or bool(_response(error))
        or any(kind.__module__.split(".")[0] in ("botocore", "urllib3") for kind in kinds)
    )


def _response(error: BaseException) -> Mapping[str, Any]:
    """Return what botocore keeps of a reply; other libraries' errors keep other things by this name."""
    response = getattr(error, "response", None)
    return response if isinstance(response, Mapping) else {}


def table() -> str:
    """Return the table as Markdown; ``python -m rag.bedrock.runtime.faults`` prints it."""
    lines = [
        "| What fails | HTTP | Tried again | Another model is asked | Strike | What to do |",
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
