"""Old formats by way of LibreOffice: a script stands in for it, and the program itself where it is."""

from __future__ import annotations

import json
import shutil
import struct
import sys
import threading
import time
from pathlib import Path

import docx
import pytest

import rag
from rag.core.errors import ConfigError
from rag.core.passages import STRUCTURE
from rag.loading.conversion import LibreOffice
from rag.loading.formats.archive import OLE
from rag.loading.limits import Limits
from tests.loading.open_xml import box, p, slides, word

#: What stands in for soffice: it notes how it was called, and does what the document tells it to.
SCRIPT = """#!{python}
import json, os, pathlib, sys, time
source = pathlib.Path(sys.argv[-1])
profile = next(a for a in sys.argv if a.startswith("-env:UserInstallation=")).partition("=file://")[2]
settings = pathlib.Path(profile, "user", "registrymodifications.xcu").read_text()
out = pathlib.Path(sys.argv[sys.argv.index("--outdir") + 1])
kind = sys.argv[sys.argv.index("--convert-to") + 1]
import resource
pathlib.Path(r"{log}").open("a").write(json.dumps([source.name, kind, profile, "DisableMacrosExecution" in settings,
    resource.getrlimit(resource.RLIMIT_AS)[0], sorted(os.environ)]) + "\\n")
order = source.read_bytes()[8:].decode("latin-1").strip()
if order == "hang":
    time.sleep(60)
if order == "fail":
    sys.exit("source file could not be loaded")
if order == "nothing":
    print("Error: no such filter", file=sys.stderr)
else:
    out.mkdir()
    made = pathlib.Path(r"{made}", kind).read_bytes()
    (out / (source.stem + "." + kind)).write_bytes(made)
"""


