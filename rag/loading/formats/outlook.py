"""Outlook's mails (msg): properties in an OLE file, mails inside of mails, bodies in compressed RTF.

After Microsoft's MS-OXMSG (the file), MS-OXPROPS (the properties) and MS-OXRTFCP (the compression).
"""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import io
import struct
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from rag.core.errors import LoadError
from rag.core.extras import require
from rag.loading.formats.archive import OLE, damaged
from rag.loading.formats.mail import (
    DEEPEST,
    ENCRYPTED,
    Attachment,
    Mail,
    addresses,
    best_of,
    date_of,
    decoded,
    header_of,
    html_text,
    person,
    sender_of,
    spelt,
    write,
)
from rag.loading.formats.rtf import parse_rtf
from rag.loading.formats.rtf_words import code_page
from rag.loading.structure import Options, Parsed

#: Properties, as MS-OXPROPS numbers them.
_CLASS, _SUBJECT, _SUBMITTED, _HEADERS, _DELIVERED = 0x001A, 0x0037, 0x0039, 0x007D, 0x0E06
_SENDER, _SENDER_ADDRESS, _SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
_FOR_NAME, _FOR_ADDRESS, _FOR_SMTP = 0x0042, 0x0065, 0x5D02
_BODY, _RTF, _HTML, _MESSAGE_ID = 0x1000, 0x1009, 0x1013, 0x1035
_TO, _CC, _BCC = 0x0E04, 0x0E03, 0x0E02
_NAME, _ADDRESS, _SMTP, _RECIPIENT = 0x3001, 0x3003, 0x39FE, 0x0C15
_DATA, _SHORT, _LONG, _CONTENT_ID, _MIME = 0x3701, 0x3704, 0x3707, 0x3712, 0x370E
_PAGE, _INTERNET_PAGE = 0x3FFD, 0x3FDE
_STRING, _STRING8, _BINARY = 0x001F, 0x001E, 0x0102
_NUMBER, _TIME = 0x0003, 0x0040
_FILETIME_EPOCH = dt.datetime(1601, 1, 1, tzinfo=dt.UTC)

#: What a compressed body may refer back to before its first byte (MS-OXRTFCP 2.1.2.1).
_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor "
    rb"MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_MOST_RTF = 64 << 20


