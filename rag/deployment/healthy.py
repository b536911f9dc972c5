"""Whether the service of this container answers: ``python -m rag.deployment.healthy``, its exit code.

It imports nothing of the service: the check runs every few seconds beside it.
"""

from __future__ import annotations

import http.client
import os
import sys


def main() -> int:
    """Return 0 if ``/healthz`` answers within 4 seconds, else 1."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8080")), timeout=4)
        connection.request("GET", "/healthz")
        return int(connection.getresponse().status != 200)
    except (OSError, ValueError, http.client.HTTPException):
        return 1


if __name__ == "__main__":
    sys.exit(main())
