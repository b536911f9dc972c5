"""Clients of Amazon Bedrock, and its errors as ours."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from rag.bedrock.runtime.faults import code_of, fault_of
from rag.core.errors import RagError

# boto3's default session is not made for threads: it may be made, and asked for clients, by one at a time.
_MAKING = threading.Lock()


def client(
    service: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    connections: int = 10,
    timeout_s: float = 60.0,
    validate: bool = True,
) -> Any:
    """Make a client that tries nothing again by itself; trying again is ours (`rag.bedrock.runtime.retry`).

    Parameters
    ----------
    service : str
        ``"bedrock-runtime"``, ``"bedrock-agent-runtime"``, ``"bedrock"``, ``"s3"``.
    region, endpoint_url : str, optional
        As boto3 takes them; by default from the environment.
    connections : int
        Calls that may be under way at once; more wait for a connection.
    timeout_s : float
        How long the service may be silent.
    validate : bool
        Whether boto3 looks through the arguments of each call. Not needed where they are always the
        same and right.

    Raises
    ------
    RagError
        There is no region, or the profile that is named does not exist.
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
        with _MAKING:
            return boto3.client(service, region_name=region, endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        raise RagError(explain(error, service)) from error


def explain(error: BaseException, model: str, advice: Mapping[str, str] | None = None) -> str:
    """Return one line: what happened, with which model, and what to do.

    The table's advice is that of models that are invoked; `advice` has what to say instead, by code.

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
    response: Any = getattr(error, "response", None) or {}
    said = str(response.get("Error", {}).get("Message", "") or error)
    return f"{model}: {code}: {' '.join(said.split())[:300]}: {(advice or {}).get(code, fault.advice)}"
