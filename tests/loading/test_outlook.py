"""Outlook's mails: names, code pages, mails inside of mails, bodies in compressed rich text."""

from __future__ import annotations

import datetime as dt
import struct
from pathlib import Path

import pytest

from rag.core.errors import LoadError
from rag.loading.formats.outlook import decompressed, parse_msg
from rag.loading.structure import Options, Parsed
from tests.loading.ole import msg, ole

SUBJECT, HEADERS, BODY, RTF, HTML = 0x0037, 0x007D, 0x1000, 0x1009, 0x1013
SENDER, SENDER_ADDRESS, SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
NAME, ADDRESS, SMTP, KIND = 0x3001, 0x3003, 0x39FE, 0x0C15
DATA, SHORT, LONG, MIME, CONTENT_ID = 0x3701, 0x3704, 0x3707, 0x370E, 0x3712
PAGE, INTERNET_PAGE = 0x3FFD, 0x3FDE


def read(tree: dict) -> Parsed:
    return parse_msg(Path("a.msg"), ole(tree), Options())


def stored(rtf: bytes) -> bytes:
    """Rich text in the form without compression."""
    return struct.pack("<II4sI", len(rtf) + 12, len(rtf), b"MELA", 0) + rtf


def packed(rtf: bytes) -> bytes:
    """Rich text in the compressed form, as literals."""
    out = b"".join(b"\0" + rtf[at : at + 8] for at in range(0, len(rtf), 8))
    return struct.pack("<II4sI", len(out) + 12, len(rtf), b"LZFu", 0) + out


@pytest.mark.parametrize(
    ("header", "sender"),
    [
        ("=?UTF-8?Q?J=C3=B6rg_M=C3=BCller?= <j@x.example>", "Jörg Müller <j@x.example>"),
        ("=?gb2312?B?1uzpRrn6?= <j@x.example>", "朱镕国 <j@x.example>"),
        ("=?UTF-8?B?5pel5py?=\r\n =?UTF-8?B?rOiqng==?= <j@x.example>", "日本語 <j@x.example>"),
        ('"=?iso-8859-1?Q?M=FCller,_J=F6rg?=" <j@x.example>', "Müller, Jörg <j@x.example>"),
        ("Müller <j@x.example>", "Müller <j@x.example>"),
    ],
)
def test_encoded_names_of_headers_are_names(header: str, sender: str) -> None:
    parsed = read(
        msg(
            {
                SUBJECT: "S",
                HEADERS: f"From: {header}\r\nTo: =?utf-8?Q?Zo=C3=AB?= <z@x.example>\r\n\r\n",
                BODY: "B",
            }
        )
    )
    assert parsed.metadata["sender"] == sender
    assert parsed.metadata["recipients"] == ["Zoë <z@x.example>"]


def test_without_headers_the_people_are_those_of_the_properties() -> None:
    people = [
        {NAME: "Ann", SMTP: "ann@x.example", KIND: 1},
        {NAME: "Bo", ADDRESS: "/O=ORG/CN=BO", KIND: 2},
        {NAME: "Cy", ADDRESS: "cy@x.example", KIND: 3},
    ]
    values = {
        SUBJECT: "S",
        SENDER: "Di",
        SENDER_ADDRESS: "/O=ORG/CN=DI",
        SENDER_SMTP: "di@x.example",
        BODY: "B",
    }
    parsed = read(msg(values, people=people))
    assert parsed.text == (
        "# S\n\nFrom: Di <di@x.example>\nTo: Ann <ann@x.example>\nCc: Bo\nBcc: Cy <cy@x.example>\n\nB"
    )


@pytest.mark.parametrize(
    ("page", "number", "words"),
    [
        ("cp1251", 1251, "Привет, мир"),
        ("gbk", 936, "价格表"),
        ("cp932", 932, "日本語"),
        ("utf-8", 65001, "Größe"),
        ("cp1252", 1252, "Größe"),
    ],
)
def test_strings_in_a_code_page(page: str, number: int, words: str) -> None:
    values = {SUBJECT: words, SENDER: words, BODY: words, PAGE: number}
    attached = [{LONG: f"{words}.txt", DATA: b"file words"}]
    parsed = read(msg(values, attached=attached, page=page))
    assert parsed.text.startswith(f"# {words}\n\nFrom: {words}\nAttachments: {words}.txt\n\n{words}\n\n")
    assert parsed.text.endswith("file words")