@pytest.fixture
def soffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which each call of the stand-in is noted."""
    made, programs, log = tmp_path / "made", tmp_path / "bin", tmp_path / "log"
    made.mkdir()
    programs.mkdir()
    (made / "docx").write_bytes(word(p("Old words in a new form.")))
    (made / "pptx").write_bytes(slides(box("Old slide", kind="title")))
    script = programs / "soffice"
    script.write_text(SCRIPT.format(python=sys.executable, log=log, made=made))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return log


def old_word(order: str) -> bytes:
    """The least compound file that is a document of Word 97: one stream of eight sectors."""
    header = OLE + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    header += struct.pack("<I", 0) + b"\xff" * 432
    table = struct.pack("<II", 0xFFFFFFFD, 0xFFFFFFFE) + struct.pack("<8I", *range(3, 10), 0xFFFFFFFE)

    def entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
        wide = name.encode("utf-16-le") + b"\0\0"
        links = struct.pack("<HBBIII", len(wide), kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, child)
        return wide.ljust(64, b"\0") + links + bytes(36) + struct.pack("<IQ", start, size)

    folder = entry("Root Entry", 5, 1, 0xFFFFFFFE, 0) + entry("WordDocument", 2, 0xFFFFFFFF, 2, 4096)
    stream = struct.pack("<HH", 0xA5EC, 0xC1) + bytes(28) + order.encode()
    return header + table.ljust(512, b"\xff") + folder.ljust(512, b"\0") + stream.ljust(4096, b"\0")


def folder(root: Path, **files: str) -> Path:
    docs = root / "docs"
    docs.mkdir(exist_ok=True)
    for name, order in files.items():
        (docs / name.replace("_", ".")).write_bytes(OLE + order.encode())
    return docs


def test_old_files_are_converted_under_the_limits_and_read(tmp_path: Path, soffice: Path) -> None:
    docs = folder(tmp_path, a_doc="ok", b_ppt="ok")
    loader = rag.Loader(docs, convert="libreoffice", limits={"memory_mb": 3000}, workers=1)
    texts = {d.metadata["source"]: d.page_content for d in loader.load()}
    assert texts == {"a.doc": "Old words in a new form.", "b.ppt": "# Old slide"}
    first, second = map(json.loads, soffice.read_text().splitlines())
    assert (first[:2], second[:2]) == (["document.doc", "docx"], ["document.ppt", "pptx"])
    assert first[2] != second[2] and not Path(first[2]).exists()  # a profile each, deleted afterwards
    assert first[3] is True and first[4] == 3000 << 20
    assert not [name for name in first[5] if name.startswith("AWS_") or name.endswith("_proxy")]


def test_what_is_no_old_file_is_not_converted(tmp_path: Path, soffice: Path) -> None:
    docs = folder(tmp_path)
    (docs / "a.doc").write_bytes(word(p("new, under an old name")))
    (docs / "b.docx").write_bytes(word(p("new")))
    documents = rag.Loader(docs, convert="libreoffice", workers=1).load()
    assert [d.page_content for d in documents] == ["new, under an old name", "new"]
    assert not soffice.exists()


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("fail", "cannot be converted by LibreOffice (exit status 1: source file could not be loaded)"),
        ("nothing", "cannot be converted by LibreOffice (it wrote nothing: Error: no such filter)"),
        ("hang", "took LibreOffice more than 1 s to convert"),
    ],
)
def test_a_file_that_cannot_be_converted_is_quarantined(
    tmp_path: Path, soffice: Path, order: str, reason: str
) -> None:
    loader = rag.Loader(
        folder(tmp_path, a_doc=order), convert="libreoffice", limits={"timeout_s": 1}, workers=1
    )
    started = time.monotonic()
    assert loader.load() == [] and time.monotonic() - started < 10
    assert [error.reason for _, error in loader.quarantined] == [reason]


def test_stopping_ends_a_conversion(tmp_path: Path, soffice: Path) -> None:
    loader = rag.Loader(folder(tmp_path, a_doc="hang", b_doc="ok"), convert="libreoffice", workers=1)
    assert loader.converter is not None
    timer = threading.Timer(1, loader.converter.stop)
    timer.start()
    started = time.monotonic()
    loader.load()
    assert time.monotonic() - started < 20
    assert [source for source, _ in loader.quarantined] == ["a.doc", "b.doc"]
    (tmp_path / "docs" / "a.doc").unlink()
    assert [d.page_content for d in loader.load()] == ["Old words in a new form."]


def test_the_setting_reads_again_what_was_quarantined_without_it(tmp_path: Path, soffice: Path) -> None:
    docs, index = folder(tmp_path), tmp_path / "ix"
    (docs / "a.doc").write_bytes(old_word("words"))
    (docs / "b.md").write_text("Words.\n")
    report = rag.build(docs, index, embedder="static")
    [bad] = report.quarantined
    assert bad.reason == "is an old Word document (.doc)"
    assert bad.advice == (
        'save it as a Word document (.docx), or install LibreOffice, set convert = "libreoffice" '
        "under [loader] in rag.toml and build with --retry"
    )
    report = rag.build(docs, index, loader={"convert": "libreoffice"})
    assert (report.quarantined, report.files) == ((), 2)
    assert rag.Index.open(index).search("new form")[0].source == "a.doc"


def test_a_converter_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ConfigError, match="convert needs LibreOffice, whose program soffice is not on the PATH"
    ):
        rag.Loader(tmp_path, convert="libreoffice")
    with pytest.raises(ConfigError, match=r"there is no converter 'liberoffice'.*libreoffice"):
        rag.Loader(tmp_path, convert="liberoffice")


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_libreoffice_itself_reads_what_it_has_written(tmp_path: Path) -> None:
    made = docx.Document()
    made.add_paragraph("Salmon swim upstream")
    made.save(str(tmp_path / "made.docx"))
    office = LibreOffice(Limits())
    docs = tmp_path / "docs"
    docs.mkdir()
    with office.converted(tmp_path / "made.docx", ".docx", ".doc") as converted:
        shutil.copyfile(converted, docs / "a.doc")
    [document] = rag.Loader(docs, convert="libreoffice", workers=1).load()
    assert document.page_content == "Salmon swim upstream"
    assert document.metadata[STRUCTURE]["notes"] == []
