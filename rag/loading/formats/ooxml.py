"""Office Open XML packages (docx, pptx, xlsx and their kin): parts, relationships, one vocabulary.

What is read here is what Office shows, whichever variant wrote it: the names of strict documents become
those of transitional ones, and of alternative contents one stays.
"""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

from rag.core.errors import LoadError
from rag.loading.formats.archive import (
    damaged,
    is_well_formed,
    local_name,
    open_zip,
    read_member,
    read_unsummed,
    read_xml,
)
from rag.loading.formats.registry import parse
from rag.loading.structure import Options, Parsed

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"

#: Namespaces of strict documents (ISO/IEC 29500-1, Annex A) whose transitional names (Part 4) differ by
#: more than the year.
_STRICT = "http://purl.oclc.org/ooxml/"
_TRANSITIONAL = "http://schemas.openxmlformats.org/"
#: Whose extensions Office understands; what requires others is read in its fallback.
_UNDERSTOOD = (
    "http://schemas.microsoft.com/",
    "http://schemas.openxmlformats.org/",
    "urn:schemas-microsoft-com:",
)

_READERS = {
    "document": "rag.loading.formats.word:parse_word",
    "presentation": "rag.loading.formats.slides:parse_slides",
    "workbook": "rag.loading.formats.sheets:parse_sheets",
}
#: What reads OpenDocument files, by its name in the registry.
OPEN_DOCUMENT = "rag.loading.formats.opendocument:parse_opendocument"
_USUAL = ("word/document.xml", "ppt/presentation.xml", "xl/workbook.xml")
_CORE = {
    "title": "title",
    "creator": "author",
    "subject": "subject",
    "keywords": "keywords",
    "category": "category",
}
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, LoadError,
)  # fmt: skip

_T = TypeVar("_T")


class Relation(NamedTuple):
    """A relationship of a part: the last word of its type, and the part that it names."""

    kind: str
    target: str


class Package:
    """The parts of an Office file, read when they are needed.

    Parameters
    ----------
    data : bytes
        The zip archive.
    kind : str
        What the file should be, for errors.

    Attributes
    ----------
    main : str
        The name of the main part.
    notes : list of str
        The parts that were needed and could not be read.

    Raises
    ------
    LoadError
        It is no archive, or unpacks without end.
    """

    def __init__(self, data: bytes, kind: str) -> None:
        self._bytes, self._zip = data, open_zip(data, kind)
        self._names = {_folded(name): name for name in self._zip.namelist()}
        self._kind = kind
        self._relations: dict[str, dict[str, Relation]] = {}
        self.notes: list[str] = []
        named = [one.target for one in self.relations("").values() if one.kind == "officeDocument"]
        self.main = next((name for name in (*named, *_USUAL) if _folded(name) in self._names), "")

    def root(self) -> Any:
        """Return the main part, without which there is nothing to read.

        Raises
        ------
        LoadError
            It is absent, or damaged.
        """
        if not self.main:
            raise damaged(self._kind, KeyError("no document in the archive"))
        try:
            return self._read(self.main)
        except (KeyError, *_BROKEN) as error:
            raise damaged(self._kind, error) from None

    def xml(self, name: str) -> Any:
        """Return the root element of a part; None, and a note, where it cannot be read."""
        return self._if_sound(self._read, name)

    def data(self, name: str) -> bytes | None:
        """Return a part's bytes; None, and a note, where it cannot be read."""
        return self._if_sound(self._member, name)

    def has(self, name: str) -> bool:
        """Tell whether there is such a part."""
        return _folded(name) in self._names

    def is_open_document(self) -> bool:
        """Tell whether it is a file of OpenDocument, whatever its name says."""
        return not self.main and self.has("content.xml")

    def parse_as_named_by_content(self, path: Path, data: bytes, options: Options) -> Parsed | None:
        """Read the file with the reader of its main part; None where there is none."""
        return other_reader(self.root(), "", path, data, options) if self.main else None

    def relations(self, name: str) -> dict[str, Relation]:
        """Return what a part refers to inside the package, by identifier; ``""`` is the package itself."""
        if name not in self._relations:
            folder, file = posixpath.split(name)
            root = self.xml(posixpath.join(folder, "_rels", f"{file}.rels"))
            self._relations[name] = {} if root is None else dict(_related(root, folder))
        return self._relations[name]

    def related(self, name: str, kind: str) -> list[str]:
        """Return the parts that a part refers to by relationships of a kind, in their order."""
        return [one.target for one in self.relations(name).values() if one.kind == kind]

    def content_type(self, name: str) -> str:
        """Return the type that the package declares for a part; empty where it declares none."""
        root = self.xml("[Content_Types].xml")
        if root is None:
            return ""
        suffix = posixpath.splitext(name)[1].lstrip(".").lower()
        by_suffix = ""
        for element in root:
            if (element.get("PartName") or "").lstrip("/").lower() == name.lower():
                return (element.get("ContentType") or "").lower()
            if (element.get("Extension") or "").lower() == suffix:
                by_suffix = (element.get("ContentType") or "").lower()
        return by_suffix

    def properties(self, unset: str) -> dict[str, Any]:
        """Return what the file says of itself; `unset` is what a library's template says."""
        out: dict[str, Any] = {}
        for name in self.related("", "core-properties"):
            root = self.xml(name)
            for element in [] if root is None else root:
                key, value = _CORE.get(local_name(element)), (element.text or "").strip()
                if key and value and value != unset:
                    out[key] = value
        return out

    def _read(self, name: str) -> Any:
        damage: list[str] = []
        data = self._member(name)
        root = read_xml(data, damage)
        if damage:
            self._note(f"its part {name} is damaged: read as far as it goes")
        if _STRICT.encode() in data or b"\0" in data[:4]:  # not searched in UTF-16
            _rename(root)
        _choose(root)
        return root

    def _member(self, name: str) -> bytes:
        """Return a part's bytes, also where only their checksum is wrong."""
        real = self._names[_folded(name)]
        try:
            return read_member(self._zip, real)
        except zipfile.BadZipFile:
            data = read_unsummed(self._zip, self._bytes, real)
            if not is_well_formed(data):
                raise
            self._note(f"its part {name} has a wrong checksum: read all the same")
            return data

    def _if_sound(self, read: Callable[[str], _T], name: str) -> _T | None:
        try:
            return read(name)
        except KeyError:
            return None
        except _BROKEN:
            self._note(f"its part {name} is damaged: left out")
            return None

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def other_reader(root: Any, root_name: str, path: Path, data: bytes, options: Options) -> Parsed | None:
    """Read a file of another kind than its name says; None where its root is the reader's own."""
    name = _READERS.get(local_name(root))
    if name is None or local_name(root) == root_name:
        return None
    return parse(name, path, data, options)


