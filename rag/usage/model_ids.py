"""Read the ids of Amazon Bedrock's models: a profile's prefix, the model's id, the kinds of ARN."""

from __future__ import annotations

#: Prefixes of cross-region inference profiles (litellm 1.110.2's price table, November 2026).
PROFILES = ("global", "us", "eu", "apac", "jp", "au", "us-gov")
#: Kinds of ARN that end in a model's or profile's id; the others name something of one account.
_NAMED = ("foundation-model", "inference-profile")


def split(model: str) -> tuple[str, str]:
    """Return an id's profile (empty for none) and the rest of the id.

    Parameters
    ----------
    model : str
        A model's id, an inference profile's id, or the ARN of either. Any other text is returned as
        it is, without a profile.

    Examples
    --------
    >>> split("us.anthropic.claude-sonnet-5-5")
    ('us', 'anthropic.claude-sonnet-5-5')
    >>> split("arn:aws:bedrock:eu-west-1::foundation-model/amazon.titan-embed-text-v2:0")
    ('', 'amazon.titan-embed-text-v2:0')
    """
    name = without_arn(model)
    profile, _, rest = name.partition(".")
    return (profile, rest) if profile in PROFILES and rest else ("", name)


def without_arn(model: str) -> str:
    """Return the id at the end of an ARN; an id, or an ARN that ends in none, is returned as it is."""
    kind, name = _parts(model)
    return name if kind in _NAMED and name else model


def is_provisioned(model: str) -> bool:
    """Tell whether an ARN is that of provisioned throughput, which is paid by the hour."""
    return _parts(model)[0] == "provisioned-model"


def _parts(model: str) -> tuple[str, str]:
    if not model.startswith("arn:"):
        return "", model
    kind, _, name = model.split(":", 5)[-1].partition("/")
    return kind, name
