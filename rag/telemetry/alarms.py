"""A CloudFormation template with a dashboard and alarms on the metrics of records (`rag.telemetry.emf`).

All are of one index, in the dimension ``Index``: costs do not grow with models. An alarm on a rate divides
two sums, so that a quiet hour raises none. Missing data is no alarm: without questions there are no metrics.
Types and properties: AWS CloudFormation Template Reference, AWS::CloudWatch::Alarm, ::Dashboard,
AWS::Logs::LogGroup (read November 2026).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rag.core.errors import UsageError
from rag.telemetry.emf import METRICS

#: Prices a month in US dollars, us-east-1, of the first tier, without the free tier (https://aws.amazon.com
#: /cloudwatch/pricing/, as published in 2025; check yours): a custom metric, an alarm for each metric that it
#: reads, a dashboard; and a GB of log that is ingested.
METRIC_USD, ALARM_USD, DASHBOARD_USD, LOG_GB_USD = 0.30, 0.10, 3.00, 0.50
#: Bytes of a record with its metrics, about (of `tests/telemetry`, with one call).
_RECORD_BYTES = 2_500


@dataclass(frozen=True, slots=True)
class Limits:
    """What raises an alarm.

    Attributes
    ----------
    usd_per_day, usd_per_hour : float
        Spending; the hour's is a quarter of the day's by default.
    questions, tokens : int
        In five minutes, above which a loop has run away; tokens that models read.
    p99_s : float
        Seconds of a whole question, three times five minutes long.
    throttles : int
        Throttled attempts in five minutes.
    failed, guardrail : float
        Percent of a quarter of an hour's questions that fail, or in which a guardrail intervenes.
    supported : float
        Mean share of supported sentences, below which an alarm is raised after three hours.
    """

    usd_per_day: float
    usd_per_hour: float = 0.0
    questions: int = 1_000
    tokens: int = 5_000_000
    p99_s: float = 30.0
    throttles: int = 20
    failed: float = 5.0
    guardrail: float = 10.0
    supported: float = 0.8

    def __post_init__(self) -> None:
        if not self.usd_per_hour:
            object.__setattr__(self, "usd_per_hour", self.usd_per_day / 4)
        most = {"failed": 100.0, "guardrail": 100.0, "supported": 1.0}
        for name, value in asdict(self).items():
            if not 0 < value < float("inf") or value > most.get(name, value):
                upto = f", up to {most[name]:g}" if name in most else ""
                raise UsageError(f"{name} is {value:g}: set it to a number above 0{upto}")
        if self.usd_per_hour > self.usd_per_day:
            raise UsageError("usd_per_hour is more than usd_per_day: set it to less")


@dataclass(frozen=True, slots=True)
class Observed:
    """What is observed, and where alarms go.

    Attributes
    ----------
    index : str
        Its name, as records have it.
    namespace : str
        Of the metrics.
    limits : Limits
    topic : str
        The ARN of a topic of Amazon SNS that alarms go to; by default they are only shown.
    group : str
        A log group to make, by default none.
    log_days : int
        After which CloudWatch deletes its events.
    """

    index: str
    namespace: str
    limits: Limits
    topic: str = ""
    group: str = ""
    log_days: int = 30

    def __post_init__(self) -> None:
        if not self.index.strip() or len(self.index) > 255:
            raise UsageError("name the index as its records do: the name of its folder")
        if self.topic and not re.fullmatch(
            r"arn:aws[\w-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}(\.fifo)?", self.topic
        ):
            raise UsageError(f"--topic is {self.topic!r}: give the ARN of a topic of Amazon SNS")


def stack_of(index: str) -> str:
    """Return the name of an index's stack: letters, digits and hyphens.

    Examples
    --------
    >>> stack_of("hand_book.v2")
    'rag-observe-hand-book-v2'
    """
    return f"rag-observe-{re.sub(r'[^A-Za-z0-9]+', '-', index).strip('-')}"[:128]


def template(observed: Observed) -> dict[str, Any]:
    """Return the template.

    Examples
    --------
    >>> made = template(Observed("handbook", "rag", Limits(usd_per_day=20)))
    >>> made["Resources"]["SpendPerDay"]["Properties"]["Threshold"]
    20
    """
    resources: dict[str, Any] = dict(_alarms(observed))
    resources["Dashboard"] = {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {
            "DashboardName": stack_of(observed.index),
            "DashboardBody": {"Fn::Sub": json.dumps(_dashboard(observed))},
        },
    }
    if observed.group:
        resources["Records"] = {
            "Type": "AWS::Logs::LogGroup", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain",
            "Properties": {"LogGroupName": observed.group, "RetentionInDays": observed.log_days},
        }  # fmt: skip
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Dashboard and alarms of the index {observed.index} (rag observe)",
        "Resources": resources,
    }


def _alarms(observed: Observed) -> Iterator[tuple[str, dict[str, Any]]]:
    of = observed.limits
    yield "SpendPerHour", _alarm(observed, "Dollars", "Sum", 3_600, of.usd_per_hour,
                                 f"More than ${of.usd_per_hour:g} in an hour")  # fmt: skip
    yield "SpendPerDay", _alarm(observed, "Dollars", "Sum", 86_400, of.usd_per_day,
                                f"More than ${of.usd_per_day:g} in a day")  # fmt: skip
    yield "RunawayQuestions", _alarm(observed, "Questions", "Sum", 300, of.questions,
                                     "So many questions that a loop may have run away")  # fmt: skip
    yield "RunawayTokens", _alarm(observed, "InputTokens", "Sum", 300, of.tokens,
                                  "So many tokens that a loop may have run away")  # fmt: skip
    yield "Latency", _alarm(observed, "Seconds", "p99", 300, of.p99_s, "Answers are slow (p99)", periods=3)
    yield "Throttles", _alarm(observed, "Throttles", "Sum", 300, of.throttles, "AWS throttles calls")
    yield "Failures", _rate(observed, "Failed", of.failed, "Questions fail")
    yield "Guardrail", _rate(observed, "Guardrail", of.guardrail, "A guardrail intervenes often")
    yield "Support", _alarm(observed, "Supported", "Average", 3_600, of.supported,
                            "Answers are less supported by their sources", periods=3, below=True)  # fmt: skip


def _common(observed: Observed, about: str, threshold: float, periods: int, *, below: bool) -> dict[str, Any]:
    way = "LessThanThreshold" if below else "GreaterThanThreshold"
    made: dict[str, Any] = {
        "AlarmDescription": f"{observed.index}: {about}.", "ComparisonOperator": way,
        "Threshold": threshold, "EvaluationPeriods": periods, "TreatMissingData": "notBreaching",
    }  # fmt: skip
    if observed.topic:
        made |= {"AlarmActions": [observed.topic], "OKActions": [observed.topic]}
    return made


def _alarm(
    observed: Observed, metric: str, statistic: str, period_s: int, threshold: float, about: str, *,
    periods: int = 1, below: bool = False,
) -> dict[str, Any]:  # fmt: skip
    kind = "ExtendedStatistic" if statistic.startswith("p") else "Statistic"
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            **_common(observed, about, threshold, periods, below=below), **_metric(observed, metric),
            kind: statistic, "Period": period_s,
        },
    }  # fmt: skip


def _rate(observed: Observed, metric: str, percent: float, about: str) -> dict[str, Any]:
    def summed(name: str) -> dict[str, Any]:
        return {
            "Id": name.lower(), "ReturnData": False,
            "MetricStat": {"Metric": _metric(observed, name), "Period": 900, "Stat": "Sum"},
        }  # fmt: skip

    rate = {
        "Id": "rate",
        "Expression": f"100 * {metric.lower()} / questions",
        "Label": f"{metric} in percent",
    }
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            **_common(observed, about, percent, 1, below=False),
            "Metrics": [summed(metric), summed("Questions"), {**rate, "ReturnData": True}],
        },
    }


def _metric(observed: Observed, name: str) -> dict[str, Any]:
    assert name in METRICS, name
    return {
        "Namespace": observed.namespace, "MetricName": name,
        "Dimensions": [{"Name": "Index", "Value": observed.index}],
    }  # fmt: skip


def _dashboard(observed: Observed) -> dict[str, Any]:
    rows = (
        ("Questions", "Sum", ("Questions", "Failed", "Refused", "Left", "CacheHits")),
        ("Dollars", "Sum", ("Dollars",)),
        ("Seconds, median", "p50", ("Seconds", "FirstToken", "Retrieve")),
        ("Seconds, p99", "p99", ("Seconds", "FirstToken", "Retrieve")),
        ("Tokens", "Sum", ("InputTokens", "OutputTokens", "CacheReadTokens", "CacheWriteTokens")),
        ("Supported", "Average", ("Supported",)),
        ("What went wrong", "Sum", ("Throttles", "Retries", "Fallbacks", "Escalations", "Guardrail")),
        ("Calls", "Sum", ("Calls",)),
    )  # fmt: skip
    index = observed.index.replace("${", "${!")  # a text for Fn::Sub, where it is no variable
    widgets = []
    for number, (title, statistic, names) in enumerate(rows):
        widgets.append({
            "type": "metric", "x": 12 * (number % 2), "y": 6 * (number // 2), "width": 12, "height": 6,
            "properties": {
                "title": title, "region": "${AWS::Region}", "stat": statistic, "period": 300,
                "view": "timeSeries",
                "metrics": [[observed.namespace, name, "Index", index] for name in names],
            },
        })  # fmt: skip
    return {"widgets": widgets}


def metrics_in(made: Mapping[str, Any]) -> set[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Return the metrics that a template reads: namespace, name, and dimensions with values."""
    found = set()
    for resource in made["Resources"].values():
        properties = resource["Properties"]
        stats = [
            each["MetricStat"]["Metric"] for each in properties.get("Metrics", ()) if "MetricStat" in each
        ]
        for each in [*stats, *([properties] if "MetricName" in properties else [])]:
            dimensions = tuple((one["Name"], one["Value"]) for one in each["Dimensions"])
            found.add((each["Namespace"], each["MetricName"], dimensions))
        if "DashboardBody" in properties:
            for widget in json.loads(properties["DashboardBody"]["Fn::Sub"])["widgets"]:
                for space, name, *rest in widget["properties"]["metrics"]:
                    found.add((space, name, tuple(zip(rest[::2], rest[1::2], strict=True))))
    return found


def monthly_usd(made: Mapping[str, Any], *, models: int = 1, questions: int = 0) -> dict[str, float]:
    """Return what it costs in a month, by part.

    Parameters
    ----------
    made : mapping
        The template.
    models : int
        That answer: each has the metrics once more (`rag.telemetry.emf.DIMENSIONS`).
    questions : int
        In a month, whose records are ingested.
    """
    alarms = [each["Properties"] for each in made["Resources"].values() if each["Type"].endswith("::Alarm")]
    read = sum(sum("MetricStat" in each for each in alarm.get("Metrics", ())) or 1 for alarm in alarms)
    return {
        "custom metrics": METRIC_USD * len(METRICS) * (1 + models), "alarms": ALARM_USD * read,
        "dashboard": DASHBOARD_USD, "log": LOG_GB_USD * questions * _RECORD_BYTES / 1e9,
    }  # fmt: skip
