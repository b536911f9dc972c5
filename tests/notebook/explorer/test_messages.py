"""What the browser sends is checked: nothing unknown, nothing too long, no path, no class."""

from __future__ import annotations

from typing import Any

import pytest

from rag.core.errors import UsageError
from rag.notebook.explorer.messages import Golden, Look, message_of, settings_of


def look(**settings: Any) -> dict[str, Any]:
    return {"do": "look", "side": "A", "serial": 3, "settings": settings}


def test_a_message_as_the_page_sends_it_is_read() -> None:
    rows = [{"field": "year", "op": ">=", "value": "2024", "upto": ""}]
    message = message_of(look(question="How long?", k=5, rows=rows, lexical_weight=0.5))
    assert isinstance(message, Look) and message.settings.rows is not None
    assert (message.settings.k, message.settings.rows[0].op, message.pay) == (5, ">=", False)
    golden = message_of({"do": "golden", "side": "B", "serial": 0, "evidence": [{"rank": 2, "quote": ""}]})
    assert isinstance(golden, Golden) and golden.evidence[0].rank == 2


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (None, "the message"), ("hello", "the message"), ([], "the message"), ({}, "the message"),
        ({"do": "run", "code": "1"}, "the message"), ({"do": "hello", "path": "/etc/passwd"}, "path"),
        (look(question="x" * 4001), "settings.question"), (look(where="x" * 20_001), "settings.where"),
        (look(k=0), "settings.k"), (look(k=10_000), "settings.k"), (look(k=True), "settings.k"), (look(k="5"), "settings.k"),
        (look(budget=-1), "settings.budget"), (look(mode="sql"), "settings.mode"), (look(unit="bytes"), "settings.unit"),
        (look(lexical_weight=float("nan")), "settings.lexical_weight"), (look(golden="/tmp/x"), "settings.golden"),
        (look(rows=[{"field": "a", "op": "=="}] * 31), "settings.rows"), (look(question="\ud800"), "settings.question"),
        ({"do": "golden", "side": "A", "serial": 0, "path": "x.jsonl"}, "path"),
        ({"do": "why", "side": "C", "serial": 0}, "side"), ({"do": "why", "side": "A", "serial": -1}, "serial"),
        ({"do": "why", "side": "A", "serial": 0, "rank": 0}, "rank"),
    ],
)  # fmt: skip
def test_any_other_message_is_refused_and_the_field_named(message: Any, named: str) -> None:
    with pytest.raises(UsageError) as refused:
        message_of(message)
    assert str(refused.value).startswith(f"{named}: ") and "\n" not in str(refused.value)


def test_settings_from_python_are_checked_alike() -> None:
    assert settings_of({"question": "a", "k": 3}).k == 3
    with pytest.raises(UsageError, match=r"^k: "):
        settings_of({"k": 0})
