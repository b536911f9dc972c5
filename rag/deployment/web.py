"""The process of a container behind a load balancer: ``python -m rag.deployment.web``.

The same service as ``rag serve``, with the settings of containers: an index on Amazon S3 is copied and kept
up to date. SIGTERM lets requests end for half a minute, as Amazon ECS allows by default.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from typing import Any

from rag.core.errors import ConfigError, RagError
from rag.core.extras import require
from rag.deployment.function import function

_DRAIN_S = 25


def main() -> int:
    """Serve until SIGTERM; return the exit code."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        port = _port(os.environ.get("PORT", "8080"))
        uvicorn: Any = require("uvicorn", extra="serve")
        made = function(os.environ, frozen=False)
        config = uvicorn.Config(
            made.app, host="0.0.0.0", port=port, log_level="warning", lifespan="on",
            timeout_graceful_shutdown=_DRAIN_S, timeout_keep_alive=65, server_header=False,
        )  # fmt: skip
        # uvicorn lets requests end, then raises the signal again, which here asks for no more.
        signal.signal(signal.SIGTERM, lambda *_: None)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run()
    except RagError as error:
        print(f"rag: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ConfigError(f"PORT is {text!r}: write a number from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
