"""Amazon Bedrock on this machine: a server that unmodified AWS clients can talk to.

It checks every request against botocore's service model and verifies its signature, answers with the
local models, and fails, throttles, delays and cuts on demand, so that an application on Bedrock can be
tested, measured and demonstrated without an AWS account.

Examples
--------
>>> import boto3
>>> from rag.emulator import Behaviour, Emulator
>>> with Emulator(Behaviour(reply="Anyone may.")) as emulator:
...     client = boto3.client(
...         "bedrock-runtime", region_name="eu-west-1", endpoint_url=emulator.url,
...         aws_access_key_id="test", aws_secret_access_key="test",
...     )
...     reply = client.converse(
...         modelId="global.anthropic.claude-sonnet-5-5",
...         messages=[{"role": "user", "content": [{"text": "Who declares a SEV-1?"}]}],
...     )
>>> reply["output"]["message"]["content"]
[{'text': 'Anyone may.'}]
"""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.emulator.behaviour import Behaviour
    from rag.emulator.server import Emulator
    from rag.emulator.wire import Refusal, Reply, Request

# Imported on first use: the pytest plugin is in this package, and loads in every run of pytest.
_MODULES = {
    "Behaviour": "behaviour", "Emulator": "server", "Refusal": "wire", "Reply": "wire", "Request": "wire",
}  # fmt: skip

__all__ = ["Behaviour", "Emulator", "Refusal", "Reply", "Request", "start"]


def start(behaviour: Behaviour | None = None, **options: Any) -> Emulator:
    """Start an emulator and point the AWS clients of this process at it, until the process ends.

    For notebooks and scripts. The process's own AWS settings (profile, keys, endpoints) have no effect from
    then on. In tests use the fixture ``bedrock_emulator``, elsewhere ``with Emulator() as emulator``.

    Parameters
    ----------
    behaviour : Behaviour, optional
    **options
        Those of `Emulator`.

    Examples
    --------
    >>> emulator = start(Behaviour(reply="Anyone may."))                     # doctest: +SKIP
    >>> rag.ClaudeBedrock().invoke("Who declares a SEV-1?").text             # doctest: +SKIP
    'Anyone may.'
    """
    # Not in a module of its own: it would lengthen the longest chain of imports.
    from rag.emulator.server import Emulator
    from rag.emulator.variables import environment

    stack = ExitStack()
    emulator = stack.enter_context(Emulator(behaviour, **options))
    stack.enter_context(environment(emulator.environment()))
    atexit.register(stack.close)
    return emulator


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'rag.emulator' has no attribute {name!r}")
    return getattr(import_module(f"rag.emulator.{_MODULES[name]}"), name)
