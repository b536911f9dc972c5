"""Mail (eml, msg): headers, the text, and the attachments that can be read."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import email.utils
import io
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from email.message import EmailMessage, MIMEPart
from pathlib import Path
from typing import Any

from rag.core.errors import LoadError, MissingExtraError
from rag.core.extras import require
from rag.loading.formats.archive import OLE, damaged
from rag.loading.formats.html import read_html
from rag.loading.formats.plain import decode, decode_as
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
    texts: list[Parsed] = field(default_factory=list)
    attachments: list[tuple[str, bytes]] = field(default_factory=list)


def parse_eml(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a mail in the Internet's form (RFC 5322)."""
    message = email.message_from_bytes(data.lstrip(b"\xef\xbb\xbf\r\n"), policy=email.policy.default)
    if not message.keys():
        raise LoadError("is not a mail (it has no headers)", "leave it out, or rename it to .txt")
    kind = message.get_content_type()
    enveloped = str(message.get_param("smime-type", "enveloped-data")) == "enveloped-data"
    if kind == "multipart/encrypted" or (kind == "application/pkcs7-mime" and enveloped):
        raise LoadError(*_ENCRYPTED)
    mail = _Mail(
        subject=_header(message, "subject"), sender=_sender(_header(message, "from")),
        to=_people(message, "to"), cc=_people(message, "cc"), bcc=_people(message, "bcc"),
        sent=_date(_header(message, "date")), message_id=_header(message, "message-id"),
    )  # fmt: skip
    _take(message, mail)
    return _write(mail, options)


def parse_msg(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a mail as Outlook saves it."""
    if not data.startswith(OLE):
        raise LoadError("is not an Outlook mail (.msg)", "save it again from Outlook, or leave it out")
    oxmsg = require("oxmsg", extra="office")
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
            text = _html(message.html_body)
        mail = _Mail(
            message.subject or "", _sender(message.sender or ""), people["to"], people["cc"], people["bcc"],
            message.sent_date or _date(headers.get("date", "")), headers.get("message-id", ""), [text],
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
    for text in mail.texts:
        out.include(text, below=1)
    for name, data in mail.attachments[:MOST]:
        _attach(name, data, options, out)
    if len(mail.attachments) > MOST:
        out.parsed.notes.append(f"only the first {MOST} of {len(mail.attachments)} attachments were read")
    return out.done(_metadata(mail))


def _attach(name: str, data: bytes, options: Options, out: Text) -> None:
    """Add an attachment's text under a heading of its own; note it where it cannot be read."""
    from rag.loading.formats.registry import parse, parser_of

    try:
        if options.depth >= DEEPEST:
            raise LoadError(f"is {options.depth + 1} mails deep", "save it on its own")
        inside = replace(options, depth=options.depth + 1, page_texts={})
        found = parse(parser_of(Path(name), data[:4096]).parser, Path(name), data, inside)
        if not found.text.strip():
            raise LoadError("holds no text", "")
    except Exception as error:  # whatever is in an attachment, the mail is read
        reason = error.reason if isinstance(error, LoadError) else f"failed ({type(error).__name__})"
        if isinstance(error, MissingExtraError):
            reason = f"{error.reason} ({error.advice}, and build with --rebuild)"
        out.parsed.notes.append(f"its attachment {name!r} {reason}: not read")
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


def _take(part: MIMEPart, mail: _Mail) -> None:
    """Take a part's texts in their order, and its attachments; one of several alternatives."""
    kind, name = part.get_content_type(), part.get_filename()
    payload = part.get_payload()
    if kind == "message/rfc822" or (not part.is_multipart() and (name or part.is_attachment())):
        mail.attachments.append(
            (str(name or ("message.eml" if "rfc822" in kind else "attachment")), _bytes(part))
        )
    elif kind == "message/delivery-status" and isinstance(payload, list):
        mail.texts.append(Parsed("\n\n".join(str(one).strip() for one in payload)))
    elif isinstance(payload, str):
        if kind == "text/html":
            mail.texts.append(_html(_text(part)))
        elif part.get_content_maintype() in ("text", "multipart"):  # a multipart without its parts
            mail.texts.append(Parsed(_text(part)))
        else:
            mail.attachments.append((f"part.{part.get_content_subtype()}", _bytes(part)))
    elif kind == "multipart/alternative":
        _take_best(list(part.iter_parts()), mail)
    else:
        for inner in part.iter_parts():
            _take(inner, mail)


def _take_best(parts: list[MIMEPart], mail: _Mail) -> None:
    """Take the plain text, if it says anything; else the last alternative that does."""
    made = [_Mail() for _ in parts]
    for part, one in zip(parts, made, strict=True):
        _take(part, one)
    kinds = [part.get_content_type() for part in parts]
    order = [one for kind, one in zip(kinds, made, strict=True) if kind == "text/plain"]
    order += [one for kind, one in reversed(list(zip(kinds, made, strict=True))) if kind != "text/plain"]
    best = next((one for one in order if any(text.text.strip() for text in one.texts)), None)
    mail.texts += best.texts if best else []
    mail.attachments += [attachment for one in made for attachment in one.attachments]


def _bytes(part: MIMEPart) -> bytes:
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        return inner[0].as_bytes() if isinstance(inner, list) and inner else b""  # type: ignore[union-attr]
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def _text(part: MIMEPart) -> str:
    """Return a part's text, by the encoding that it names, or else by its bytes."""
    data = _bytes(part)
    if not data and isinstance(part.get_payload(), str):
        data = str(part.get_payload()).encode("utf-8", "surrogateescape")
    found = decode_as(data, str(part.get_content_charset() or "utf-8"))
    try:
        text = found[0] if found else decode(data)[0]
    except LoadError:
        text = data.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")


def _html(text: str) -> Parsed:
    try:
        return read_html(text)
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
