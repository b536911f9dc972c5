"""Mails, their attachments, and mails inside mails."""

from __future__ import annotations

import datetime as dt
from email.message import EmailMessage
from pathlib import Path

from rag.core.passages import STRUCTURE
from tests.loading.files import load, refused, titles


def test_a_mail_has_its_headers_and_its_attachments_and_those_of_mails_inside(tmp_path: Path) -> None:
    inner = EmailMessage()
    inner["Subject"], inner["From"] = "Inner", "c@example.com"
    inner.set_content("Words of the inner mail.\n")
    mail = EmailMessage()
    mail["Subject"], mail["From"] = "Grüße", "Ann Ö <ann@example.com>"
    mail["To"], mail["Cc"] = "b@example.com, Cy <cy@example.com>", "d@example.com"
    mail["Date"] = "Tue, 03 Mar 2026 10:00:00 +0100"
    mail.set_content("Plain words.\n")
    mail.add_alternative("<p>HTML words.</p>", subtype="html")
    mail.add_attachment(b"| a |\n", maintype="text", subtype="markdown", filename="notes.md")
    mail.add_attachment(b"a,b\n1,2\n", maintype="text", subtype="csv", filename="t.csv")
    mail.add_attachment(b"ID3\0\0music", maintype="audio", subtype="mpeg", filename="s.mp3")
    mail.add_attachment(inner)
    document = load(tmp_path, "a.eml", mail.as_bytes())
    assert document.page_content == (
        "# Grüße\n\nFrom: Ann Ö <ann@example.com>\nTo: b@example.com, Cy <cy@example.com>\nCc: d@example.com\n"
        "Date: 2026-03-03 10:00:00+01:00\nAttachments: notes.md, t.csv, s.mp3, message.eml\n\nPlain words.\n\n## Attachment: notes.md\n\n| a |\n\n"
        "## Attachment: t.csv\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n## Attachment: message.eml\n\n"
        "# Inner\n\nFrom: c@example.com\n\nWords of the inner mail."
    )
    meta = document.metadata
    assert (meta["title"], meta["sender"]) == ("Grüße", "Ann Ö <ann@example.com>")
    assert meta["recipients"] == ["b@example.com", "Cy <cy@example.com>"]
    assert meta["sent"] == dt.datetime.fromisoformat("2026-03-03T10:00:00+01:00")
    assert meta["attachments"] == ["notes.md", "t.csv", "s.mp3", "message.eml"]
    assert meta[STRUCTURE]["notes"] == ["its attachment 's.mp3' is a sound (MP3): not read"]
    assert titles(document)[-1] == (3, "Inner")


def test_mails_nested_without_end_are_read_to_a_depth(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["Subject"] = "innermost"
    mail.set_content("bottom")
    for number in range(8):
        outer = EmailMessage()
        outer["Subject"] = f"level {number}"
        outer.set_content(f"text {number}")
        outer.add_attachment(mail)
        mail = outer
    document = load(tmp_path, "a.eml", mail.as_bytes())
    assert "text 4" in document.page_content and "text 3" not in document.page_content
    assert "mails deep" in document.metadata[STRUCTURE]["notes"][0]


def test_an_html_mail_is_read_and_an_encrypted_one_named(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["Subject"] = "Offer"
    mail.set_content("<h1>Big</h1><p>50 % <b>off</b></p>", subtype="html")
    assert load(tmp_path, "a.eml", mail.as_bytes()).page_content == "# Offer\n\n# Big\n\n50 % off"
    sealed = b'From: a@b.c\nContent-Type: multipart/encrypted; boundary="x"\n\n--x\n\n1\n--x--\n'
    assert refused(tmp_path, "b.eml", sealed) == "is encrypted"
