"""Clients of Amazon Bedrock, and one-line explanations of its errors."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from rag.bedrock.runtime.faults import code_of, fault_of, response_of
from rag.core import observed
from rag.core.errors import RagError

# boto3's default session is not thread-safe: one thread at a time may create it or create clients.
_CREATION = threading.Lock()
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def client(
    service: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    connections: int = 10,
    timeout_s: float = 60.0,
    validate: bool = True,
    attempts: int = 1,
) -> Any:
    """Create a client, by default without botocore's retries: `rag.bedrock.runtime.retry` retries instead.

    Parameters
    ----------
    service : str
        ``"bedrock-runtime"``, ``"bedrock-agent-runtime"``, ``"bedrock"``, ``"s3"``.
    region : str, optional
        By default `region_name`'s.
    endpoint_url : str, optional
        As boto3 takes it; by default from the environment.
    connections : int
        Connections in the pool; further concurrent calls wait for one.
    timeout_s : float
        Most seconds between two reads of a reply.
    validate : bool
        Whether boto3 validates the arguments of each call; unnecessary if their form never varies.
    attempts : int
        How often botocore tries each call, with its standard back-off.

    Raises
    ------
    RagError
        No region is set, the named profile does not exist, or credentials are incomplete.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts}, max_pool_connections=connections,
        read_timeout=timeout_s, connect_timeout=min(timeout_s, 10.0), parameter_validation=validate,
        tcp_keepalive=True,
    )  # fmt: skip
    try:
        with _CREATION:
            region = region_name(region)
            made = boto3.client(service, region_name=region, endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as error:  # ValueError: the endpoint is not a URL
        raise RagError(explain(error, service)) from error
    report_request_ids(made)
    return made


@runtime_checkable
class _Client(Protocol):
    meta: Any


def report_request_ids(client: object) -> None:
    """Let a client of boto3 report the id of each reply, of refusals too, to the question under way.

    Source: botocore's event ``after-call``, which has the parsed reply before an error is raised
    (`botocore.client.BaseClient._make_api_call`, 1.44.5). What is no client of boto3 is left alone.
    """
    if isinstance(client, _Client) and hasattr(client.meta, "events"):
        client.meta.events.register("after-call", _replied, unique_id="rag-request-id")


def _replied(parsed: Any = None, **kwargs: Any) -> None:
    number = (parsed or {}).get("ResponseMetadata", {}).get("RequestId")
    if number:
        observed.replied(str(number))


def region_name(region: str | None = None) -> str | None:
    """Return the region to use: the one given, AWS_REGION, AWS_DEFAULT_REGION, or None for the profile's.

    AWS's other SDKs, its command line and Lambda know AWS_REGION, and let it override AWS_DEFAULT_REGION (AWS
    CLI User Guide, "Environment variables"); boto3 alone does not know it.
    """
    return region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def missing_keys(given: Mapping[str, str | None] | None = None) -> str | None:
    """Return which of the access keys are missing where others are set, and what to do; else None.

    Parameters
    ----------
    given : mapping of str to str or None, optional
        The keys by the names of their variables; by default the environment's.

    Examples
    --------
    >>> missing_keys({"AWS_ACCESS_KEY_ID": "AKIA…"})
    'AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY: set both, or neither and AWS_PROFILE'
    """
    given = os.environ if given is None else given
    key, secret, token = (bool(given.get(name)) for name in KEYS)
    if key == secret and (key or not token):
        return None
    are = " and ".join(name for name, held in zip(KEYS, (key, secret, token), strict=True) if held)
    lacks = " and ".join(name for name, held in zip(KEYS[:2], (key, secret), strict=True) if not held)
    verb = "is" if " and " not in are else "are"
    return f"{are} {verb} set without {lacks}: set both, or neither and AWS_PROFILE"


def explain(error: BaseException, model: str, advice: Mapping[str, str] | None = None) -> str:
    """Return one line: the model, what happened, and what to do.

    The table's advice suits model invocations; `advice` replaces it by fault code.

    Examples
    --------
    >>> from botocore.exceptions import NoRegionError
    >>> explain(NoRegionError(), "bedrock-runtime")
    'bedrock-runtime: no AWS region is set: set AWS_DEFAULT_REGION, or region for the stage in rag.toml'
    """
    fault, code = fault_of(error), code_of(error)
    do = (advice or {}).get(code, fault.advice)
    if code == "NoCredentialsError":
        if incomplete := missing_keys():
            return f"{model}: AWS credentials are incomplete: {incomplete}"
        if type(error).__name__ != code:  # botocore says which source failed, and why
            return f"{model}: there are no usable AWS credentials: {_on_one_line(error)}: {do}"
        return f"{model}: there are no AWS credentials: {do}"
    if code == "NoRegionError":
        return f"{model}: no AWS region is set: {do}"
    message = str(response_of(error).get("Error", {}).get("Message", "") or error)
    return f"{model}: {code}: {_on_one_line(message)}: {do}"


def _on_one_line(message: object) -> str:
    return " ".join(str(message).split())[:300]
