"""Mail (eml): headers, the text, and the attachments that can be read; what Outlook's mails share."""

from __future__ import annotations

import base64
import datetime as dt
import email
import email.policy
import email.utils
import quopri
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from email.message import EmailMessage, MIMEPart
from pathlib import Path
from typing import Any

from rag.core.errors import LoadError, MissingExtraError
from rag.loading.formats.encoding import decode, decode_as
from rag.loading.formats.html import read_html
from rag.loading.formats.registry import is_rich_text, parse, parser_of
from rag.loading.formats.rtf import parse_rtf
from rag.loading.structure import Options, Parsed, Text

#: Attachments are read to this depth (a mail in a mail in a mail), and this many of one mail.
DEEPEST, MOST = 3, 100
ENCRYPTED = (
    "is encrypted",
    "decrypt it in the mail program and save it again, or leave it out",
)


#: A plain text that lacks more than this share of the HTML's words is not the same text; if it is
#: shorter than this many words, it is a stub ("this mail needs a reader of HTML").
_LACKING, _STUB = 0.3, 40
#: Encodings in which two letters may be valid UTF-8 by chance.
_MULTIBYTE = ("gb", "big5", "shift", "sjis", "x-sjis", "euc", "ks_c", "cp9", "windows-9", "iso-2022", "hz")
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
#: Words of a header that are encoded (RFC 2047), one after the other.
_ENCODED = re.compile(rb"=\?([\w.:-]+)(?:\*[\w-]+)?\?([bBqQ])\?([^?\r\n]*)\?=")
_BETWEEN = re.compile(rb"(\?=)[ \t\r\n]+(?==\?)")
_MAILS = ("message/rfc822", "message/global", "message/news")


@dataclass
class Attachment:
    """A file, a mail that is no file of its own, or why it is neither; `inline`: shown in the text."""

    name: str
    content: bytes | Mail | LoadError
    inline: bool = False


