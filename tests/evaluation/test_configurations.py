"""The grid of models and prompts, and the settings behind names."""

from __future__ import annotations

from typing import Any

import pytest

from rag.core.errors import ConfigError, UsageError
from rag.evaluation.configurations import configurations, generator_setting, named_models, prompt_setting

HAIKU = "global.anthropic.claude-haiku-5-5"


def test_every_model_has_every_prompt() -> None:
    base = {"prompt": {"use": "a@1", "variables": {"company": "Kelvara"}}, "ledger": {"stop_usd": 5}}
    made = configurations(base, named_models("small=haiku,local"), ["a@1", "a@2"])
    assert [each.name for each in made] == ["small a@1", "small a@2", "local a@1", "local a@2"]
    assert made[1].settings == {
        "prompt": {"use": "a@2", "variables": {"company": "Kelvara"}}, "ledger": {"stop_usd": 5},
        "generator": {"use": "claude", "model": HAIKU},
    }  # fmt: skip
    assert (made[3].model, made[3].prompt, made[3].settings["generator"]) == ("local", "a@2", "local")


def test_what_does_not_vary_is_in_no_name() -> None:
    assert [each.name for each in configurations({}, {"haiku": "haiku"})] == ["haiku"]
    assert [each.name for each in configurations({}, prompts=["a@1"])] == ["a@1"]
    (only,) = configurations({"generator": "local"})
    assert (only.name, only.settings) == ("", {"generator": "local"})


@pytest.mark.parametrize(
    ("value", "setting"),
    [
        ("haiku", {"use": "claude", "model": HAIKU}),
        ("us.anthropic.claude-sonnet-5-5", {"use": "claude", "model": "us.anthropic.claude-sonnet-5-5"}),
        ("nova-lite", {"use": "claude", "model": "amazon.nova-lite-v1:0"}),
        ("arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/x1",
         {"use": "claude", "model": "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/x1"}),
        ("local", "local"), ("openai:gpt-5", "openai:gpt-5"), ("my.module:Model", "my.module:Model"),
    ],
    ids=["short", "profile", "nova", "arn", "local", "provider", "class"],
)  # fmt: skip
def test_a_model_by_any_of_its_names(value: str, setting: Any) -> None:
    assert generator_setting(value) == setting


def test_a_guardrail_stays_and_another_models_base_goes() -> None:
    base = {"use": "claude", "model": "x", "base_model": "y", "guardrail": "gr1:2", "max_tokens": 300}
    assert generator_setting("haiku", base) == {
        "use": "claude", "model": HAIKU, "guardrail": "gr1:2", "max_tokens": 300,
    }  # fmt: skip
    assert generator_setting("local", base) == "local"
    assert generator_setting("local", {"use": "local", "threshold": 0.3}) == {
        "use": "local",
        "threshold": 0.3,
    }
    assert generator_setting("haiku", {"use": "router", "tiers": {}}) == {"use": "claude", "model": HAIKU}
    assert prompt_setting("b@1", {"variants": {"a@1": 1}, "folder": "p"}) == {"use": "b@1", "folder": "p"}


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ("hiku", "there is no model 'hiku': did you mean 'haiku'?"),
        ("a=haiku,b=" + HAIKU, "the models a and b are the same: leave one out"),
        ("a=haiku,a=opus", "has the name a twice"),
        ("a=", "names no model at 'a='"),
        ("haiku,,opus", "names no model at ''"),
    ],
    ids=["unknown", "same", "twice", "empty", "comma"],
)
def test_wrong_models_are_refused(models: str, expected: str) -> None:
    with pytest.raises((UsageError, ConfigError)) as error:
        configurations({}, named_models(models))
    assert expected in str(error.value)


def test_a_prompt_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="two are the same"):
        configurations({}, prompts=["a@1", "a@1"])
