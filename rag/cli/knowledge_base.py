"""``rag kb``: documents to Bedrock Knowledge Bases, and knowledge bases over them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.interrupts import StoppedError
from rag.cli.options import (
    CONFIG,
    JSON,
    METADATA,
    METADATA_FROM_PATH,
    QUARANTINED,
    QUIET,
    print_json,
    settings_of,
    with_files,
    with_options,
)
from rag.cli.terminal import echo
from rag.core.errors import UsageError
from rag.core.format import counted
from rag.core.progress import Task

if TYPE_CHECKING:
    from rag.bedrock.knowledge_bases.control import KnowledgeBase, KnowledgeBases
    from rag.bedrock.knowledge_bases.ingestion import Ingestion
    from rag.bedrock.knowledge_bases.upload import UploadPlan

_KB = click.argument("knowledge_base", metavar="KB_ID")
_REGION = click.option("--region", metavar="NAME", help="AWS region.  [default: the environment's]")
#: What an interrupted command says.
_GOES_ON = "interrupted; AWS goes on by itself: run the same command again to go on waiting"


@click.group("kb", short_help="Documents to Bedrock Knowledge Bases, and back.")
def knowledge_base() -> None:
    """Upload documents with their metadata to S3, and create Bedrock knowledge bases over them."""


# ---------------------------------------------------------------------- upload


@knowledge_base.command("upload", short_help="Upload documents and sidecars to S3.")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.argument("url", metavar="S3-URI")
@METADATA
@METADATA_FROM_PATH
@click.option("--include", multiple=True, metavar="GLOB", help="Read only these files.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave these files out.")
@click.option("--delete", is_flag=True, help="Delete from S3 what FOLDER no longer has, or is left out.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; write nothing.")
@CONFIG
@JSON
@QUIET
def upload(
    folder: Path, url: str, delete: bool, dry_run: bool, config_path: Path | None, as_json: bool,
    **options: Any,
) -> int:  # fmt: skip
    """Upload the documents in FOLDER, with their metadata as sidecars, to s3://BUCKET/PREFIX.

    The metadata are those that `rag build` finds: front matter, titles, sidecars, --metadata and the path.
    Only what is new or changed is written; run again after an interruption, it goes on. Files that
    Knowledge Bases does not read are listed (exit code 3).
    """
    from rag.bedrock.knowledge_bases import upload as uploading
    from rag.bedrock.knowledge_bases.bucket import Bucket, place_of
    from rag.building.stages import loader_of
    from rag.cli.output import bar, show_warnings
    from rag.loading.loader import Loader

    bucket = Bucket(place_of(url))
    settings = settings_of(config_path, bedrock=False, embedder=None)
    files = with_files(settings.get("loader"), options, ("include", "exclude"))
    loader = loader_of(folder, {**options, **files})
    if not isinstance(loader, Loader):
        raise UsageError("rag kb upload reads files with rag's own loader: leave `use` out of [loader]")
    with _interrupted("interrupted; what is uploaded is kept: run the same command again"):
        plan = uploading.plan(loader, bucket, bar())
        if not dry_run:
            uploading.carry_out(plan, bucket, delete=delete, progress=bar())
    if as_json:
        print_json({**plan.to_dict(), "deleted": delete and not dry_run})
    else:
        _show_upload(plan, str(bucket.place), delete=delete, dry_run=dry_run)
    show_warnings(plan.notes, ())
    _show_refused(plan)
    return QUARANTINED if plan.refused else 0


def _show_upload(plan: UploadPlan, place: str, *, delete: bool, dry_run: bool) -> None:
    from rag.core.files import SIDECAR

    if dry_run:
        for item in plan.items:
            echo(f"{'+' if item.new else '~'} {item.key}")
        for key in (*plan.cleared, *(plan.gone if delete else ())):
            echo(f"- {key}")
    counts = plan.counts
    would = "would be " if dry_run else ""
    parts = [f"{counts['new']} new and {counts['changed']} changed documents {would}uploaded"]
    parts += [f"sidecars of {counts['sidecars']}", f"{counts['unchanged']} unchanged"]
    gone = sum(not key.endswith(SIDECAR) for key in plan.gone)
    if delete:
        parts.append(f"{gone} {would}deleted")
    echo(f"{place}: {', '.join(parts)}")
    if plan.gone and not delete:
        echo(f"note: {gone} of the documents there are not in the folder: --delete deletes them", err=True)


def _show_refused(plan: UploadPlan) -> None:
    for each in plan.refused:
        echo(f"not uploaded: {each.source} {each.reason}; {each.advice}", err=True)


# ---------------------------------------------------------------------- create


_CREATION = [
    click.argument("name", metavar="NAME"),
    click.option("--s3", required=True, metavar="S3-URI", help="Where the documents are: s3://BUCKET/PREFIX."),
    click.option("--role", "role_arn", required=True, metavar="ARN",
                 help="Role that the knowledge base assumes."),
    click.option("--embedding", metavar="MODEL", help="Id or ARN.  [default: Titan Text Embeddings v2]"),
    click.option("--dimensions", type=int, metavar="N", help="Of the vectors.  [default: the model's]"),
    click.option("--store", type=click.Choice(["s3-vectors", "opensearch-serverless"]), metavar="NAME",
                 help="s3-vectors, created where missing (default); or opensearch-serverless."),
    click.option("--vector-bucket", metavar="NAME", help="Of S3 Vectors.  [default: NAME-vectors]"),
    click.option("--vector-index", metavar="NAME", help="Of S3 Vectors; or one that OpenSearch has."),
    click.option("--collection-arn", metavar="ARN", help="Of OpenSearch Serverless."),
    click.option("--vector-field", metavar="NAME", help="Of the index in OpenSearch."),
    click.option("--text-field", metavar="NAME", help="The same."),
    click.option("--metadata-field", metavar="NAME", help="The same."),
    click.option("--chunking", type=click.Choice(["default", "fixed", "hierarchical", "semantic", "none"]),
                 metavar="NAME", help="default (AWS's), fixed, hierarchical, semantic, none."),
    click.option("--chunk-tokens", type=int, metavar="N", help="Most tokens of a chunk.  [default: 300]"),
    click.option("--overlap", type=int, metavar="N", help="Fixed: percent (20); hierarchical: tokens (60)."),
    click.option("--parent-tokens", type=int, metavar="N", help="Of the upper level.  [default: 1500]"),
    click.option("--breakpoint", type=int, metavar="N", help="Of semantic chunks, percent.  [default: 95]"),
    _REGION, JSON, QUIET,
]  # fmt: skip


def _creation(command: Callable[..., Any]) -> Callable[..., Any]:
    return with_options(command, _CREATION)


@knowledge_base.command("create", short_help="Create a knowledge base over documents on S3.")
@_creation
def create(s3: str, region: str | None, as_json: bool, **options: Any) -> int:
    """Create a knowledge base NAME over the documents on S3, and wait until it is active.

    What exists already is taken; run again after an interruption, it goes on.
    """
    from rag.bedrock.knowledge_bases.bucket import place_of
    from rag.bedrock.knowledge_bases.settings import settings

    documents, chosen = place_of(s3), settings(**options)
    bases = _bases(region)
    with _interrupted(_GOES_ON), _told() as tell:
        made = bases.create(chosen, documents, tell)
    if as_json:
        print_json(made.to_dict())
        return 0
    source = next(each for each in made.sources if each.s3 == str(documents))
    _show_base(made)
    echo(f"`rag kb sync {made.id} --data-source {source.id}` ingests the documents; in rag.toml:")
    for line in (
        "", "[retriever]", 'use = "knowledge-base"', f'knowledge_base_id = "{made.id}"',
        f'prefix = "{documents}"', 'dates = "day"',
    ):  # fmt: skip
        echo(line)
    return 0


@knowledge_base.command("sync", short_help="Ingest what is new or changed, and wait.")
@_KB
@click.option("--data-source", metavar="ID", help="Needed where there are several.")
@_REGION
@JSON
@QUIET
def sync(knowledge_base: str, data_source: str | None, region: str | None, as_json: bool) -> int:
    """Ingest what is new or changed on S3, and wait until that is done.

    Documents that failed are counted and their reasons listed (exit code 3).
    """
    with _interrupted(_GOES_ON), _told() as tell:
        job = _bases(region).sync(knowledge_base, data_source, lambda job: tell(_progress(job)))
    if as_json:
        print_json(job.to_dict())
    else:
        echo(f"{knowledge_base}: {_counts(job)}")
    if job.joined:
        echo("note: the job was under way already, and may lack the last uploads: sync again", err=True)
    for reason in job.failures:
        echo(f"failed: {reason}", err=True)
    return QUARANTINED if job.failed else 0


@knowledge_base.command("list", short_help="List the knowledge bases.")
@_REGION
@JSON
def list_bases(region: str | None, as_json: bool) -> int:
    """List the knowledge bases of the account and region."""
    bases = _bases(region).bases()
    if as_json:
        print_json([base.to_dict() for base in bases])
        return 0
    for base in bases:
        echo(f"{base.id}  {base.status:<10}  {base.name}")
    if not bases:
        echo("no knowledge base is there: `rag kb create` makes one")
    return 0


@knowledge_base.command("show", short_help="Show one, with its data sources and jobs.")
@_KB
@_REGION
@JSON
def show(knowledge_base: str, region: str | None, as_json: bool) -> int:
    """Show a knowledge base, its data sources, and their last ingestion jobs."""
    bases = _bases(region)
    found = bases.show(knowledge_base)
    jobs = {source.id: bases.jobs(knowledge_base, source.id) for source in found.sources}
    if as_json:
        rows = {source: [job.to_dict() for job in done] for source, done in jobs.items()}
        print_json({**found.to_dict(), "jobs": rows})
        return 0
    _show_base(found, jobs)
    return 0


@knowledge_base.command("delete", short_help="Delete one, with its data sources.")
@_KB
@click.option("--yes", is_flag=True, help="Do not ask.")
@_REGION
def delete(knowledge_base: str, yes: bool, region: str | None) -> int:
    """Delete a knowledge base with its data sources; documents, vector bucket and index stay."""
    bases = _bases(region)
    found = bases.show(knowledge_base)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody can be asked here: give --yes to delete")
        if not click.confirm(f"delete {found.name} ({found.id}) and its {len(found.sources)} data sources?"):
            echo("nothing is deleted", err=True)
            return 1
    with _interrupted(_GOES_ON), _told() as tell:
        bases.delete(knowledge_base, tell)
    echo(f"{found.name} ({found.id}) is deleted; documents, vector bucket and index are still there")
    return 0


# ---------------------------------------------------------------------- what they share


def _bases(region: str | None) -> KnowledgeBases:
    from rag.bedrock.knowledge_bases.control import KnowledgeBases

    return KnowledgeBases(region)


def _show_base(base: KnowledgeBase, jobs: Mapping[str, list[Ingestion]] | None = None) -> None:
    echo(
        f"knowledge base {base.id} ({base.name}): {base.status}, {base.store}, "
        f"{base.embedding or 'no embedder'}"
    )
    for failure in base.failures:
        echo(f"  failed: {failure}")
    for source in base.sources:
        echo(f"  data source {source.id} ({source.name}): {source.status}, {source.s3 or 'not on S3'}")
        for job in (jobs or {}).get(source.id, ()):
            echo(f"    job {job.id}: {job.status}, {_counts(job)}")


def _counts(job: Ingestion) -> str:
    return (
        f"documents scanned: {job.scanned}, with sidecar: {job.metadata_scanned}; {job.new} new, "
        f"{job.modified} changed, {job.metadata_modified} with changed sidecar, {job.deleted} deleted, "
        f"{job.failed} failed, {job.skipped} skipped"
    )


def _progress(job: Ingestion) -> str:
    return f"job {job.id}: {job.status}, {job.done} of {counted(job.scanned, 'document')}"


@contextmanager
def _told() -> Iterator[Callable[[str], None]]:
    """Draw steps on standard error; without a terminal, write a line for each that is another one."""
    from rag.cli.output import bar

    last = ""

    def tell(what: str) -> None:
        nonlocal last
        task.show(0, detail=what)
        if not sys.stderr.isatty() and what != last:
            echo(what, err=True)
        last = what

    with Task(bar(), "kb") as task:
        yield tell


@contextmanager
def _interrupted(message: str) -> Iterator[None]:
    """Say how to go on after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(message) from None


COMMANDS: tuple[click.Command, ...] = (knowledge_base,)
