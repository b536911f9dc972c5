"""An explanation is a funnel that ends where the passage was lost."""

from __future__ import annotations

import re

from rag.core.passages import Hit
from rag.retrieval.explain import Explanation

HIT = Hit("leave.md", 0, 29, "Staff in Europe take 28 days.", 0.0)
RANKS = {"dense": 4, "lexical": None, "hybrid": 1400}


def stages(explanation: Explanation) -> list[tuple[str, str]]:
    return re.findall(r'<li class="(passed|lost|skipped)"[^>]*><strong>(\w+)<', explanation._repr_html_())


def test_stages_behind_the_loss_are_not_reached() -> None:
    lost = Explanation("leave?", "28 days", "retriever", "it ranks 1400", ("-k 1400",), (HIT,), RANKS, 2154)
    assert stages(lost) == [
        ("passed", "index"), ("passed", "filter"), ("lost", "retriever"), ("skipped", "trimmer"),
    ]  # fmt: skip
    assert str(lost).splitlines() == [
        "retriever: it ranks 1400", "  + index     1 chunk with it", "  + filter    2,154 chunks match it",
        "  x retriever rank dense 4, lexical none, hybrid 1,400", "  It would have been retrieved by -k 1400",
        "  leave.md: Staff in Europe take 28 days.",
    ]  # fmt: skip


def test_what_was_kept_passed_them_all() -> None:
    kept = Explanation("leave?", "28 days", "kept", "it is in the context", (), (HIT,), RANKS, 9, 1.0)
    assert {kind for kind, _ in stages(kept)} == {"passed"}
    assert "100% of it is in the context" in kept._repr_html_() and '<p class="good">' in kept._repr_html_()


def test_what_was_never_loaded_passed_none() -> None:
    for stage in ("not loaded", "quarantined"):
        missing = Explanation("leave?", "x.pdf", stage, "x.pdf is in quarantine", ("set ocr",))
        assert [kind for kind, _ in stages(missing)] == ["lost", "skipped", "skipped", "skipped"]
        assert "Try: set ocr" in str(missing)


def test_many_chunks_are_counted() -> None:
    many = Explanation("leave?", "a.md", "trimmer", "no room", (), (HIT,) * 45, RANKS, 9)
    assert "45 chunks with it" in many._repr_html_()
    assert "… 40 more chunks: explanation.chunks" in many._repr_html_()
    assert str(many).endswith("… 42 more chunks: explanation.chunks")
