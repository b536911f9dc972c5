"""What differs between two sides."""

from __future__ import annotations

from rag.core.passages import Context, Hit
from rag.notebook.explorer.compare import differences


def hit(source: str, start: int = 0, end: int = 10) -> Hit:
    return Hit(source, start, end, "x" * (end - start), 1.0)


def context(*hits: Hit) -> Context:
    return Context(hits, 1, 2, "chars")


def test_each_hit_says_where_the_other_side_has_it() -> None:
    found = differences([hit("a"), hit("b"), hit("c")], [hit("a"), hit("c"), hit("d"), hit("e")])
    assert found.a == ("same rank in B", "only in A", "rank 2 in B")
    assert found.b == ("same rank in A", "rank 3 in A", "only in B", "only in B")
    assert found.summary == "2 of 4 hits in both"


def test_contexts_share_characters_of_the_same_documents() -> None:
    a, b = context(hit("a", 0, 100), hit("b", 0, 100)), context(hit("a", 50, 150), hit("c", 0, 50))
    assert (
        differences([], [], a, b).summary == "0 of 0 hits in both; the contexts share 25% of their characters"
    )
    assert differences([], [], a, a).summary.endswith("100% of their characters")
