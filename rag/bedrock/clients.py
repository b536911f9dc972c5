"""Clients of Amazon Bedrock, and its errors as ours."""

from __future__ import annotations

from typing import Any

from rag.errors import RagError

_ADVICE = {
    "AccessDeniedException": "allow bedrock:InvokeModel (and InvokeModelWithResponseStream) on this "
    "model, and request access to it in the Bedrock console",
    "ResourceNotFoundException": "check the model id, and that the region offers it; newer models "
    "need an inference profile such as global.anthropic.…",
    "ValidationException": "check the model id and its arguments; newer models need an inference "
    "profile such as global.anthropic.…",
    "ThrottlingException": "the account's quota is used up: try again, or ask AWS for a higher one",
    "ServiceQuotaExceededException": "ask AWS for a higher quota",
    "ExpiredTokenException": "renew the credentials",
    "UnrecognizedClientException": "the credentials are not valid: check them",
}


def runtime_client(region: str | None, endpoint_url: str | None, connections: int) -> Any:
    """Make a bedrock-runtime client with botocore's own retries (standard mode, 5 attempts)."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 5},
        max_pool_connections=connections, read_timeout=120, connect_timeout=10,
    )  # fmt: skip
    try:
        return boto3.client("bedrock-runtime", region_name=region, endpoint_url=endpoint_url, config=config)
    except BotoCoreError as error:
        raise RagError(explain(error, "bedrock-runtime")) from error


def explain(error: BaseException, model: str) -> str:
    """Return one line: what happened, with which model, and what to do."""
    kind = type(error).__name__
    if kind in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"):
        return (
            f"{model}: there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or run without --bedrock"
        )
    if kind == "NoRegionError":
        return f"{model}: no AWS region is set: set AWS_DEFAULT_REGION, or region in rag.toml"
    response: Any = getattr(error, "response", None) or {}
    code = str(response.get("Error", {}).get("Code", kind))
    said = str(response.get("Error", {}).get("Message", "") or error)
    advice = _ADVICE.get(code, "see the AWS documentation of this error")
    return f"{model}: {code}: {' '.join(said.split())[:300]}: {advice}"
