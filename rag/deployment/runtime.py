"""The process of an AWS Lambda container: ``python -m rag.deployment.runtime``.

Lambda's own runtime for Python sends replies whole. This one streams them: server-sent events reach the
client as they come. It is the entry point of the image, or the ``bootstrap`` of an archive.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time

from rag.core.errors import ConfigError, RagError
from rag.deployment.exchange import started
from rag.deployment.function import Function, function
from rag.deployment.replies import answer
from rag.deployment.runtime_api import Invocation, RuntimeApi, error_body

_LOG = logging.getLogger("rag.deployment")
#: Seconds of an invocation that are left when it stops waiting for a new version of the index.
_SPARE_S = 2.0


async def serve(made: Function, api: RuntimeApi) -> None:
    """Answer invocations, one after the other, until SIGTERM; the one under way ends first.

    Raises
    ------
    RuntimeApiError
        The Runtime API does not answer.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, api.close)
    async with started(made.app):
        while not api.closed:
            invocation = await asyncio.to_thread(api.next)
            if invocation is None:
                return
            _trace(invocation)
            made.look()
            await answer(made, api, invocation)
            await asyncio.to_thread(made.looked, invocation.deadline - time.time() - _SPARE_S)


def _trace(invocation: Invocation) -> None:
    """Set the header of AWS X-Ray, as its libraries expect it of a runtime."""
    if invocation.trace:
        os.environ["_X_AMZN_TRACE_ID"] = invocation.trace
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)


def main() -> int:
    """Start the service, and answer invocations; return the exit code."""
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "WARNING").upper()
    known = logging.getLevelNamesMapping().get(level, logging.WARNING)
    logging.basicConfig(level=known, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    address = os.environ.get("AWS_LAMBDA_RUNTIME_API")
    if not address:
        print("rag: AWS_LAMBDA_RUNTIME_API is not set: this runs on AWS Lambda alone", file=sys.stderr)
        return 2
    api = RuntimeApi(address)
    try:
        made = function(os.environ)
    except Exception as error:
        known_error = isinstance(error, RagError)
        text = str(error) if known_error else f"the service cannot start: {type(error).__name__}: {error}"
        if not known_error:
            _LOG.error("the service cannot start", exc_info=error)
        print(f"rag: {' '.join(text.split())}", file=sys.stderr, flush=True)
        with contextlib.suppress(RagError):
            api.fail_init(error_body(error, text))
        return 2 if isinstance(error, ConfigError) else 1
    try:
        asyncio.run(serve(made, api))
    except RagError as error:
        print(f"rag: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
