"""Which of a mail's bodies is read, in which encoding; and what its headers and attachments are called."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from rag.loading.formats.mail import parse_eml
from rag.loading.structure import Options, Parsed


def read(text: str | bytes) -> Parsed:
    data = text.encode() if isinstance(text, str) else text
    return parse_eml(Path("a.eml"), data.replace(b"\n", b"\r\n"), Options())


def body(text: str | bytes) -> str:
    return read(text).text.partition("\n\n")[2] if read(text).text.startswith("From") else read(text).text


def alternative(*parts: tuple[str, str]) -> str:
    middle = "".join(f"--x\nContent-Type: {kind}; charset=utf-8\n\n{text}\n" for kind, text in parts)
    return f'From: a@b.c\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary="x"\n\n{middle}--x--\n'


_OFFER = "<p>The offer is <b>7,700 euros</b> until 9 June, for pumps and valves.</p>"
_LONG = " ".join(f"word{n}" for n in range(60))


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((("text/plain", "View this in HTML."), ("text/html", _OFFER)),
         "The offer is 7,700 euros until 9 June, for pumps and valves."),
        ((("text/plain", "Your mail program cannot show this mail: https://x.example/view?id=12 "),
          ("text/html", "<p>Room 5</p>")), "Room 5"),
        ((("text/plain", "View this in HTML."), ("text/html", "<p>Approved</p>")), "Approved"),
        ((("text/plain", " "), ("text/html", _OFFER)),
         "The offer is 7,700 euros until 9 June, for pumps and valves."),
        ((("text/html", _OFFER), ("text/plain", "See HTML")),
         "The offer is 7,700 euros until 9 June, for pumps and valves."),
        ((("text/plain", "The offer is 7,700 euros\nuntil 9 June, for pumps and valves."), ("text/html", _OFFER)),
         "The offer is 7,700 euros\nuntil 9 June, for pumps and valves."),
        ((("text/plain", "Plain words only"), ("text/html", "<img src=x>")), "Plain words only"),
        ((("text/plain", _LONG), ("text/html", "<p>Quite another thing is here</p>")),
         f"{_LONG}\n\nQuite another thing is here"),
        ((("text/plain", "Stub"), ("text/html", _OFFER), ("text/calendar", "BEGIN:VCALENDAR")),
         "The offer is 7,700 euros until 9 June, for pumps and valves."),
    ],
)  # fmt: skip
def test_the_body_is_the_one_that_says_all(parts: tuple[tuple[str, str], ...], text: str) -> None:
    assert body(alternative(*parts)).strip() == text


def test_html_inside_of_related_inside_of_alternative_is_found() -> None:
    inner = (
        f'Content-Type: multipart/related; boundary="y"\n\n--y\nContent-Type: text/html\n\n{_OFFER}\n--y--\n'
    )
    mail = (
        'From: a@b.c\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary="x"\n\n'
        f"--x\nContent-Type: text/plain\n\nHTML only\n--x\n{inner}--x--\n"
    )
    assert "7,700 euros" in read(mail).text and "HTML only" not in read(mail).text


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("text/plain; charset=us-ascii", "Größe 5 €".encode(), "Größe 5 €"),
        ("text/plain; charset=iso-8859-1", "Größe 5 €".encode(), "Größe 5 €"),
        ("text/plain; charset=iso-8859-1", "Größe".encode("latin-1"), "Größe"),
        ("text/plain; charset=utf-8", "Größe und Stärke, ganz schön groß".encode("cp1252"),
         "Größe und Stärke, ganz schön groß"),
        ("text/plain; charset=utf-16", b"plain words", "plain words"),
        ("text/plain; charset=gb2312", "朱镕基 價格".encode("gbk"), "朱镕基 價格"),
        ("text/plain; charset=iso-2022-jp", "日本語".encode("iso-2022-jp"), "日本語"),
        ("text/plain; charset=x-no-such-thing", "Größe".encode(), "Größe"),
        ("text/plain", "Größe".encode(), "Größe"),
        ("text/html", '<meta charset="windows-1251"><p>Цена 5</p>'.encode("cp1251"), "Цена 5"),
        ("text/html; charset=us-ascii", '<meta charset="windows-1251"><p>Цена 5</p>'.encode("cp1251"), "Цена 5"),
        ("text/html; charset=us-ascii", '<meta charset="utf-8"><p>Größe</p>'.encode(), "Größe"),
    ],
)  # fmt: skip
def test_a_text_is_read_in_the_encoding_that_it_is_in(kind: str, data: bytes, text: str) -> None:
    for coded in (data, base64.encodebytes(data)):
        how = "8bit" if coded is data else "base64"
        head = f"From: a@b.c\nMIME-Version: 1.0\nContent-Type: {kind}\nContent-Transfer-Encoding: {how}\n\n"
        assert body(head.encode() + coded).strip() == text


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        ("=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?UTF-8?B?R3LDvMOfZQ==?= an =?iso-8859-1?Q?M=FCller?=", "Grüße an Müller"),
        ("=?UTF-8?B?5pel5py?=\n =?UTF-8?B?rOiqng==?=", "日本語"),
        ("=?utf-8*de?Q?f=C3=BCr?=", "für"),
        ("=?gb2312?B?" + base64.b64encode("價格表".encode("gbk")).decode() + "?=", "價格表"),
        ("=?ks_c_5601-1987?B?" + base64.b64encode("똠방각하".encode("cp949")).decode() + "?=", "똠방각하"),
        ("=?unknown-8bit?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?us-ascii?Q?caf=E9_=E0_la_carte?=", "café à la carte"),
        ("Grüße", "Grüße"),
        (
            "A long subject that is\n folded twice,\n\tas it may be",
            "A long subject that is folded twice, as it may be",
        ),
        ("=?utf-8?Q?" + "=C3=BC" * 60 + "?=", "ü" * 60),
    ],
)
def test_a_subject_is_what_its_writer_wrote(header: str, subject: str) -> None:
    assert read(f"From: a@b.c\nSubject: {header}\n\nwords\n").metadata["title"] == subject


@pytest.mark.parametrize(
    ("header", "sender"),
    [
        ("=?utf-8?B?TcO8bGxlciwgSsO2cmc=?= <j@x.example>", "Müller, Jörg <j@x.example>"),
        ('"=?utf-8?Q?J=C3=B6rg?=" <j@x.example>', "Jörg <j@x.example>"),
        ("Jörg Müller <j@x.example>", "Jörg Müller <j@x.example>"),
        ("=?iso-2022-jp?B?" + base64.b64encode("山田".encode("iso-2022-jp")).decode() + "?=\n <y@x.example>",
         "山田 <y@x.example>"),
    ],
)  # fmt: skip
def test_a_sender_is_a_name_and_an_address(header: str, sender: str) -> None:
    assert read(f"From: {header}\n\nwords\n").metadata["sender"] == sender


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('filename="=?UTF-8?B?QW5nZWJvdMOkLnR4dA==?="', "Angebotä.txt"),
        ("filename*=UTF-8''Gr%C3%B6%C3%9Fe.txt", "Größe.txt"),
        ("filename*0*=UTF-8''%E2%82%AC; filename*1=\" list.txt\"", "€ list.txt"),
        ("filename*=iso-8859-1'de'Gr%F6%DFe.txt", "Größe.txt"),
        ('filename="Größe.txt"', "Größe.txt"),
        ('filename="two\n lines.txt"', "two lines.txt"),
    ],
)
def test_an_attachment_has_its_name_in_the_text(header: str, name: str) -> None:
    mail = (
        'From: a@b.c\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n\n--x\n\nBody\n--x\n'
        f"Content-Type: text/plain; charset=utf-8\nContent-Disposition: attachment;\n {header}\n\nInside\n--x--\n"
    )
    assert read(mail).text == (f"From: a@b.c\nAttachments: {name}\n\nBody\n\n## Attachment: {name}\n\nInside")


_INNER = "From: c@d.e\nSubject: Inner offer\n\nThe price is 7,700.\n"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("message/rfc822", _INNER),
        ("message/rfc822\nContent-Transfer-Encoding: base64", base64.encodebytes(_INNER.encode()).decode()),
        ("message/global", _INNER),
        ('application/octet-stream; name="a.eml"\nContent-Transfer-Encoding: base64',
         base64.encodebytes(_INNER.encode()).decode()),
    ],
)  # fmt: skip
def test_a_mail_inside_is_read(kind: str, content: str) -> None:
    mail = (
        'From: a@b.c\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n\n--x\n\nBody\n'
        f"--x\nContent-Type: {kind}\n\n{content}\n--x--\n"
    )
    assert "# Inner offer\n\nFrom: c@d.e\n\nThe price is 7,700." in read(mail).text


def test_pictures_of_the_text_are_not_listed() -> None:
    picture = "Content-Type: image/png; name=logo.png\nContent-ID: <a@b>\nContent-Transfer-Encoding: base64\n\niVBORw0KGgoAAAANSUhEUgAA\n"
    mail = (
        'From: a@b.c\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary="x"\n\n--x\n'
        f"Content-Type: text/html\n\n<p>Hello</p>\n--x\n{picture}--x--\n"
    )
    assert read(mail).text == "From: a@b.c\n\nHello"
    assert read(mail).metadata["attachments"] == ["logo.png"]


def test_rich_text_is_a_body_too() -> None:
    mail = "From: a@b.c\nMIME-Version: 1.0\nContent-Type: text/rtf\n\n{\\rtf1\\ansi Caf\\'e9 opens\\par}\n"
    assert read(mail).text == "From: a@b.c\n\nCafé opens"


def test_rich_text_in_base64_is_a_body_too() -> None:
    coded = base64.b64encode(b"\xef\xbb\xbf{\\rtf1\\ansi Caf\\'e9 opens\\par}").decode()
    mail = (
        "From: a@b.c\nMIME-Version: 1.0\nContent-Type: text/rtf\n"
        f"Content-Transfer-Encoding: base64\n\n{coded}\n"
    )
    assert read(mail).text == "From: a@b.c\n\nCafé opens"
