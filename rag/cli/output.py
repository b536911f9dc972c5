"""Print builds, hits, answers and reports for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from rag.building.report import BuildPlan, BuildReport
from rag.cli.terminal import echo, is_quiet, on_one_line
from rag.core.answers import Answer
from rag.core.drawn import drawn
from rag.core.files import Quarantined
from rag.core.format import counted, dollars, shortened
from rag.core.passages import Context, Hit
from rag.core.progress import Progress, Update
from rag.core.table import Table
from rag.notebook.progress.terminal import TerminalBar
from rag.notebook.wrapping import folded, tabled
from rag.usage.spending import Spending

if TYPE_CHECKING:
    from rag.bedrock.storage.batch_jobs import JobStatus
    from rag.bedrock.storage.batch_parts import Part
    from rag.embedding.cache import CacheInfo
    from rag.index.maintenance import Diff, Version
    from rag.index.storage.verify import Verification
    from rag.retrieval.explain import Explanation


class _SafeConsole(Console):
    """A console on which no text of a document is obeyed by the terminal."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts with each character drawn as U+FFFD that the terminal would obey."""
        for each in objects:
            if isinstance(each, Text):
                each.plain = drawn(each.plain)
        super().print(*objects, **options)


_OUT = _SafeConsole(highlight=False, soft_wrap=False)
_ERR = _SafeConsole(stderr=True, highlight=False)
_MOST_WARNINGS = 20


def say(text: str = "", style: str = "") -> None:
    """Print a text, wrapped between words in a terminal; nothing in it is markup."""
    _OUT.print(Text(folded(text, _width(_OUT)), style=style), soft_wrap=True)


def warn(text: str) -> None:
    """Print a line to standard error."""
    _ERR.print(Text(folded(text, _width(_ERR), 2), style="yellow"), soft_wrap=True)


def _line(text: str, style: str = "") -> None:
    """Print a text on one line, whatever file name or message is in it; in a terminal it is wrapped."""
    _OUT.print(Text(folded(on_one_line(text), _width(_OUT), 2), style=style), soft_wrap=True)


def _width(console: Console) -> int | None:
    """Return the columns of a terminal; None of what is none, in which a line stays a line."""
    return console.width if console.is_terminal else None


def bar() -> Progress | None:
    """Return what draws how far work is on standard error; nothing in a log, or with ``--quiet``."""
    # What an interruption leaves is said by the command line, for all that the command did.
    return TerminalBar(_ERR, tell_kept=False) if _ERR.is_terminal and not is_quiet() else None


def watch_jobs() -> Progress | None:
    """Return what shows how far batch jobs are; without a terminal, it writes a line whenever they change."""
    last = ""

    def tell(update: Update, /) -> None:
        nonlocal last
        if update.detail and update.detail != last:
            last = update.detail
            echo(last, err=True)

    return bar() if _ERR.is_terminal or is_quiet() else tell


def show_jobs(index: str, jobs: Sequence[tuple[Part, JobStatus]]) -> None:
    """Print how far batch jobs are, and how to go on."""
    for part, status in jobs:
        records = f"{status.processed} of {counted(status.records or part.records, 'record')}"
        why = status.message or part.failure
        _line(f"  {part.name}: {status.status or 'not started'}, {records}{f' ({why})' if why else ''}")
    _line(f"  `rag batch resume {index}` continues it, `rag batch cancel {index}` stops it")


def show_table(table: Table) -> None:
    """Print a table; nothing is truncated, and in a terminal that is too narrow its cells are wrapped."""
    say(table.caption)
    head, *rows = ([on_one_line(cell) for cell in row] for row in (table.head, *table.rows))
    for number, line in enumerate(tabled(head, rows, _width(_OUT))):
        _OUT.print(Text(line, style="" if number else "dim"), soft_wrap=True)
    say()


def show_report(report: BuildReport) -> None:
    """Print the report of a build."""
    changes = [
        f"{getattr(report, name)} {name}"
        for name in ("added", "changed", "removed", "renamed", "unchanged") if getattr(report, name)
    ]  # fmt: skip
    _line(
        f"{report.index}: version {report.version}, {counted(report.files, 'file')}, "
        f"{counted(report.chunks, 'chunk')}"
    )
    _line(f"  files: {', '.join(changes)}; {report.embedded} texts embedded")
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items())
    _line(f"  time: {times}")


def show_plan(plan: BuildPlan) -> None:
    """Print what a build would do."""
    _line(f"{plan.source} -> {plan.index}{' (rebuilt)' if plan.rebuild else ''}")
    _line(
        f"  files: {plan.added} added, {plan.changed} changed, {plan.removed} removed, "
        f"{plan.renamed} renamed, {plan.unchanged} unchanged"
    )
    _line(
        f"  to embed: {counted(plan.chunks, 'chunk')} ({plan.texts} texts with headings), about "
        f"{counted(plan.tokens, 'token')}, with {plan.embedder}"
    )
    _line(f"  cost: {cost_of(plan.cost_usd)}; time: about {plan.minutes:.1f} minutes")
    if plan.parsers:
        _line(f"  parsers: {plan.parsers}")


