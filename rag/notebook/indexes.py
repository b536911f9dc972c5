"""An index: what it holds, field by field, and what it was made by."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rag.core.format import bytes_text, counted
from rag.notebook import lines, parts
from rag.notebook.display import Display

if TYPE_CHECKING:
    from rag.index.contents import FieldSummary
    from rag.index.index import Index

#: Most fields that a card, and a text, shows; most characters of a value.
_IN_CARD, _IN_TEXT, _VALUE = 50, 12, 40
#: What the files of a segment are for, by the beginnings of their names.
_FOR = {
    "vectors": "vectors", "codes": "vectors", "headings": "vectors", "moments": "vectors",
    "chunks": "texts", "documents": "metadata",
}  # fmt: skip


class IndexDisplay(Display):
    """An index's documents, chunks and fields; counted once for each snapshot."""

    value: Index

    def html(self) -> str:
        """Return the index as a card."""
        index, held = self.value, self.value.contents
        manifest = index.manifest
        bad = f'; <span class="warn">{counted(held.quarantined, "file")} in quarantine</span>'
        rows = [
            ("holds", f"{counted(held.documents, 'document')}, {counted(len(index), 'chunk')}"
             + (bad if held.quarantined else "")),
            ("version", parts.inert(self._version())),
            ("size", parts.inert(self._size())),
            ("embedder", parts.inert(self._embedder())),
            ("chunker", parts.inert(manifest.chunker)),
            ("built from", parts.inert(manifest.root)),
        ]  # fmt: skip
        shown = held.fields[:_IN_CARD]
        fields = [
            (each.name, each.type, "" if each.documents is None else f"{each.documents:,}",
             "" if each.documents is None else f"{each.distinct:,}", _chips(each))
            for each in shown
        ]  # fmt: skip
        head = ("field", "type", "documents", "values", "most frequent")
        table = parts.grid("fields to filter by", head, fields, bodies=(4,)) if fields else ""
        left = parts.more(len(held.fields) - _IN_CARD, "field", "index.schema")
        return parts.card(
            "Index", str(index.path), parts.facts(rows) + table + left + parts.notes(manifest.notes[:10])
        )

    def text(self) -> str:
        """Return counts, version, size, embedder, and a line for each field."""
        index, held = self.value, self.value.contents
        bad = f", {counted(held.quarantined, 'file')} in quarantine" if held.quarantined else ""
        out = lines.wrapped(f"Index {index.path}", most=3)
        out += lines.labelled([
            ("holds", f"{counted(held.documents, 'document')}, {counted(len(index), 'chunk')}{bad}"),
            ("version", self._version()), ("size", self._size()), ("embedder", self._embedder()),
        ])  # fmt: skip
        out += lines.grid(
            ("field", "type", "documents", "most frequent values"),
            [
                (each.name, each.type, "" if each.documents is None else f"{each.documents:,}",
                 ", ".join(f"{lines.line(value, _VALUE)} ({count:,})" for value, count in each.values))
                for each in held.fields[:_IN_TEXT]
            ],
        )  # fmt: skip
        return "\n".join([*out, *lines.more(len(held.fields) - _IN_TEXT, "field", "index.schema")])

    def _version(self) -> str:
        manifest = self.value.manifest
        segments = counted(len(manifest.segments), "segment")
        return (
            f"{manifest.version:,}, {manifest.why}, {manifest.created[:16].replace('T', ' ')} UTC, {segments}"
        )

    def _size(self) -> str:
        sizes: Counter[str] = Counter()
        for segment in self.value.manifest.segments:
            for file in segment.everything:
                name = file.path.rpartition("/")[2]
                sizes[next((what for begin, what in _FOR.items() if name.startswith(begin)), "words")] += (
                    file.bytes
                )
        kinds = ", ".join(f"{what} {bytes_text(size)}" for what, size in sizes.most_common())
        return f"{bytes_text(sizes.total())} ({kinds})" if kinds else "nothing yet"

    def _embedder(self) -> str:
        entry = self.value.manifest.embedder
        missing = "" if self.value.embedder is not None else "; not given: only words are searched"
        return f"{entry.name or entry.fingerprint}, {counted(entry.dimensions, 'dimension')}{missing}"


def _chips(field: FieldSummary) -> str:
    """Return the most frequent values with their documents, or an example if all differ."""
    if field.distinct == field.documents and field.distinct > len(field.values):
        example = parts.inert(field.values[0][0], _VALUE)
        return f'<span class="dim">all different, such as</span> <span class="chip">{example}</span>'
    return "".join(
        f'<span class="chip">{parts.inert(value, _VALUE)}<span>{count:,}</span></span>'
        for value, count in field.values
    )
