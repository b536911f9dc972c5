"""Mail (eml, msg): headers, the text, and the attachments that can be read."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import email.utils
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from email.message import EmailMessage, MIMEPart
from pathlib import Path
from typing import Any

from rag.errors import LoadError
from rag.loading.archive import OLE, damaged
from rag.loading.structure import Options, Parsed, Text

#: Attachments are read to this depth (a mail in a mail in a mail), and this many of one mail.
DEEPEST, MOST = 3, 100
_ENCRYPTED = (
    "is encrypted",
    "decrypt it in the mail program and save it again, or leave it out",
)


@dataclass
class _Mail:
    """What both kinds of file hold."""

    subject: str = ""
    sender: str = ""
    to: list[str] = field(default_factory=list)
    cc: list[str] = field(default_factory=list)
    bcc: list[str] = field(default_factory=list)
    sent: dt.datetime | None = None
    message_id: str = ""
    text: Parsed = field(default_factory=lambda: Parsed(""))
    attachments: list[tuple[str, bytes]] = field(default_factory=list)


def parse_eml(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a mail in the Internet's form (RFC 5322)."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not message.keys():
        raise LoadError("is not a mail (it has no headers)", "leave it out, or rename it to .txt")
    kind = message.get_content_type()
    enveloped = str(message.get_param("smime-type", "enveloped-data")) == "enveloped-data"
    if kind == "multipart/encrypted" or (kind == "application/pkcs7-mime" and enveloped):
        raise LoadError(*_ENCRYPTED)
    plain = message.get_body(("plain",))
    page = message.get_body(("html",))
    text = _plain(plain) if plain is not None else Parsed("")
    if not text.text.strip() and page is not None:
        text = _html(_bytes(page))
    mail = _Mail(
        subject=_header(message, "subject"), sender=_sender(_header(message, "from")),
        to=_people(message, "to"), cc=_people(message, "cc"), bcc=_people(message, "bcc"),
        sent=_date(_header(message, "date")), message_id=_header(message, "message-id"), text=text,
    )  # fmt: skip
    bodies = [part for part in (plain, page) if part is not None]
    for part in _leaves(message):
        if part in bodies or part.get_content_maintype() == "multipart":
            continue
        name = part.get_filename()
        if name is None and part.get_content_type() == "message/rfc822":
            name = "message.eml"
        if name is not None or part.is_attachment():
            mail.attachments.append((str(name or "attachment"), _bytes(part)))
        elif part.get_content_maintype() == "text":  # a further part of the text
            more = _html(_bytes(part)) if part.get_content_subtype() == "html" else _plain(part)
            mail.text.text = f"{mail.text.text.rstrip()}\n\n{more.text}"
    return _write(mail, options)


def parse_msg(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a mail as Outlook saves it."""
    import oxmsg

    if not data.startswith(OLE):
        raise LoadError("is not an Outlook mail (.msg)", "save it again from Outlook, or leave it out")
    try:
        message = oxmsg.Message.load(io.BytesIO(data))
        headers = {name.lower(): value for name, value in message.message_headers.items()}
        kind = (message.message_class or "").lower() + headers.get("content-type", "").lower()
        if ("smime" in kind and "multipartsigned" not in kind) or "multipart/encrypted" in kind:
            raise LoadError(*_ENCRYPTED)
        people: dict[str, list[str]] = {"to": [], "cc": [], "bcc": []}
        for kinds in people:
            people[kinds] = _addresses([headers.get(kinds, "")])
        if not any(people.values()):
            people["to"] = [_person(one.name, one.email_address) for one in message.recipients]
        text = Parsed(message.body or "")
        if not text.text.strip() and message.html_body:
            text = _html(message.html_body.encode())
        mail = _Mail(
            message.subject or "", _sender(message.sender or ""), people["to"], people["cc"], people["bcc"],
            message.sent_date or _date(headers.get("date", "")), headers.get("message-id", ""), text,
        )  # fmt: skip
        for one in message.attachments:
            if one.file_bytes is not None:
                mail.attachments.append((one.file_name or "attachment", one.file_bytes))
    except LoadError:
        raise
    except Exception as error:  # python-oxmsg raises anything on a damaged file
        raise damaged("an Outlook mail (.msg)", error) from None
    return _write(mail, options)