def cost_of(usd: float | None) -> str:
    """Return a planned cost as text."""
    return "no known price" if usd is None else f"${usd:.4f}"


def show_warnings(notes: Sequence[str], quarantined: Sequence[Quarantined]) -> None:
    """Print notes and quarantined files on standard error, a line each."""
    lines = [f"note: {note}" for note in notes]
    lines += [f"quarantined: {q.source} {q.reason}; {q.advice}" for q in quarantined]
    for line in lines[:_MOST_WARNINGS]:
        warn(on_one_line(line))
    if len(lines) > _MOST_WARNINGS:
        more = len(lines) - _MOST_WARNINGS
        warn(f"… and {more} more: see `rag quarantine INDEX`, or --json")


def show_hits(hits: Any) -> None:
    """Print hits, best first, and the plan of the search."""
    for rank, hit in enumerate(hits, 1):
        _show_hit(f"{rank:>2}", hit, most=400)
    _line(str(hits.plan), style="dim")


def show_context(context: Context) -> None:
    """Print the passages of a context."""
    for number, hit in enumerate(context.hits, 1):
        _show_hit(f"{number:>2}", hit, most=None)
    _line("; ".join(filter(None, (context.size, context.fates))), "dim")


def show_explanation(explanation: Explanation) -> None:
    """Print where a passage was lost."""
    _line(f"{explanation.stage}: {explanation.said}", "" if explanation.stage == "kept" else "bold yellow")
    if explanation.ranks:
        ranks = ", ".join(f"{name} {rank or '-'}" for name, rank in explanation.ranks.items())
        _line(f"  ranks: {ranks}, of {counted(explanation.matched, 'chunk')} that match")
    for advice in explanation.advice:
        done = "kept" if advice.startswith("--budget") else "retrieved"
        _line(f"  it would have been {done} by: {advice}" if advice.startswith("-") else f"  try: {advice}")
    for hit in explanation.chunks[:3]:
        _line(f"  {hit.place}: {shortened(hit.text, 100)}", "dim")


def show_answer(answer: Answer) -> None:
    """Print an answer, its citations, cost and times; warnings go to standard error."""
    say(answer.text)
    say()
    for citation in answer.citations:
        wrong = citation.verdict
        mark = (f"[{citation.number}?]", "bold yellow") if wrong else (f"[{citation.number}]", "bold cyan")
        place = on_one_line(citation.place) if citation.verified else ""
        _head(Text.assemble(mark, " ", (place, "cyan"), "  " if place and wrong else "", (wrong, "yellow")))
        say(textwrap.indent(_wrapped(f'"{shortened(citation.text, 400)}"'), "    "))
    for line in answer.support_lines:
        _line(line, "dim" if answer.supported == 1 else "yellow")
    times = ", ".join(f"{step.name} {1000 * step.seconds:.0f} ms" for step in answer.trace)
    _line(f"{answer.generator}; prompt {answer.prompt}; {answer.spent}", "dim")
    _line(f"context: {answer.context.size}; {times}", "dim")
    if answer.review_id:
        _line(f"queued for review: {answer.review_id}", "dim")
    show_warnings(answer.remarks, [])


def show_info(info: dict[str, Any]) -> None:
    """Print what an index holds."""
    _line(f"{info['path']}: version {info['version']} of {info['created']}, built from {info['root']}")
    _line(
        f"  {counted(info['files'], 'file')}, {counted(info['chunks'], 'chunk')}, "
        f"{counted(info['segments'], 'segment')}, {info['bytes'] / 1e6:.1f} MB"
    )
    _line(f"  embedder: {info['embedder']['fingerprint']} ({info['embedder']['dimensions']} dimensions)")
    _line(f"  chunker: {info['chunker']}")
    _line(f"  weight of BM25 beside cosines: {info['lexical_balance']:g}, measured on these texts")
    fields = ", ".join(f"{name} ({kind})" for name, kind in sorted(info["schema"].items()))
    _line(f"  fields to filter by: {fields or 'none but source, page_start, page_end, section'}")
    if info["quarantined"]:
        _line(
            f"  quarantined: {_files(len(info['quarantined']))}: see `rag quarantine {info['path']}`",
            "yellow",
        )


def show_quarantined(index: str, quarantined: Sequence[Quarantined]) -> None:
    """Print the files that are not in an index, grouped by what to do about them."""
    _line(f"{index}: {_files(len(quarantined))} in quarantine")
    for advice, items in _by_advice(quarantined):
        say()
        _line(f"{advice}:", "bold")
        for item in items:
            _line(f"  {item.source} {item.reason}", "yellow")


