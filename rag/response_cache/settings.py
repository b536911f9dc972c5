"""``[cache.responses]`` of rag.toml."""

from __future__ import annotations

from pydantic import Field

from rag.usage.settings import Settings

_HOURS = "a number of hours above 0"
_COSINE = "a cosine, above 0 and up to 1"
_SECONDS = "a number of seconds above 0"


class ResponseSettings(Settings):
    """How long answers are kept, and whose they are; the store has settings of its own.

    Parameters
    ----------
    ttl_hours : float
        Hours for which an answer is given again.
    tenant : str
        Whose answers they are, for questions that name no tenant.
    salt : str
        Another one makes all answers unknown: change it with code that the key cannot see.
    semantic : float, optional
        The cosine in (0, 1] from which a similar question counts as the same; by default none does.
    lease_s : float
        Seconds without a piece of the answer after which the one who asks for it is no longer waited for.
    wait_s : float
        The most seconds that a question waits for an equal one.
    """

    ttl_hours: float = Field(
        default=168.0, strict=True, gt=0, allow_inf_nan=False, description="a number above 0"
    )
    tenant: str = Field(default="", description="a string")
    salt: str = Field(default="", description="a string")
    semantic: float | None = Field(
        default=None, strict=True, gt=0, le=1, description="a cosine, above 0 and up to 1"
    )
    lease_s: float = Field(default=60.0, strict=True, gt=0, allow_inf_nan=False, description=_SECONDS)
    wait_s: float = Field(default=120.0, strict=True, gt=0, allow_inf_nan=False, description=_SECONDS)
