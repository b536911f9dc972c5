"""Which files are read, what is known of them, and what a file may not do."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import docx
import msoffcrypto.format.ooxml
import pypdf
import pytest
from fpdf import FPDF
from PIL import Image, ImageDraw

import rag
from rag.core.errors import ConfigError, SourceError
from rag.core.passages import STRUCTURE
from rag.loading.loader import Loader as PlainLoader


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def tree(root: Path, names: list[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"Text of {name}.")
    return root


def sources(loader: PlainLoader) -> list[str]:
    return [file.source for file in loader.files()]


def workers_alive() -> list[str]:
    done = subprocess.run(["ps", "-eo", "ppid,stat,args"], capture_output=True, text=True, check=True)
    mine = str(os.getpid())
    return [
        line for line in done.stdout.splitlines() if line.split()[0] == mine and "rag.loading.sandbox" in line
    ]


# ------------------------------------------------------------------ which files


def test_ignore_files_are_read_as_git_reads_them_and_told(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        [
            "a.md",
            "b.log",
            "keep.log",
            "build/x.md",
            "sub/c.log",
            "sub/d.md",
            "sub/deep/e.tmp",
            "sub/deep/f.md",
        ],
    )
    (root / ".gitignore").write_text("*.log\n!keep.log\n/build/\n")
    (root / "sub" / ".ragignore").write_text("!c.log\ndeep/*.tmp\n")
    loader = rag.Loader(root)
    assert sources(loader) == ["a.md", "keep.log", "sub/c.log", "sub/d.md", "sub/deep/f.md"]
    assert loader.notes == [
        "2 files or folders are left out by .gitignore", "1 file or folder is left out by sub/.ragignore",
    ]  # fmt: skip
    assert len(sources(rag.Loader(root, ignore_files=()))) == 8
    assert "b.log" in sources(rag.Loader(root, ignore_files=[".ragignore"]))


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    "patterns",
    [
        "*.log\n!keep.log",
        "/a*\nsub",
        "sub/**/f.md\n**/e.*",
        "deep/\n!deep/f.md",
        "\\#x\n# a.md\n*.m[a-d]",
        "sub/*\n!sub/deep/",
    ],
)
def test_ignore_files_leave_out_what_git_leaves_out(tmp_path: Path, patterns: str) -> None:
    root = tree(
        tmp_path,
        [
            "a.md",
            "b.log",
            "keep.log",
            "#x",
            "build/x.md",
            "sub/c.log",
            "sub/d.md",
            "sub/deep/e.tmp",
            "sub/deep/f.md",
        ],
    )
    (root / ".gitignore").write_text(patterns + "\n")
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    listed = subprocess.run(
        ["git", "-c", "core.quotePath=off", "ls-files", "-co", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sources(rag.Loader(root)) == sorted(set(listed.stdout.splitlines()) - {".gitignore"})


def test_links_do_not_lead_out_or_around(tmp_path: Path) -> None:
    outside = tree(tmp_path / "outside", ["secret.md"])
    root = tree(tmp_path / "docs", ["a.md", "sub/b.md"])
    (root / "out.md").symlink_to(outside / "secret.md")
    (root / "elsewhere").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "sub" / "up").symlink_to(root / "sub")
    (root / "alias.md").symlink_to(root / "a.md")
    loader = rag.Loader(root)
    assert sources(loader) == ["a.md", "alias.md", "sub/b.md"]
    assert len(loader.notes) == 4
    followed = rag.Loader(root, follow_links=True)
    assert sources(followed) == ["a.md", "alias.md", "elsewhere/secret.md", "out.md", "sub/b.md"]


def test_include_exclude_and_hidden_files(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md", "a.txt", ".hidden.md", ".git/x.md", "sub/b.md", "sub/c.md"])
    assert sources(rag.Loader(root)) == ["a.md", "a.txt", "sub/b.md", "sub/c.md"]
    assert sources(rag.Loader(root, include=["*.md"], exclude=["sub/c*"])) == ["a.md", "sub/b.md"]


def test_one_file_is_a_source_by_its_name(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md", "b.md"])
    assert [d.metadata["source"] for d in rag.Loader(root / "a.md").load()] == ["a.md"]


def test_names_that_are_no_utf8_are_read(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("Words.")
    report = rag.build(tmp_path, tmp_path.parent / "ix", embedder="static")
    assert report.files == 1
    assert rag.Index.open(tmp_path.parent / "ix").search("words")[0].source == "caf%E9.md"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_without_permission_is_quarantined(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md", "shut/b.md"])
    (root / "shut").chmod(0)
    loader = rag.Loader(root)
    assert len(loader.load()) == 1
    assert [source for source, _ in loader.quarantined] == ["shut/"]


def test_the_order_and_the_bytes_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    root = write(tmp_path, **{f"f{n:02d}.{kind}": f"<p>page {n}</p>" if kind == "html" else f"text {n}"
                              for n in range(30) for kind in ("html", "md", "slow")})  # fmt: skip
    runs = []
    for workers in (1, 2, 5):
        loader = rag.Loader(root, workers=workers, parsers={".slow": "tests.parsers:shout"})
        runs.append([(d.metadata["source"], d.page_content, d.metadata) for d in loader.load()])
    assert runs[0] == runs[1] == runs[2]
    assert [source for source, *_ in runs[0]] == sorted(source for source, *_ in runs[0])
    assert runs[0][2][1] == "TEXT 0"


async def test_every_face_of_a_langchain_loader_gives_the_same(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md", "b.txt"])
    whole = rag.Loader(root).load()
    assert [d async for d in rag.Loader(root).alazy_load()] == whole
    assert list(rag.Loader(root).lazy_load()) == await rag.Loader(root).aload() == whole
    assert [d.page_content for d in whole] == ["Text of a.md.", "Text of b.txt."]


# ------------------------------------------------------------------ what is known of them


def test_file_facts_are_metadata_to_filter_by(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.md": "First words.", "b.html": "<p>Second words.</p>"})
    os.utime(root / "a.md", (0, 1_700_000_000))
    rag.build(root, tmp_path / "ix", embedder="static")
    index = rag.Index.open(tmp_path / "ix")
    [hit] = index.search("words", where="file_mime == 'text/markdown'")
    assert hit.metadata["file_mtime"] == dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)
    assert (hit.metadata["file_size"], hit.metadata["encoding"]) == (12, "utf-8")
    assert hit.metadata["file_sha256"] == hashlib.sha256(b"First words.").hexdigest()
    assert [h.source for h in index.search("words", where="file_mtime < date('2024-01-01')")] == ["a.md"]


def test_a_function_adds_metadata_and_a_change_of_it_is_seen(tmp_path: Path) -> None:
    root = tree(tmp_path / "docs", ["eu/a.md", "us/b.md"])
    seen: list[tuple[str, dict[str, Any]]] = []

    def fields(source: str, known: dict[str, Any]) -> dict[str, Any]:
        seen.append((source, dict(known)))
        return {"tenant": source.split("/")[0], "priority": 1}

    build = {"metadata": fields, "metadata_from_path": "{region}/", "embedder": "static"}
    rag.build(root, tmp_path / "ix", **build)
    assert ("eu/a.md", {"region": "eu"}) in seen
    index = rag.Index.open(tmp_path / "ix")
    assert [hit.source for hit in index.search("text", where="tenant == 'us' and priority == 1")] == [
        "us/b.md"
    ]
    assert rag.build(root, tmp_path / "ix", **build).unchanged == 2
    report = rag.build(root, tmp_path / "ix", metadata=lambda source, known: {"tenant": "all" if "eu" in source else "us", "priority": 1},
                       metadata_from_path="{region}/", embedder="static")  # fmt: skip
    assert (report.changed, report.unchanged, report.embedded) == (1, 1, 0)


def test_a_function_that_fails_quarantines_its_file_alone(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md", "b.md"])
    loader = rag.Loader(root, metadata=lambda source, known: {"x": 1} if source == "a.md" else known["gone"])
    assert [d.metadata["x"] for d in loader.load()] == [1]
    assert loader.quarantined[0][1].reason == "made the metadata function fail (KeyError: 'gone')"


def test_a_function_can_be_named(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md"])
    assert rag.Loader(root, metadata="tests.loading.test_loader:named").load()[0].metadata["named"] == "a.md"
    with pytest.raises(ConfigError, match=r"the loader's metadata: cannot import 'tests\.nowhere'"):
        rag.Loader(root, metadata="tests.nowhere:f")
    with pytest.raises(SourceError, match="cannot read the metadata table"):
        rag.Loader(root, metadata="nothing.jsonl")


def named(source: str, known: dict[str, Any]) -> dict[str, Any]:
    return {"named": source}


def test_the_more_particular_metadata_wins(tmp_path: Path) -> None:
    root = write(tmp_path, **{"v1__a.md": "---\nk1: inside\nk2: inside\nk3: inside\nk4: inside\n---\nWords."})
    (root / "v1" / "a.md.metadata.json").write_text(
        '{"metadataAttributes": {"k2": "sidecar", "k3": "sidecar", "k4": "sidecar"}}'
    )
    (root / "table.jsonl").write_text('{"source": "v1/a.md", "k3": "table", "k4": "table"}\n')
    loader = rag.Loader(root, include=["v1/*"], metadata_from_path="{k1}/", metadata=root / "table.jsonl")
    found = loader.load()[0].metadata
    assert [found[f"k{n}"] for n in (1, 2, 3, 4)] == ["inside", "sidecar", "table", "table"]
    loader = rag.Loader(root, include=["v1/*"], metadata=lambda source, known: {"k4": known["k3"] + "+"})
    assert loader.load()[0].metadata["k4"] == "sidecar+"


def test_a_conflict_of_types_is_told_with_both_files_also_across_builds(tmp_path: Path) -> None:
    root = write(
        tmp_path / "docs", **{"a.md": "---\nyear: 2024\n---\nOne.", "b.md": "---\nyear: unknown\n---\nTwo."}
    )
    report = rag.build(root, tmp_path / "ix", embedder="static")
    assert report.notes == ("field 'year' is a number in a.md and a string in b.md: kept as string",)
    write(root, **{"c.md": "---\nyear: 2025-01-01\ntags: [x]\n---\nThree."})
    report = rag.build(root, tmp_path / "ix", embedder="static")
    assert report.notes == ("field 'year' is a string in a.md and a date in c.md: kept as string",)
    assert rag.build(
        write(root, **{"d.md": "---\ntags: y\n---\nFour."}), tmp_path / "ix", embedder="static"
    ).notes == ("field 'tags' is a list in c.md and a string in d.md: kept as list",)


# ------------------------------------------------------------------ passwords and OCR


def pdf(*pages: str, **metadata: str) -> bytes:
    made = FPDF()
    made.set_font("helvetica", size=12)
    for text in pages:
        made.add_page()
        made.multi_cell(0, text=text)
    return bytes(made.output())


def test_passwords_open_pdf_and_office_files_by_pattern(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf("Locked words in a PDF.")))
    writer.encrypt("pdf-key", algorithm="AES-256")
    writer.write(tmp_path / "a.pdf")
    made, out = docx.Document(), io.BytesIO()
    made.add_paragraph("Locked words in Word.")
    made.save(out)
    with (tmp_path / "b.docx").open("wb") as sink:
        msoffcrypto.format.ooxml.OOXMLFile(out).encrypt("word-key", sink)
    loader = rag.Loader(tmp_path, workers=1)
    assert loader.load() == []
    assert [error.reason for _, error in loader.quarantined] == ["needs a password"] * 2
    assert all("passwords" in error.advice and "--retry" in error.advice for _, error in loader.quarantined)
    opened = rag.Loader(tmp_path, passwords={"*.pdf": "pdf-key", "*.docx": "word-key"}).load()
    assert [d.page_content.strip() for d in opened] == ["Locked words in a PDF.", "Locked words in Word."]
    wrong = rag.Loader(tmp_path, passwords={"*": "wrong"}, workers=1)
    wrong.load()
    assert [error.reason for _, error in wrong.quarantined] == [
        "needs another password than the one given"
    ] * 2


def scanned(*texts: str) -> bytes:
    """A PDF with a page of text, then one picture of text per page."""
    made = FPDF()
    made.set_font("helvetica", size=12)
    made.add_page()
    made.cell(text="Typed first page.")
    for text in texts:
        picture = Image.new("L", (1200, 300), 255)
        ImageDraw.Draw(picture).text((40, 100), text, font_size=64, fill=0)
        made.add_page()
        made.image(picture, x=10, y=10, w=180)
    made.add_page()  # blank, and no picture
    return bytes(made.output())


def test_scanned_pages_go_through_the_ocr_function_and_keep_their_places(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(scanned("one", "two"))
    without = rag.Loader(tmp_path).load()[0]
    assert without.metadata[STRUCTURE]["notes"] == [
        "pages 2, 3 hold pictures and no text: not read (build with --ocr tesseract to read them)"
    ]
    seen: list[tuple[int, int]] = []

    def ocr(png: bytes) -> str:
        seen.append(Image.open(io.BytesIO(png)).size)
        return f"read {len(seen)}"

    document = rag.Loader(tmp_path, ocr=ocr, workers=1).load()[0]
    assert document.page_content == "Typed first page.\n\nread 1\n\nread 2\n"
    pages = document.metadata[STRUCTURE]["pages"]
    assert [document.page_content[a : a + 6] for a in pages[1:3]] == ["read 1", "read 2"]
    assert len(pages) == 4
    assert all(
        2400 < width < 2600 and 3400 < height < 3600 for width, height in seen
    )  # A4 at 300 dots an inch


def test_an_ocr_function_that_fails_quarantines_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(scanned("one"))
    loader = rag.Loader(tmp_path, ocr=lambda png: str(1 / 0))
    assert loader.load() == []
    assert loader.quarantined[0][1].reason == "could not be read by OCR (ZeroDivisionError: division by zero)"


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
def test_tesseract_reads_a_scanned_page(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.pdf").write_bytes(scanned("Salmon swim upstream"))
    report = rag.build(tmp_path / "docs", tmp_path / "ix", embedder="static", loader={"ocr": "tesseract"})
    assert report.notes == ()
    hit = rag.Index.open(tmp_path / "ix").search("salmon")[0]
    assert hit.text.endswith("Salmon swim upstream") and (hit.page_start, hit.page_end) == (1, 2)


def test_tesseract_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="needs the program tesseract, which is not installed: install it"):
        rag.Loader(tmp_path, ocr="tesseract")


def test_page_labels_are_metadata(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf("Preface.", "More.", "Chapter one.")))
    writer.set_page_label(0, 1, style="/r")
    writer.set_page_label(2, 2, style="/D")
    writer.write(tmp_path / "a.pdf")
    assert rag.Loader(tmp_path).load()[0].metadata["page_labels"] == ["i", "ii", "1"]


# ------------------------------------------------------------------ what a file may not do


@pytest.mark.parametrize(
    ("parser", "reason"),
    [
        ("hang", "took more than 8 s to parse"),
        ("spin", "took more than 8 s to parse"),
        ("swell", "needs more than 512 MB to parse"),
        ("flood", "yields 10000000 characters"),
        ("clutter", "yields more text and structure than 1000000 characters can have"),
        ("crash", "crashed its parser (exit status -11)"),
        ("leave", "crashed its parser (exit status 7)"),
        ("fail", "cannot be parsed (ZeroDivisionError: its own fault)"),
    ],
)
def test_a_parser_that_misbehaves_costs_its_file_alone(tmp_path: Path, parser: str, reason: str) -> None:
    root = write(tmp_path, **{"a.html": "<p>before</p>", "b.bad": "x", "c.html": "<p>behind</p>"})
    loader = rag.Loader(
        root, parsers={".bad": f"tests.parsers:{parser}"}, workers=1,
        limits={"timeout_s": 8 if "8 s" in reason else 30, "memory_mb": 512, "max_chars": 1_000_000},
    )  # fmt: skip
    assert [d.page_content for d in loader.load()] == ["before", "behind"]
    [(source, error)] = loader.quarantined
    assert (source, error.reason) == ("b.bad", reason)
    assert error.advice
    assert workers_alive() == []


def test_a_module_lying_among_the_documents_is_not_run(tmp_path: Path) -> None:
    root = write(
        tmp_path / "docs",
        **{"a.html": "<p>words</p>", "lxml.py": "open('ran', 'w')", "rag.py": "open('ran', 'w')"},
    )
    command = [Path(sys.executable).parent / "rag", "build", ".", tmp_path / "ix", "--embedder", "static"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    assert not (root / "ran").exists()


def test_text_of_a_parser_of_ones_own_is_made_storable(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.odd": "x"})
    rag.build(
        root, tmp_path / "ix", embedder="static", loader={"parsers": {".odd": "tests.parsers:surrogate"}}
    )
    assert rag.Index.open(tmp_path / "ix").search("pair")[0].text == "half a pair \ufffd here"


def bomb(members: dict[str, int], **small: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, text in small.items():
            archive.writestr(name, text)
        for name, megabytes in members.items():
            with archive.open(name, "w", force_zip64=True) as sink:
                for _ in range(megabytes):
                    sink.write(b" " * (1 << 20))
    return out.getvalue()


def test_archives_that_unpack_without_end_are_refused(tmp_path: Path) -> None:
    big = bomb({"word/document.xml": 600})
    for name in ("a.docx", "b.pptx", "c.xlsx", "d.odt", "e.epub"):
        (tmp_path / name).write_bytes(big)
    lying = bytearray(bomb({"content.xml": 560}, **{"META-INF/manifest.xml": "<m/>"}))
    size = (560 << 20).to_bytes(4, "little")
    while (at := lying.find(size)) >= 0:  # says that it unpacks to 1 kB
        lying[at : at + 4] = (1024).to_bytes(4, "little")
    (tmp_path / "f.odt").write_bytes(lying)
    loader = rag.Loader(tmp_path, workers=1, limits={"memory_mb": 1024})
    assert loader.load() == []
    reasons = {source: error.reason for source, error in loader.quarantined}
    assert [reasons[name] for name in sorted(reasons)][:5] == ["unpacks to 600 MB"] * 5
    assert len(reasons) == 6


def test_plain_text_that_makes_patterns_slow_is_read(tmp_path: Path) -> None:
    root = write(tmp_path, **{
        "a.md": "# " + " " * 300_000 + "x" + " #" * 100_000, "b.md": "---\n" + "a: b\n" * 3,
        "c.md": "[" * 100_000, "d.rst": "=" * 400_000 + "\n" + "x" * 400_000 + "\n" + "=" * 400_000,
        "e.md": "```\n" * 20_001, "f.md": "*" * 100_000 + "a\n=====\n",
    })  # fmt: skip
    assert len(rag.Loader(root).load()) == 6  # some would take hours by a pattern that goes back


def test_a_worker_whose_build_was_killed_ends_by_itself(tmp_path: Path) -> None:
    write(tmp_path, **{"a.bad": "x"})
    code = (
        "import rag\n"
        f"rag.Loader({str(tmp_path)!r}, parsers={{'.bad': 'tests.parsers:spin'}}, limits={{'timeout_s': 2}}).load()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    child = ""
    for _ in range(100):
        time.sleep(0.1)
        listed = subprocess.run(
            ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
        ).stdout
        found = [
            line.split()[0]
            for line in listed.splitlines()
            if line.split()[1] == str(parent.pid) and "rag.loading.sandbox" in line
        ]
        if found:
            child = found[0]
            break
    assert child
    time.sleep(0.5)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 25
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not Path(f"/proc/{child}").exists()


# ------------------------------------------------------------------ quarantine


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "rag", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def test_quarantine_is_listed_and_read_again_when_changed_or_asked_for(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.md": "Good words.", "b.json": "{", "c.json": "["})
    index = tmp_path / "ix"
    run("build", root, index, "--embedder", "static", code=3)
    shown = run("quarantine", index).stdout
    assert shown.startswith(f"{index}: 2 files in quarantine\n\ncorrect it, or rename it to .txt")
    listed = json.loads(run("quarantine", index, "--json").stdout)
    assert [item["source"] for item in listed] == ["b.json", "c.json"]
    assert [item.source for item in rag.Store(index).quarantined()] == ["b.json", "c.json"]
    write(root, **{"b.json": '{"now": "sound"}'})
    report = json.loads(run("build", root, index, "--json", code=3).stdout)
    assert (report["changed"], report["unchanged"], report["version"]) == (1, 2, 2)
    assert json.loads(run("build", root, index, "--json", code=3).stdout)["version"] == 2
    run("build", root, index, "--retry", code=3)
    (root / "c.json").unlink()
    run("build", root, index)
    assert run("quarantine", index).stdout == f"{index}: 0 files in quarantine\n"


def test_a_given_password_takes_a_file_out_of_quarantine_with_retry(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.md": "Good words."})
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf("Locked words.")))
    writer.encrypt("key")
    writer.write(root / "b.pdf")
    settings = {"embedder": "static"}
    assert len(rag.build(root, tmp_path / "ix", **settings).quarantined) == 1
    settings["loader"] = {"passwords": {"*.pdf": "key"}}
    assert len(rag.build(root, tmp_path / "ix", **settings).quarantined) == 1
    assert rag.build(root, tmp_path / "ix", **settings, retry=True).quarantined == ()
    assert rag.Index.open(tmp_path / "ix").search("locked", k=1)[0].source == "b.pdf"


# ------------------------------------------------------------------ what must not stop a build


@pytest.mark.parametrize(
    "front",
    [
        "history:\n  - 2024-01-01: created", "x: 0x" + "f" * 5000, 'title: "Party \\ud83c\\udf89 \\ud800"',
        "when: 0001-01-01 00:00:00+14:00", "x: !!int ''", "? [a, b]\n: c", "s: !!set {b, a, c}", "x: .inf", "n: {1: 2, b: 3}",
        "d: 9999-12-31 23:59:59-12:00",
    ],
)  # fmt: skip
def test_no_front_matter_stops_a_build(tmp_path: Path, front: str) -> None:
    root = write(tmp_path / "docs", **{"a.md": f"---\n{front}\n---\nWords of a.\n", "b.md": "Words of b."})
    report = rag.build(root, tmp_path / "ix", embedder="static")
    assert report.files == 2, report.quarantined
    assert {hit.source for hit in rag.Index.open(tmp_path / "ix").search("words")} == {"a.md", "b.md"}
    assert rag.build(root, tmp_path / "ix").unchanged == 2


def test_no_sidecar_table_or_function_stops_a_build(tmp_path: Path) -> None:
    root = write(
        tmp_path / "docs",
        **{
            "a.md": "Words.",
            "a.md.metadata.json": '{"who": "x\\ud83d", "n": {"1": 2}}',
            "b.md": "More words.",
        },
    )
    rag.build(
        root,
        tmp_path / "ix",
        embedder="static",
        metadata=lambda source, known: {"x": {1: 2, "b": 3}, "s": {"b", "a"}},
    )
    hit = rag.Index.open(tmp_path / "ix").search("words", where="who == 'x\ufffd'")[0]
    assert (hit.metadata["x.1"], hit.metadata["s"]) == (2, ["a", "b"])
    with pytest.raises(SourceError, match=r"the metadata of 'a.md' is None: give names and values"):
        rag.Loader(root, metadata={"a.md": None})
    (root / "b.md.metadata.json").write_text(" " * (2 << 20))
    loader = rag.Loader(root)
    assert len(loader.load()) == 1 and "more than 1 MB" in loader.quarantined[0][1].reason


def test_links_to_themselves_and_deep_folders_stop_nothing(tmp_path: Path) -> None:
    root = tree(tmp_path / "docs", ["a.md"])
    (root / "loop").symlink_to("loop")
    (root / "long").symlink_to("y" * 300)
    here = os.open(root, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    loader = rag.Loader(root)
    assert [d.metadata["source"] for d in loader.load()] == ["a.md"]
    assert {"loop", "long"} <= {source for source, _ in loader.quarantined}
    subprocess.run(["rm", "-rf", root / "d"], check=True)


def test_a_sidecar_that_is_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    root = tree(tmp_path / "docs", ["a.md"])
    (tmp_path / "secret.json").write_text('{"secret": "s3cr3t"}')
    (root / "a.md.metadata.json").symlink_to(tmp_path / "secret.json")
    assert "secret" not in rag.Loader(root).load()[0].metadata
    assert rag.Loader(root, follow_links=True).load()[0].metadata["secret"] == "s3cr3t"


def test_a_pattern_that_would_take_for_ever_is_told_and_left_unheeded(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a" * 60, "b.log"])
    (root / ".gitignore").write_text("*a" * 20 + "b\n*.log\n")
    loader = rag.Loader(root)
    assert sources(loader) == ["a" * 60]
    assert "is not heeded (more than 4 stars between slashes)" in loader.notes[0]


def test_ragignore_decides_before_gitignore(tmp_path: Path) -> None:
    root = tree(tmp_path, ["keep.txt", "drop.txt", "secret.md", "open.md"])
    (root / ".gitignore").write_text("*.txt\n!secret.md\n")
    (root / ".ragignore").write_text("!keep.txt\nsecret.md\n")
    assert sources(rag.Loader(root)) == ["keep.txt", "open.md"]


def test_leaving_a_load_early_ends_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    root = write(tmp_path, **{f"{n:02d}.slow": "x" for n in range(20)} | {"00.md": "first"})
    loader = rag.Loader(root, parsers={".slow": "tests.parsers:hang"}, workers=2)
    reading = loader.read(loader.files())
    assert next(reading)[0].source == "00.md"
    time.sleep(0.5)
    started = time.monotonic()
    reading.close()
    assert time.monotonic() - started < 5
    assert workers_alive() == []


def test_ctrl_c_in_a_build_ends_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.md": "first", "b.slow": "x", "c.slow": "x"})
    (tmp_path / "rag.toml").write_text('[loader]\nparsers = {".slow" = "tests.parsers:hang"}\n')
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from rag.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        str(Path(__file__).parents[2]),
        "build",
        str(root),
        "ix",
        "--embedder",
        "static",
    ]
    build = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def children() -> list[str]:
        listed = subprocess.run(
            ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
        ).stdout
        return [
            line
            for line in listed.splitlines()
            if "rag.loading.sandbox" in line and line.split()[1] == str(build.pid)
        ]

    deadline = time.monotonic() + 30
    while not children() and time.monotonic() < deadline:
        time.sleep(0.1)
    pids = [line.split()[0] for line in children()]
    assert pids
    time.sleep(0.5)
    build.send_signal(signal.SIGINT)
    _, said = build.communicate(timeout=10)
    assert build.returncode == 1
    assert said.strip().splitlines()[-1].startswith("rag: interrupted")
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_text_that_makes_patterns_slow_takes_no_longer_than_prose_by_far() -> None:
    def seconds(text: str) -> float:
        document = rag.loading.loader.Document(text, metadata={"source": "a"})
        started = time.process_time()
        chunks = rag.SemanticChunker().split_documents([document])
        spent = time.process_time() - started
        assert all(text[c.metadata["start"] : c.metadata["end"]] == c.page_content for c in chunks)
        return spent

    prose = min(seconds("A sentence of words. " * 10_000) for _ in range(2))
    odd = (
        "." * 200_000,
        "```a\n" * 40_000,
        "9" * 200_000,
        "# " * 100_000,
        "a. " * 70_000,
        "|" * 200_000,
        " \n" * 100_000,
    )
    assert max(map(seconds, odd)) < 30 * prose


def test_another_parser_or_ocr_reads_the_files_again_that_it_concerns(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.foo": "words", "b.md": "Words."})
    (root / "c.pdf").write_bytes(scanned("one"))
    rag.build(root, tmp_path / "ix", embedder="static")
    loader: dict[str, Any] = {
        "parsers": {".foo": "tests.parsers:shout"},
        "ocr": lambda png: "Read by machine.",
    }
    report = rag.build(root, tmp_path / "ix", loader=loader)
    assert (report.changed, report.unchanged) == (2, 1)
    assert {hit.text for hit in rag.Index.open(tmp_path / "ix").search("words")} >= {"WORDS", "Words."}
    assert rag.build(root, tmp_path / "ix", loader=loader).unchanged == 3


def test_renames_are_counted_one_to_one(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.md": "Same words.", "b.md": "Same words.", "d.md": "Other."})
    rag.build(root, tmp_path / "ix", embedder="static")
    (root / "a.md").rename(root / "c.md")
    (root / "b.md").unlink()
    report = rag.build(root, tmp_path / "ix")
    assert (report.added, report.removed, report.renamed, report.unchanged) == (0, 1, 1, 1)


def test_an_index_among_the_documents_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Leave\n\nTake 28 days.")
    first = rag.build(tmp_path, tmp_path / "ix", embedder="static")
    again = rag.build(tmp_path, tmp_path / "ix", embedder="static")
    assert (first.files, again.files, again.version) == (1, 1, 1)
    assert "ix is an index: left out" in again.notes
