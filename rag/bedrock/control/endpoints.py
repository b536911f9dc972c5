"""Whether the endpoints of Bedrock can be reached, and how far this machine's clock is off.

A request without a signature needs no credentials and costs nothing; AWS refuses it, which shows that it
arrived, and every reply carries the server's time (RFC 9110, 6.6.1).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from rag.bedrock.runtime.client import client, explain
from rag.core.errors import RagError

SERVICES = ("bedrock", "bedrock-runtime", "bedrock-agent-runtime")
#: Most seconds that the clocks may differ (SigV4; IAM User Guide, "Troubleshoot Signature Version 4").
MOST_SKEW_S = 300
_ADVICE = dict.fromkeys(
    ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"),
    "check the network, the region, a proxy (HTTPS_PROXY), and VPC endpoints",
)


@dataclass(frozen=True, slots=True)
class Reached:
    """A reply of an endpoint.

    Attributes
    ----------
    url : str
    seconds : float
        How long the reply took, with making the connection.
    skew_s : float or None
        This machine's clock minus the server's; None where the reply has no date.
    """

    url: str
    seconds: float
    skew_s: float | None


def url_of(service: str, region: str | None = None) -> str:
    """Return the URL that clients of a service use, settings of the environment included."""
    return str(client(service, region=region).meta.endpoint_url)


def reach(url: str, timeout_s: float = 5.0) -> Reached:
    """Send an endpoint a request without a signature.

    Raises
    ------
    RagError
        There is no reply.
    """
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import BotoCoreError
    from botocore.httpsession import URLLib3Session
    from botocore.utils import get_environ_proxies

    http = URLLib3Session(
        timeout=timeout_s, proxies=get_environ_proxies(url), verify=os.environ.get("AWS_CA_BUNDLE") or True
    )
    began, clock = time.monotonic(), time.time()
    try:
        reply = http.send(AWSRequest("GET", url, {}, b"").prepare())
    except BotoCoreError as error:
        raise RagError(explain(error, url, _ADVICE)) from error
    finally:
        http.close()
    seconds = time.monotonic() - began
    return Reached(url, seconds, _skew_s(reply.headers.get("Date", ""), clock + seconds / 2))


def _skew_s(date: str, now: float) -> float | None:
    try:
        server = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    return now - server - 0.5  # a date has whole seconds: on average half of one has passed
