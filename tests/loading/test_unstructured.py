"""`unstructured` as an engine: its elements in our terms, offline, in the parsers' processes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from email.message import EmailMessage
from importlib.metadata import version
from pathlib import Path
from typing import Any

import docx
import pptx
import pytest
import xlsxwriter
from langchain_core.documents import Document

import rag
from rag.core.errors import ConfigError, LoadError
from rag.core.passages import STRUCTURE
from rag.loading import engines
from rag.loading.engines import Engines
from rag.loading.formats import unstructured_engine
from tests.loading.absent import python

MARKDOWN = (
    "---\nregion: eu\n---\n# Leave\n\nStaff take 28 days.\n\n## Sickness\n\nTell your manager.\n\n"
    "- by phone\n- by mail\n\n| city | days |\n|---|---|\n| Ulm | 28 |\n"
)
HTML = (
    "<html><head><title>Travel</title><meta name='author' content='Ann'></head><body><h1>Trips</h1>"
    "<p>Book early.</p><h2>Trains</h2><p>Second class.</p>"
    "<table><tr><th>to</th><th>cost</th></tr><tr><td>Ulm</td><td>20</td></tr></table></body></html>"
)


def write_word(path: Path) -> None:
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "Confidential"
    document.add_heading("Policy", 1)
    document.add_paragraph("Everyone locks the screen.")
    document.add_heading("Badges", 2)
    document.add_paragraph("Everyone wears one.")
    table = document.add_table(2, 2)
    for at, text in enumerate(("door", "code", "A|1", "7")):
        table.cell(at // 2, at % 2).text = text
    document.save(str(path))


def write_slides(path: Path) -> None:
    deck = pptx.Presentation()
    for title, body in (("Parking", "Park on level two."), ("", ""), ("Lunch", "Eat at noon, please.")):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, body
    deck.save(str(path))


def write_mail(path: Path) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Ann <ann@example.org>", "bob@example.org", "Lunch"
    mail.set_content("We eat at noon.\n\nBring bread.\n")
    mail.add_attachment(b"ID3 a sound", maintype="audio", subtype="mpeg", filename="song.mp3")
    path.write_bytes(mail.as_bytes())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each format that the engine reads offline."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "leave.md").write_text(MARKDOWN, encoding="utf-8")
    (folder / "trips.html").write_text(HTML, encoding="utf-8")
    (folder / "notes.txt").write_bytes("Café opens at eight.\n\nTea is free.\n".encode("cp1252"))
    (folder / "rows.csv").write_text("city,days\nUlm,28\n", encoding="utf-8")
    (folder / "data.xml").write_text("<r><a>First words.</a><b>Second words.</b></r>", encoding="utf-8")
    write_word(folder / "policy.docx")
    write_slides(folder / "deck.pptx")
    write_mail(folder / "lunch.eml")
    book = xlsxwriter.Workbook(folder / "book.xlsx")
    for name in ("Staff", "Doors"):
        sheet = book.add_worksheet(name)
        sheet.write_row(0, 0, [name.lower(), "number"])
        sheet.write_row(1, 0, ["x", 1])
    book.close()
    return folder


@pytest.fixture(scope="module")
def documents(files: Path) -> Iterator[dict[str, Document]]:
    loader = rag.Loader(files, engine="unstructured", workers=1)
    yield {document.metadata["source"]: document for document in loader.lazy_load()}
    assert loader.quarantined == []


def structure(document: Document) -> dict[str, Any]:
    return document.metadata[STRUCTURE]


def test_the_text_is_the_elements_texts_a_blank_line_apart(documents: dict[str, Document]) -> None:
    assert {name: document.page_content for name, document in documents.items()} == {
        "leave.md": "Leave\n\nStaff take 28 days.\n\nSickness\n\nTell your manager.\n\nby phone\n\nby mail\n\n"
                    "| city | days |\n| --- | --- |\n| Ulm | 28 |",
        "trips.html": "Trips\n\nBook early.\n\nTrains\n\nSecond class.\n\n"
                      "| to | cost |\n| --- | --- |\n| Ulm | 20 |",
        "notes.txt": "Café opens at eight.\n\nTea is free.",
        "rows.csv": "| city | days |\n| --- | --- |\n| Ulm | 28 |",
        "data.xml": "First words.\n\nSecond words.",
        "policy.docx": "Confidential\n\nPolicy\n\nEveryone locks the screen.\n\nBadges\n\nEveryone wears one.\n\n"
                       "| door | code |\n| --- | --- |\n| A\\|1 | 7 |",
        "deck.pptx": "Parking\n\nPark on level two.\n\nLunch\n\nEat at noon, please.",
        "lunch.eml": "We eat at noon.\n\nBring bread.",
        "book.xlsx": "| staff | number |\n| --- | --- |\n| x | 1 |\n\n| doors | number |\n| --- | --- |\n| x | 1 |",
    }  # fmt: skip


def test_titles_of_documents_are_headings_and_guesses_are_not(documents: dict[str, Document]) -> None:
    found = {}
    for name, document in documents.items():
        headings = structure(document)["headings"]
        assert all(document.page_content.startswith(title, at) for at, _, title in headings)
        found[name] = [(level, title) for _, level, title in headings]
    assert found == {
        "leave.md": [(1, "Leave"), (2, "Sickness")], "trips.html": [(1, "Trips"), (2, "Trains")],
        "policy.docx": [(1, "Policy"), (2, "Badges")], "deck.pptx": [(1, "Parking"), (1, "Lunch")],
        "notes.txt": [], "rows.csv": [], "data.xml": [], "lunch.eml": [], "book.xlsx": [],
    }  # fmt: skip


def test_slides_and_sheets_are_pages_and_an_empty_one_counts(documents: dict[str, Document]) -> None:
    deck, book = documents["deck.pptx"], documents["book.xlsx"]
    at = deck.page_content.index("Lunch")
    assert structure(deck)["pages"] == [0, at, at]
    assert structure(book)["pages"] == [0, book.page_content.index("| doors")]
    assert [structure(documents[name])["pages"] for name in ("leave.md", "policy.docx")] == [[], []]


def test_tables_begin_below_their_head_and_a_page_header_is_a_margin(documents: dict[str, Document]) -> None:
    policy = documents["policy.docx"]
    [(start, below, end)] = structure(policy)["tables"]
    assert policy.page_content[start:below] == "| door | code |\n| --- | --- |\n"
    assert policy.page_content[below:end] == "| A\\|1 | 7 |"
    [(start, end)] = structure(policy)["margins"]
    assert policy.page_content[start:end] == "Confidential"


def test_metadata_is_what_the_file_and_its_mail_say(documents: dict[str, Document]) -> None:
    leave, trips, lunch = (documents[name].metadata for name in ("leave.md", "trips.html", "lunch.eml"))
    assert (leave["region"], leave["title"]) == ("eu", "Leave")
    assert (trips["title"], trips["author"]) == ("Travel", "Ann")
    assert documents["notes.txt"].metadata["encoding"] == "cp1252"
    assert (lunch["title"], lunch["sender"], lunch["recipients"]) == (
        "Lunch", "Ann <ann@example.org>", ["bob@example.org"],
    )  # fmt: skip
    assert lunch["attachments"] == ["song.mp3"]
    assert structure(documents["lunch.eml"])["notes"] == [
        "the engine unstructured reads no attachments: song.mp3"
    ]


def test_an_index_cites_offsets_sections_and_pages_of_the_loaded_text(files: Path, tmp_path: Path) -> None:
    documents = {d.metadata["source"]: d for d in rag.Loader(files, engine="unstructured", workers=1).load()}
    report = rag.build(files, tmp_path / "ix", embedder="static", loader={"engine": "unstructured"})
    assert report.quarantined == ()
    index = rag.Index.open(tmp_path / "ix")
    for query, source, section, page in (
        ("wears badges", "policy.docx", ["Policy", "Badges"], None), ("eat at noon please", "deck.pptx", ["Lunch"], 3),
    ):  # fmt: skip
        hit = next(
            hit for hit in index.search(query, k=10) if hit.source == source and section == list(hit.section)
        )
        assert documents[source].page_content[hit.start : hit.end] == hit.text
        assert hit.page_start == page
    assert not any("Confidential" in hit.text for hit in index.search("confidential", k=50))


def test_what_it_cannot_read_offline_is_refused_with_the_setting_that_reads_it(tmp_path: Path) -> None:
    heads = {
        "a.pdf": b"%PDF-1.4",
        "b.odt": b"PK\x03\x04",
        "c.rst": b"x",
        "d.rtf": b"{\\rtf1}",
        "e.json": b"{}",
        "f.XLSB": b"PK\x03\x04",
    }
    for name, head in heads.items():
        (tmp_path / name).write_bytes(head + b" anything")
    loader = rag.Loader(tmp_path, engine="unstructured", workers=1)
    assert loader.load() == []
    reasons = {source: error.reason for source, error in loader.quarantined}
    assert reasons == {
        "a.pdf": "is a PDF, which unstructured reads only with torch and models that it downloads",
        **dict.fromkeys(("b.odt", "c.rst", "d.rtf", "e.json", "f.XLSB"), "is of a format that unstructured does not read offline"),
    }  # fmt: skip
    assert loader.quarantined[0][1].advice == (
        'let rag read it: engine = {"*.pdf" = "rag", "*" = "unstructured"} under [loader] in rag.toml'
    )


def test_damaged_old_and_locked_office_files_are_refused_as_by_our_parsers(
    tmp_path: Path, files: Path
) -> None:
    (tmp_path / "a.docx").write_bytes((files / "policy.docx").read_bytes()[:900])
    (tmp_path / "b.pptx").write_bytes(b"PK\x03\x04nonsense")
    reasons = {}
    for engine in ("rag", "unstructured"):
        loader = rag.Loader(tmp_path, engine=engine, workers=1)
        assert loader.load() == []
        reasons[engine] = [error.reason for _, error in loader.quarantined]
    assert reasons["unstructured"] == reasons["rag"]


def test_the_first_glob_that_matches_names_the_engine(files: Path, tmp_path: Path) -> None:
    settings = tmp_path / "rag.toml"
    settings.write_text(
        '[loader]\ninclude = ["*.md", "*.html"]\n[loader.engine]\n"*.md" = "rag"\n"*" = "unstructured"\n',
        encoding="utf-8",
    )
    loader = rag.Loader(files, include=["*.md", "*.html"], engine={"*.md": "rag", "*": "unstructured"})
    texts = {document.metadata["source"]: document.page_content for document in loader.load()}
    assert texts["leave.md"] == MARKDOWN and texts["trips.html"].startswith("Trips\n\nBook")
    done = python("-m", "rag", "build", files, tmp_path / "ix", "--config", settings, "--embedder", "static",
                  absent=(), folder=tmp_path)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = {
        hit.source: hit.text for hit in rag.Index.open(tmp_path / "ix").search("second class trains", k=20)
    }
    assert found["trips.html"].startswith("Trips") and set(found) == {"leave.md", "trips.html"}
    with pytest.raises(ConfigError, match="no engine 'unstructred': did you mean 'unstructured'"):
        Engines({"*": "unstructred"})


def test_another_engine_or_version_reads_only_its_files_again(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(engine: Any) -> Any:
        given = {"include": ["*.md", "*.html"], "engine": engine, "workers": 1}
        return rag.build(files, tmp_path / "ix", embedder="static", loader=given)

    assert build("rag").added == 2
    assert build({"*.html": "unstructured"}).changed == 1
    assert build({"trips.*": "unstructured"}).unchanged == 2
    assert Engines("unstructured").fingerprint("a.md") == [
        f"unstructured {version('unstructured')} adapter {engines._ADAPTER}"
    ]
    monkeypatch.setattr(engines, "version", lambda name: "99.0")
    again = build({"*.html": "unstructured"})
    assert (again.changed, again.unchanged, again.embedded) == (1, 1, 0)


#: Writes down every step towards a network that Python takes, in any process, and refuses it.
RECORDER = """
def record(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request", "socket.gethostbyname"):
        with open({path!r}, "a") as log:
            log.write(event + "\\n")
        raise PermissionError(event)

sys.addaudithook(record)
"""
CALLER = """
import sys
from pathlib import Path
from rag.loading.structure import Options

def parse(path: Path, data: bytes, options: Options) -> str:
    import socket
    try:
        socket.create_connection(("127.0.0.1", 9))
    except PermissionError as error:
        return f"refused: {error}"
    return "connected"
"""
#: Confined, a worker could not write it down.
LOAD = (
    "import sys, rag\n"
    "loader = rag.Loader(sys.argv[1], engine='unstructured', workers=1, parsers={'.call': 'caller:parse'}, "
    "limits={'confined': False})\n"
    "print(*sorted(d.metadata['source'] for d in loader.load()), *loader.quarantined)"
)


def test_no_file_makes_it_ask_for_a_network(files: Path, tmp_path: Path) -> None:
    log = tmp_path / "network.txt"
    hook = RECORDER.format(path=str(log))
    done = python("-c", LOAD, files, absent=(), folder=tmp_path, hook=hook)
    assert done.stdout.split() == sorted(path.name for path in files.iterdir())
    assert not log.exists()
    (tmp_path / "hook-" / "caller.py").write_text(CALLER, encoding="utf-8")  # the recorder works in a worker
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "x.call").write_text("x", encoding="utf-8")
    done = python("-c", LOAD, tmp_path / "calls", absent=(), folder=tmp_path, hook=hook)
    assert (done.stdout.split(), log.read_text().split()) == (["x.call"], ["socket.getaddrinfo"])


def test_a_library_that_wants_the_network_is_refused_while_a_file_is_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with unstructured_engine._sealed(), pytest.raises(LoadError, match="wants the network"):
            socket.create_connection(server.getsockname())
        socket.create_connection(server.getsockname()).close()
