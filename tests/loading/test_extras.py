"""A lean install names the extra that it lacks, and reads what it could not once the extra is there."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from email.message import EmailMessage
from importlib.metadata import packages_distributions
from pathlib import Path

import docx
import msoffcrypto.format.ooxml
import pptx
import pytest
import xlsxwriter
from packaging.requirements import Requirement

import rag
from rag.core.errors import LoadError, MissingExtraError, UsageError
from rag.core.extras import can_be_read_now, ensure, installed, require
from rag.loading.formats.archive import OLE
from tests.loading.absent import ROOT, python
from tests.loading.files import zipped

OFFICE = ("python_calamine", "olefile", "msoffcrypto")
INSTALL = "pip install 'bedrock-rag[office]'"


#: The outline of a workbook in the binary format, which only the extra reads.
XLSB = {
    "_rels/.rels": '<Relationships><Relationship Id="a" Type="x/officeDocument" Target="xl/workbook.bin"/></Relationships>',
    "xl/workbook.bin": "",
}


def word(path: Path, text: str) -> None:
    document = docx.Document()
    document.add_paragraph(text)
    document.save(str(path))


@pytest.fixture
def office(tmp_path: Path) -> Path:
    """Files that the extra is needed for, one that a password opens, and others."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "plain.md").write_text("Staff take 28 days of leave.\n", encoding="utf-8")
    word(folder / "word.docx", "Bicycles are kept in the cellar.")
    word(tmp_path / "open.docx", "The espresso machine is descaled on Mondays.")
    with (tmp_path / "open.docx").open("rb") as source, (folder / "secret.docx").open("wb") as sink:
        msoffcrypto.format.ooxml.OOXMLFile(source).encrypt("key", sink)
    deck = pptx.Presentation()
    deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = "Parking rules"
    deck.save(str(folder / "slides.pptx"))
    book = xlsxwriter.Workbook(folder / "sheet.xlsx")
    book.add_worksheet().write_row(0, 0, ["city", "badges"])
    book.close()
    (folder / "sheet.xlsb").write_bytes(zipped(XLSB))
    (folder / "mail.msg").write_bytes(OLE + bytes(504))
    (folder / "locked.xls").write_bytes(OLE + bytes(504))
    return folder


def build(folder: Path, index: Path, *, absent: tuple[str, ...] = ()) -> tuple[int, dict, str]:
    done = python("-m", "rag", "build", folder, index, "--embedder", "static", "--json",
                  absent=absent, folder=index.parent)  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_files_of_an_absent_extra_are_quarantined_with_the_line_that_installs_it(
    office: Path, tmp_path: Path
) -> None:
    code, report, stderr = build(office, tmp_path / "ix", absent=OFFICE)
    assert (code, report["files"]) == (3, 4)
    needed = {"secret.docx": "msoffcrypto", "sheet.xlsb": "python_calamine", "mail.msg": "olefile",
              "locked.xls": "msoffcrypto"}  # fmt: skip
    assert {row["source"]: (row["reason"], row["advice"]) for row in report["quarantined"]} == {
        name: (f"needs the Python module {module}, which is not installed", INSTALL)
        for name, module in needed.items()
    }
    assert f"sheet.xlsb needs the Python module python_calamine, which is not installed; {INSTALL}" in stderr
    code, again, _ = build(office, tmp_path / "ix", absent=OFFICE)
    assert (code, again["version"], again["unchanged"], len(again["quarantined"])) == (3, 1, 8, 4)


