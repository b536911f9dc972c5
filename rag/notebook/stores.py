"""A store: the versions of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.core.format import counted
from rag.notebook import lines, parts
from rag.notebook.display import Display

if TYPE_CHECKING:
    from rag.index.maintenance import Store, Version

#: Most versions that are shown, the newest first.
_VERSIONS = 12
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


def _row(each: Version) -> tuple[str, ...]:
    if each.error:
        return (f"{each.number}", "damaged", "", "", "", "", each.error)
    state = "current" if each.current else "held back" if each.held else ""
    return (
        f"{each.number}", state, each.created[:16].replace("T", " "), f"{each.files:,}", f"{each.chunks:,}",
        f"{each.segments:,}", each.why,
    )  # fmt: skip
