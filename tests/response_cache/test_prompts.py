"""The cache and what a question chooses: variants, variables, a router's tier, data by a schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import BaseModel, field_validator

from rag.core.errors import GenerationError
from rag.generation.router import Router
from rag.usage.ledger import Ledger
from tests.generation.test_prompt_files import SECTIONS, write
from tests.response_cache.models import Echo
from tests.response_cache.test_answers import LEAVE


@pytest.fixture
def variants(tmp_path: Path) -> dict[str, Any]:
    front = "cite: true\nvariables: {company: {default: Kelvara}}"
    for name in ("help@1", "help@2"):
        write(tmp_path, front, f"{SECTIONS}Prompt {name} of {{{{ company }}}}.", name)
    return {"variants": {"help@1": 0.5, "help@2": 0.5}, "folder": str(tmp_path)}


def test_users_of_one_variant_share_an_answer(
    pipe: Any, calls: Any, variants: dict[str, Any], tmp_path: Path
) -> None:
    asked = pipe(prompt=variants)
    answers = [asked.ask(LEAVE, user=f"user {number}") for number in range(8)]
    names = {answer.prompt for answer in answers}
    assert names == {"help@1", "help@2"} and len(calls()) == 2
    for answer in answers[2:]:
        again = asked.ask(LEAVE, user="user 0")
        assert again.cached and again.prompt == answers[0].prompt
        assert answer.prompt in names
    rows = Ledger(tmp_path / "ledger.sqlite").rows(("prompt", "purpose"))
    labels = {row.group[0] for row in rows if row.group[1] == "cached"}
    assert {label.partition("#")[0] for label in labels} == names


def test_a_cached_turn_is_continued_with_its_variant(pipe: Any, variants: dict[str, Any]) -> None:
    asked = pipe(prompt=variants)
    first, second = asked.chat(user="user 1"), asked.chat(user="user 1")
    first.ask(LEAVE), second.ask(LEAVE)
    assert first.transcript == second.transcript
    assert second.ask("And in America?").prompt == first.ask("And in America?").prompt


def test_variables_count_by_what_they_write(pipe: Any, calls: Any, variants: dict[str, Any]) -> None:
    asked = pipe(prompt={"use": "help@1", "folder": variants["folder"]})
    for company in ("Kelvara", "Other", "Kelvara"):
        asked.ask(LEAVE, variables={"company": company})
    assert len(calls()) == 2


def test_a_tag_counts_where_a_rule_reads_it(pipe: Any, tmp_path: Path, calls: Any) -> None:
    log = str(tmp_path / "calls")
    tiers = {"small": Echo(log=log), "large": Echo(log=log, extra="In full.")}
    routed = Router(tiers=tiers, rules=[{"when": {"tag": "legal"}, "tier": "large"}])
    asked = pipe(generator=routed)
    texts = [asked.ask(LEAVE, tag=tag).text for tag in ("desk", "legal", "desk", "legal")]
    assert texts[0] == texts[2] != texts[1] == texts[3] and "In full." in texts[1]
    assert len(calls()) == 2


def test_the_answer_of_a_tier_below_one_that_failed_is_not_kept(
    pipe: Any, tmp_path: Path, calls: Any
) -> None:
    log = str(tmp_path / "calls")
    tiers = {"small": Echo(log=log, stop_reason="max_tokens"), "large": Echo(log=log, fails=True)}
    asked = pipe(generator=Router(tiers=tiers, escalate={"on": ["cut"]}))
    for _ in range(2):
        answer = asked.ask(LEAVE)
        assert answer.cached is None and any("failed, so the answer of" in note for note in answer.notes)
    assert len(calls()) == 4


class Days(BaseModel):
    days: int


class Fills(BaseChatModel):
    """Fills in a schema by calling the tool that it is given."""

    log: str
    model_id: str = "echo-1"
    days: int = 28

    @property
    def _llm_type(self) -> str:
        return "fills"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools)

    def _generate(self, messages: Any, *args: Any, tools: Any = (), **kwargs: Any) -> ChatResult:
        with Path(self.log).open("a") as file:
            file.write("called\n")
        quote = {"field": "days", "document": 1, "quote": "28 days of annual leave"}
        filled = {"data": {"days": self.days}, "quotes": [quote], "missing": ""}
        call = {"name": tools[0]["function"]["name"], "args": filled, "id": "1"}
        message = AIMessage("", tool_calls=[call], response_metadata={"stop_reason": "tool_use"})
        return ChatResult(generations=[ChatGeneration(message=message)])


def test_data_is_kept_and_made_anew(pipe: Any, tmp_path: Path, calls: Any) -> None:
    asked = pipe(generator=Fills(log=str(tmp_path / "calls")))
    first = asked.ask(LEAVE, schema=Days)
    again = asked.ask(LEAVE, schema=Days)
    assert (first.cached, again.cached.kind) == (None, "exact") and len(calls()) == 1
    assert again.data == first.data == Days(days=28) and again.data is not asked.ask(LEAVE, schema=Days).data
    assert again.fields == first.fields and again.fields[0].citations
    kinds = [event.kind for event in asked.stream(LEAVE, schema=Days)]
    assert kinds == ["context", "data", "citation", "text", "answer"]


class Limited(BaseModel):
    """Its check is code, and so no part of the key."""

    most: ClassVar[int] = 100
    days: int

    @field_validator("days")
    @classmethod
    def _in_limits(cls, value: int) -> int:
        if value > cls.most:
            raise ValueError("too many")
        return value


def test_data_that_its_schema_refuses_now_is_asked_for_again(
    pipe: Any, tmp_path: Path, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = pipe(generator=Fills(log=str(tmp_path / "calls")))
    assert asked.ask(LEAVE, schema=Limited).data == Limited(days=28)
    monkeypatch.setattr(Limited, "most", 20)
    with pytest.raises(GenerationError, match="too many"):
        asked.ask(LEAVE, schema=Limited, repairs=0)
    assert len(calls()) == 2
