"""Builds in words: changes, quarantine by remedy, tokens, dollars, times."""

from __future__ import annotations

from rag.building.report import BuildPlan, BuildReport
from rag.core.files import Quarantined
from tests.notebook.objects import markup

SCANS = tuple(Quarantined(f"scan{n}.pdf", "has no text", "set ocr to read scanned pages") for n in range(30))
LOCKED = Quarantined("pay.docx", "is protected by a password", "give its password in passwords")
PLAN = BuildPlan(
    "docs", "ix", "titan", added=3, changed=1, removed=0, renamed=0, unchanged=1200, chunks=2358, texts=3064,
    tokens=123456, cost_usd=0.0025, minutes=1.5, quarantined=(LOCKED, *SCANS), notes=("prices are old",),
)  # fmt: skip
REPORT = BuildReport(
    "ix",
    2,
    1204,
    2358,
    3,
    1,
    0,
    0,
    1200,
    412,
    {"load": 0.17, "embed": 6.3, "total": 7.46},
    (LOCKED,),
    held=True,
)


def test_a_plan_says_what_it_would_cost() -> None:
    assert str(PLAN).splitlines()[:6] == [
        "Plan of a build: docs -> ix", "  files     3 added, 1 changed, 1,200 unchanged",
        "  to embed  2,358 chunks; with headings 3,064 texts, about 123,456 tokens",
        "  embedder  titan", "  cost      $0.0025", "  time      about 1 min 30 s",
    ]  # fmt: skip


def test_quarantine_is_grouped_by_what_to_do() -> None:
    assert str(PLAN).splitlines()[6:] == [
        "  quarantine: 31 files", "    30 files: set ocr to read scanned pages", "      scan0.pdf has no text",
        "      scan1.pdf has no text", "      scan2.pdf has no text", "      … 27 more",
        "    1 file: give its password in passwords", "      pay.docx is protected by a password",
        "  note: prices are old",
    ]  # fmt: skip
    html = PLAN._repr_html_()
    assert "<summary>30 files: set ocr to read scanned pages</summary>" in html
    assert "… 10 more files: .quarantined" in html and "scan19.pdf" in html and "scan20.pdf" not in html


def test_a_report_says_what_was_done_and_how_long_it_took() -> None:
    assert str(REPORT).splitlines()[1:6] == [
        "  version   2, held back: `rag promote` makes it current", "  holds     1,204 files, 2,358 chunks",
        "  files     3 added, 1 changed, 1,200 unchanged", "  embedded  412 texts; the other vectors were known",
        "  time      7.5 s: load 170 ms, embed 6.3 s",
    ]  # fmt: skip
    text = markup(REPORT._repr_html_()).text
    assert "1,204 files, 2,358 chunks" in text and "quarantine: 1 file" in text


def test_a_build_of_nothing_new() -> None:
    nothing = BuildPlan("docs", "ix", "local", 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0)
    assert str(nothing).splitlines() == [
        "Plan of a build: docs -> ix", "  files     none", "  to embed  nothing", "  embedder  local",
        "  cost      free, on this machine",
    ]  # fmt: skip
    unknown = BuildPlan("docs", "ix", "mine", 1, 0, 0, 0, 0, 1, 1, 9, None, 0.0)
    assert "no known price" in str(unknown) and "no known price" in unknown._repr_html_()
