"""``rag observe``: a dashboard and alarms on the very metrics that records have, as CloudFormation takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import cfnlint.api
import moto.cloudwatch.models
import moto.logs.models  # noqa: F401  # moto's CloudFormation makes what is imported
import pytest

from rag.bedrock.control.stacks import ChangeSet
from rag.core.errors import RagError, UsageError
from rag.telemetry.alarms import Limits, Observed, metrics_in, monthly_usd, stack_of, template
from rag.telemetry.emf import DIMENSIONS, METRICS, embedded
from tests.command import run

OBSERVED = Observed(
    "handbook",
    "acme/rag",
    Limits(usd_per_day=20),
    "arn:aws:sns:eu-west-1:111122223333:on-call",
    "/rag/handbook",
)


def emitted() -> set[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """The metrics that CloudWatch reads from a record, by the rules of its format."""
    row = embedded({
        "time": "2026-11-26T10:00:00.000Z", "outcome": "answered", "index": "handbook", "model": "m", "usd": 0.01,
        "seconds": {"whole": 1.5, "first_token": 0.3, "retrieve": 0.1}, "tokens": {}, "calls": [], "supported": 1.0,
    }, "acme/rag")  # fmt: skip
    return {
        (each["Namespace"], metric["Name"], tuple((name, row[name]) for name in dimensions))
        for each in row["_aws"]["CloudWatchMetrics"] for metric in each["Metrics"] for dimensions in each["Dimensions"]
    }  # fmt: skip


def test_every_metric_that_the_template_reads_is_one_that_records_emit() -> None:
    read = metrics_in(template(OBSERVED))
    assert len(read) == len(METRICS) - 0 and read <= emitted()


def test_the_template_is_valid(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps(template(OBSERVED)))
    assert cfnlint.api.lint_file(tmp_path / "t.json") == []


def test_alarms_are_of_the_limits() -> None:
    made = template(OBSERVED)["Resources"]
    alarms = {name: each["Properties"] for name, each in made.items() if each["Type"].endswith("Alarm")}
    thresholds = {name: (each["ComparisonOperator"][:4], each["Threshold"]) for name, each in alarms.items()}
    assert thresholds == {
        "SpendPerHour": ("Grea", 5.0), "SpendPerDay": ("Grea", 20), "RunawayQuestions": ("Grea", 1000),
        "RunawayTokens": ("Grea", 5_000_000), "Latency": ("Grea", 30.0), "Throttles": ("Grea", 20),
        "Failures": ("Grea", 5.0), "Guardrail": ("Grea", 10.0), "Support": ("Less", 0.8),
    }  # fmt: skip
    assert alarms["Latency"]["ExtendedStatistic"] == "p99"
    assert all(each["AlarmActions"] == [OBSERVED.topic] for each in alarms.values())
    assert all(
        each["Period"] * each["EvaluationPeriods"] <= 86_400 for each in alarms.values() if "Period" in each
    )


def test_the_price_counts_metrics_alarms_dashboard_and_log() -> None:
    usd = monthly_usd(template(OBSERVED), models=2, questions=1_000_000)
    # 20 metrics of the index and of two models; seven alarms of one metric and two of two.
    assert usd["custom metrics"] == pytest.approx(0.30 * len(METRICS) * (len(DIMENSIONS) + 1))
    assert (usd["alarms"], usd["dashboard"]) == (pytest.approx(1.10), 3.00)
    assert usd["log"] == pytest.approx(0.50 * 2.5)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"usd_per_day": 0}, "usd_per_day is 0"), ({"usd_per_day": 1, "usd_per_hour": 2}, "more than usd_per_day"),
        ({"usd_per_day": 1, "supported": 1.5}, "up to 1"), ({"usd_per_day": float("nan")}, "usd_per_day"),
    ],
)  # fmt: skip
def test_limits_are_checked(wrong: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Limits(**wrong)
    with pytest.raises(UsageError, match="ARN"):
        Observed("handbook", "rag", Limits(usd_per_day=1), topic="on-call")


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL_CLOUDFORMATION", moto),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    return moto


def test_changes_are_shown_first_and_made_with_yes(aws: str) -> None:
    looked = ChangeSet(stack_of("handbook"), template(OBSERVED))
    assert looked.is_new and {each.action for each in looked.changes} == {"Add"} and len(looked.changes) == 11
    looked.discard()
    made = ChangeSet(stack_of("handbook"), template(OBSERVED))
    made.execute()
    cloudwatch = boto3.client("cloudwatch", region_name="eu-west-1", endpoint_url=aws)
    (dashboard,) = cloudwatch.list_dashboards()["DashboardEntries"]
    assert dashboard["DashboardName"] == "rag-observe-handbook"
    logs = boto3.client("logs", region_name="eu-west-1", endpoint_url=aws)
    (group,) = logs.describe_log_groups(logGroupNamePrefix="/rag/handbook")["logGroups"]
    assert group["retentionInDays"] == 30
    again = ChangeSet(
        stack_of("handbook"), template(Observed("handbook", "acme/rag", Limits(usd_per_day=30)))
    )
    assert not again.is_new
    again.discard()


def test_cloudwatch_takes_every_alarm(aws: str) -> None:
    """moto's CloudFormation makes no alarms: they are put one by one, validated by boto3's model of the API."""
    cloudwatch = boto3.client("cloudwatch", region_name="eu-west-1", endpoint_url=aws)
    for name, each in template(OBSERVED)["Resources"].items():
        if each["Type"].endswith("Alarm"):
            cloudwatch.put_metric_alarm(AlarmName=name, **each["Properties"])
    assert len(cloudwatch.describe_alarms()["MetricAlarms"]) == 9


def test_the_command_changes_nothing_without_yes(aws: str, tmp_path: Path) -> None:
    arguments = ("observe", "apply", "indexes/manual", "--usd-per-day", "20")
    shown = run(*arguments, cwd=tmp_path)
    assert "SpendPerDay" in shown.stdout and "--yes makes the stack rag-observe-manual so" in shown.stdout
    stacks = boto3.client("cloudformation", region_name="eu-west-1", endpoint_url=aws)
    assert "rag-observe-manual" not in {each["StackName"] for each in stacks.describe_stacks()["Stacks"]}
    assert "rag-observe-manual: made" in run(*arguments, "--yes", cwd=tmp_path).stdout


def test_without_access_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_REGION", "eu-west-1"),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(RagError, match="CloudFormation, rag-observe-x"):
        ChangeSet("rag-observe-x", {}, endpoint_url="http://127.0.0.1:9")


def test_the_command_prints_the_template_and_its_price(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text('[telemetry]\nstdout = true\nformat = "emf"\nnamespace = "acme/rag"\n')
    done = run("observe", "template", "indexes/handbook", "--usd-per-day", "20", cwd=tmp_path)
    assert {space for space, _, _ in metrics_in(json.loads(done.stdout))} == {"acme/rag"}
    assert "a month (custom metrics $12.00, alarms $1.10, dashboard $3.00)" in done.stderr
    wrong = run("observe", "template", "x", "--usd-per-day", "-1", cwd=tmp_path, code=2)
    assert "usd_per_day is -1" in wrong.stderr
    (tmp_path / "rag.toml").write_text('[telemetry]\ncloudwatch = "/rag/x"\n')
    assert (
        "no metrics would arrive"
        in run("observe", "template", "x", "--usd-per-day", "1", cwd=tmp_path, code=2).stderr
    )