def test_mails_inside_are_read_to_a_depth_and_name_their_files() -> None:
    tree = msg({SUBJECT: "Deepest", BODY: "bottom"}, inside=True)
    for depth in range(5, 0, -1):
        tree = msg(
            {SUBJECT: f"Level {depth}", BODY: f"text {depth}"},
            attached=[(f"Mail {depth}", tree)],
            inside=True,
        )
    files = [{LONG: "figures.csv", DATA: b"a,b\n1,2\n"}, {SHORT: "PHOTO.PNG", DATA: b"\x89PNG" + bytes(60)}]
    parsed = read(msg({SUBJECT: "Outer", BODY: "see below"}, attached=[("The offer", tree), *files]))
    assert parsed.metadata["attachments"] == ["The offer", "figures.csv", "PHOTO.PNG"]
    assert "Attachments: The offer, figures.csv, PHOTO.PNG" in parsed.text
    assert "## Attachment: The offer\n\n# Level 1\n\nAttachments: Mail 1\n\ntext 1" in parsed.text
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in parsed.text
    assert "text 3" in parsed.text and "text 4" not in parsed.text
    assert any("mails deep" in note for note in parsed.notes)
    assert "its attachment 'PHOTO.PNG' is a picture (PNG): not read" in parsed.notes


def test_an_encrypted_mail_inside_does_not_hide_the_one_around_it() -> None:
    inner = msg({0x001A: "IPM.Note.SMIME", SUBJECT: "Sealed"}, inside=True)
    parsed = read(msg({SUBJECT: "Open", BODY: "words"}, attached=[("Sealed", inner)]))
    assert parsed.text == "# Open\n\nAttachments: Sealed\n\nwords"
    assert parsed.notes == ["its attachment 'Sealed' is encrypted: not read"]


def test_pictures_of_the_text_are_no_attachments_of_the_list() -> None:
    files = [{LONG: "image001.png", DATA: b"\x89PNG" + bytes(60), MIME: "image/png", CONTENT_ID: "a@b"}]
    assert read(msg({SUBJECT: "S", BODY: "B"}, attached=files)).text == "# S\n\nB"


_RTF = rb"{\rtf1\ansi\ansicpg1252 The price is \'80 7,700.\par Second line.\par}"
_WRAPPED = (
    rb"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}\htmlrtf x\htmlrtf0 The price is 7,700 {\*\htmltag84 &euro;}"
    rb"{\*\htmltag72 </p>}\htmlrtf\par\htmlrtf0}"
)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({RTF: stored(_RTF)}, "The price is € 7,700.\n\nSecond line."),
        ({RTF: packed(_RTF)}, "The price is € 7,700.\n\nSecond line."),
        ({RTF: packed(_WRAPPED), BODY: "View this in HTML."}, "The price is 7,700 €"),
        ({HTML: "<p>The price is 7,700 €</p>".encode(), INTERNET_PAGE: 65001, BODY: "Needs HTML."},
         "The price is 7,700 €"),
        ({HTML: "<p>Цена 7,700</p>".encode("cp1251"), INTERNET_PAGE: 1251}, "Цена 7,700"),
        ({HTML: "<p>Größe 7,700</p>".encode(), INTERNET_PAGE: 1252}, "Größe 7,700"),
        ({HTML: b"<p>The price is <b>7,700</b></p>", BODY: "The price is 7,700"}, "The price is 7,700"),
    ],
)  # fmt: skip
def test_the_body_is_the_one_that_says_all(body: dict[int, bytes | str | int], words: str) -> None:
    assert read(msg({SUBJECT: "S", **body})).text == f"# S\n\n{words}"


def test_compressed_rich_text_of_the_specification() -> None:
    # The two examples of MS-OXRTFCP, section 3.
    first = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )
    assert decompressed(first) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    again = bytes.fromhex("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0")
    assert decompressed(again) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"


def test_damaged_rich_text_is_noted_and_dates_are_read() -> None:
    tree = msg({SUBJECT: "S", BODY: "words", RTF: b"damage"})
    stamp = 133_300_000_000_000_000
    tree["__properties_version1.0"] += struct.pack("<HHIQ", 0x40, 0x0039, 6, stamp)
    parsed = read(tree)
    assert parsed.notes == ["its body in rich text is damaged: not read"]
    assert parsed.metadata["sent"] == dt.datetime(2023, 5, 31, 9, 46, 40, tzinfo=dt.UTC)


@pytest.mark.parametrize("data", [b"no mail", ole({"x": b"y"}), ole(msg({SUBJECT: "S", BODY: "B"}))[:600]])
def test_what_is_no_mail_is_refused(data: bytes) -> None:
    with pytest.raises(LoadError, match="Outlook mail"):
        parse_msg(Path("a.msg"), data, Options())
