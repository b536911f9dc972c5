"""Deleting the vectors of erased texts from an embedding cache, which holds hashes of texts and no text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rag.core.sqlite import give_back
from rag.embedding.cache import connect, key_of


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted from a cache, or would be.

    Attributes
    ----------
    count : int
        Vectors.
    unknown : int
        How many of them are of neither the erased texts nor those that stay.
    clean : bool
        Whether the file holds nothing of them any more; else another process reads from before.
    """

    count: int = 0
    unknown: int = 0
    clean: bool = True


def forget(
    path: Path, texts: Iterable[str], keep: Iterable[str], *, only: bool, dry_run: bool = False
) -> Deleted:
    """Delete vectors of texts, whichever embedders made them.

    Parameters
    ----------
    path : Path
        A cache's file; without one there is nothing to delete.
    texts : iterable of str
        Those that were erased.
    keep : iterable of str
        Those that stay, also where they equal erased ones.
    only : bool
        Delete the vectors of all texts that do not stay: those of earlier wordings, which no version of an
        index holds any more, are known in no other way. Not for a cache that several indexes share.
    dry_run : bool
        Only count.

    Returns
    -------
    Deleted
    """
    if not path.is_file():
        return Deleted()
    with contextlib.closing(connect(path)) as file:
        file.execute("PRAGMA temp_store = MEMORY")
        file.execute("PRAGMA secure_delete = ON")
        models = [row[0] for row in file.execute("SELECT fingerprint FROM models").fetchall()]
        for name, values in (("keep", keep), ("erased", texts)):
            file.execute(f"CREATE TEMP TABLE {name} (key BLOB PRIMARY KEY) WITHOUT ROWID")
            file.execute("BEGIN")
            file.executemany(
                f"INSERT OR IGNORE INTO temp.{name} VALUES (?)",
                ((key_of(model, text),) for text in dict.fromkeys(values) for model in models),
            )
            file.execute("COMMIT")
        others = "key NOT IN (SELECT key FROM temp.keep)"
        theirs = f"{others} AND key IN (SELECT key FROM temp.erased)"
        which = others if only else theirs
        count, of_erased = (
            int(file.execute(f"SELECT COUNT(*) FROM embeddings WHERE {each}").fetchone()[0])
            for each in (which, theirs)
        )
        if dry_run:
            return Deleted(count, count - of_erased)
        file.execute(f"DELETE FROM embeddings WHERE {which}")
        return Deleted(count, count - of_erased, give_back(file))
