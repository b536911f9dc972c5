"""``rag build | batch | plan``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rag.cli.jobs import (
    CONFIGURED,
    EMBED_IN_BATCH,
    NO_WAIT,
    ROLE_ARN,
    count,
    job_rows,
    selected,
)
from rag.cli.options import (
    BEDROCK,
    CONFIG,
    EMBEDDER,
    INDEX_FOLDER,
    JSON,
    METADATA,
    METADATA_FROM_PATH,
    QUARANTINED,
    QUIET,
    Command,
    print_json,
    settings_of,
    with_files,
    with_options,
)
from rag.cli.query_settings import measuring_settings
from rag.core.errors import UsageError

if TYPE_CHECKING:
    from rag.bedrock.storage.batch_settings import BatchSettings
    from rag.building.report import BuildPlan, BuildReport
    from rag.config.gate import GateSettings
    from rag.core.progress import Progress
    from rag.evaluation.gate import Gate


_GATE = click.option(
    "--gate", is_flag=False, flag_value=CONFIGURED, metavar="[GOLDEN.jsonl]",
    help="Readers see the new version only if it passes [gate] of rag.toml; else exit 4.",
)  # fmt: skip


def _building(command: Command) -> Command:
    """Add the options of a build by batch jobs to a command."""
    return with_options(command, [EMBED_IN_BATCH, ROLE_ARN, NO_WAIT])


def _options(command: Command) -> Command:
    return with_options(command, [
        click.argument("source", metavar="SRC"), INDEX_FOLDER,
        EMBEDDER, BEDROCK, CONFIG, METADATA, METADATA_FROM_PATH,
        click.option("--include", multiple=True, metavar="GLOB", help="Read only these files."),
        click.option("--exclude", multiple=True, metavar="GLOB", help="Leave these files out."),
        click.option("--ocr", metavar="NAME", help="For scans: tesseract, or MODULE:FUNCTION."),
        click.option("--cache", metavar="FILE", help="Embedding cache.  [default: INDEX/cache.sqlite]"),
        click.option("--rebuild", is_flag=True, help="Start empty, e.g. to change the embedder."),
        click.option("--retry", is_flag=True, help="Read quarantined files again."), JSON, QUIET,
    ])  # fmt: skip


@click.command(short_help="Build or update INDEX from the files in SRC.")
@_options
@_building
@_GATE
def build(
    as_json: bool, batch: str | None, role_arn: str | None, no_wait: bool, gate: str | None, **options: Any
) -> int:  # fmt: skip
    """Build or update INDEX from the files in SRC; only what changed is embedded."""
    import rag
    from rag.cli.output import bar

    path = options["config_path"]
    jobs = selected(batch, role_arn, path)
    arguments = _arguments(options)
    if jobs is not None:
        if gate is not None:
            raise UsageError("--gate does not go with --batch: build, then `rag gate` and `rag rollback`")
        return _build_by_jobs(arguments, jobs, wait=not no_wait, as_json=as_json)
    if gate is not None:
        return _build_gated(arguments, gate, path, as_json)
    report = rag.build(**arguments, progress=bar())
    return _show_built(report, as_json)


@click.command(short_help="Show what a build would do and cost.")
@_options
@EMBED_IN_BATCH
def plan(as_json: bool, batch: str | None, **options: Any) -> int:
    """Show what `rag build` would do and cost, without doing it."""
    import rag
    from rag.cli.output import bar, show_plan, show_warnings

    planned: BuildPlan = rag.plan(**_arguments(options), progress=bar())
    if batch is not None:
        _show_batch_plan(planned, as_json)
    elif as_json:
        print_json(planned.to_dict())
    else:
        show_plan(planned)
    show_warnings(planned.notes, planned.quarantined)
    return QUARANTINED if planned.quarantined else 0


def _arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `rag.build` for a command's options."""
    settings = settings_of(options.pop("config_path"), options.pop("bedrock"), options.pop("embedder"))
    stages: dict[str, Any] = {
        name: settings[name]
        for name in ("chunker", "embedder", "cache", "ledger", "prices")
        if name in settings
    }
    stages |= with_files(settings.get("loader"), options, ("include", "exclude", "ocr"))
    return {**options, **stages, **({"cache": options["cache"]} if options["cache"] else {})}