def parse_msg(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a mail as Outlook saves it.

    Raises
    ------
    LoadError
        It is no such mail, is damaged, or is encrypted.
    """
    if not data.startswith(OLE):
        raise LoadError("is not an Outlook mail (.msg)", "save it again from Outlook, or leave it out")
    olefile = require("olefile", extra="office")
    try:
        with olefile.OleFileIO(io.BytesIO(data)) as ole:
            folder = _Folder(ole, (), ole.listdir(streams=True, storages=True))
            if not folder.exists("__properties_version1.0"):
                raise ValueError("it has no properties")
            mail = _mail(folder, options.depth)
    except LoadError:
        raise
    except Exception as error:  # olefile raises anything on a damaged file
        raise damaged("an Outlook mail (.msg)", error) from None
    return write(mail, options)


class _Folder:
    """One object of the file (the mail, a recipient, an attachment, a mail inside) and its properties."""

    def __init__(self, ole: Any, path: tuple[str, ...], entries: list[list[str]], page: str = "") -> None:
        self._ole, self.path, self._entries = ole, path, entries
        self._fixed = self._numbers()
        self.page = page
        for of in (_PAGE, _INTERNET_PAGE):
            number = self.number(of)
            self.page = self.page or (code_page(number) if number else "")

    def exists(self, name: str) -> bool:
        return bool(self._ole.exists([*self.path, name]))

    def folders(self, prefix: str) -> Iterator[_Folder]:
        depth = len(self.path)
        names = {
            entry[depth] for entry in self._entries
            if len(entry) > depth and tuple(entry[:depth]) == self.path and entry[depth].startswith(prefix)
        }  # fmt: skip
        for name in sorted(names):
            yield _Folder(self._ole, (*self.path, name), self._entries, self.page)

    def inner(self) -> _Folder | None:
        """Return the mail that an attachment is."""
        name = f"__substg1.0_{_DATA:04X}000D"
        if not self.exists(name):
            return None
        found = _Folder(self._ole, (*self.path, name), self._entries, self.page)
        return found if found.exists("__properties_version1.0") else None

    def binary(self, of: int) -> bytes:
        return self._stream(of, _BINARY)

    def number(self, of: int) -> int | None:
        value = self._fixed.get((of, _NUMBER))
        return None if value is None else int(struct.unpack("<i", value[:4])[0])

    def time(self, of: int) -> dt.datetime | None:
        value = self._fixed.get((of, _TIME))
        ticks = struct.unpack("<Q", value)[0] if value else 0
        try:
            return _FILETIME_EPOCH + dt.timedelta(seconds=ticks // 10_000_000) if ticks else None
        except OverflowError:
            return None

    def string(self, of: int) -> str:
        wide = self._stream(of, _STRING)
        if wide:
            return wide.decode("utf-16-le", "replace").rstrip("\0")
        return decoded(self._stream(of, _STRING8), self.page or "cp1252").rstrip("\0")

    def _stream(self, of: int, kind: int) -> bytes:
        name = f"__substg1.0_{of:04X}{kind:04X}"
        if not self.exists(name):
            return b""
        with self._ole.openstream([*self.path, name]) as stream:
            return bytes(stream.read())

    def _numbers(self) -> dict[tuple[int, int], bytes]:
        if not self.exists("__properties_version1.0"):
            return {}
        with self._ole.openstream([*self.path, "__properties_version1.0"]) as stream:
            data = stream.read()
        kind = self.path[-1][:6] if self.path else ""
        start = 8 if kind in ("__atta", "__reci") else 24 if self.path else 32  # MS-OXMSG 2.4.1
        out = {}
        for at in range(start, len(data) - 15, 16):
            form, of = struct.unpack_from("<HH", data, at)
            out[of, form] = data[at + 8 : at + 16]
        return out


def _mail(folder: _Folder, depth: int) -> Mail:
    head = spelt(folder.string(_HEADERS).encode("utf-8", "replace"))
    headers = email.message_from_bytes(head, policy=email.policy.default)
    mails = _headers(folder, headers)
    kind = folder.string(_CLASS).lower() + header_of(headers, "content-type").lower()
    if ("smime" in kind and "multipartsigned" not in kind) or "multipart/encrypted" in kind:
        raise LoadError(*ENCRYPTED)
    mails.texts = _texts(folder, mails.notes)
    for number, one in enumerate(folder.folders("__attach_version1.0_#"), 1):
        name = one.string(_LONG) or one.string(_SHORT) or one.string(_NAME) or f"attachment {number}"
        inner = one.inner()
        shown = bool(one.string(_CONTENT_ID)) and one.string(_MIME).startswith("image/")
        if inner is not None:
            # A mail too deep to be read is not looked into: nothing says how deep they go.
            content: Mail | LoadError = Mail()
            if depth < DEEPEST:
                try:
                    content = _mail(inner, depth + 1)
                except LoadError as error:
                    content = error
            mails.attachments.append(Attachment(name, content))
        else:
            mails.attachments.append(Attachment(name, one.binary(_DATA), shown))
    return mails


def _headers(folder: _Folder, headers: EmailMessage) -> Mail:
    people = {kind: addresses([header_of(headers, kind)]) for kind in ("to", "cc", "bcc")}
    if not any(people.values()):
        kinds = {1: "to", 2: "cc", 3: "bcc"}
        for one in folder.folders("__recip_version1.0_#"):
            address = one.string(_SMTP) or one.string(_ADDRESS)
            found = person(one.string(_NAME), address if "@" in address else "")
            people[kinds.get((one.number(_RECIPIENT) or 1) & 0xF, "to")] += [found] if found else []
    for kind, shown in (("to", _TO), ("cc", _CC), ("bcc", _BCC)):
        names = folder.string(shown)
        if not people[kind] and names and not any(people.values()):
            people[kind] = [name.strip() for name in names.split(";") if name.strip()]
    sender = sender_of(header_of(headers, "from"))
    for name, *where in ((_SENDER, _SENDER_SMTP, _SENDER_ADDRESS), (_FOR_NAME, _FOR_SMTP, _FOR_ADDRESS)):
        address = next((found for of in where if "@" in (found := folder.string(of))), "")
        sender = sender or person(folder.string(name), address)
    return Mail(
        subject=folder.string(_SUBJECT) or header_of(headers, "subject"), sender=sender,
        to=people["to"], cc=people["cc"], bcc=people["bcc"],
        sent=folder.time(_SUBMITTED) or date_of(header_of(headers, "date")) or folder.time(_DELIVERED),
        message_id=header_of(headers, "message-id") or folder.string(_MESSAGE_ID),
    )  # fmt: skip


def _texts(folder: _Folder, notes: list[str]) -> list[Parsed]:
    plain = [Parsed(folder.string(_BODY).replace("\r\n", "\n"))]
    source = folder.binary(_HTML)
    page = code_page(folder.number(_INTERNET_PAGE) or folder.number(_PAGE) or 65001)
    html = decoded(source, page) if source else folder.string(_HTML)
    rich = [html_text(html)] if html else []
    if not any(text.text.strip() for text in rich) and folder.binary(_RTF):
        try:
            rich = [parse_rtf(Path("body.rtf"), decompressed(folder.binary(_RTF)), Options())]
        except (LoadError, ValueError, struct.error):
            notes.append("its body in rich text is damaged: not read")
    return best_of(plain, rich)


def decompressed(data: bytes) -> bytes:
    """Return a body as rich text (MS-OXRTFCP).

    Raises
    ------
    ValueError
        It is no compressed rich text, or unpacks without end.
    """
    _, size, magic = struct.unpack_from("<II4s", data)
    body = data[16:]
    if magic == b"MELA":
        return body[:size]
    if magic != b"LZFu" or size > _MOST_RTF:
        raise ValueError("not compressed rich text")
    ring = bytearray(_DICTIONARY.ljust(4096, b"\0"))
    write_at = len(_DICTIONARY)
    out = bytearray()
    at = 0
    while at < len(body) and len(out) < size:
        control = body[at]
        at += 1
        for bit in range(8):
            if at >= len(body):
                break
            if not control >> bit & 1:
                run = body[at : at + 1]
                at += 1
                out += run
                ring[write_at] = run[0]
                write_at = (write_at + 1) % 4096
                continue
            reference = int.from_bytes(body[at : at + 2], "big")
            at += 2
            offset, length = reference >> 4, (reference & 0xF) + 2
            if offset == write_at:  # the mark of the end
                return bytes(out)
            for step in range(length):
                byte = ring[(offset + step) % 4096]
                out.append(byte)
                ring[write_at] = byte
                write_at = (write_at + 1) % 4096
    return bytes(out)