def _by_advice(quarantined: Sequence[Quarantined]) -> Iterator[tuple[str, list[Quarantined]]]:
    groups: dict[str, list[Quarantined]] = {}
    for item in quarantined:
        groups.setdefault(item.advice, []).append(item)
    yield from sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def _files(count: int) -> str:
    return counted(count, "file")


def show_verification(index: str, result: Verification) -> None:
    """Print the result of checking an index."""
    size = f"{counted(result.files, 'file')}, {result.bytes / 1e6:.1f} MB, {counted(result.chunks, 'chunk')}"
    state = "sound" if result.sound else f"{len(result.problems)} problems"
    _line(f"{index}: version {result.version}, {size}: {state}", "" if result.sound else "bold yellow")
    for problem in result.problems[:_MOST_WARNINGS]:
        _line(f"  {problem}", "yellow")
    if len(result.problems) > _MOST_WARNINGS:
        _line(f"  … and {len(result.problems) - _MOST_WARNINGS} more: see --json", "yellow")
    if result.advice:
        _line(f"  {result.advice}")
    if result.orphans:
        count = len(result.orphans)
        _line(f"  {counted(count, 'file')} of no version: harmless; the next build deletes them", "dim")


def show_versions(versions: Sequence[Version]) -> None:
    """Print the versions of an index, oldest first: * is current, - is held back."""
    for version in versions:
        mark = "*" if version.current else "-" if version.held else " "
        if version.error:
            _line(f"{mark} {version.number:>4}  {version.error}", "yellow")
            continue
        _line(
            f"{mark} {version.number:>4}  {version.created}  {version.files:>6} files  "
            f"{version.chunks:>8} chunks  {version.segments:>3} segments  {version.why}"
        )


def show_diff(difference: Diff) -> None:
    """Print the differences between two versions."""
    chunks = f"{counted(difference.chunks_added, 'chunk')} added, {difference.chunks_removed} removed"
    _line(f"version {difference.old} -> {difference.new}: {chunks}")
    for mark, names in (
        ("+", difference.added), ("-", difference.removed), ("~", difference.changed),
    ):  # fmt: skip
        for name in names:
            _line(f"  {mark} {name}")
    for name in difference.metadata:
        _line(f"  ~ {name} (metadata only)")
    for name, (old, new) in difference.fields.items():
        _line(f"  field {name}: {old or 'none'} -> {new or 'none'}")


def show_cache(cache: CacheInfo) -> None:
    """Print what an embedding cache holds."""
    _line(f"{cache.path}: {cache.bytes / 1e6:.1f} MB, {counted(cache.vectors, 'vector')}")
    for name, (count, size) in sorted(cache.models.items()):
        _line(f"  {name}: {counted(count, 'vector')}, {size / 1e6:.1f} MB")


def _show_hit(mark: str, hit: Hit, most: int | None) -> None:
    _head(Text.assemble((mark, "bold cyan"), f"  {hit.score:7.3f}  ", (on_one_line(hit.place), "cyan")))
    text = hit.text if most is None else shortened(hit.text, most)
    say(textwrap.indent(_wrapped(text), "    "))


def _head(text: Text) -> None:
    """Print what stands above a quote or a passage, its styles kept where it is wrapped."""
    lines = folded(text.plain, _width(_OUT), 4).split("\n")
    if len(lines) == 1:
        _OUT.print(text, soft_wrap=True)
        return
    _OUT.print(Text("\n".join(lines), style="cyan"), soft_wrap=True)


def _wrapped(text: str) -> str:
    return folded("\n".join(text.splitlines()), max(20, min(_OUT.width, 110) - 4))


def show_costs(groups: Sequence[Spending], by: Sequence[str], notes: Sequence[str]) -> None:
    """Print what was spent, one line per group and the total; a call without a price does not count as 0."""
    total = sum(groups, Spending(("total",) + ("",) * (len(by) - 1)))
    unpriced, cached = bool(total.unpriced), bool(total.cached)
    lines = [replace(group, group=tuple(name or "-" for name in group.group)) for group in groups]
    rows = [
        (*line.group, f"{line.calls:,}", f"{line.input_tokens:,}", f"{line.output_tokens:,}",
         f"{line.cache_read_tokens:,}", f"{line.cache_write_tokens:,}",
         *((f"{line.unpriced:,}",) if unpriced else ()),
         *((f"{line.cached:,}", _dollars(line.saved_usd, line.cached)) if cached else ()),
         _dollars(line.usd, line.calls))
        for line in (*lines, *((total,) if len(groups) > 1 else ()))
    ]  # fmt: skip
    head = (*by, "calls", "input", "output", "cache read", "cache write")
    more = (*(("unpriced",) if unpriced else ()), *(("cached", "saved") if cached else ()))
    show_table(Table("tokens and dollars", (*head, *more, "dollars"), rows))
    show_warnings(notes, ())


def _dollars(usd: float | None, count: int) -> str:
    return dollars(usd or 0.0) if usd is not None or not count else "no known price"
