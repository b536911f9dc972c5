"""Claude on Amazon Bedrock, through LangChain's ChatBedrockConverse."""

from __future__ import annotations

from typing import Any

from langchain_aws import ChatBedrockConverse

from rag.errors import ConfigError, near_miss

#: A current, mid-priced model through the profile that every region can call.
MODEL = "global.anthropic.claude-sonnet-5-5"


def claude(
    model: str = MODEL,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    max_tokens: int = 2048,
    temperature: float | None = None,
    **more: Any,
) -> ChatBedrockConverse:
    """Make a chat model on Bedrock's Converse API.

    Parameters
    ----------
    model : str
        A model id, inference profile or ARN.
    region, endpoint_url : str, optional
        As boto3 takes them; by default from the environment.
    max_tokens : int
        Most tokens of the reply; a reply that is cut there says so in `Answer.stop_reason`.
    temperature : float, optional
        In [0, 1]; by default the model's own.
    **more
        Further fields of ChatBedrockConverse; a name it does not have is refused here (it would
        only warn, and send it on as a model field).
    """
    known = set(ChatBedrockConverse.model_fields) | {
        field.alias for field in ChatBedrockConverse.model_fields.values() if field.alias
    }
    for name in more:
        if name not in known:
            raise ConfigError(f"the generator 'claude' has no argument {name!r}: {near_miss(name, known)}")
    arguments = {
        "model": model, "region_name": region, "endpoint_url": endpoint_url,
        "max_tokens": max_tokens, "temperature": temperature, **more,
    }  # fmt: skip
    return ChatBedrockConverse(**{k: v for k, v in arguments.items() if v is not None})