@dataclass
class Mail:
    """What both kinds of file hold."""

    subject: str = ""
    sender: str = ""
    to: list[str] = field(default_factory=list)
    cc: list[str] = field(default_factory=list)
    bcc: list[str] = field(default_factory=list)
    sent: dt.datetime | None = None
    message_id: str = ""
    texts: list[Parsed] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def parse_eml(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a mail in the Internet's form (RFC 5322)."""
    data = spelt(data.lstrip(b"\xef\xbb\xbf\r\n"))
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not message.keys():
        raise LoadError("is not a mail (it has no headers)", "leave it out, or rename it to .txt")
    kind = message.get_content_type()
    enveloped = str(message.get_param("smime-type", "enveloped-data")) == "enveloped-data"
    if kind == "multipart/encrypted" or (kind == "application/pkcs7-mime" and enveloped):
        raise LoadError(*ENCRYPTED)
    mail = Mail(
        subject=header_of(message, "subject"), sender=sender_of(header_of(message, "from")),
        to=_people(message, "to"), cc=_people(message, "cc"), bcc=_people(message, "bcc"),
        sent=date_of(header_of(message, "date")), message_id=header_of(message, "message-id"),
    )  # fmt: skip
    _take(message, mail)
    return write(mail, options)


def write(mail: Mail, options: Options) -> Parsed:
    """Write a mail's headers, texts and attachments as one text."""
    out = Text()
    out.heading(1, mail.subject)
    sent = mail.sent.isoformat(sep=" ") if mail.sent else ""
    lines = [("From", mail.sender), ("To", ", ".join(mail.to)), ("Cc", ", ".join(mail.cc)),
             ("Bcc", ", ".join(mail.bcc)), ("Date", sent),
             ("Attachments", ", ".join(one.name for one in mail.attachments if not one.inline))]  # fmt: skip
    out.block("\n".join(f"{name}: {value}" for name, value in lines if value))
    for text in mail.texts:
        out.include(text, below=1)
    for one in mail.attachments[:MOST]:
        _attach(one, options, out)
    out.parsed.notes += mail.notes
    if len(mail.attachments) > MOST:
        out.parsed.notes.append(f"only the first {MOST} of {len(mail.attachments)} attachments were read")
    return out.done(_metadata(mail))


def _attach(one: Attachment, options: Options, out: Text) -> None:
    """Add an attachment's text under a heading of its own; note it where it cannot be read."""
    name, content = one.name, one.content
    try:
        if options.depth >= DEEPEST:
            raise LoadError(f"is {options.depth + 1} mails deep", "save it on its own")
        if isinstance(content, LoadError):
            raise content
        inside = replace(options, depth=options.depth + 1, page_texts={})
        if isinstance(content, Mail):
            found = write(content, inside)
        else:
            found = parse(parser_of(Path(name), content[:4096]).parser, Path(name), content, inside)
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


def _metadata(mail: Mail) -> dict[str, Any]:
    found = {
        "title": " ".join(mail.subject.split()), "sender": mail.sender, "recipients": mail.to,
        "cc": mail.cc, "bcc": mail.bcc, "sent": mail.sent, "message_id": mail.message_id,
        "attachments": [one.name for one in mail.attachments],
    }  # fmt: skip
    return {name: value for name, value in found.items() if value}


def _take(part: MIMEPart, mail: Mail) -> None:
    """Take a part's texts in their order, and its attachments; one of several alternatives."""
    kind, name = part.get_content_type(), part.get_filename()
    payload = part.get_payload()
    if kind in _MAILS or (not part.is_multipart() and (name or part.is_attachment())):
        default = "message.eml" if kind in _MAILS else "attachment"
        shown = part.get_content_maintype() == "image" and part.get("content-id") is not None
        inline = shown and part.get_content_disposition() != "attachment"
        mail.attachments.append(Attachment(" ".join(str(name or default).split()), _bytes(part), inline))
    elif kind == "message/delivery-status" and isinstance(payload, list):
        mail.texts.append(Parsed("\n\n".join(str(one).strip() for one in payload)))
    elif isinstance(payload, str):
        if kind == "text/html":
            mail.texts.append(html_text(_text(part)))
        elif kind in ("text/rtf", "text/richtext", "application/rtf") and is_rich_text(_bytes(part)):
            mail.texts.append(parse_rtf(Path("body.rtf"), _bytes(part), Options()))
        elif part.get_content_maintype() in ("text", "multipart"):  # a multipart without its parts
            mail.texts.append(Parsed(_text(part)))
        else:
            mail.attachments.append(Attachment(f"part.{part.get_content_subtype()}", _bytes(part)))
    elif kind == "multipart/alternative":
        _take_best(list(part.iter_parts()), mail)
    else:
        for inner in part.iter_parts():
            _take(inner, mail)


def _take_best(parts: list[MIMEPart], mail: Mail) -> None:
    """Take the plain text, if it says what the others say; else the last alternative that says anything."""
    made = [Mail() for _ in parts]
    for part, one in zip(parts, made, strict=True):
        _take(part, one)
    kinds = [part.get_content_type() for part in parts]
    plain = [
        text for kind, one in zip(kinds, made, strict=True) if kind == "text/plain" for text in one.texts
    ]
    rich = next(
        (one.texts for kind, one in reversed(list(zip(kinds, made, strict=True)))
         if kind not in ("text/plain", "text/calendar") and any(text.text.strip() for text in one.texts)), [],
    )  # fmt: skip
    chosen = best_of(plain, rich)
    mail.texts += chosen or [text for one in made for text in one.texts]
    mail.attachments += [attachment for one in made for attachment in one.attachments]


def best_of(plain: list[Parsed], rich: list[Parsed]) -> list[Parsed]:
    """Return the one of two renderings of a text that says all of it; both where neither does."""
    said, more = _words(plain), _words(rich)
    lacking = more - said
    if said and (len(lacking) <= _LACKING * len(more) or (len(lacking) == 1 and said & more)):
        return plain
    if not more:
        return plain
    if len(said) >= _STUB and len(said - more) > _LACKING * len(said):
        return plain + rich
    return rich


def _words(texts: list[Parsed]) -> set[str]:
    whole = " ".join(text.text for text in texts)
    return set(re.findall(r"\w+", re.sub(r"\S+://\S+", " ", whole).casefold()))


def _bytes(part: MIMEPart) -> bytes:
    inner = part.get_payload()
    if part.get_content_type() in _MAILS and isinstance(inner, list) and inner:
        message: Any = inner[0]
        coded = str(part.get("content-transfer-encoding") or "").strip().lower()
        if not message.keys() and coded in ("base64", "quoted-printable"):  # forbidden, and done
            message["Content-Transfer-Encoding"] = coded
            found = message.get_payload(decode=True)
            return found if isinstance(found, bytes) else b""
        return bytes(message.as_bytes())
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def _text(part: MIMEPart) -> str:
    """Return a part's text, by the encoding that it names, or else by its bytes."""
    data = _bytes(part)
    if not data and isinstance(part.get_payload(), str):
        data = str(part.get_payload()).encode("utf-8", "surrogateescape")
    label = str(part.get_content_charset() or "")
    silent = label.lower() in ("", "us-ascii", "ascii")
    if silent and not data.isascii() and part.get_content_type() == "text/html":
        named = _META.search(data[:4096])
        label = named[1].decode() if named else label
    return decoded(data, label).replace("\r\n", "\n")


def decoded(data: bytes, label: str) -> str:
    """Return a text in the encoding that it is said to be in, unless its bytes say another.

    Bytes beyond ASCII that are valid UTF-8 are UTF-8, whatever is said: in another encoding they would
    hardly come about. So are bytes without zeros that are said to be UTF-16.
    """
    label = label.strip().strip("\"'").lower()
    if not label.startswith("utf-8") and (
        not data.isascii() or label.startswith(("utf-16", "utf-32", "ucs"))
    ):
        wide = label.startswith(_MULTIBYTE) or b"\0" in data
        try:
            if not wide:
                return data.decode("utf-8")
        except UnicodeDecodeError:
            pass
    found = decode_as(data, label or "utf-8")
    try:
        return found[0] if found else decode(data)[0]
    except LoadError:
        return data.decode("utf-8", "replace")


def html_text(text: str) -> Parsed:
    """Read a body in HTML; empty where it cannot be read."""
    try:
        return read_html(text)
    except LoadError:
        return Parsed("")


def spelt(data: bytes) -> bytes:
    """Return a mail whose headers' encoded words are in UTF-8, read as leniently as its texts.

    The standard library wants each word whole and its encoding as Python names it; mail programs cut
    a letter of two bytes in two, and say GB 2312 and mean its successors.
    """
    end = re.search(rb"\r?\n\r?\n", data)
    head, rest = (data[: end.start()], data[end.start() :]) if end else (data, b"")
    if b"=?" not in head:
        return data
    out, at = [], 0
    head = _BETWEEN.sub(rb"\1", head)
    words = list(_ENCODED.finditer(head))
    index = 0
    while index < len(words):
        first = last = words[index]
        raw = _word(first)
        while (
            index + 1 < len(words) and words[index + 1].start() == last.end()
            and words[index + 1][1].lower() == first[1].lower()
        ):  # fmt: skip
            index += 1
            last = words[index]
            raw += _word(last)
        text = " ".join(decoded(raw, first[1].decode("ascii", "replace")).split("\n"))
        coded = b"=?utf-8?b?" + base64.b64encode(text.encode()) + b"?=" if text else b""
        out += [head[at : first.start()], coded]
        at = last.end()
        index += 1
    return b"".join([*out, head[at:], rest])


def _word(match: re.Match[bytes]) -> bytes:
    if match[2] in b"qQ":
        return quopri.decodestring(match[3].replace(b"_", b"=20"))
    try:
        return base64.b64decode(match[3] + b"=" * (-len(match[3]) % 4))
    except ValueError:
        return match[3]


def header_of(message: EmailMessage, name: str) -> str:
    """Return a header on one line; empty where there is none, or the standard library fails on it."""
    try:
        return " ".join(str(message.get(name) or "").split())
    except (ValueError, IndexError, AttributeError, TypeError):  # the parser's own faults on damage
        return ""


def _people(message: EmailMessage, name: str) -> list[str]:
    try:
        return addresses(str(value) for value in message.get_all(name, []))
    except (ValueError, IndexError, AttributeError, TypeError):
        return []


def addresses(headers: Iterable[str]) -> list[str]:
    """Return the people of address headers, each as it is written in the text."""
    return [person(name, address) for name, address in email.utils.getaddresses(list(headers)) if address]


def sender_of(header: str) -> str:
    """Return the people of a From header, or the header where it holds no address."""
    return ", ".join(addresses([header])) or header


def person(name: str | None, address: str | None) -> str:
    """Return a person as the text names them: with name and address, where both are known."""
    return f"{name} <{address}>" if name and address and name != address else str(address or name or "")


def date_of(value: str) -> dt.datetime | None:
    """Return a header's date; None where it is none."""
    try:
        return email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError):
        return None
