"""What a process does that is killed: a push, a pull, or an opening, by a proxy that fails."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import rag
from rag.index.remote import prune

#: A prune that was killed must not keep the next push waiting for two minutes.
prune.LEASE_S = 1.0


def work(
    action: str,
    url: str,
    folder: str,
    remote: dict[str, object],
    keep: int | None,
    log: str,
    environment: dict[str, str],
) -> None:
    """Exit with 0 when it is done, with 3 after an error of one line; anything else is a defect.

    The fork server may be an earlier test's, with that test's environment: it is replaced.
    """
    os.environ.clear()
    os.environ.update(environment)
    try:
        if action == "push":
            rag.push(folder, url, keep=keep, remote=remote)
        elif action == "pull":
            rag.pull(url, folder, force=True, remote=remote)
        else:
            hits = rag.Index.open(url, remote=remote).search("Topic1", k=1, mode="lexical")
            assert [hit.source for hit in hits] == ["1.md"], hits
    except rag.RagError as error:
        assert "\n" not in str(error)
        with Path(log).open("a") as sink:
            sink.write(f"{action}: {type(error).__name__}: {error}\n")
        sys.exit(3)
    sys.exit(0)