def _build_by_jobs(
    arguments: Mapping[str, Any], settings: BatchSettings, *, wait: bool, as_json: bool
) -> int:
    """Build by batch jobs: start them, or continue with those under way."""
    from rag.building import batch as batching
    from rag.cli.output import watch_jobs

    batching.start(batch=settings, progress=watch_jobs(), **arguments)
    return resume_build(arguments["index"], wait=wait, as_json=as_json)


def _show_batch_plan(planned: BuildPlan, as_json: bool) -> None:
    """Show what a build by batch jobs would cost."""
    from rag.cli.output import cost_of, say, show_plan
    from rag.usage.prices import BATCH_FACTOR

    usd = None if planned.cost_usd is None else planned.cost_usd * BATCH_FACTOR
    if as_json:
        print_json({**planned.to_dict(), "batch_cost_usd": usd})
    else:
        show_plan(planned)
        say(f"  in batch jobs: {cost_of(usd)}; AWS may take a day or more")


def resume_build(index: str, *, wait: bool, as_json: bool) -> int:
    """Go on with a build by batch jobs, and show the report or how far it is."""
    from rag.building import batch as batching
    from rag.cli.output import bar, watch_jobs

    ready = batching.resume(index, wait=wait, progress=watch_jobs())
    if not ready:
        _show_status(index, as_json)
        return 0
    report = batching.finish(index, progress=bar())
    return _show_built(report, as_json)


def _build_gated(arguments: dict[str, Any], golden: str, path: Path | None, as_json: bool) -> int:
    """Build a version that becomes current only if a gate passes."""
    from rag.cli.gate_output import gate_settings, show
    from rag.cli.output import bar, say
    from rag.evaluation.gate import REFUSED

    asked = gate_settings(path, golden=None if golden == CONFIGURED else golden)
    if not asked.golden and not asked.canary:
        raise UsageError("--gate names no golden set, and rag.toml has no [gate]: name one")
    report, result = _built_gated(arguments, asked, path, bar())
    if as_json:
        print_json({**report.to_dict(), "gate": None if result is None else result.to_dict()})
        code = QUARANTINED if report.quarantined else 0
    else:
        code = _show_built(report, as_json)
    if result is None:
        return code
    index = arguments["index"]
    if not as_json:
        show(result, index, as_json)
        if result.passed:
            say(f"version {report.version} is current now")
        else:
            promote = f"rag promote {index} {report.version}"
            say(f"version {report.version} is held back; to use it all the same: {promote}")
    return code if result.passed else REFUSED


def _built_gated(
    arguments: dict[str, Any], asked: GateSettings, config: Path | None, progress: Progress | None
) -> tuple[BuildReport, Gate | None]:
    """Build; make the new version current only if the gate passes. The gate is None if nothing changed."""
    import rag
    from rag.cli.gate_output import judged_by
    from rag.cli.judging import Grading
    from rag.config import stages
    from rag.evaluation.promotion import check_asked, promote_if_passed

    index = arguments["index"]
    # What the gate cannot take is refused before anything is built.
    meter = stages.meter(arguments.get("ledger"), arguments.get("prices"), Path(index))
    grading = Grading(judged_by(asked, {"config_path": config}), meter, strict=True)
    check_asked(asked, grading.graders)
    report: BuildReport = rag.build(**arguments, hold=True, progress=progress)
    if not report.held:
        return report, None
    settings = measuring_settings(index, config)

    def open_version(version: int | None) -> Any:
        if version is None and not any(each.current for each in rag.Store(index).versions()):
            return None  # a first version has nothing to be compared with
        return rag.Pipeline(rag.Index.open(index, version=version), settings=settings)

    grading.calibrate(progress)
    graders = grading.graders
    result = promote_if_passed(
        rag.Store(index), report.version, asked, open_version, graders=graders, progress=progress
    )
    return report, result


def _show_built(report: BuildReport, as_json: bool) -> int:
    """Show what a build did; return the exit code."""
    from rag.cli.output import show_report, show_warnings

    if as_json:
        print_json(report.to_dict())
    else:
        show_report(report)
    show_warnings(report.notes, report.quarantined)
    return QUARANTINED if report.quarantined else 0


