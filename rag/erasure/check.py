"""Looking for what is left of documents, by their names or by a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.erasure import proof
from rag.erasure.forget import stores_of
from rag.erasure.places import Place
from rag.erasure.reach import source_file
from rag.erasure.report import Remnant
from rag.erasure.runs import RUN, Runs
from rag.erasure.source_text import read
from rag.erasure.trace import Trace
from rag.index.storage.selection import Selection, texts_of, versions_of


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check looked for, and what it found.

    Attributes
    ----------
    looked_for : str
    remains : tuple of Remnant
        Empty if nothing is left.
    notes : tuple of str
        What was not looked for, and why.
    """

    looked_for: str
    remains: tuple[Remnant, ...]
    notes: tuple[str, ...] = ()


def check(
    index: str | Path,
    source: str | Iterable[str] = (),
    *,
    text: str | Path | None = None,
    files: Iterable[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
) -> Checked:
    """Look for what is left of documents in an index's folder and the stores; nothing is changed.

    Parameters
    ----------
    index : str or Path
    source : str or iterable of str
        Names of documents. Where their files are still there, their texts are looked for, too.
    text : str or Path, optional
        A text, or a file with it, in any format that a build reads.
    files, settings
        As for `rag.forget`.

    Returns
    -------
    Checked

    Raises
    ------
    SourceError
        The file cannot be read, or holds no text.

    Examples
    --------
    >>> check("indexes/handbook", "people/jane-doe.md").remains                # doctest: +SKIP
    ()
    """
    folder = Path(index)
    versions = versions_of(folder)
    names = frozenset([source] if isinstance(source, str) else source)
    selection, notes = Selection(names), list[str]()
    texts = [] if text is None else [text] if isinstance(text, str) else read(text)
    for name in sorted(names) if text is None else ():
        path = source_file(versions.current.root, name)
        if path is None:
            notes.append(
                f"{name}: its file is not there, so only its name was looked for; --check FILE has a text"
            )
        else:
            texts += read(path)
    others = (each for row, _ in texts_of(folder, versions, selection, selected=False) for each in row)
    runs = Runs(texts, others if names else ())
    if texts and not runs:
        notes.append(f"the text has no piece of {RUN} bytes that only it has: only names were looked for")
    trace = Trace(selection, runs)
    places = [*stores_of(folder, settings or {}, files)]
    remains = [*proof.in_names(folder, versions, selection)] if names else []
    remains += proof.in_files(folder, (place.path for place in places if place.path is not None), runs)
    remains += _in_stores(places, trace)
    what = [*(["the name"] if names else []), *([f"pieces of {RUN} bytes of the text"] if runs else [])]
    return Checked(" and ".join(what), tuple(dict.fromkeys(remains)), tuple(notes))


def _in_stores(places: Iterable[Place], trace: Trace) -> Iterator[Remnant]:
    for place in places:
        if place.kind != "vectors" and (count := place.sweep(trace, True).count):
            yield Remnant(place.name, f"{count} {place.kind} hold something")
