"""Records find their display by name; a display that fails breaks nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import rich
from rich.console import Console

from rag.core.calls import Usage
from rag.core.displayable import Displayable
from rag.core.passages import Hit


class Unknown(Displayable):
    pass


def test_a_class_without_a_display_says_so_and_raises_nothing() -> None:
    assert repr(Unknown()) == "Unknown (cannot be displayed: LookupError)"
    assert Unknown()._repr_html_() == "Unknown (cannot be displayed: LookupError)"


def test_a_record_that_is_only_half_made_can_be_looked_at() -> None:
    assert repr(object.__new__(Hit)) == "Hit (cannot be displayed: AttributeError)"


def test_a_subclass_is_shown_as_its_base() -> None:
    class Mine(Usage):
        pass

    assert str(Mine(3, 4, cost_usd=0.5)) == "Usage: 3 tokens in, 4 out, $0.5000"


def test_jupyter_is_given_both_forms() -> None:
    usage = Usage(1200, 80, cost_usd=0.0016)
    bundle = usage._repr_mimebundle_()
    assert bundle == {"text/plain": str(usage), "text/html": usage._repr_html_()}
    assert bundle["text/plain"] == "Usage: 1,200 tokens in, 80 out, $0.0016"


def test_ipython_shows_the_text_and_the_html() -> None:
    formatter = pytest.importorskip("IPython.core.formatters").DisplayFormatter()
    data, _ = formatter.format(Usage(1, 2, cost_usd=0.5))
    assert data["text/plain"] == "Usage: 1 tokens in, 2 out, $0.5000"
    assert data["text/html"].startswith('<div class="rag')


def test_all_fields_are_in_rich_inspect(capsys: pytest.CaptureFixture[str]) -> None:
    hit = Hit("a.md", 0, 4, "Text", 1.0, doc_id="d7", chunk_id="c9")
    rich.inspect(hit, console=Console(width=120))
    out = capsys.readouterr().out
    assert all(part in out for part in ("doc_id = 'd7'", "chunk_id = 'c9'", "page_start = None"))


def test_records_load_no_display_until_they_are_shown() -> None:
    code = (
        "import sys; from rag.core.passages import Hit; hit = Hit('a.md', 0, 4, 'Text', 1.0); "
        "before = [m for m in sys.modules if m.startswith('rag.notebook')]; str(hit); "
        "print(before, 'rag.notebook.hits' in sys.modules, 'rag.notebook.indexes' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[] True False"