def relation_id(element: Any, name: str = "id") -> str:
    """Return the relationship that an element names by ``r:id`` or the like; empty for none."""
    return str(element.get(R + name) or "")


def _folded(name: str) -> str:
    """Return a part's name as names are compared: without case, and with the slashes of the standard."""
    return name.replace("\\", "/").lstrip("/").lower()


def _related(root: Any, folder: str) -> Iterator[tuple[str, Relation]]:
    for element in root:
        target, kind = element.get("Target") or "", (element.get("Type") or "").rsplit("/", 1)[-1]
        if target and element.get("TargetMode") != "External":
            path = unquote(target).replace("\\", "/")
            name = (
                path.lstrip("/") if path.startswith("/") else posixpath.normpath(posixpath.join(folder, path))
            )
            yield element.get("Id") or "", Relation(kind, name)


def _rename(root: Any) -> None:
    """Give a strict document's elements and attributes their transitional names."""
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag.startswith("{" + _STRICT):
            element.tag = _transitional(element.tag)
        for key in [key for key in element.attrib if key.startswith("{" + _STRICT)]:
            element.set(_transitional(key), element.attrib.pop(key))


def _transitional(name: str) -> str:
    family, _, rest = name.removeprefix("{" + _STRICT).partition("/")
    return f"{{{_TRANSITIONAL}{family}/2006/{rest}"


def _choose(root: Any) -> None:
    """Put in place of each alternative content the one that Office shows, or else one that holds text."""
    for element in reversed(list(root.iter(_MC + "AlternateContent"))):  # those inside before those around
        parent = element.getparent()
        if parent is None:
            continue
        choices = list(element.iterchildren(_MC + "Choice"))
        known = [choice for choice in choices if _understood(choice)]
        branches = [*known, *element.iterchildren(_MC + "Fallback"), *(c for c in choices if c not in known)]
        best = next((branch for branch in branches if _speaks(branch)), branches[0] if branches else None)
        at = parent.index(element)
        for child in reversed([] if best is None else list(best)):
            parent.insert(at, child)
        if element.tail:  # text of its own only in mixed content
            element.tail, tail = None, element.tail
            last = element.getprevious()
            if last is not None:
                last.tail = (last.tail or "") + tail
        parent.remove(element)


def _understood(choice: Any) -> bool:
    spaces = (choice.nsmap.get(prefix) or "" for prefix in (choice.get("Requires") or "").split())
    return all(space.startswith(_UNDERSTOOD) for space in spaces)


def _speaks(branch: Any) -> bool:
    """Tell whether there is text in it, or a chart, diagram or word art that has some."""
    for element in branch.iter():
        name = local_name(element)
        if (name == "t" and (element.text or "").strip()) or name in (
            "chart",
            "relIds",
            "textpath",
            "AlternateContent",
        ):
            return True
    return False
