"""Clients of Amazon Bedrock, and one-line explanations of its errors."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from rag.bedrock.runtime.faults import code_of, fault_of, response_of
from rag.core.errors import RagError

# boto3's default session is not thread-safe: one thread at a time may create it or create clients.
_CREATION = threading.Lock()


def client(
    service: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    connections: int = 10,
    timeout_s: float = 60.0,
    validate: bool = True,
) -> Any:
    """Create a client without botocore's retries; `rag.bedrock.runtime.retry` retries instead.

    Parameters
    ----------
    service : str
        ``"bedrock-runtime"``, ``"bedrock-agent-runtime"``, ``"bedrock"``, ``"s3"``.
    region, endpoint_url : str, optional
        As boto3 takes them; by default from the environment.
    connections : int
        Connections in the pool; further concurrent calls wait for one.
    timeout_s : float
        Most seconds between two reads of a reply.
    validate : bool
        Whether boto3 validates the arguments of each call; unnecessary if their form never varies.

    Raises
    ------
    RagError
        No region is set, or the named profile does not exist.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1}, max_pool_connections=connections,
        read_timeout=timeout_s, connect_timeout=min(timeout_s, 10.0), parameter_validation=validate,
        tcp_keepalive=True,
    )  # fmt: skip
    try:
        with _CREATION:
            return boto3.client(service, region_name=region, endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as error:  # ValueError: the endpoint is not a URL
        raise RagError(explain(error, service)) from error


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
    if code == "NoCredentialsError":
        return f"{model}: there are no AWS credentials: {fault.advice}"
    if code == "NoRegionError":
        return f"{model}: no AWS region is set: {fault.advice}"
    message = str(response_of(error).get("Error", {}).get("Message", "") or error)
    return f"{model}: {code}: {' '.join(message.split())[:300]}: {(advice or {}).get(code, fault.advice)}"
