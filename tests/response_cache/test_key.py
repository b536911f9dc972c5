"""The key: changing any part of what decides an answer changes it, and nothing else does."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel, SecretStr

import rag
from rag.core.passages import Context, Hit
from rag.generation.fallback import Fallback
from rag.response_cache.describe import Describer
from rag.response_cache.key import Parts, normalised, parts_of
from tests.conftest import ROOT
from tests.response_cache.models import Echo
from tests.response_cache.test_answers import LEAVE

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | texts | st.dates() | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
parts = st.builds(
    Parts, st.none() | texts, texts, texts, texts,
    st.dictionaries(texts, values.map(lambda value: Describer().of(value)), max_size=3),
    st.dictionaries(texts, values.map(lambda value: Describer().of(value)), max_size=3),
    st.just(()), texts,
)  # fmt: skip


def exact(value: Any) -> Any:
    """A value with its types: 1, 1.0 and True are different settings."""
    if isinstance(value, dict):
        return ["map", sorted((key, exact(item)) for key, item in value.items())]
    if isinstance(value, list):
        return ["list", *map(exact, value)]
    return repr((type(value).__name__, value))


def exact_parts(some: Parts) -> Any:
    return [exact(getattr(some, field.name)) for field in dataclasses.fields(Parts)]


@given(parts, parts)
def test_keys_are_equal_where_all_parts_are_and_only_there(a: Parts, b: Parts) -> None:
    assert (a.key == b.key) == (exact_parts(a) == exact_parts(b))


@given(parts, st.data())
def test_changing_any_part_changes_the_key(a: Parts, data: st.DataObject) -> None:
    names = [field.name for field in dataclasses.fields(Parts) if field.name != "unknown"]
    name = data.draw(st.sampled_from(names))
    other = getattr(data.draw(parts), name)
    changed = dataclasses.replace(a, **{name: other})
    same = exact(getattr(a, name)) == exact(other)
    assert (a.key == changed.key) is same
    if name not in ("question",):
        assert (a.others == changed.others) is same


@given(values, values)
def test_equal_descriptions_mean_equal_values(a: Any, b: Any) -> None:
    assert (repr(Describer().of(a)) == repr(Describer().of(b))) == (exact(a) == exact(b))


HIT = Hit(
    "a.md",
    3,
    9,
    "a text",
    1.0,
    section=("A",),
    page_start=1,
    metadata={"day": dt.date(2026, 1, 2), "year": 2024},
)


@pytest.mark.parametrize(
    "change",
    [{"source": "b.md"}, {"start": 4}, {"text": "b text"}, {"page_start": 2}, {"section": ("B",)}, {"metadata": {}},
     {"metadata": {"day": dt.date(2026, 1, 3), "year": 2024}}, {"metadata": {"day": "2026-01-02", "year": 2024}}],
    ids=str,
)  # fmt: skip
def test_another_passage_is_another_context(change: dict[str, Any]) -> None:
    some = Parts(None, "q", "", "", {}, {})
    context = Context((HIT,), 6, 10, "chars")
    scored = dataclasses.replace(HIT, score=0.5, dense=0.1)
    assert some.with_context(context) == some.with_context(Context((scored,), 6, 10, "chars"))
    assert some.with_context(context) != some.with_context(
        Context((dataclasses.replace(HIT, **change),), 6, 10, "chars")
    )
    assert some.with_context(context) != some.with_context(Context((HIT, HIT), 6, 10, "chars"))
    assert some.with_context(context) != some.key


@given(st.text("ab \t", max_size=12))
def test_blanks_of_one_line_decide_nothing(text: str) -> None:
    assert normalised(text) == " ".join(text.split())
    assert normalised(normalised(text)) == normalised(text)
    assert normalised("a\n  b") != normalised("a\n b") and normalised("US") != normalised("us")
    assert normalised("cafe\u0301") == normalised("caf\u00e9")


def keys_of(pipe: Any, folder: Path, **stages: Any) -> Parts:
    return parts_of(pipe(**stages), LEAVE, {})


@pytest.mark.parametrize(
    "fields",
    [{"temperature": 0.5}, {"model_id": "echo-2"}, {"extra": "x"}, {"stop_reason": "stop"}, {"delay_s": 0.1}],
    ids=lambda fields: next(iter(fields)),
)  # fmt: skip
def test_every_parameter_of_a_model_counts(pipe: Any, tmp_path: Path, fields: dict[str, Any]) -> None:
    log = str(tmp_path / "calls")
    one, other = Echo(log=log), Echo(log=log, **fields)
    plain = parts_of(pipe(generator=one), LEAVE, {})
    assert plain.key == parts_of(pipe(generator=Echo(log=log)), LEAVE, {}).key and not plain.unknown
    assert plain.key != parts_of(pipe(generator=other), LEAVE, {}).key
    assert plain.key != parts_of(pipe(generator=one.bind(stop=["x"])), LEAVE, {}).key
    assert plain.key != parts_of(pipe(generator=Fallback(models=[one, other])), LEAVE, {}).key


def test_stages_on_bedrock_can_be_shared(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    table: dict[str, Any] = {"use": "claude", "fallback": ["global.anthropic.claude-haiku-4-5-20251001-v1:0"]}
    found = parts_of(pipe(generator=table, retriever={"reranker": "bedrock"}), LEAVE, {})
    assert found.unknown == ()
    guarded = {"use": "claude", "guardrail": "gr1a2b3c:2"}
    assert (
        parts_of(pipe(generator=guarded), LEAVE, {}).key != parts_of(pipe(generator="claude"), LEAVE, {}).key
    )


def test_history_counts_turn_by_turn(pipe: Any) -> None:
    asking = pipe()
    chat = asking.chat()

    def key(history: Any, **options: Any) -> str:
        return parts_of(asking, LEAVE, {"history": history, **options}).key

    first = key(chat.transcript)
    chat.ask(LEAVE)
    second = key(chat.transcript)
    assert len({first, second, key(list(chat.messages)), key(chat.messages[:-1])}) == 4
    assert key([HumanMessage("a", id="1"), AIMessage("b", id="2")]) == key(
        [HumanMessage("a"), AIMessage("b")]
    )
    assert key([HumanMessage("a"), AIMessage("b")]) != key([AIMessage("a"), HumanMessage("b")])
    assert key(None) == parts_of(asking, LEAVE, {}).key


def returning(number: int) -> Any:
    return lambda: number


def function(question: str, earlier: Any) -> str:
    return question


def test_objects_that_cannot_be_described_are_equal_to_nothing_else(pipe: Any) -> None:
    class Local:
        """Another class of the name may do something else."""

    describe = Describer()
    one, other = Local(), Local()
    assert describe.of(one) == describe.of(one) != describe.of(other)
    assert describe.unknown
    assert Describer().of(function) == Describer().of(function)
    assert Describer().of(lambda: 1) != Describer().of(lambda: 2)
    assert Describer().of(functools.partial(function, "a")) != Describer().of(
        functools.partial(function, "b")
    )
    made = [returning(number) for number in range(2)]
    assert Describer().of(made[0]) != Describer().of(made[1])
    loop: list[Any] = []
    loop.append(loop)
    assert Describer().of(loop)
    ids = {str(Describer().of(object())) for _ in range(100)}
    assert len(ids) == 100  # an address that is used again is another object's


class Reply(BaseModel):
    days: int
    key: SecretStr = SecretStr("")


class Longer(BaseModel):
    days: int
    name: str


def test_schemas_and_secrets() -> None:
    of = Describer().of
    assert of(Reply) != of(Longer) != of(list[Longer]) != of(list[Reply])
    assert of(Reply(days=1, key=SecretStr("a"))) == of(Reply(days=1, key=SecretStr("b")))
    assert "a-secret" not in str(of(Reply(days=1, key=SecretStr("a-secret"))))


def test_another_process_has_the_same_key(pipe: Any, folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys, rag; from rag.response_cache.key import parts_of;"
        "from tests.response_cache.models import Echo;"
        "p = rag.Pipeline(sys.argv[1], generator=Echo(log=sys.argv[2]), responses=False);"
        "print(parts_of(p, sys.argv[3], {'where': \"year >= 2024 and region == 'eu'\", 'k': 3}).key)"
    )
    log = str(tmp_path / "calls")
    done = subprocess.run(
        [sys.executable, "-c", code, folder / "ix", log, f" {LEAVE}"], capture_output=True, text=True, cwd=ROOT, check=True
    )  # fmt: skip
    mine = parts_of(pipe(), LEAVE, {"where": {"region": "eu", "year": {"$gte": 2024}}, "k": 3})
    assert done.stdout.strip() == mine.key


def test_rags_own_prompts_are_told_apart_by_their_text(pipe: Any) -> None:
    keys = {
        parts_of(pipe(prompt=rag.Prompt(system=text)), LEAVE, {}).key for text in ("One.", "Two.", "One.")
    }
    assert len(keys) == 2
