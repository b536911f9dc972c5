"""Builds: what one would do and cost, and what one did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.core.calls import price_text
from rag.core.format import counted, seconds_text
from rag.notebook import lines, parts
from rag.notebook.display import Display

if TYPE_CHECKING:
    from rag.building.report import BuildPlan, BuildReport
    from rag.core.files import Quarantined

#: Most files of a remedy, and most remedies, that are shown.
_FILES, _REMEDIES = 20, 10
_CHANGES = ("added", "changed", "removed", "renamed", "unchanged")


class PlanDisplay(Display):
    """What a build would do."""

    value: BuildPlan

    def html(self) -> str:
        """Return the plan as a card."""
        rows = [(name, parts.inert(value)) for name, value in self._facts()]
        body = (
            parts.facts(rows) + _quarantine_html(self.value.quarantined) + parts.notes(self.value.notes[:20])
        )
        return parts.card("Plan of a build", f"{self.value.source} → {self.value.index}", body)

    def text(self) -> str:
        """Return the plan as a few lines."""
        plan = self.value
        out = [
            *lines.wrapped(f"Plan of a build: {plan.source} -> {plan.index}", most=3),
            *lines.labelled(self._facts()),
        ]
        return "\n".join([*out, *_quarantine_text(plan.quarantined), *_notes(plan.notes)])

    def _facts(self) -> list[tuple[str, str]]:
        plan = self.value
        usd = "free, on this machine" if plan.cost_usd == 0 else price_text(plan.cost_usd)
        return [
            ("files", _changes_text(plan) + (" (rebuilt)" if plan.rebuild else "")),
            ("to embed", f"{counted(plan.chunks, 'chunk')}; with headings {counted(plan.texts, 'text')}, "
             f"about {counted(plan.tokens, 'token')}" if plan.texts else "nothing"),
            ("embedder", plan.embedder),
            ("cost", usd),
            ("time", f"about {seconds_text(60 * plan.minutes)}" if plan.minutes else ""),
            ("parsers", plan.parsers),
        ]  # fmt: skip


class ReportDisplay(Display):
    """What a build did."""

    value: BuildReport

    def html(self) -> str:
        """Return the report as a card."""
        report = self.value
        rows = [(name, parts.inert(value)) for name, value in self._facts()]
        total = report.seconds.get("total") or sum(report.seconds.values())
        times = [
            (name, parts.bar(seconds / total if total else 0.0) + seconds_text(seconds))
            for name, seconds in report.seconds.items() if name != "total"
        ]  # fmt: skip
        table = parts.grid("", ("stage", "time"), times, bodies=(1,)) if times else ""
        body = (
            parts.facts(rows) + (parts.fold("times by stage", table) if table else "")
            + _quarantine_html(report.quarantined) + parts.notes(report.notes[:20])
        )  # fmt: skip
        return parts.card("Build", report.index, body)

    def text(self) -> str:
        """Return the report as a few lines."""
        report = self.value
        out = [*lines.wrapped(f"Build of {report.index}", most=3), *lines.labelled(self._facts())]
        return "\n".join([*out, *_quarantine_text(report.quarantined), *_notes(report.notes)])

    def _facts(self) -> list[tuple[str, str]]:
        report = self.value
        held = ", held back: `rag promote` makes it current" if report.held else ""
        total = report.seconds.get("total")
        stages = ", ".join(
            f"{name} {seconds_text(seconds)}" for name, seconds in report.seconds.items() if name != "total"
        )
        took = f"{seconds_text(total)}: {stages}" if total is not None else stages
        return [
            ("version", f"{report.version:,}{held}"),
            ("holds", f"{counted(report.files, 'file')}, {counted(report.chunks, 'chunk')}"),
            ("files", _changes_text(report)),
            ("embedded", f"{counted(report.embedded, 'text')}; the other vectors were known"),
            ("time", took),
        ]


def _changes_text(build: BuildPlan | BuildReport) -> str:
    counts = {name: getattr(build, name) for name in _CHANGES}
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"


def by_remedy(quarantined: Sequence[Quarantined]) -> list[tuple[str, list[Quarantined]]]:
    """Return files in quarantine by what to do about them, the most first."""
    groups: dict[str, list[Quarantined]] = {}
    for each in quarantined:
        groups.setdefault(each.advice, []).append(each)
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def _quarantine_html(quarantined: Sequence[Quarantined]) -> str:
    if not quarantined:
        return ""
    groups = by_remedy(quarantined)
    body = "".join(
        parts.fold(
            f"{counted(len(files), 'file')}: {advice}",
            parts.grid("", ("file", "why"), [(each.source, each.reason) for each in files[:_FILES]])
            + parts.more(len(files) - _FILES, "file", ".quarantined"),
        )
        for advice, files in groups[:_REMEDIES]
    )
    left = parts.more(len(groups) - _REMEDIES, "remedy", ".quarantined") if len(groups) > _REMEDIES else ""
    return parts.label(f"quarantine: {counted(len(quarantined), 'file')}") + body + left


def _quarantine_text(quarantined: Sequence[Quarantined]) -> list[str]:
    if not quarantined:
        return []
    out = [f"  quarantine: {counted(len(quarantined), 'file')}"]
    for advice, files in by_remedy(quarantined)[:5]:
        out.append(lines.line(f"{counted(len(files), 'file')}: {advice}", indent="    "))
        out += [lines.line(f"{each.source} {each.reason}", indent="      ") for each in files[:3]]
        out += [f"      … {len(files) - 3:,} more"] if len(files) > 3 else []
    return out


def _notes(notes: Sequence[str]) -> list[str]:
    out = [part for note in notes[:5] for part in lines.wrapped(f"note: {note}", "  ", 3)]
    return [*out, *lines.more(len(notes) - 5, "note", ".notes")]
