"""Files for the loading tests: folders, archives, pages, and what was read from them."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from pathlib import Path

from fpdf import FPDF
from langchain_core.documents import Document
from PIL import Image, ImageDraw

import rag
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


def pdf(*pages: str, **metadata: str) -> bytes:
    made = FPDF()
    made.set_font("helvetica", size=12)
    for text in pages:
        made.add_page()
        made.multi_cell(0, text=text)
    return bytes(made.output())


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


def load(folder: Path, name: str, data: bytes | str) -> Document:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    loader = rag.Loader(path, workers=1)
    documents = loader.load()
    assert loader.quarantined == []
    return documents[0]


def refused(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    loader = rag.Loader(path, workers=1)
    assert loader.load() == []
    return loader.quarantined[0][1].reason


def titles(document: Document) -> list[tuple[int, str]]:
    for at, level, title in document.metadata[STRUCTURE]["headings"]:
        assert title.split()[0] in document.page_content[at : at + 80], (at, level, title)
    return [(level, title) for _, level, title in document.metadata[STRUCTURE]["headings"]]


def zipped(members: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def titles_of(document: Document) -> list[tuple[int, str]]:
    return [(level, title) for _, level, title in document.metadata[STRUCTURE]["headings"]]


def paged(pages: list[str]) -> tuple[str, list[int]]:
    starts, at = [], 0
    for page in pages:
        starts.append(at)
        at += len(page) + 2
    return "\n\n".join(pages), starts


def mime(body: str, charset: str = "utf-8") -> bytes:
    return ("Subject: s\r\nMIME-Version: 1.0\r\n" + body).encode(charset)
