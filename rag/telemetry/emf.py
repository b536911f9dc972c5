"""Records as CloudWatch reads metrics from: its Embedded Metric Format.

A log line with an object ``_aws`` says which of its top-level members are metrics, with units, and by which
members they are grouped. At most 100 metrics and 30 dimensions; every dimension's value is one more series
that is paid for, so there are two sets: all questions of an index, and those of each model. Source:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

#: Metrics with their units.
METRICS = {
    "Questions": "Count", "Failed": "Count", "Refused": "Count", "Left": "Count", "CacheHits": "Count",
    "Fallbacks": "Count", "Escalations": "Count", "Guardrail": "Count", "Calls": "Count",
    "InputTokens": "Count", "OutputTokens": "Count", "CacheReadTokens": "Count", "CacheWriteTokens": "Count",
    "Retries": "Count", "Throttles": "Count", "Dollars": "None",
    "Seconds": "Seconds", "FirstToken": "Seconds", "Retrieve": "Seconds",
    "Supported": "None",
}  # fmt: skip
DIMENSIONS = (("Index",), ("Index", "Model"))


def embedded(record: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """Return a record with its metrics.

    Parameters
    ----------
    record : mapping
    namespace : str
        Of the metrics in CloudWatch.

    Examples
    --------
    >>> made = embedded({"time": "2026-11-26T10:00:00.000Z", "outcome": "answered", "index": "handbook",
    ...                  "model": "m", "seconds": {"whole": 1.5}, "tokens": {}, "usd": 0.01,
    ...                  "calls": []}, "rag")
    >>> made["_aws"]["CloudWatchMetrics"][0]["Namespace"], made["Seconds"], made["Questions"]
    ('rag', 1.5, 1)
    """
    seconds, tokens = record["seconds"], record["tokens"]
    values: dict[str, Any] = {
        "Questions": 1, "Failed": int(record["outcome"] == "failed"),
        "Refused": int(record["outcome"] == "refused"), "Left": int(record["outcome"] == "left"),
        "CacheHits": int(record.get("cache") is not None), "Fallbacks": record.get("fallbacks", 0),
        "Escalations": record.get("escalations", 0), "Guardrail": int(record.get("guardrail") is not None),
        "Calls": len(record["calls"]), "InputTokens": tokens.get("input", 0),
        "OutputTokens": tokens.get("output", 0), "CacheReadTokens": tokens.get("cache_read", 0),
        "CacheWriteTokens": tokens.get("cache_write", 0), "Dollars": record.get("usd"),
        "Seconds": seconds.get("whole"), "FirstToken": seconds.get("first_token"),
        "Retries": record.get("retries", 0), "Throttles": record.get("throttles", 0),
        "Retrieve": seconds.get("retrieve"), "Supported": record.get("supported"),
    }  # fmt: skip
    there = {name: value for name, value in values.items() if value is not None}
    at = dt.datetime.fromisoformat(record["time"])
    metrics = [{"Name": name, "Unit": METRICS[name]} for name in there]
    # A dimension must have a value: an empty one would make CloudWatch drop the line's metrics.
    dimensions = {"Index": record["index"] or "none", "Model": record.get("model") or "none"}
    directive = {
        "Namespace": namespace,
        "Dimensions": [list(each) for each in DIMENSIONS],
        "Metrics": metrics,
    }
    return {
        "_aws": {"Timestamp": int(at.timestamp() * 1000), "CloudWatchMetrics": [directive]},
        **dimensions, **there, **record,
    }  # fmt: skip
