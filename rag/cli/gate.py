"""``rag gate``: measure an index, and refuse it if it is worse than it must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.gate_output import gate_settings, judged_by, show
from rag.cli.judging import Grading, judge_options
from rag.cli.options import BEDROCK, CONFIG, EMBEDDER, JSON, QUIET
from rag.cli.query_settings import measuring_settings
from rag.cli.reporting import refuse_no_folder
from rag.core.errors import SourceError, UsageError

if TYPE_CHECKING:
    from rag.evaluation.gate import Gate

_FILE = click.Path(path_type=Path)


def _bounds(text: str | None, option: str) -> dict[str, float]:
    """Read ``recall@4000=0.9,supported=0.95``."""
    bounds = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, value = part.partition("=")
        try:
            bounds[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise UsageError(f"{option} {part}: write METRIC=NUMBER, e.g. recall@4000=0.9") from None
    return bounds


@click.command(short_help="Measure INDEX; exit 4 if it is worse than it must be.")
@click.argument("index", metavar="INDEX")
@click.argument("golden", metavar="[GOLDEN.jsonl]", required=False)
@click.option("--min", "least", metavar="M=N,…", help="Least means, e.g. recall@4000=0.9,supported=0.95.")
@click.option("--max", "most", metavar="M=N,…", help="Most, e.g. seconds.p95=2,usd=0.01.")
@click.option("--baseline", type=_FILE, metavar="FILE", help="Test against this, question by question.")
@click.option("--against", metavar="M,…", help="Metrics that are tested.  [default: recall]")
@click.option(
    "--write-baseline", type=_FILE, metavar="FILE", help="Write what was measured, for later gates."
)
@click.option("--canary", metavar="FILE.jsonl", help="Questions that must all be right.")
@click.option("--alpha", type=click.FloatRange(0, 0.5, min_open=True, max_open=True), metavar="P",
              help="Probability to fail though nothing is worse.  [default: 0.05]")  # fmt: skip
@click.option("--runs", type=click.IntRange(1, 20), metavar="N", help="Ask each question N times.")
@click.option("--version", type=int, metavar="N", help="Judge another version than the current one.")
@click.option("--log", type=_FILE, metavar="FILE.jsonl", help="Keep answers, so that none is asked twice.")
@click.option("--junit", type=_FILE, metavar="FILE", help="Write the outcome as JUnit's XML.")
@click.option("--markdown", type=_FILE, metavar="FILE", help="Write it for a pull request.")
@click.option("--report", type=_FILE, metavar="FILE.html", help="Write it for a browser.")
@judge_options
@EMBEDDER
@BEDROCK
@CONFIG
@JSON
@QUIET
def gate(
    index: str, golden: str | None, least: str | None, most: str | None, against: str | None, as_json: bool,
    write_baseline: Path | None, baseline: Path | None, version: int | None, config_path: Path | None,
    **options: Any,
) -> int:  # fmt: skip
    """Measure INDEX on a golden set; exit 4 if a limit is broken, a test says worse, or a canary is wrong.

    Metrics: recall@B, precision@B, ndcg@K, … of retrieval; correct, supported, cite_recall, refused,
    responded, usd, seconds.p95, … of answers, which are asked for and paid. Options win over [gate] in
    rag.toml.
    """
    import rag
    from rag.cli.output import bar
    from rag.evaluation.gate import REFUSED
    from rag.evaluation.measured import read_baseline
    from rag.evaluation.promotion import check_asked, judge

    paths = {name: options[name] for name in ("junit", "markdown", "report")}
    refuse_no_folder(write_baseline, *paths.values())
    asked = gate_settings(
        config_path, golden=golden, canary=options["canary"], alpha=options["alpha"], runs=options["runs"],
        min=_bounds(least, "--min"), max=_bounds(most, "--max"),
        against=tuple(filter(None, (against or "").split(","))),
    )  # fmt: skip
    before = None if baseline is None else read_baseline(baseline)
    settings = measuring_settings(index, config_path, options["bedrock"], options["embedder"])
    pipe = rag.Pipeline(
        rag.Index.open(index, version=version, remote=settings.get("remote")), settings=settings
    )
    if write_baseline is not None and not (asked.min or asked.max or asked.against or asked.canary):
        asked = asked.model_copy(update={"min": {"recall": 0.0}})  # nothing is demanded of a first baseline
    grading = Grading(judged_by(asked, {**options, "config_path": config_path}), pipe.meter, strict=True)
    check_asked(asked, grading.graders)
    grading.calibrate(bar())
    result, measured = judge(
        asked, pipe, baseline=before, log=options["log"], graders=grading.graders, progress=bar()
    )
    if write_baseline is not None:
        measured.write(write_baseline)
    _write(result, paths, index)
    show(result, index, as_json, grading.cost)
    return 0 if result.passed else REFUSED


def _write(gate: Gate, paths: Mapping[str, Path | None], index: str) -> None:
    from rag.evaluation import gate_report
    from rag.evaluation.reports import gates

    forms: dict[str, Callable[[Gate], str]] = {
        "junit": gate_report.junit, "markdown": gate_report.markdown,
        "report": lambda each: gates.report(each, index),
    }  # fmt: skip
    for name, path in paths.items():
        if path is not None:
            try:
                path.write_text(forms[name](gate), encoding="utf-8")
            except OSError as error:
                raise SourceError(f"cannot write {path}: {error.strerror}") from None


COMMANDS: tuple[click.Command, ...] = (gate,)
