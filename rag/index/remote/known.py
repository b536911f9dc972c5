"""``remotes.json``: what an index's folder knows of its copies on object stores.

For each place it holds the version that was last pushed there or pulled from there. A push compares it with
what is there now: a version that this folder never had is another writer's. `rag forget` names the places.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from rag.core.errors import StoreCorruptError
from rag.index.remote.pointer import Sha256, Time, now
from rag.index.storage.manifest import read_plain, write_durably

NAME = "remotes.json"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Seen:
    """The version that a folder and a place last had in common.

    Attributes
    ----------
    version : int
    manifest : str
        The SHA-256 of its manifest.
    at : str
        When it was pushed or pulled, ISO 8601.
    """

    version: Annotated[int, Field(ge=1, lt=10**9)]
    manifest: Sha256
    at: Time


def remotes(folder: Path) -> Mapping[str, Seen]:
    """Return the places that a folder was pushed to or pulled from, by URL.

    Raises
    ------
    StoreCorruptError
        The file is damaged.
    """
    try:
        return _FILE.validate_json(read_plain(folder / NAME, _MOST_BYTES), strict=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValidationError, ValueError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise StoreCorruptError(
            f"{folder / NAME} is damaged ({said}): delete it; a push then takes --force if the folder no "
            "longer has the version that it pushed last"
        ) from None


def remember(folder: Path, url: str, version: int, manifest: str) -> None:
    """Write down what a folder and a place have in common now."""
    known = dict(remotes(folder))
    before = known.get(url)
    if before is not None and (before.version, before.manifest) == (version, manifest):
        return
    known[url] = Seen(version, manifest, now())
    values = {name: asdict(seen) for name, seen in sorted(known.items())}
    write_durably(folder / NAME, json.dumps(values, indent=1))


_FILE = TypeAdapter(dict[Annotated[str, Field(max_length=2000)], Seen])
