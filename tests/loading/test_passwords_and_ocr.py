"""Passwords, scanned pages and page labels."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import docx
import msoffcrypto.format.ooxml
import pypdf
import pytest
from PIL import Image

import rag
from rag.core.errors import ConfigError
from rag.core.passages import STRUCTURE
from tests.loading.files import pdf, scanned


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
