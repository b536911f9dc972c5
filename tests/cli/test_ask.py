"""`rag ask --tag` labels a question's calls in the ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import rag
from rag.cli.main import cli
from rag.emulator import Emulator
from rag.usage.ledger import Ledger


@pytest.mark.parametrize(("options", "tag"), [(["--tag", "onboarding"], "onboarding"), ([], "")])
def test_a_tag_is_recorded_with_the_calls(
    bedrock_emulator: Emulator, folder: Path, tmp_path: Path, options: list[str], tag: str
) -> None:
    index = tmp_path / "ix"
    rag.build(folder, index, embedder="static")
    question = "How many days of annual leave in Europe?"
    command = ["ask", str(index), question, "--generator", "claude", "--json", *options]
    done = CliRunner().invoke(cli, command, standalone_mode=False, catch_exceptions=False)
    assert json.loads(done.stdout)["answered"]
    [row] = Ledger(index / "ledger.sqlite").rows(("tag", "purpose"))
    assert (row.group, row.calls) == ((tag, "generate"), 1)
