"""The public API is what tests/public_api.txt says, down to defaults and types."""

from __future__ import annotations

import difflib

import rag
from tests.pin_api import PINNED, lines


def test_the_public_api_is_as_pinned() -> None:
    pinned = PINNED.read_text(encoding="utf-8").splitlines()
    changes = "\n".join(difflib.unified_diff(pinned, list(lines()), "pinned", "now", lineterm="", n=0))
    assert not changes, f"the public API changed; if that is meant, run python -m tests.pin_api:\n{changes}"


def test_every_public_name_is_pinned_with_its_parameters() -> None:
    pinned = PINNED.read_text(encoding="utf-8")
    for name in rag.__all__:
        assert f"\nclass {name}" in f"\n{pinned}" or f"\ndef {name}(" in f"\n{pinned}"
    assert "    def ask(self, question: str, *, tag: str | None = None, **options: Any) -> Answer\n" in pinned
    assert "    budget: int = 4000\n" in pinned
    assert " at 0x" not in pinned
