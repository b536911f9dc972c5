"""``rag observe template | apply``: a dashboard and alarms of CloudWatch for an index's records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import CONFIG
from rag.core.errors import UsageError
from rag.core.files import is_url

if TYPE_CHECKING:
    from rag.telemetry.alarms import Observed


@click.group(short_help="A dashboard and alarms in CloudWatch.")
def observe() -> None:
    """Watch an index in Amazon CloudWatch: spending, loops, latency, throttles, guardrail, support, failures.

    The metrics are those of records with [telemetry] format = "emf".
    """


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what both commands take."""
    for option in reversed((
        click.argument("index", metavar="INDEX"),
        click.option("--usd-per-day", type=float, required=True, metavar="N", help="The budget of a day."),
        click.option("--usd-per-hour", type=float, default=0.0, metavar="N",
                     help="[default: a quarter of the day's]"),
        click.option("--questions", type=int, default=1_000, show_default=True, metavar="N",
                     help="In 5 min; more are a loop."),
        click.option("--tokens", type=int, default=5_000_000, show_default=True, metavar="N",
                     help="Read in 5 min; more are a loop."),
        click.option("--p99-s", type=float, default=30.0, show_default=True, metavar="N",
                     help="Seconds of an answer."),
        click.option("--throttles", type=int, default=20, show_default=True, metavar="N", help="In 5 min."),
        click.option("--failed", type=float, default=5.0, show_default=True, metavar="%",
                     help="Of questions."),
        click.option("--guardrail", type=float, default=10.0, show_default=True, metavar="%",
                     help="Of questions."),
        click.option("--supported", type=float, default=0.8, show_default=True, metavar="0-1",
                     help="The least mean support."),
        click.option("--topic", default="", metavar="ARN", help="Of SNS, which alarms go to."),
        click.option("--models", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
                     help="That answer, for the price."),
        click.option("--per-month", type=click.IntRange(min=0), default=0, metavar="N",
                     help="Questions, for the price of the log."),
        CONFIG,
    )):  # fmt: skip
        command = option(command)
    return command


@observe.command("template", short_help="Print the CloudFormation template.")
@_options
def template_(index: str, models: int, per_month: int, config_path: Path | None, **limits: Any) -> int:
    """Print a CloudFormation template for INDEX to standard output, and to standard error what it costs."""
    from rag.telemetry.alarms import template

    made = template(_observed(index, config_path, limits))
    click.echo(json.dumps(made, indent=2))
    _show_price(made, models, per_month)
    return 0


@observe.command(short_help="Show what it changes in the account; make it with --yes.")
@_options
@click.option("--region", metavar="NAME", help="[default: as AWS's clients find it]")
@click.option("--yes", is_flag=True, help="Make the changes.")
def apply(
    index: str,
    models: int,
    per_month: int,
    config_path: Path | None,
    region: str | None,
    yes: bool,
    **limits: Any,
) -> int:
    """Show what the template of INDEX would change in the account, as CloudFormation says; --yes makes it."""
    from rag.bedrock.control.stacks import ChangeSet
    from rag.cli.output import say
    from rag.telemetry.alarms import stack_of, template

    observed = _observed(index, config_path, limits)
    made = template(observed)
    change = ChangeSet(stack_of(observed.index), made, region=region)
    if not change.changes:
        say(f"{change.stack} is as the template says: nothing to change")
        return 0
    for each in change.changes:
        click.echo(
            f"  {each.action.lower():7} {each.name:18} {each.kind}{' (replaced)' if each.replaced else ''}"
        )
    _show_price(made, models, per_month)
    if not yes:
        change.discard()
        say(f"nothing is changed: --yes makes the stack {change.stack} so", "yellow")
        return 0
    change.execute()
    say(f"{change.stack}: {'made' if change.is_new else 'updated'}", "green")
    return 0


def _observed(index: str, config_path: Path | None, limits: dict[str, Any]) -> Observed:
    from rag.config import settings as rag_toml
    from rag.config.around import telemetry_of
    from rag.telemetry.alarms import Limits, Observed
    from rag.telemetry.settings import TelemetrySettings

    told = telemetry_of(rag_toml.read(config_path)) or TelemetrySettings()
    if told.cloudwatch and told.format != "emf":
        raise UsageError(
            '[telemetry] of rag.toml has cloudwatch without format = "emf": no metrics would arrive'
        )
    name = index.rstrip("/").rpartition("/")[2] if is_url(index) else Path(index).resolve().name
    topic = limits.pop("topic")
    return Observed(name, told.namespace, Limits(**limits), topic, told.cloudwatch)


def _show_price(made: dict[str, Any], models: int, per_month: int) -> None:
    from rag.telemetry.alarms import monthly_usd

    parts = monthly_usd(made, models=models, questions=per_month)
    listed = ", ".join(f"{name} ${usd:.2f}" for name, usd in parts.items() if usd)
    click.echo(
        f"about ${sum(parts.values()):.2f} a month ({listed}), at list prices of us-east-1 of 2025", err=True
    )


COMMANDS: tuple[click.Command, ...] = (observe,)
