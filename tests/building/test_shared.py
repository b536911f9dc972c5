"""Builds of the reference corpora; skipped where they are absent."""

from __future__ import annotations

from pathlib import Path

import pytest

import rag
from tests.scale import scale


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> tuple[rag.Index, Path]:
    shared = Path(__file__).parents[3] / "shared"
    if not shared.is_dir():
        pytest.skip("the reference data folder (../shared) is not here")
    path = tmp_path_factory.mktemp("corpora") / "ix"
    report = rag.build(shared / "corpora", path, embedder=scale("static", "local"))
    assert report.quarantined == ()
    assert report.files >= 335
    return rag.Index.open(path), shared


@pytest.mark.parametrize(
    ("question", "pages"),
    [
        ("Who can declare a major incident?", {
            "incident-response/training/courses/incident_response.md", "incident-response/before/what_is_an_incident.md",
            "incident-response/during/during_an_incident.md", "incident-response/before/severity_levels.md",
        }),
        ("how long do memorized secrets need to be", {"digital-identity/sp800-63b/sec5_authenticators.md"}),
        ("what is expected of me the first week on call", {"incident-response/oncall/being_oncall.md"}),
        ("Can I accept a gift from a contractor?", {"handbook/training-and-development/external-speaking-request-playbook.md"}),
    ],
)  # fmt: skip
def test_the_right_page_is_among_the_first_hits(
    corpora: tuple[rag.Index, Path], question: str, pages: set[str]
) -> None:
    index, _ = corpora
    assert {hit.source for hit in index.search(question, k=scale(8, 3))} & pages


def test_a_second_build_embeds_nothing(corpora: tuple[rag.Index, Path]) -> None:
    index, shared = corpora
    report = rag.build(shared / "corpora", index.path)
    assert (report.embedded, report.changed, report.added, report.version) == (0, 0, 0, 1)


def test_offsets_hold_in_the_files_themselves(corpora: tuple[rag.Index, Path]) -> None:
    index, shared = corpora
    for query in ("incident", "authenticator", "travel"):
        for hit in index.search(query, k=60):
            with (shared / "corpora" / hit.source).open(encoding="utf-8", newline="") as file:
                assert file.read()[hit.start : hit.end] == hit.text


def test_known_bad_files_are_quarantined_with_a_reason_and_stop_nothing(shared: Path, tmp_path: Path) -> None:
    report = rag.build(shared / "files", tmp_path / "ix", embedder="static")
    assert report.files + len(report.quarantined) == report.added
    assert report.files >= 60
    reasons = {item.source: item.reason for item in report.quarantined}
    assert reasons["pdf/r4-user-password.pdf"] == "needs a password"
    assert reasons["pdf/bitmap-symbol-textbottomright.pdf"].startswith("holds no text")
    assert "not a readable PDF" in reasons["pdf/poppler-742-0-fuzzed.pdf"]
    assert all(item.reason and item.advice for item in report.quarantined)
