"""A store: the versions of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.core.format import counted
from rag.notebook import lines, parts
from rag.notebook.display import Display

if TYPE_CHECKING:
    from rag.index.maintenance import Diff, Store, Version

#: Most versions that are shown, the newest first.
_VERSIONS = 12
#: Most documents of a difference that are named.
_NAMED = 30
_HEAD = ("version", "state", "created (UTC)", "files", "chunks", "segments", "why")


class StoreDisplay(Display):
    """The versions of an index, the newest first."""

    value: Store

    def html(self) -> str:
        """Return the versions as a table."""
        versions = self.value.versions()[::-1]
        body = (
            f"<p>{counted(len(versions), 'version')}</p>"
            + parts.grid("", _HEAD, [_row(each) for each in versions[:_VERSIONS]])
            + parts.more(len(versions) - _VERSIONS, "version", "store.versions()")
        )
        return parts.card("Store", str(self.value.path), body)

    def text(self) -> str:
        """Return a line for each version."""
        versions = self.value.versions()[::-1]
        out = [*lines.wrapped(f"Store {self.value.path}", most=3), f"  {counted(len(versions), 'version')}"]
        out += lines.grid(_HEAD, [_row(each) for each in versions[:_VERSIONS]])
        return "\n".join([*out, *lines.more(len(versions) - _VERSIONS, "version", "store.versions()")])


class DiffDisplay(Display):
    """The documents that two versions of an index do not share."""

    value: Diff

    def html(self) -> str:
        """Return a row for each document, and for each field of another type."""
        rows = _changes(self.value)
        body = (
            f"<p>{parts.inert(_chunks(self.value))}</p>"
            + parts.grid("", ("", "document"), rows[:_NAMED])
            + parts.more(len(rows) - _NAMED, "change", "diff.added, .removed, .changed")
        )
        return parts.card("Difference", _versions(self.value), body if rows else f"<p>{_SAME}</p>")

    def text(self) -> str:
        """Return a line for each document, and for each field of another type."""
        rows = _changes(self.value)
        if not rows:
            return f"{_versions(self.value)}: {_SAME}"
        out = [lines.line(f"{_versions(self.value)}: {_chunks(self.value)}")]
        out += [lines.line(name, indent=f"  {what:<9} ") for what, name in rows[:_NAMED]]
        left = lines.more(len(rows) - _NAMED, "change", "diff.added, .removed, .changed")
        return "\n".join([*out, *left])


_SAME = "the same documents"


def _versions(diff: Diff) -> str:
    return f"version {diff.old} → {diff.new}"


def _chunks(diff: Diff) -> str:
    return f"{counted(diff.chunks_added, 'chunk')} added, {diff.chunks_removed:,} removed"


def _changes(diff: Diff) -> list[tuple[str, str]]:
    groups = {
        "added": diff.added, "removed": diff.removed, "changed": diff.changed, "metadata": diff.metadata,
    }  # fmt: skip
    changes = [(what, name) for what, names in groups.items() for name in names]
    return changes + [
        ("field", f"{name}: {old or 'none'} → {new or 'none'}") for name, (old, new) in diff.fields.items()
    ]


def _row(each: Version) -> tuple[str, ...]:
    if each.error:
        return (f"{each.number}", "damaged", "", "", "", "", each.error)
    state = "current" if each.current else "held back" if each.held else ""
    return (
        f"{each.number}", state, each.created[:16].replace("T", " "), f"{each.files:,}", f"{each.chunks:,}",
        f"{each.segments:,}", each.why,
    )  # fmt: skip
