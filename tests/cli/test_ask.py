"""`rag ask --tag` labels a question's calls in the ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

import rag
from rag.cli.main import cli
from rag.core.errors import ConfigError
from rag.emulator import Behaviour, Emulator
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


class Leave(BaseModel):
    """How much leave there is."""

    days: int


def data_command(index: Path, *options: str) -> list[str]:
    return ["ask", str(index), "How many days of annual leave in Europe?", "--generator", "claude", *options]


def test_a_schema_prints_the_data_as_json(bedrock_emulator: Emulator, folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "ix"
    rag.build(folder, index, embedder="static")
    (tmp_path / "leave.json").write_text(json.dumps(Leave.model_json_schema()))
    quotes = [{"field": "days", "document": 1, "quote": "28 days of holidays"}]
    bedrock_emulator.behaviour = Behaviour(
        reply=json.dumps({"data": {"days": 28}, "quotes": quotes, "missing": ""})
    )
    for schema in (str(tmp_path / "leave.json"), f"{__name__}:Leave"):
        done = CliRunner().invoke(
            cli, data_command(index, "--schema", schema), standalone_mode=False, catch_exceptions=False
        )
        assert json.loads(done.stdout) == {"days": 28}
        assert "days: its quote is not in the context" in done.stderr


@pytest.mark.parametrize(
    ("schema", "match"), [("none.json", "cannot read none.json"), ("math:sqtr", "did you mean 'sqrt'")]
)
def test_a_wrong_schema_is_refused(folder: Path, tmp_path: Path, schema: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        CliRunner().invoke(
            cli,
            data_command(tmp_path / "ix", "--schema", schema),
            standalone_mode=False,
            catch_exceptions=False,
        )