def test_an_encrypted_file_names_the_extra_where_only_the_decrypter_is_absent(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("Words.\n", encoding="utf-8")
    (folder / "locked.docx").write_bytes(OLE + bytes(504))
    _, report, _ = build(folder, tmp_path / "ix", absent=("msoffcrypto",))
    [row] = report["quarantined"]
    assert row["reason"] == "needs the Python module msoffcrypto, which is not installed"


def test_the_next_build_reads_them_once_the_extra_is_there_and_they_stay_when_it_goes(
    office: Path, tmp_path: Path
) -> None:
    index = tmp_path / "ix"
    build(office, index, absent=OFFICE)
    report = rag.build(office, index, loader={"passwords": {"secret.*": "key"}})
    assert (report.version, report.files) == (2, 5)
    # No mail and no workbooks:
    assert {row.source for row in report.quarantined} == {"mail.msg", "locked.xls", "sheet.xlsb"}
    assert rag.Index.open(index).search("espresso machine")[0].source == "secret.docx"
    _, last, _ = build(office, index, absent=OFFICE)
    assert (last["version"], last["files"], last["embedded"]) == (2, 5, 0)


def test_a_mail_is_read_and_its_attachment_named_with_the_extra(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ann@example.org", "bob@example.org", "Lunch"
    mail.set_content("We eat at noon.")
    mail.add_attachment(zipped(XLSB), maintype="application", subtype="octet-stream", filename="badges.xlsb")
    (folder / "lunch.eml").write_bytes(mail.as_bytes())
    code, report, _ = build(folder, tmp_path / "ix", absent=OFFICE)
    assert (code, report["files"]) == (0, 1)
    assert report["notes"] == [
        "lunch.eml: its attachment 'badges.xlsb' needs the Python module python_calamine, which is not installed "
        f"({INSTALL}, and build with --rebuild): not read"
    ]


def test_ocr_without_its_extra_is_refused_before_anything_is_read(office: Path, tmp_path: Path) -> None:
    done = python("-m", "rag", "build", office, tmp_path / "ix", "--ocr", "os:getcwd",
                  absent=("PIL",), folder=tmp_path)  # fmt: skip
    line = "rag: needs the Python module PIL, which is not installed: pip install 'bedrock-rag[ocr]'"
    assert (done.returncode, done.stderr.splitlines()) == (2, [line])
    assert not (tmp_path / "ix").exists()


def test_an_engine_without_its_extra_is_refused_before_anything_is_read(office: Path, tmp_path: Path) -> None:
    settings = tmp_path / "rag.toml"
    settings.write_text('[loader]\nengine = "unstructured"\n', encoding="utf-8")
    done = python("-m", "rag", "build", office, tmp_path / "ix", "--config", settings,
                  absent=("unstructured",), folder=tmp_path)  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        ["rag: needs the Python module unstructured, which is not installed: "
         "pip install 'bedrock-rag[unstructured]'"],
    )  # fmt: skip


def test_a_sweep_without_plots_keeps_its_figures_and_names_the_extra(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    text = "# Leave\n\nStaff take 28 days of leave.\n\n# Pay\n\nPay comes on the 25th of each month.\n"
    (folder / "a.md").write_text(text, encoding="utf-8")
    start = text.index("Pay comes")
    row = {"id": "1", "question": "When does pay come?",
           "evidence": [{"source": "a.md", "start": start, "end": start + 20}]}  # fmt: skip
    (tmp_path / "q.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    command = ("-m", "rag", "sweep", folder, tmp_path / "q.jsonl", tmp_path / "sw",
               "--set", "chunker.max_tokens=24,48", "--config", tmp_path / "rag.toml")  # fmt: skip
    (tmp_path / "rag.toml").write_text('embedder = "static"\n', encoding="utf-8")
    line = "sweep.png was not drawn: needs the Python module matplotlib, which is not installed: "
    done = python(*command, absent=("matplotlib",), folder=tmp_path)
    assert done.returncode == 0
    assert line + "pip install 'bedrock-rag[plots]'" in " ".join((done.stdout + done.stderr).split())
    written = (tmp_path / "sw" / "sweep.md").read_text(encoding="utf-8")
    assert line in written and "sweep.png)" not in written
    assert sorted(path.name for path in (tmp_path / "sw").glob("sweep.*")) == ["sweep.json", "sweep.md"]
    assert python(*command, absent=(), folder=tmp_path).returncode == 0
    assert (tmp_path / "sw" / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert "(sweep.png)" in (tmp_path / "sw" / "sweep.md").read_text(encoding="utf-8")


def test_a_module_is_imported_or_its_extra_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert require("msoffcrypto.format.ooxml", extra="office").OOXMLFile.__name__ == "OOXMLFile"
    with pytest.raises(MissingExtraError) as absent:
        require("no_such_module.part", extra="office")
    assert str(absent.value) == (
        "needs the Python module no_such_module, which is not installed: pip install 'bedrock-rag[office]'"
    )
    assert isinstance(absent.value, UsageError) and not isinstance(absent.value, LoadError)
    with pytest.raises(MissingExtraError, match="no_such_module"):
        ensure("no_such_module", extra="plots")
    ensure("olefile", extra="office")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needs_more.py").write_text("import no_such_part\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text(
        "raise ImportError('libx.so is of another machine')\n", encoding="utf-8"
    )
    with pytest.raises(MissingExtraError, match="module no_such_part, "):
        require("needs_more", extra="office")
    with pytest.raises(ImportError, match="another machine"):
        require("broken", extra="office")
    assert "broken" not in sys.modules
    assert installed("broken") and not installed("no_such_module.part")


@pytest.mark.parametrize(
    ("reason", "now"),
    [
        ("needs the Python module olefile, which is not installed", True),
        ("needs the Python module no_such_module, which is not installed", False),
        ("needs a password", False),
        ("is empty (0 bytes)", False),
    ],
)
def test_only_a_missing_module_that_has_come_is_a_reason_to_read_again(reason: str, now: bool) -> None:
    assert can_be_read_now(reason) is now


def test_every_module_that_the_code_requires_comes_with_the_extra_that_it_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def packages(rows: list[str]) -> set[str]:
        return {Requirement(row).name.lower().replace("_", "-") for row in rows}

    extras = {name: packages(rows) for name, rows in project["optional-dependencies"].items()}
    extras["unstructured"] |= {"spacy", "python-oxmsg"}  # dependencies of unstructured itself
    call = re.compile(r"\b(?:require|ensure)\(\s*f?\"([\w.]+)[^\"]*\", extra=\"(\w+)\"\)")
    found = {
        (match[1].split(".")[0], match[2])
        for path in (ROOT / "rag").rglob("*.py") for match in call.finditer(path.read_text(encoding="utf-8"))
    }  # fmt: skip
    assert {extra for _, extra in found} == {
        "lambda", "mcp", "notebook", "ocr", "office", "otel", "plots", "redis", "serve", "telemetry", "unstructured",
    }  # fmt: skip
    for module, extra in found:
        distributions = {name.lower().replace("_", "-") for name in packages_distributions()[module]}
        assert distributions & extras[extra], (module, extra)
        assert not distributions & packages(project["dependencies"]), module
    [everything] = map(Requirement, project["optional-dependencies"]["all"])
    assert everything.extras >= {extra for _, extra in found}
