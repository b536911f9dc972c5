"""Amazon Bedrock on this machine: a server that speaks its wire form to unmodified AWS clients.

It checks every request against botocore's own service model and its signature, answers from the local
models, and fails, throttles, delays and cuts on demand, so that whatever is built on Bedrock can be
tested, measured and shown with no AWS account.

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

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.emulator.behaviour import Behaviour
    from rag.emulator.server import Emulator
    from rag.emulator.wire import Refusal, Reply, Request

# Imported when first used: the pytest plugin lives here, and must cost nothing where it is not used.
_HOMES = {
    "Behaviour": "behaviour", "Emulator": "server", "Refusal": "wire", "Reply": "wire", "Request": "wire",
}  # fmt: skip

__all__ = ["Behaviour", "Emulator", "Refusal", "Reply", "Request"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rag.emulator' has no attribute {name!r}")
    return getattr(import_module(f"rag.emulator.{_HOMES[name]}"), name)
