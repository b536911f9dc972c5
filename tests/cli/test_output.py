"""What is printed for a person: a terminal obeys nothing that a document holds."""

from __future__ import annotations

import pytest

from rag.cli import output
from rag.core.files import Quarantined


def test_control_characters_are_drawn_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("a\x1b]0;owned\x07b\x9b31m\nc\x00")
    assert capsys.readouterr().out == "a\ufffd]0;ownedb\ufffd31m\nc\ufffd\n"


def test_names_of_files_are_text_too(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_warnings((), [Quarantined("a\x1b[2J.pdf", "is damaged", "repair it")])
    assert capsys.readouterr().err == "quarantined: a\ufffd[2J.pdf is damaged; repair it\n"


def test_styles_stay_where_they_were() -> None:
    text = output.Text.assemble(("a\x1b", "bold"), "b")
    output._OUT.print(text)
    assert [(span.start, span.end) for span in text.spans] == [(0, 2)]
