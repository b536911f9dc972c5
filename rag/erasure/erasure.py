"""One erasure: what goes, from where, and the steps that a kill may interrupt at any point."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rag.core.errors import StoreError, UsageError, near_miss
from rag.core.progress import Task
from rag.erasure import pending, proof
from rag.erasure.places import Place
from rag.erasure.reach import not_reached
from rag.erasure.report import Forgotten, Kept, Remnant
from rag.erasure.runs import Runs
from rag.erasure.source_text import still_there
from rag.erasure.trace import Trace
from rag.index.filters.parse import WhereLike
from rag.index.remote.known import remotes
from rag.index.remote.pull import PULLING
from rag.index.storage import erasing, forgotten
from rag.index.storage.manifest import held_versions
from rag.index.storage.segment import open_segment
from rag.index.storage.selection import Selection, Versions, matching, names_of, texts_of, versions_of
from rag.index.storage.sources import open_sources, read_sources

#: Folders of an index that hold texts between the steps of a build, batch or pull.
_WORK = ("downloads", "batch", "answers", PULLING)


class Erasure:
    """One erasure: what goes, from where, and the steps."""

    def __init__(
        self,
        folder: Path,
        versions: Versions,
        sources: frozenset[str],
        where: WhereLike | None,
        places: Sequence[Place],
        logs: Sequence[str] = (),
    ) -> None:
        self._started = time.monotonic()
        self._folder, self._places, self._logs = folder, places, logs
        self._known = forgotten.read(folder)
        self._pending = pending.read(folder)
        self._interrupted = bool(self._pending)
        self._records = [
            (manifest.version, record)
            for manifest in versions.readable
            for record in read_sources(open_sources(folder / manifest.sources.path))
        ]
        selection = self._selected(versions, sources, where)
        self._versions = erasing.check(folder, versions, selection)
        self._selection = selection
        self._count()
        going = [*texts_of(folder, self._versions, self._selection, selected=True)]
        staying = [*texts_of(folder, self._versions, self._selection, selected=False)]
        # Of what was forgotten before, the index knows no text any more, but its file may still be there.
        texts = [*still_there(self._versions.current.root, sources - self._in_index)]
        texts += [text for row, _ in going for text in row]
        self._pending = self._pending.joined(
            self._selection.sources, self._selection.ids, texts, (heading for _, heading in going)
        )
        kept = [text for row, _ in staying for text in row]
        self._trace = Trace(
            self._selection, Runs(self._pending.texts, kept), set(self._pending.answers),
            gone=[*self._pending.texts, *self._pending.headings],
            kept=[*kept, *(heading for _, heading in staying)],
        )  # fmt: skip

    def _selected(self, versions: Versions, sources: frozenset[str], where: WhereLike | None) -> Selection:
        """Return what is to go: what is named now, and what an erasure that was killed left."""
        if not sources and where is None and not self._pending:
            raise UsageError("say what to forget: a source (--source NAME) or a filter (--where FILTER)")
        self._in_index = names_of(self._folder, versions)
        known = self._in_index | {record.source for _, record in self._records}
        for name in sorted(sources - known - self._pending.sources):
            if not self._known.has(name):
                raise UsageError(f"{name} is no source of {self._folder}: {_near(name, known)}")
        ids = frozenset[str]() if where is None else matching(self._folder, versions, where)
        if where is not None and not ids and not sources:
            raise UsageError(f"no document of {self._folder} matches the filter: nothing to forget")
        self._asked = sources
        return Selection(sources | self._pending.sources, ids | self._pending.ids)

    def _count(self) -> None:
        """Count what goes, and name it; refuse to leave nothing."""
        chosen: set[str] = set()
        sources: set[str] = set()
        staying: set[str] = set()
        self._rows = self._chunks = live = 0
        for manifest, entry in self._versions.entries:
            segment = open_segment(self._folder, entry, manifest.embedder.dimensions)
            picked = self._selection.of(segment)
            self._rows += int(picked[segment.document_of_row].sum())
            table = segment.documents.table().select(["source", "doc_id"]).to_pydict()
            for gone, name, id in zip(picked.tolist(), table["source"], table["doc_id"], strict=True):
                (sources if gone else staying).add(name or "")
                if gone:
                    chosen.add(name or id)
        current = self._versions.current
        for each in current.segments:
            segment = open_segment(self._folder, each, current.embedder.dimensions)
            rows = self._selection.of(segment)[segment.document_of_row] & segment.live
            self._chunks, live = self._chunks + int(rows.sum()), live + int(segment.live.sum())
        if self._chunks and self._chunks == live:
            raise UsageError(
                f"these are all documents of {self._folder}: to forget them, delete the folder, and clear "
                "the stores outside of it"
            )
        # The sources of which nothing stays: a store of Documents may have several of one source.
        whole = frozenset(sources) - staying - {""}
        self._documents = tuple(sorted(chosen | self._asked | self._pending.sources))
        self._selection = replace(self._selection, sources=whole | self._selection.sources)

    def _contents(self) -> dict[str, set[str]]:
        """Return the files that builds shall leave out, with the SHA-256 that each had."""
        contents: dict[str, set[str]] = {}
        for _, record in self._records:
            if record.source in self._selection.sources:
                contents.setdefault(record.source, set()).add(record.sha256)
        return contents

    def _copies(self) -> tuple[str, ...]:
        """Return other sources with the very bytes of a document, in whichever version."""
        bytes_of = {sha256 for each in self._contents().values() for sha256 in each if sha256}
        others = {
            record.source for _, record in self._records
            if record.sha256 in bytes_of and record.source not in self._selection.sources
        }  # fmt: skip
        return tuple(sorted(others))

    # ------------------------------------------------------------------------------- the steps

    def planned(self) -> Forgotten:
        """Return what would be erased."""
        listed = {number for number, record in self._records if record.source in self._selection.sources}
        with_them = tuple(
            manifest.version for manifest in self._versions.readable
            if (manifest.version in listed) or any(
                self._selection.of(open_segment(self._folder, each, manifest.embedder.dimensions)).any()
                for each in manifest.segments
            )
        )  # fmt: skip
        return self._report(
            self._versions.current.version, tuple(sorted(with_them)), self._counted(), (), False
        )

    def carried_out(self, task: Task) -> Forgotten:
        """Erase; the caller holds the writer's lock, and is told what is under way."""
        counted = self._counted()  # also fails here, before anything is changed, where a store cannot be used
        self._pending = self._pending.joined((), (), answers=self._trace.answers)
        task.show(0, detail="rewriting versions")
        try:
            self._pending.save(self._folder)
            self._known.adding(self._contents()).save(self._folder)
            erased = erasing.erase(self._folder, self._versions, self._selection)
        except OSError as error:
            raise StoreError(
                f"cannot write to {self._folder} ({error.strerror or error}): its versions can be read; make "
                "room or give yourself the right to write, and run the same again"
            ) from error
        for name in _WORK:
            shutil.rmtree(self._folder / name, ignore_errors=True)
        task.show(0, detail="erasing from stores")
        busy = [
            Remnant(place.name, "another process reads from before: its WAL may hold old pages; run again")
            for place in self._places if not place.sweep(self._trace, False).clean
        ]  # fmt: skip
        pending.drop(self._folder)
        task.show(0, detail="searching every file for pieces of them")
        remains = (*busy, *self._remains())
        return self._report(erased.version, erased.rewritten, counted, remains, True)

    def _counted(self) -> tuple[Kept, ...]:
        swept = [(place, place.sweep(self._trace, True)) for place in self._places]
        self._notes = [each.note for _, each in swept if each.note]
        return tuple(Kept(place.kind, place.name, each.count) for place, each in swept)

    def _remains(self) -> Iterator[Remnant]:
        yield from proof.in_names(self._folder, versions_of(self._folder), self._selection)
        outside = (place.path for place in self._places if place.path is not None)
        yield from proof.in_files(self._folder, outside, self._trace.runs)
        for place in self._places:
            if place.kind != "vectors" and (count := place.sweep(self._trace, True).count):
                yield Remnant(place.name, f"{count} {place.kind} came meanwhile: run again")

    def _report(
        self,
        version: int,
        versions: tuple[int, ...],
        stores: tuple[Kept, ...],
        remains: tuple[Remnant, ...],
        done: bool,
    ) -> Forgotten:
        held = [number for number in versions if number in held_versions(self._folder) and number < version]
        notes = [*self._notes]
        if self._interrupted:
            notes.append("an erasure was interrupted before: it is completed with this one")
        if held:
            notes.append(
                f"version {', '.join(map(str, held))}, held back, can no longer be promoted: build again "
                "(vectors come from the cache)"
            )
        return Forgotten(
            str(self._folder), self._documents, self._chunks, self._rows, version, versions,
            self._versions.unreadable, stores, self._copies(), remains,
            not_reached(
                self._versions.current.root, self._documents, version, folder=str(self._folder),
                remotes=remotes(self._folder), logs=self._logs,
            ),
            tuple(notes),
            time.monotonic() - self._started, done,
        )  # fmt: skip


def _near(name: str, known: set[str]) -> str:
    hint = near_miss(name, known)
    return hint if hint.startswith("did you mean") else f"it has {len(known)}, named as citations name them"
