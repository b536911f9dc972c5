"""Tables of texts: read, shown to a guardrail here and on Bedrock, compared, and paid for."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from rag.bedrock.control.guardrails import GuardrailControl
from rag.bedrock.guardrails.cases import Case, read
from rag.bedrock.guardrails.outcome import difference, outcome
from rag.bedrock.guardrails.parse import parse
from rag.bedrock.guardrails.plan import apply, plan
from rag.bedrock.guardrails.runtime import BedrockGuardrail, results_of
from rag.bedrock.guardrails.wire import arguments
from rag.core.errors import BudgetError, ConfigError, RagError
from rag.emulator import Emulator
from rag.emulator.guardrails.offline import OfflineGuardrail
from rag.usage.budget import Budget
from rag.usage.ledger import Ledger
from rag.usage.meter import Meter
from rag.usage.prices import BUILT_IN, PriceTable
from tests.conftest import ROOT

SETTINGS = parse({
    "blocked_input": "Not that question.", "blocked_output": "Not that answer.",
    "topics": [{"name": "Salaries", "definition": "The pay of employees.", "examples": ["What does Anna earn?"]}],
    "pii": {"email": "mask", "url": "detect", "us_social_security_number": "block"},
    "words": {"block": ["project falcon"]}, "grounding": {"grounding": 0.7},
}, "support.toml", "support")  # fmt: skip
TABLE = """
[[cases]]
text = "What is the salary of Anna?"
expect = "blocked"
by = "topics.Salaries"

[[cases]]
text = "What of Project Falcon?"
expect = "blocked"
by = ["words.project falcon"]

[[cases]]
text = "Write to ada@acme.com."
source = "output"
expect = "masked"
masked = "Write to {EMAIL}."
by = "pii.email"

[[cases]]
text = "See https://acme.com/a."
expect = "pass"
by = "pii.url"

