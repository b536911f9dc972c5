"""A router's settings, and its tiers without AWS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import Field

import rag
from rag.config import settings, stages
from rag.core.errors import ConfigError, GenerationError
from rag.generation.fallback import Fallback
from rag.generation.models import is_guarded
from rag.generation.router import Router
from rag.usage.collector import Collector
from tests.generation.test_fallback import scripted, throttled

TOML = """
[generator]
use = "router"
otherwise = "strict"
max_calls = 2

[generator.tiers]
strict = {use = "local", threshold = 0.99}
open = {use = "local", threshold = 0.0}

[[generator.rules]]
when = {question_words_below = 4}
tier = "open"

[generator.escalate]
on = ["refused"]
covered = 0.3
"""


@pytest.mark.slow
def test_a_router_of_local_answerers_from_rag_toml(folder: Path, tmp_path: Path) -> None:
    """Tiers, rules and escalation are read from the file; nothing of AWS is loaded."""
    (tmp_path / "rag.toml").write_text(TOML)
    rag.build(folder, tmp_path / "ix", embedder="static")
    code = (
        "import sys, rag, rag.config.settings as settings\n"
        "pipe = rag.Pipeline('ix', settings=settings.read(None))\n"
        "for question in ('How many days of leave do staff in Europe take?', 'Leave in Europe?'):\n"
        "    answer = pipe.ask(question)\n"
        "    print(answer.text)\n"
        "    print([(s.name, s.detail.get('tier') or s.detail.get('to')) for s in answer.trace[3:-2]])\n"
        "print([m for m in ('boto3', 'botocore', 'langchain_aws') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(Path(rag.__file__).parents[1])},
    )  # fmt: skip
    first, steps, second, direct, aws = done.stdout.splitlines()
    assert first.startswith("Staff in Europe take 28 days of annual leave. [1]") and second
    assert steps == "[('route', 'strict'), ('escalate', 'open')]"
    assert direct == "[('route', 'open')]"
    assert aws == "[]"


def router_of(**arguments: Any) -> Router:
    return Router(**arguments)


LOCAL = {"small": "local", "default": "local"}


@pytest.mark.parametrize(
    ("router", "message"),
    [
        ({"tiers": {}}, 'the generator\'s tiers are a table, as in {small = "local"}, not {}'),
        ({"tiers": ["local"]}, "the generator's tiers are a table"),
        ({"tiers": {"small": "locl"}}, "there is no generator 'locl': did you mean 'local'?"),
        ({"tier": LOCAL}, "the generator 'router' has no argument 'tier': did you mean 'tiers'?"),
        ({"tiers": LOCAL, "otherwise": "smal"}, "the generator has no tier 'smal': did you mean 'small'?"),
        ({"tiers": LOCAL, "rules": [{"when": {"tag": "x"}, "tier": "lage"}]}, "the generator has no tier 'lage'"),
        ({"tiers": LOCAL, "max_calls": 0}, "the generator's max_calls: Input should be greater than or equal to 1"),
        ({"tiers": LOCAL, "max_usd": 0}, "the generator's max_usd: Input should be greater than 0"),
        ({"tiers": LOCAL, "escalate": {"onn": []}}, "the generator's escalate has no setting 'onn': did you mean 'on'?"),
        ({"tiers": LOCAL, "escalate": {"on": ["wrong"]}}, "the generator's escalate's on is "),
        ({"tiers": LOCAL, "escalate": "yes"}, "the generator's escalate"),
        ({"tiers": LOCAL, "classify": True}, "the local answerer cannot classify questions"),
        ({"tiers": {"a": "local"}, "classify": FakeListChatModel(responses=["a"])}, "the generator's classify"),
        (
            {"tiers": {"a": "local"}, "classify": {"model": FakeListChatModel(responses=["a"])}},
            'classify must describe what the tier \'a\' is for: describe = {a = "…"}',
        ),
        (
            {"tiers": LOCAL, "classify": {"model": FakeListChatModel(responses=["a"]), "describe": {"smal": "x"}}},
            "classify describes the tier 'smal': did you mean 'small'?",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_setting_is_refused_in_one_line(router: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        stages.generator({"use": "router", **router})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_mistake_in_the_file_names_its_table(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text(TOML.replace('tier = "open"', 'tier = "opne"'))
    read = settings.read(tmp_path / "rag.toml")
    with pytest.raises(ConfigError, match=r"rag.toml, \[generator\]: the generator has no tier 'opne'"):
        stages.generator(read["generator"])


class Guarded(FakeListChatModel):
    guardrail_config: dict[str, str] = Field(default_factory=lambda: {"guardrailIdentifier": "gr1a2b3c"})


def test_a_guardrail_is_in_force_on_every_tier() -> None:
    """One tier without a guardrail is refused, wherever it stands; a fallback counts with all its models."""
    guarded, free = Guarded(responses=["a"]), FakeListChatModel(responses=["b"])
    half = Fallback(models=[guarded, free])
    for tiers in ([guarded, free], [free, guarded], [guarded, half], [guarded, guarded, free]):
        with pytest.raises(ConfigError, match="has no guardrail and would bypass that of the other tiers"):
            stages.generator({"use": "router", "tiers": dict(zip("abc", tiers, strict=False))})
    whole = Router(tiers={"a": guarded, "b": Fallback(models=[guarded, guarded])})
    assert is_guarded(whole)
    assert not is_guarded(Router(tiers={"a": free, "b": half}))
    with pytest.raises(ConfigError, match="no guardrail"):  # a router among others counts alike
        Router(tiers={"a": whole, "b": free})


# ------------------------------------------------------------------------- outside a pipeline


def test_further_calls_for_a_question_begin_at_the_tier_it_has_reached() -> None:
    """Repairs and turns of tools are not classified and routed again; another question is."""
    from rag.core.passages import Hit
    from rag.generation.question import Question

    weak, strong = scripted("weak", text="thirty"), scripted("strong", text="twenty-eight")
    router = router_of(tiers={"a": weak, "b": strong}, escalate={"on": ["unsupported"]})

    def ask() -> list[str]:
        question = Question("How long?", hits=[Hit("a.md", 0, 8, "28 days.", 1.0)])
        question.begin()
        for _ in range(2):
            router.invoke("How long?")
        return [step.name for step in question.steps]

    assert Collector().run(ask) == ["route", "escalate", "route"]
    assert Collector().run(ask) == ["route", "escalate", "route"]
    assert (len(weak.calls), len(strong.calls)) == (2, 4)


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_the_reply_names_its_tier(how: str) -> None:
    """Without a pipeline the passages are read from the messages; a plain question has none to judge by."""
    rules = [{"when": {"matches": "leave"}, "tier": "b"}]
    router = router_of(
        tiers={"a": scripted("weak"), "b": scripted("strong"), "c": scripted("third", text="<no_answer/>No")},
        rules=rules, otherwise="a", escalate={"covered_score": 0.1},
    )  # fmt: skip

    def metadata(text: str) -> dict[str, Any]:
        if how == "invoke":
            return dict(router.invoke(text).response_metadata)
        pieces = list(router.stream(text))
        return dict((pieces[0] + pieces[1:]).response_metadata)

    of_rule = metadata("Annual leave?")
    assert (of_rule["model_name"], of_rule["model_id"], of_rule["tier"]) == ("strong", "strong", "b")
    assert of_rule["route"] == "rule 1: matches = 'leave'"
    assert (metadata("Who?")["tier"], metadata("Who?")["route"]) == ("a", "no rule matches")
    document = '<documents>\n<document index="1" source="a.md">\n28 days.\n</document>\n</documents>\n\n'
    judged = metadata(f"{document}<question>How long is it?</question>")
    assert judged["tier"] == "c"
    assert judged["notes"][0] == "b was asked, as the answer of a is unsupported (supported 0 of 1 sentence)"


def test_a_failure_of_the_first_tier_is_raised() -> None:
    """Another model is asked for another answer, not for one that failed: a fallback does that."""
    router = router_of(
        tiers={"a": scripted("weak", error=throttled()), "b": scripted("strong")}, escalate={"on": ["cut"]}
    )
    with pytest.raises(GenerationError, match="ThrottlingException"):
        router.invoke("hello")


def test_a_model_without_tools() -> None:
    router = router_of(tiers={"a": scripted("weak"), "b": FakeListChatModel(responses=["b"])})
    with pytest.raises(
        NotImplementedError, match="fake-list-chat-model cannot call tools: remove it from the tiers"
    ):
        router.bind_tools([])


async def test_asynchronously_the_pieces_are_the_same() -> None:
    router = router_of(
        tiers={"a": scripted("weak"), "b": scripted("strong", text="four five")}, otherwise="b"
    )
    assert (await router.ainvoke([HumanMessage("hello")])).text == "four five"
    assert "".join([piece.text async for piece in router.astream("hello")]) == "four five"


class TestAsALangChainChatModel(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return Router

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"tiers": {"small": scripted("first"), "large": scripted("second")}}
