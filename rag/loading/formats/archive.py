"""Containers that office files come in: zip archives that may be bombs, and OLE files with a password."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any

from lxml import etree

from rag.core.errors import LoadError
from rag.core.extras import require
from rag.loading.structure import Options

#: Most bytes that an archive may say it unpacks to; the worker's memory limit holds where it lies.
MOST_UNPACKED = 512 << 20
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
PASSWORD = (
    "needs a password",
    "give it as passwords = {\"glob\" = \"password\"} under [loader] in rag.toml and build with --retry, "
    "or decrypt the file",
)  # fmt: skip
CONVERT = 'install LibreOffice, set convert = "libreoffice" under [loader] in rag.toml and build with --retry'
_BOMB = "leave it out: it may be a zip bomb"


def open_zip(data: bytes, kind: str) -> zipfile.ZipFile:
    """Open an archive, once it is known to be one and not to unpack without end.

    Raises
    ------
    LoadError
        It is no archive, is cut off, or unpacks to more than `MOST_UNPACKED`.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise damaged(kind, error) from None
    size = sum(item.file_size for item in archive.infolist())
    if size > MOST_UNPACKED:
        raise LoadError(f"unpacks to {size >> 20} MB", _BOMB)
    return archive


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read one member, never more than `MOST_UNPACKED`, whatever the archive says of its size.

    Raises
    ------
    KeyError
        There is no such member.
    LoadError
        It unpacks to more.
    """
    with archive.open(name) as member:
        data = member.read(MOST_UNPACKED + 1)
    if len(data) > MOST_UNPACKED:
        raise LoadError(f"unpacks to more than {MOST_UNPACKED >> 20} MB", _BOMB)
    return data


def read_unsummed(archive: zipfile.ZipFile, data: bytes, name: str) -> bytes:
    """Read a member whose checksum is wrong, of the archive that `data` is.

    Raises
    ------
    KeyError, zlib.error
        There is no such member, or it does not unpack to its end.
    """
    info = archive.getinfo(name)
    start = info.header_offset + 30  # the local header's fixed part, then its name and extra field
    extent = sum(int.from_bytes(data[start - 4 + at : start - 2 + at], "little") for at in (0, 2))
    raw = data[start + extent : start + extent + info.compress_size]
    if info.compress_type == zipfile.ZIP_STORED:
        return raw
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    out = unpacker.decompress(raw, MOST_UNPACKED)
    if not unpacker.eof:
        raise zlib.error("ends early")
    return out


def is_well_formed(data: bytes) -> bool:
    """Tell whether bytes are XML without a fault."""
    try:
        etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except (etree.XMLSyntaxError, ValueError):
        return False
    return True


def read_xml(data: bytes, damage: list[str] | None = None) -> Any:
    """Parse XML; nothing outside of it is looked at, and damage is repaired as far as it goes.

    Parameters
    ----------
    damage : list of str, optional
        Takes what was damaged.

    Raises
    ------
    LoadError
        Nothing could be read.
    """
    parser = etree.XMLParser(
        resolve_entities="internal", no_network=True, load_dtd=False, recover=True, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise LoadError(f"holds XML that cannot be read ({_short(error)})", "save the file again") from None
    if root is None:
        raise LoadError("holds XML that cannot be read", "save the file again")
    if damage is not None:
        damage += [entry.message for entry in parser.error_log if entry.level_name == "FATAL"]
    return root


def local_name(element: Any) -> str:
    """Return an element's name without its namespace; empty for a comment or the like."""
    return element.tag.rsplit("}", 1)[-1] if isinstance(element.tag, str) else ""


def unlocked(data: bytes, options: Options, kind: str, old: str | None) -> bytes:
    """Return an Office file's bytes, decrypted if it is encrypted.

    Parameters
    ----------
    kind : str
        What the file should be.
    old : str or None
        What it is if it is of the time before 2007; None where that is read, too.

    Raises
    ------
    LoadError
        It needs a password, another one than was given, or is of the old format.
    """
    if not data.startswith(OLE):
        return data
    msoffcrypto = require("msoffcrypto", extra="office")
    try:
        office = msoffcrypto.OfficeFile(io.BytesIO(data))
        locked = office.is_encrypted()
    except Exception:  # msoffcrypto raises anything on what is no Office file
        raise LoadError(f"is not {kind}", f"open it and save it again as {kind}") from None
    if not locked and old is None:
        return data
    if not locked:
        raise LoadError(f"is {old}", f"save it as {kind}, or {CONVERT}")
    if options.password is None:
        raise LoadError(*PASSWORD)
    out = io.BytesIO()
    try:
        office.load_key(password=options.password)
        office.decrypt(out)
    except Exception:  # the library has one exception for a wrong password, and others for damage
        raise LoadError("needs another password than the one given", PASSWORD[1]) from None
    return out.getvalue()


def damaged(kind: str, error: Exception) -> LoadError:
    """Return the error for a file that is not what its name says."""
    return LoadError(
        f"is not {kind}, or damaged ({type(error).__name__}: {_short(error)})",
        "open it and save it again, or leave it out",
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
