"""The variables by which AWS's clients choose credentials and endpoints, set for a time.

Imports nothing but the standard library: the pytest plugin loads it in every run of pytest.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType

#: Variables that would win over an emulator's (AWS SDKs and Tools Reference Guide, environment variables).
OTHERS = (
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK", "AWS_ENDPOINT_URL", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT",
)  # fmt: skip


@contextlib.contextmanager
def environment(variables: Mapping[str, str], without: Iterable[str] = OTHERS) -> Iterator[None]:
    """Set and remove variables of this process; boto3 forgets the session with credentials of before.

    Examples
    --------
    >>> with environment({"AWS_REGION": "eu-west-1"}):
    ...     os.environ["AWS_REGION"]
    'eu-west-1'
    """
    removed = tuple(without)
    before = {name: os.environ.get(name) for name in {*variables, *removed}}
    _forget_session()
    try:
        for name in removed:
            os.environ.pop(name, None)
        os.environ.update(variables)
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _forget_session()


def _forget_session() -> None:
    boto3: ModuleType | None = sys.modules.get("boto3")
    if boto3 is not None:
        boto3.DEFAULT_SESSION = None  # type: ignore[attr-defined]
