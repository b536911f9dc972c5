"""Encodings: what is damaged, what declares one, what has no mark, what was there before Unicode."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core.errors import LoadError
from rag.loading.formats.encoding import decode
from rag.loading.formats.html import parse_html
from rag.loading.formats.plain import parse_text
from rag.loading.structure import Options
from tests.benchmarks.encoding_texts import HELD_OUT
from tests.benchmarks.encodings import by_rag, plain, samples, share
from tests.loading.files import load

GERMAN = "Die Größe der Lieferung für März wird überprüft.\n"


@settings(deadline=None)  # the first call reads the table of letters
@given(st.binary(max_size=400))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        text, encoding, notes = decode(data)
    except LoadError:
        return
    plain = data.decode(encoding, "replace").replace("\0", " ")
    assert text.replace("\0", " ") == plain or any("lines are not UTF-8" in note for note in notes)


@pytest.mark.parametrize(
    ("data", "words", "note"),
    [
        ((GERMAN * 9).encode() + b"\xff.", "Größe der Lieferung für März", "1 byte or cut character"),
        ("Заявление подаётся".encode()[:-1], "Заявление подаётс\ufffd", "1 byte or cut character"),
        (("日本語のテキスト。" * 3).encode().replace("本".encode(), b"\x80\x80", 1), "日本語のテキスト。", "2 bytes"),
        (GERMAN.encode() + b"caf\xe9\n" + GERMAN.encode(), "café\nDie Größe", "1 of its 4 lines are not UTF-8: read as cp1252"),
        (("привет\n" * 5).encode() + "до свидания\n".encode("cp1251"), "до свидания", "read as cp1251"),
        (b"\xef\xbb\xbf" + GERMAN.encode() + b"\xfc", "Größe", "replaced by U+FFFD"),
    ],
)  # fmt: skip
def test_damaged_utf8_stays_utf8_with_a_note(data: bytes, words: str, note: str) -> None:
    text, encoding, notes = decode(data)
    assert (words in text, encoding) == (True, "utf-8")
    assert note in " ".join(notes)


@pytest.mark.parametrize(
    "text",
    [
        "The committee’s report is late.", "Set the boiler to 80 °C.", "See § 12.", "© 2019 Example Corp.",
        "Price: £5 — or €6…", "• first\r\n• second\r\n", "½ cup of naïve flour", "10 µm ± 2 µm, 5 × 3", "Name® and Mark™",
        "# Größe in Metern\nsize = 3  # caf\xe9\n",
    ],
)  # fmt: skip
def test_english_with_few_signs_is_cp1252(text: str) -> None:
    for whole in (text, "The quick brown fox jumps over the lazy dog. " * 30 + text):
        read, encoding, notes = decode(whole.encode("cp1252"))
        assert (read, encoding) == (whole, "cp1252")
        assert notes == ["its encoding is a guess: cp1252"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1250", "Zażółć gęślą jaźń"), ("iso8859_2", "Příliš žluťoučký kůň úpěl"), ("cp1251", "Привет, мир"),
        ("koi8_r", "Привет, мир"), ("cp866", "Привет, мир"), ("koi8_u", "Її сім'я живе в Києві"), ("cp1253", "Καλημέρα κόσμε"),
        ("cp1254", "İstanbul şehri çok güzel"), ("cp1255", "שלום עולם"), ("cp1256", "مرحبا بالعالم"), ("cp874", "สวัสดีชาวโลก"),
        ("shift_jis", "こんにちは世界"), ("euc_jp", "こんにちは世界"), ("iso2022_jp", "こんにちは世界"), ("gb18030", "你好，世界"),
        ("big5", "歡迎使用這個系統"), ("euc_kr", "안녕하세요 세계"), ("mac_roman", "L’été à la plage"), ("cp850", "Größe und Übung"),
    ],
)  # fmt: skip
def test_short_texts_of_before_unicode_are_read(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text",
    [
        "Hello, plain words",
        "Привет, мир",
        "这是一个用于测试的句子。\n第二句话在这里。",
        "日本語の文章をここに書きます。",
        "שלום עולם",
    ],
)
def test_wide_encodings_need_no_mark(encoding: str, text: str) -> None:
    read, found, notes = decode(text.encode(encoding))
    assert (read, found) == (text, encoding)
    assert "no byte order mark" in notes[0]
    if "16" in encoding:  # the last byte is gone
        assert decode(text.encode(encoding)[:-1]).text.startswith(text[:-1])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"line one\nline two\0\0\0\nline three\n" * 9, "line two   \nline three"),
        (b"started\nstopped" + bytes(4096), "started\nstopped "),
        ("Größe\0März\n".encode() * 3, "Größe März"),
        ("Größe März\0".encode("cp1252") * 3, "Größe März "),
        ("Größe\0März".encode("utf-16"), "Größe März"),
    ],
)
def test_text_with_nuls_is_text(data: bytes, text: str) -> None:
    read = decode(data)
    assert text in read.text and "\0" not in read.text
    assert "NUL characters: read as spaces" in read.notes[-1]


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)), bytes(500), b"\x89PNG\r\n\x1a\n" + bytes(40), b"PK\x03\x04" + bytes(range(200)),
        b"x" * 257 + b"ustar\0" + bytes(250), bytes((at * 37) % 251 for at in range(4000)),
    ],
)  # fmt: skip
def test_binary_files_are_refused(data: bytes) -> None:
    with pytest.raises(LoadError):
        decode(data)


def test_controls_in_utf8_are_text() -> None:
    text = "N\bNA\bAM\bME\bE\n\x1b[1mGröße\x1b[0m\x07\n" * 9
    assert decode(text.encode()) == (text, "utf-8", [])


def page(head: str, body: str = "Größe 5 €") -> str:
    return f"<html><head>{head}</head><body><p>{body}</p></body></html>"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xef\xbb\xbf" + page('<meta charset="iso-8859-1">').encode(), "Größe 5 €"),
        (page('<script charset="iso-8859-1"></script><meta charset="utf-8">').encode(), "Größe 5 €"),
        (page("<!-- <meta charset=koi8-r> -->").encode(), "Größe 5 €"),
        (page("<title>charset=koi8-r</title>", "Write charset=koi8-r. Größe").encode(), "Größe"),
        (page('<a title="<meta charset=koi8-r>"></a>').encode(), "Größe 5 €"),
        (page('<meta charset="utf-16">', "Plain words").encode(), "Plain words"),
        (page('<meta charset="latin1">').encode(), "Größe 5 €"),
        (page('<META CONTENT="text/html; charset=windows-1251" HTTP-EQUIV=Content-Type>', "Привет").encode("cp1251"), "Привет"),
        (page("<meta charset='x-sjis'>", "日本語").encode("cp932"), "日本語"),
        (page("<meta charset=iso-8859-2>", "Zażółć").encode("iso8859_2"), "Zażółć"),
        (page("<meta charset=gb2312>", "你好，世界").encode(), "你好，世界"),
        (page("<meta charset=utf-8>", "café déjà vu").encode("cp1252"), "café déjà vu"),
        (page("<meta charset=rot13>", "Größe").encode(), "Größe"),
        (page("<meta charset=utf-16>", "Größe").encode("utf-16-le"), "Größe"),
        (b'<?xml version="1.0" encoding="iso-8859-7"?>' + page("", "Καλημέρα").encode("iso8859_7"), "Καλημέρα"),
    ],
)  # fmt: skip
def test_a_page_is_read_by_its_mark_then_as_declared_then_by_guess(data: bytes, words: str) -> None:
    assert (
        parse_html(Path("a.html"), data, Options()).text == words
        or words in parse_html(Path("a.html"), data, Options()).text
    )


def test_a_source_file_may_name_its_encoding() -> None:
    text = "#!/usr/bin/python\n# -*- coding: koi8-r -*-\nx = 'ы'\n"
    assert parse_text(Path("a.py"), text.encode("koi8_r"), Options()).text == text


def test_a_loaded_file_says_how_it_was_read(tmp_path: Path) -> None:
    document = load(tmp_path, "a.txt", "It’s late – very late".encode("cp1252"))
    assert document.page_content == "It’s late – very late"
    assert document.metadata["structure"]["notes"] == ["its encoding is a guess: cp1252"]


def test_of_held_out_texts_99_in_100_characters_are_right() -> None:
    """A quarter of `tests.benchmarks.encodings`: languages, encodings and damage in turn."""
    made = list(samples(HELD_OUT, 150, seed=11))
    right = sum(share(sample.right, plain(by_rag(sample.data)[0])) * len(sample.right) for sample in made)
    assert right / sum(len(sample.right) for sample in made) > 0.99
