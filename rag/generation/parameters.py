"""Parameters that a prompt asks of the model: passed to one that takes them, else refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from rag.core.errors import ConfigError
from rag.generation.models import StandsForOthers, describe, unbound

#: The fields in which chat models keep a parameter, where these are named otherwise.
_FIELDS = {"stop": ("stop", "stop_sequences")}


def refuse_untaken(model: Any, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that a model would ignore.

    A chat model takes those that it has a field for; one that stands for others (`Fallback`, `Router`),
    those that all of these take.

    Raises
    ------
    ConfigError
        It names the model and the parameter.
    """
    for name in parameters:
        for each in _models(model):
            inner = unbound(each)
            fields = type(inner).model_fields if isinstance(inner, BaseModel) else {}
            # Some models no longer take a temperature: LangChain leaves it out, with a warning.
            profile = getattr(inner, "profile", None) if "profile" in fields else None
            has_field = any(field in fields for field in _FIELDS.get(name, (name,)))
            if not has_field or (profile or {}).get(name) is False:
                raise ConfigError(
                    f"the prompt sets {name}, which its generator does not take ({describe(each)}): leave it "
                    "out of the prompt's parameters, or choose another generator"
                )


def _models(model: Any) -> list[Any]:
    inner = unbound(model)
    if not isinstance(inner, StandsForOthers):
        return [model]
    return [each for other in inner.others for each in _models(other)]
