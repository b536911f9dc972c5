"""What is read of a folder: ignore files, sidecars alone, names alike, names that lie."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import unicodedata
from pathlib import Path

import docx
import pytest

import rag
from rag.loading.formats.registry import parser_of
from rag.loading.ignore import IgnoreFile
from tests.loading.files import load, pdf, refused, sources, tree

NAMES = (
    "a",
    "b",
    "ab",
    "a.md",
    "b.txt",
    "x y",
    "é.txt",
    "foo",
    "A.md",
    "a b ",
    "#c",
    "!d",
    "[e]",
    "z-",
    "fo\\o",
)
PIECES = (
    "*", "**", "?", "a", "b", ".md", ".txt", "foo", "[a-c]", "[!a]", "[^b]*", "\\*", "\\#c", "\\!d", "[[:alpha:]]", "x\\ y",
    "é", "[]e]", "[", "[z-a]", "a-", "[a-", "\\", "[[:foo:]]", "[a[:digit:]]", "??", "***", "[\\]]", "[/]", "/", "/", "/**/", "**/",
)  # fmt: skip


def made_tree(root: Path, dice: random.Random) -> None:
    """Files, folders and ignore files in some of the folders."""
    root.mkdir()
    folders = [root]
    for _ in range(dice.randint(3, 10)):
        path = dice.choice(folders) / dice.choice(NAMES)
        if not path.exists() and dice.random() < 0.45:
            path.mkdir()
            folders.append(path)
        elif not path.exists():
            path.write_text("x")
    for folder in dice.sample(folders, min(len(folders), dice.choice((1, 1, 2, 3)))):
        lines = ["*", "!*/"] if dice.random() < 0.3 else []
        for _ in range(dice.randint(1, 5)):
            pattern = "".join(dice.choice(PIECES) for _ in range(dice.randint(1, 4)))
            lines.append(
                dice.choice(("", "", "!"))
                + dice.choice(("", "", "/"))
                + pattern
                + dice.choice(("", "", "/", "  "))
            )
        data = dice.choice(("\n", "\r\n")).join(lines).encode()
        (folder / ".gitignore").write_bytes(dice.choice((b"", b"\xef\xbb\xbf")) + data)


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_what_git_ignores_is_left_out_in_500_trees(tmp_path: Path) -> None:
    dice = random.Random(5)
    for number in range(500):
        made_tree(tmp_path / f"t{number}", dice)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    command = [
        "git",
        "-c",
        "core.excludesFile=/dev/null",
        "-c",
        "core.ignoreCase=false",
        "ls-files",
        "-z",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    kept = {os.fsdecode(name) for name in listed.split(b"\0") if name and not name.endswith(b".gitignore")}
    assert set(sources(rag.Loader(tmp_path, ignore_files=[".gitignore"]))) == kept
    assert 500 < len(kept) < sum(path.is_file() for path in tmp_path.glob("t*/**/[!.]*")) - 300


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        ("*\n!*/\n!*.md\n", ["a.md", "sub/b.md"]),
        ("/*\n!/sub/\n", ["sub/b.md", "sub/c.txt"]),
        ("\ufeffsub/\n", ["a.md", "d.txt"]),
        ("sub/*\n!sub/c.txt\r\n", ["a.md", "d.txt", "sub/c.txt"]),
        ("sub/\n!sub/b.md\n", ["a.md", "d.txt"]),
        ("**/c.txt\nd.txt   \n", ["a.md", "sub/b.md"]),
    ],
)
def test_a_pattern_takes_files_back_in(tmp_path: Path, patterns: str, kept: list[str]) -> None:
    root = tree(tmp_path, ["a.md", "d.txt", "sub/b.md", "sub/c.txt"])
    (root / ".gitignore").write_text(patterns, encoding="utf-8", newline="")
    assert sources(rag.Loader(root)) == kept


@pytest.mark.parametrize(
    "pattern", [b"*a" * 30 + b"b", b"**/a/" * 30 + b"b", b"[" * 5000, b"**" * 5000 + b"/x", b"a/*" * 999]
)
def test_patterns_are_compared_in_bounded_time(pattern: bytes) -> None:
    rules = IgnoreFile(pattern)
    assert rules.says(b"a" * 4000, folder=False) is None
    assert rules.says(b"a/" * 2000 + b"c", folder=False) is None


def test_a_sidecar_without_its_file_is_noted_and_a_document_of_that_name_is_read(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md", "b.md"])
    (root / "a.md.metadata.json").write_text('{"year": 2026}')
    (root / "x.metadata.json").write_text('{"just": "a file about datasets"}')
    (root / "y.pdf.metadata.json").write_text('{"metadataAttributes": {"year": 2025}}')
    (root / "z.metadata.json").write_text("no JSON at all")
    loader = rag.Loader(root)
    texts = {document.metadata["source"]: document.page_content for document in loader.load()}
    assert texts == {
        "a.md": "Text of a.md.",
        "b.md": "Text of b.md.",
        "x.metadata.json": "just: a file about datasets",
    }
    assert [source for source, _ in loader.quarantined] == ["z.metadata.json"]
    assert loader.notes[:2] == [
        "x.metadata.json has the name of a sidecar, and stands alone: read as a document",
        "y.pdf.metadata.json describes y.pdf, which is not there: left out",
    ]
    (root / ".gitignore").write_text("b.md\n")
    (root / "b.md.metadata.json").write_text('{"year": 2024}')  # of a file that is ignored
    assert "b.md.metadata.json" not in sources(rag.Loader(root))


def test_names_that_look_alike_are_all_read_and_noted(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "café.md") for form in ("NFC", "NFD"))
    names = [composed, apart, "Plan.md", "plan.md", "%FF.md"]
    for name in [*map(os.fsencode, names), b"\xff.md"]:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        try:
            path.write_text(f"Words of {name!r}.")
        except OSError:
            pytest.skip("the file system takes no such name")
    if len(list(tmp_path.iterdir())) < 6:
        pytest.skip("the file system takes such names for one")
    loader = rag.Loader(tmp_path)
    documents = loader.load()
    assert {document.metadata["source"] for document in documents} == {*names, "%FF.md#2"}
    assert len({document.page_content for document in documents}) == 6
    assert sum("differ only in case or Unicode form: both are read" in note for note in loader.notes) == 2
    report = rag.build(tmp_path, tmp_path / "ix", embedder="static")
    assert (report.files, report.quarantined) == (6, ())


def word(text: str) -> bytes:
    made = docx.Document()
    made.add_paragraph(text)
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "text", "mime"),
    [
        ("a.doc", rb"{\rtf1\ansi Hello from RTF\par}", "Hello from RTF", "application/rtf"),
        ("r.doc", b"\xef\xbb\xbf\r\n" + rb"{\rtf1 Behind a mark}", "Behind a mark", "application/rtf"),
        ("s.html", b" \0\0" + rb"{\rtf1 Behind NULs}", "Behind NULs", "application/rtf"),
        ("b.doc", b"Plain words\nin two lines", "Plain words\nin two lines", "text/plain"),
        ("c.doc", b"<html><body><p>A page</p></body></html>", "A page", "text/html"),
        ("d.xls", b"<html><table><tr><td>A</td><td>B</td></tr></table></html>", "| A | B |\n| --- | --- |", "text/html"),
        ("e.xls", b"A\tB\n1\t2\n", "| A | B |\n| --- | --- |\n| 1 | 2 |", "text/csv"),
        ("f.xlsx", "A,Ö\n1,2\n".encode("utf-16"), "| A | Ö |\n| --- | --- |\n| 1 | 2 |", "text/csv"),
        ("g.xls", b"<table><tr><td>A<td>B</table>", "| A | B |\n| --- | --- |", "text/html"),
        ("h.pdf", b"Not a PDF, but words.", "Not a PDF, but words.", "text/plain"),
        ("i.rtf", b"Plain words in .rtf", "Plain words in .rtf", "text/plain"),
        ("j.json", b"<!DOCTYPE html><p>An error page", "An error page", "text/html"),
        ("k.csv", b"<html><p>Not a table", "Not a table", "text/html"),
        ("l.msg", b"Subject: s\r\nFrom: a@b.c\r\n\r\nBody words", "Body words", "message/rfc822"),
        ("m.xml", b"<!doctype html><p>One<br>two", "One two", "text/html"),
        ("o.json", b'<?xml version="1.0"?><r>Words</r>', "r: Words", "application/xml"),
        ("p.xml", b'{"a": 1}', "a: 1", "application/json"),
        ("q.xml", b"plain words", "plain words", "text/plain"),
        ("n.doc", b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<p>Saved page", "Saved page", "message/rfc822"),
    ],
)  # fmt: skip
def test_a_file_is_read_as_what_it_is(tmp_path: Path, name: str, data: bytes, text: str, mime: str) -> None:
    document = load(tmp_path, name, data)
    assert text in document.page_content
    assert document.metadata["file_mime"] == mime
    assert f"its name ends in {name[1:]} and it is" in " ".join(document.metadata["structure"]["notes"])


def test_office_files_and_pdfs_are_known_under_any_name(tmp_path: Path) -> None:
    for name in ("a.doc", "a.txt", "a.rtf", "a.xls", "a.pdf", "a.json"):
        assert load(tmp_path, name, word("Words in Word.")).page_content == "Words in Word."
    for name in ("b.txt", "b.docx", "b.html", "b.md"):
        assert "Typed words" in load(tmp_path, name, pdf("Typed words.")).page_content


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.md", b"<html>about pages</html>"), ("a.txt", b"<!doctype html>"), ("a.py", b"x = 1"), ("a.pdf", b"junk %PDF-1.4"),
        ("a.pdf", b"1 0 obj << >> endobj"), ("a.docx", b"PK\x03\x04"), ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), ("a.eml", b"From: x"),
        ("a.xlsx", bytes(100)), ("a.docx", b""), ("a.csv", b"a,b"), ("a.rtf", b"\xef\xbb\xbf\0 {\\rtf1 x}"), ("a.html", b"plain words"), ("a.xml", b"<r/>"), ("a.xml", "<r/>".encode("utf-16")), ("a.xml", "<r/>".encode("utf-16-le")),
    ],
)  # fmt: skip
def test_a_name_that_may_be_right_is_believed(name: str, head: bytes) -> None:
    assert parser_of(Path(name), head).note == ""


def test_damage_is_no_text(tmp_path: Path) -> None:
    assert refused(tmp_path, "a.docx", bytes(range(256)) * 9).startswith("is not a Word document")