def _show_build_status(index: str) -> None:
    """Show how far the jobs of a build are."""
    from rag.building import batch as batching
    from rag.building.batch import state
    from rag.cli.output import say, show_jobs

    jobs, current = batching.status(index), state.current(Path(index))
    say(f"{index}: batch of {current.created} from {current.source}: {current.texts} texts, {count(jobs)}")
    show_jobs(index, jobs)


def _build_status(index: str) -> dict[str, Any]:
    """Return how far the jobs of a build are, for ``--json``."""
    from rag.building import batch as batching
    from rag.building.batch import state

    current = state.current(Path(index))
    return {"index": index, "source": current.source, "created": current.created, "texts": current.texts,
            "jobs": job_rows(batching.status(index))}  # fmt: skip


#: What may wait for batch jobs.
Kind = Literal["build", "answers"]

_ONLY = click.option(
    "--only", type=click.Choice(["build", "answers"]), metavar="KIND", help="build or answers, if both wait."
)


@click.group(short_help="Continue or cancel a build or questions in batch jobs.")
def batch() -> None:
    """Continue or cancel what waits for batch jobs (`rag build --batch`, `rag ask --batch`)."""


@batch.command("status")
@INDEX_FOLDER
@JSON
def batch_status(index: str, as_json: bool) -> int:
    """Show the progress of the jobs for INDEX."""
    _show_status(index, as_json)
    return 0


def _show_status(index: str, as_json: bool) -> None:
    from rag.cli.answer_batch import answer_status, show_answer_status
    from rag.cli.output import say

    kinds = _under_way(index)
    if not kinds and Path(index).is_dir():
        print_json({"index": index, "jobs": []}) if as_json else say(f"{index}: no batch is under way")
    elif as_json:
        rows = [(answer_status if kind == "answers" else _build_status)(index) for kind in kinds or ["build"]]
        print_json(rows[0] if len(rows) == 1 else dict(zip(kinds, rows, strict=True)))
    else:
        for kind in kinds or ["build"]:
            (show_answer_status if kind == "answers" else _show_build_status)(index)


@batch.command("resume")
@INDEX_FOLDER
@_ONLY
@NO_WAIT
@JSON
@QUIET
def batch_resume(index: str, only: Kind | None, no_wait: bool, as_json: bool) -> int:
    """Continue what was left or killed; a job that failed is started again."""
    from rag.cli.answer_batch import resume_answers

    if _chosen(index, only) == "answers":
        return resume_answers(index, wait=not no_wait, as_json=as_json)
    return resume_build(index, wait=not no_wait, as_json=as_json)


@batch.command("cancel")
@INDEX_FOLDER
@_ONLY
def batch_cancel(index: str, only: Kind | None) -> int:
    """Stop the jobs; what they did is kept: vectors in the cache, answers in OUTPUT.part."""
    from rag.building import batch as batching
    from rag.cli.answer_batch import cancel_answers
    from rag.cli.output import say

    if _chosen(index, only) == "answers":
        return cancel_answers(index)
    cancelled = batching.cancel(index)
    good = sum(part.good for part in cancelled.parts)
    say(f"{index}: the batch is cancelled; {good} of its vectors are in the cache")
    return 0


def _under_way(index: str) -> list[Kind]:
    """Return what waits for jobs."""
    from rag.answer_batches import state as answers
    from rag.building.batch import state as building

    folder = Path(index)
    kinds: list[Kind] = [] if building.read(folder) is None else ["build"]
    return kinds if answers.read(folder) is None else [*kinds, "answers"]


def _chosen(index: str, only: Kind | None) -> Kind:
    """Return what to go on with; a build where nothing waits, whose error says so.

    Raises
    ------
    UsageError
        Both wait, and none is chosen; or the chosen one does not.
    """
    kinds = _under_way(index)
    if only is not None and only not in kinds:
        raise UsageError(
            f"no batch of that kind ({only}) is under way for {index}: see `rag batch status {index}`"
        )
    if only is None and len(kinds) > 1:
        raise UsageError(f"a build and answers of {index} are under way: add --only build or --only answers")
    return only or (kinds or ["build"])[0]


COMMANDS: tuple[click.Command, ...] = (build, batch, plan)
