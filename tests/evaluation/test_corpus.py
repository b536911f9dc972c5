"""Documents rebuilt from chunks, and copies of evidence."""

from __future__ import annotations

from pathlib import Path

import rag
from rag.core.passages import Hit
from rag.evaluation import Span, evaluate, read
from rag.evaluation.corpus import copies
from rag.index.texts import assemble
from tests.evaluation.conftest import LEAVE, docs


def test_verbatim_copy_counts_with_copies(tmp_path: Path) -> None:
    pipe = docs(tmp_path, a=f"# A\n\n{LEAVE}\n", b=f"# Rules\n\nNo dogs.\n\n{LEAVE}\n")
    row = {"id": 1, "question": "annual leave", "evidence": [{"source": "a.md", "start": 5, "end": 60}],
           "where": "source == 'b.md'"}  # fmt: skip
    assert evaluate(pipe, [row]).metrics["recall"].mean == 0.0
    assert evaluate(pipe, [row], copies=True).metrics["recall"].mean == 1.0
    places, unknown = copies(pipe.index, read([row]))
    assert places == {Span("a.md", 5, 60): (Span("b.md", 19, 74),)}
    assert unknown == 0


def test_chunks_join_across_known_gaps_only() -> None:
    def hit(start: int, text: str, gap: str | None = None) -> Hit:
        return Hit("a", start, start + len(text), text, 0.0, gap=gap)

    assert assemble([hit(6, "two"), hit(0, "one. ", " ")]) == {"a": [(0, "one.  two")]}
    assert assemble([hit(0, "one"), hit(9, "two")]) == {"a": [(0, "one"), (9, "two")]}
    assert assemble([hit(0, "abcdef"), hit(2, "cd"), hit(4, "efgh"), hit(8, "i")]) == {
        "a": [(0, "abcdefghi")]
    }


def test_assembled_texts_equal_the_documents(
    pipe: rag.Pipeline, handbook_index: rag.Index, handbook_texts: dict[str, str]
) -> None:
    for index in (pipe.index, handbook_index):
        assembled = assemble(index.scan())
        assert assembled.keys() == handbook_texts.keys()
        for source, pieces in assembled.items():
            for start, text in pieces:
                assert handbook_texts[source][start : start + len(text)] == text
            ends = [start + len(text) for start, text in pieces]
            assert all(end <= start for end, (start, _) in zip(ends, pieces[1:], strict=False))