[[cases]]
text = "Backups run every night at three."
source = "output"
grounding_source = "Backups run every night at two."
query = "When do backups run?"
expect = "blocked"
by = "grounding"
"""


def cases(tmp_path: Path, text: str = TABLE, name: str = "table.toml") -> list[Case]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read(path, SETTINGS)


def meter(tmp_path: Path, **budget: Any) -> Meter:
    return Meter(Ledger(tmp_path / "ledger.sqlite"), Budget(**budget), "guardrails")


@pytest.fixture
def on_bedrock(emulator: Emulator, tmp_path: Path) -> Any:
    control = GuardrailControl()
    done = apply(SETTINGS, plan(SETTINGS, control), control)

    def made(**budget: Any) -> BedrockGuardrail:
        return BedrockGuardrail(done.id, done.version, arguments(SETTINGS), meter(tmp_path, **budget))

    return made


def test_both_engines_do_what_is_expected(tmp_path: Path, on_bedrock: Any) -> None:
    here = list(results_of(cases(tmp_path), OfflineGuardrail(arguments(SETTINGS))))
    there = list(results_of(cases(tmp_path), on_bedrock()))
    assert [result.wrong for result in here] == [""] * 5
    assert here == there
    assert [str(each) for result in here for each in result.came.found] == [
        "topics.Salaries", "words.project falcon", "pii.email", "pii.url (detected)", "grounding.grounding",
    ]  # fmt: skip


def test_the_readmes_table_fits_the_readmes_guardrail(tmp_path: Path) -> None:
    text = (ROOT / "rag" / "bedrock" / "guardrails" / "README.md").read_text(encoding="utf-8")
    _, file, table, prices = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    settings = parse(tomllib.loads(file), "support.toml", "support")
    (tmp_path / "table.toml").write_text(table, encoding="utf-8")
    found = results_of(read(tmp_path / "table.toml", settings), OfflineGuardrail(arguments(settings)))
    assert [result.wrong for result in found] == [""] * 4
    written = tomllib.loads(prices)["prices"]
    assert PriceTable.from_settings(written).guardrails == BUILT_IN.guardrails


def test_json_lines_are_a_table(tmp_path: Path) -> None:
    lines = [{"text": "a\u2028b", "expect": "pass"}, {"text": "ada@acme.com", "expect": "masked"}]
    text = "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    assert [case.text for case in cases(tmp_path, text, "table.jsonl")] == ["a\u2028b", "ada@acme.com"]
    with pytest.raises(ConfigError, match=r"table.jsonl:2 is not JSON"):
        cases(tmp_path, '{"text": "a", "expect": "pass"}\n{', "table.jsonl")


def case(**settings: Any) -> Case:
    return Case(**{"text": "x", "expect": "masked", **settings})


@pytest.mark.parametrize(
    ("expected", "wrong"),
    [
        ({}, ""),
        ({"expect": "pass"}, "pass was expected"),
        ({"expect": "blocked", "by": "pii"}, "blocked was expected"),
        ({"masked": "Write to {EMAIL}."}, ""),
        ({"masked": "Write to {MAIL}."}, "'Write to {MAIL}.' was expected"),
        ({"by": "pii"}, ""), ({"by": "pii.email"}, ""), ({"by": "pii.EMAIL"}, ""),
        ({"by": ["pii.email", "regexes.CASE"]}, "by regexes.CASE was expected"),
        ({"by": "pi"}, "by pi was expected"),
    ],
    ids=str,
)  # fmt: skip
def test_differences_are_named(expected: dict[str, Any], wrong: str) -> None:
    entity = {"type": "EMAIL", "match": "a@b.de", "action": "ANONYMIZED", "detected": True}
    reply = {
        "action": "GUARDRAIL_INTERVENED", "outputs": [{"text": "Write to {EMAIL}."}], "usage": {},
        "assessments": [{"sensitiveInformationPolicy": {"piiEntities": [entity], "regexes": []}}],
    }  # fmt: skip
    assert difference(case(**expected), outcome(reply)) == wrong


def test_an_intervention_for_an_unknown_reason_counts_as_blocked() -> None:
    reply = {"action": "GUARDRAIL_INTERVENED", "outputs": [{"text": "No."}], "usage": {}, "assessments": [{}]}
    assert (outcome(reply).did, outcome(reply).text) == ("blocked", "No.")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('expect = "blockd"', "case 1's expect: it is 'blockd': did you mean 'blocked'?"),
        ('expct = "pass"', "case 1 has no setting 'expct': did you mean 'expect'?"),
        ('expect = "pass"\nsource = "prompt"', "case 1's source: it is 'prompt'"),
        ('expect = "blocked"\nby = "topic"', "by names no policy 'topic': did you mean 'topics'?"),
        ('expect = "blocked"\nby = "topics.Salary"', "the guardrail has no 'topics.Salary': there is: Salaries"),
        ('expect = "blocked"\nby = "pii.phone"', "the guardrail has no 'pii.phone'"),
        ('expect = "blocked"\nby = 3', "case 1's by: it is a text or a list of texts, not 3"),
        ('expect = "pass"\nmasked = "x"', 'masked goes with expect = "masked"'),
        ('expect = "pass"\nquery = "x"', "grounding is tested with grounding_source, query and source"),
        ("", "case 1 lacks expect"),
    ],
    ids=["expect", "setting", "source", "policy", "topic", "pii", "by", "masked", "grounding", "missing"],
)  # fmt: skip
def test_mistakes_in_tables_are_named(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        cases(tmp_path, f'[[cases]]\ntext = "x"\n{lines}')
    assert message in str(error.value) and str(tmp_path / "table.toml") in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"), [("", "has no cases"), ("[[case]]", "did you mean 'cases'"), ("= 1", "is not TOML")]
)
def test_a_table_has_cases(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cases(tmp_path, text)
    with pytest.raises(ConfigError, match="cannot read the table"):
        read(tmp_path / "none.toml", SETTINGS)


def test_calls_are_in_the_ledger(tmp_path: Path, on_bedrock: Any) -> None:
    guardrail, table = on_bedrock(stop_usd=1.0), cases(tmp_path)
    most = [guardrail.most_usd(each.way, each.blocks()) for each in table]
    # By hand: a unit of topics (0.00015) and of PII (0.0001) each; the last has three of grounding, too.
    assert most == pytest.approx([0.00025] * 4 + [0.00055])
    list(results_of(table, guardrail))
    (row,) = Ledger(tmp_path / "ledger.sqlite").rows(("model", "purpose"))
    assert row.group == (guardrail.name, "guardrail")
    assert (row.calls, row.usd) == (5, pytest.approx(0.00155))


def test_a_budget_refuses_a_call(emulator: Emulator, tmp_path: Path, on_bedrock: Any) -> None:
    guardrail = on_bedrock(stop_usd=0.0006)
    with pytest.raises(BudgetError, match="above stop_usd"):
        list(results_of(cases(tmp_path), guardrail))
    assert emulator.counts["ApplyGuardrail"] == 2


def test_a_failed_call_costs_nothing(emulator: Emulator, tmp_path: Path, on_bedrock: Any) -> None:
    guardrail = on_bedrock(stop_usd=1.0)
    emulator.fail_next("AccessDeniedException")
    with pytest.raises(RagError, match="allow bedrock:ApplyGuardrail on the guardrail"):
        list(results_of(cases(tmp_path), guardrail))
    assert Ledger(tmp_path / "ledger.sqlite").spent() == 0.0


def test_what_is_not_detected_here_is_said() -> None:
    guardrail = parse(
        {"blocked_input": "a", "blocked_output": "b", "pii": {"name": "mask", "email": "mask"}}, "a.toml", "a"
    )
    (note,) = OfflineGuardrail(arguments(guardrail)).notes()
    assert note.startswith("NAME is not detected here: install presidio-analyzer")
    assert OfflineGuardrail(arguments(SETTINGS)).notes() == []