def _write(mail: _Mail, options: Options) -> Parsed:
    out = Text()
    out.heading(1, mail.subject)
    sent = mail.sent.isoformat(sep=" ") if mail.sent else ""
    lines = [("From", mail.sender), ("To", ", ".join(mail.to)), ("Cc", ", ".join(mail.cc)),
             ("Bcc", ", ".join(mail.bcc)), ("Date", sent)]  # fmt: skip
    out.block("\n".join(f"{name}: {value}" for name, value in lines if value))
    out.include(mail.text, below=1)
    for name, data in mail.attachments[:MOST]:
        _attach(name, data, options, out)
    if len(mail.attachments) > MOST:
        out.parsed.notes.append(f"only the first {MOST} of {len(mail.attachments)} attachments were read")
    return out.done(_metadata(mail))


def _attach(name: str, data: bytes, options: Options, out: Text) -> None:
    """Add an attachment's text under a heading of its own; note it where it cannot be read."""
    from rag.loading.formats import parse, parser_of

    try:
        if options.depth >= DEEPEST:
            raise LoadError(f"is {options.depth + 1} mails deep", "save it on its own")
        inside = replace(options, depth=options.depth + 1, page_texts={})
        found = parse(parser_of(Path(name), data[:4096]).parser, Path(name), data, inside)
        if not found.text.strip():
            raise LoadError("holds no text", "")
    except LoadError as error:
        out.parsed.notes.append(f"its attachment {name!r} {error.reason}: not read")
        return
    out.heading(2, f"Attachment: {name}")
    out.include(found, below=2)
    out.parsed.notes += [f"its attachment {name!r}: {note}" for note in found.notes]


def _metadata(mail: _Mail) -> dict[str, Any]:
    found = {
        "title": " ".join(mail.subject.split()), "sender": mail.sender, "recipients": mail.to,
        "cc": mail.cc, "bcc": mail.bcc, "sent": mail.sent, "message_id": mail.message_id,
        "attachments": [name for name, _ in mail.attachments],
    }  # fmt: skip
    return {name: value for name, value in found.items() if value}


def _leaves(message: MIMEPart) -> Iterator[MIMEPart]:
    """Yield the parts, not entering attached mails: those are files of their own."""
    if message.get_content_type() == "message/rfc822" or not message.is_multipart():
        yield message
        return
    for part in message.iter_parts():
        yield from _leaves(part)


def _bytes(part: MIMEPart) -> bytes:
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        return inner[0].as_bytes() if isinstance(inner, list) and inner else b""  # type: ignore[union-attr]
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def _plain(part: MIMEPart) -> Parsed:
    try:
        text = part.get_content()
    except (LookupError, ValueError, KeyError):  # an encoding that there is not
        text = None
    if not isinstance(text, str):
        text = _bytes(part).decode("utf-8", "replace")
    return Parsed(text.replace("\r\n", "\n"))


def _html(data: bytes) -> Parsed:
    from rag.loading.html import parse_html

    try:
        return parse_html(Path("mail.html"), data, Options())
    except LoadError:
        return Parsed("")


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message.get(name) or "").split())
    except (ValueError, IndexError, AttributeError, TypeError):  # the parser's own faults on damage
        return ""


def _people(message: EmailMessage, name: str) -> list[str]:
    try:
        return _addresses(str(value) for value in message.get_all(name, []))
    except (ValueError, IndexError, AttributeError, TypeError):
        return []


def _addresses(headers: Iterable[str]) -> list[str]:
    return [_person(name, address) for name, address in email.utils.getaddresses(list(headers)) if address]


def _sender(header: str) -> str:
    return ", ".join(_addresses([header])) or header


def _person(name: str | None, address: str | None) -> str:
    return f"{name} <{address}>" if name and address and name != address else str(address or name or "")


def _date(value: str) -> dt.datetime | None:
    try:
        return email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError):
        return None
