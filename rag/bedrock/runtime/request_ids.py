"""The ids that AWS gives to requests, for whoever asks AWS's support about one."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from rag.core import observed


@runtime_checkable
class _Client(Protocol):
    meta: Any


def report_request_ids(client: object) -> None:
    """Let a client of boto3 report the id of each reply, of refusals too, to the question under way.

    Source: botocore's event ``after-call``, which has the parsed reply before an error is raised
    (`botocore.client.BaseClient._make_api_call`, 1.44.5). What is no client of boto3 is left alone.
    """
    if isinstance(client, _Client) and hasattr(client.meta, "events"):
        client.meta.events.register("after-call", _replied, unique_id="rag-request-id")


def _replied(parsed: Any = None, **kwargs: Any) -> None:
    number = (parsed or {}).get("ResponseMetadata", {}).get("RequestId")
    if number:
        observed.replied(str(number))
