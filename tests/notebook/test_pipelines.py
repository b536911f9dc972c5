"""A pipeline as a diagram, and a prompt, a filter, a usage and a ledger."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from types import SimpleNamespace

import rag
from rag.core.calls import Call, Usage
from rag.notebook.pipelines import settings_of
from rag.usage.ledger import CALL_COLUMNS, Ledger
from tests.conftest import index_of_rows
from tests.notebook.objects import markup


def test_stages_stand_in_their_order_with_their_settings(tmp_path: Path) -> None:
    index_of_rows(tmp_path / "ix", [{"a": 1}])
    pipe = rag.Pipeline(tmp_path / "ix", trimmer={"budget": 2000}, ledger={"stop_usd": 5})
    html = pipe._repr_html_()
    assert re.findall(r'class="stage"><small>(\w+)<', html) == [
        "index", "embedder", "retriever", "trimmer", "prompt", "generator", "citations",
    ]  # fmt: skip
    assert '<div class="kind">BudgetTrimmer</div><ul><li>budget 2,000</li>' in html
    assert "stops at $5.0000 a day" in str(pipe) and "stops at $5.0000 a day" in markup(html).text
    assert "HybridRetriever: mode hybrid" in str(pipe)


def test_no_setting_that_may_be_a_secret_is_shown() -> None:
    stage = SimpleNamespace(
        model="m", api_key="s3cret", password="p", max_tokens=2000, _hidden=1, client=object()
    )
    assert settings_of(stage) == [("model", "m"), ("max_tokens", "2,000")]
    many = SimpleNamespace(**{f"s{n}": n for n in range(30)})
    assert settings_of(many)[-1] == ("…", "18 more settings")
    assert settings_of(len) == []


def test_a_prompt_shows_its_blocks_and_where_a_cache_point_stands() -> None:
    small, large = (
        rag.Prompt(system="Answer briefly.", cite=False),
        rag.Prompt(system="word " * 3000, cite=False),
    )
    assert re.search(r"system text +\d+  none: 1,0\d\d tokens too few for one", str(small))
    assert "behind it, if the model has prompt_cache" in str(large)
    assert (
        "none: they change with each question" in small._repr_html_()
        and "Answer briefly." in small._repr_html_()
    )


def test_a_prompts_sections_and_variables_are_named(tmp_path: Path) -> None:
    text = "---\nname: mine\nversion: 1\nvariables:\n  tone: {type: str, about: how to sound}\n---\n# STYLE\n\nBe {tone}.\n"
    (tmp_path / "mine@1.md").write_text(text)
    html = rag.Prompt(str(tmp_path / "mine@1.md"))._repr_html_()
    assert "– Style" in html and "must be given" in html and "how to sound" in html


def test_a_filter_shows_its_notations() -> None:
    where = (rag.field("year") >= 2024) & rag.field("tag").startswith("a")
    html = where._repr_html_()
    assert "year &gt;= 2024 and startswith(tag, &#x27;a&#x27;)" in html
    assert "&quot;andAll&quot;" in html and "not possible: LangChain" in html
    assert str(where) == repr(where) == "((field('year') >= 2024) & field('tag').startswith('a'))"


def test_a_ledger_shows_what_was_spent_by_model_and_purpose(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert str(ledger).endswith("\n  nothing spent, 0 calls") and ledger.to_pandas().empty
    when = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
    ledger.record(Call("claude", "generate", Usage(1200, 80, cost_usd=0.5)), tag="t", when=when)
    ledger.record(Call("titan", "embed", Usage(100, cost_usd=None)), when=when)
    assert "\n  $0.5000 spent, 2 calls, 1 of them without a known price\n" in str(ledger)
    assert "<td>claude</td>" in ledger._repr_html_() and "1,200" in str(ledger)
    calls = ledger.to_pandas()
    assert tuple(calls.columns) == CALL_COLUMNS and calls["usd"][0] == 0.5 and calls["at"][0] == when
    groups = ledger.to_pandas(by=["model"])
    assert groups[["model", "calls"]].to_numpy().tolist() == [["claude", 1], ["titan", 1]]


def test_a_usage_counts_the_prompt_cache() -> None:
    usage = Usage(1200, 80, 5000, 0, 0.0016)
    assert str(usage) == "Usage: 1,200 tokens in, 5,000 from the cache, 80 out, $0.0016"
    assert (
        "from the prompt cache" in usage._repr_html_() and "into the prompt cache" not in usage._repr_html_()
    )
    assert str(Usage(3, 4, cost_usd=0.0)) == "Usage: 3 tokens in, 4 out, free"
