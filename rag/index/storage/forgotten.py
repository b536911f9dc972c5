"""The sources that were forgotten: builds leave their files out, though the files may still be there.

A name can be personal data itself, so the list has none: it holds keyed hashes (HMAC-SHA256) of names and
contents, in a file that only its owner can read. The key stands in the same file: it keeps hashes of two
indexes apart, and names from being looked up in a table, but not a guess from being tried by whoever can read
the file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rag.core.errors import StoreCorruptError
from rag.index.storage.manifest import read_plain, write_durably

#: The file's name in an index's folder.
NAME = "forgotten.json"
#: The file of an erasure under way, there, too (`rag.erasure.pending`).
UNDER_WAY = "forgetting.json"
_LARGEST = 64 << 20
_SHOWN = 3  # names in a note


@dataclass(frozen=True)
class ForgottenSources:
    """Names and contents of files, as keyed hashes.

    Attributes
    ----------
    key : bytes
    entries : mapping of str to tuple of str
        For the hash of each name, those of the contents that the file had in the index's versions.
    """

    key: bytes
    entries: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.entries)

    def has(self, source: str) -> bool:
        """Whether a source was forgotten."""
        return bool(self.entries) and self._hash("name", source) in self.entries

    def has_content(self, sha256: str) -> bool:
        """Whether a file with these bytes was forgotten, under whatever name."""
        if not sha256 or not self.entries:
            return False
        wanted = self._hash("content", sha256)
        return any(wanted in contents for contents in self.entries.values())

    def adding(self, sources: Mapping[str, Iterable[str]]) -> ForgottenSources:
        """Return the list with more sources, each with the SHA-256 of the contents that it had."""
        entries = dict(self.entries)
        for source, contents in sources.items():
            name = self._hash("name", source)
            hashes = {self._hash("content", sha256) for sha256 in contents if sha256}
            entries[name] = tuple(sorted({*entries.get(name, ()), *hashes}))
        return replace(self, entries=entries)

    def without(self, sources: Iterable[str]) -> ForgottenSources:
        """Return the list without some sources."""
        gone = {self._hash("name", source) for source in sources}
        return replace(self, entries={name: of for name, of in self.entries.items() if name not in gone})

    def save(self, folder: Path) -> None:
        """Write the list into an index's folder; an empty one is no file."""
        if not self.entries:
            (folder / NAME).unlink(missing_ok=True)
            return
        entries = {name: list(contents) for name, contents in sorted(self.entries.items())}
        text = json.dumps({"key": self.key.hex(), "entries": entries}, indent=1)
        write_durably(folder / NAME, text, private=True)

    @staticmethod
    def notes(skipped: Sequence[str], index: Path) -> Iterator[str]:
        """Say which files a build leaves out, and how one is read again; and that an erasure was killed."""
        if (index / UNDER_WAY).exists():
            yield f"an erasure was interrupted: `rag forget {index} --yes` completes it"
        if not skipped:
            return
        names = ", ".join(skipped[:_SHOWN]) + (", …" if len(skipped) > _SHOWN else "")
        what = "file is" if len(skipped) == 1 else "files are"
        yield (
            f"{len(skipped)} {what} left out as forgotten ({names}): `rag forget {index} --allow NAME` lets "
            "builds read one again"
        )

    def _hash(self, kind: str, value: str) -> str:
        data = f"{kind}\0{value}".encode(errors="surrogatepass")
        return hmac.new(self.key, data, hashlib.sha256).hexdigest()


#: The list of an index that has forgotten nothing.
NONE_FORGOTTEN = ForgottenSources(b"", {})


def read(folder: Path) -> ForgottenSources:
    """Read an index's list; without a file an empty one, with a key of its own.

    Raises
    ------
    StoreCorruptError
        The file is damaged: a build must not read what was forgotten.
    """
    path = folder / NAME
    try:
        values = json.loads(read_plain(path, _LARGEST))
        entries = {str(name): tuple(map(str, contents)) for name, contents in values["entries"].items()}
        return ForgottenSources(bytes.fromhex(values["key"]), entries)
    except (FileNotFoundError, NotADirectoryError):
        return ForgottenSources(secrets.token_bytes(32), {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreCorruptError(
            f"{path} cannot be read ({type(error).__name__}): restore it, or delete it to let builds read "
            "every file again"
        ) from None
