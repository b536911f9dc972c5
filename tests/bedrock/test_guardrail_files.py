"""Guardrails' files: what they may hold, how mistakes are named, and what Bedrock is sent of them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from rag.bedrock.guardrails.changes import Change, differences, digest, facts
from rag.bedrock.guardrails.file import begin, files, find, read
from rag.bedrock.guardrails.parse import parse
from rag.bedrock.guardrails.wire import arguments, configuration
from rag.core.errors import ConfigError
from rag.emulator.guardrails import guardrail_rules

EXAMPLE = Path(__file__).with_name("support_guardrail.toml")
BARE: dict[str, Any] = {"blocked_input": "No.", "blocked_output": "No.", "words": {"block": ["x"]}}


def made(**changed: Any) -> dict[str, Any]:
    return arguments(parse({**BARE, **changed}, "a.toml", "a"))


def test_a_file_has_fields() -> None:
    found = facts(arguments(read(EXAMPLE)))
    assert found["topics.Investment advice.action"] == {"input": "block", "output": "detect"}
    assert found["filters.violence.images"] is True
    assert (found["filters.insults.input"], found["filters.insults.input action"]) == ("low", "detect")
    assert found["words.merlin"] == {"input": "off", "output": "block"}
    assert found["words (profanity)"] == "block"
    assert found["pii.phone"] == {"input": "off", "output": "mask"}
    assert found["pii.us_social_security_number"] == {"input": "block", "output": "mask"}
    assert found["regexes.CASE_NUMBER.action"] == "mask"
    assert (found["grounding.grounding"], found["grounding.relevance.action"]) == (0.7, "detect")
    assert (found["tier.topics"], "tier.filters" in found) == ("standard", False)


def test_short_forms_and_long_ones_are_one() -> None:
    assert made(pii={"EMAIL": "mask"}) == made(pii={"email": {"input": "mask", "output": "mask"}})
    assert made(filters={"hate": "low"}) == made(filters={"hate": {"input": "low", "output": "low"}})
    assert made(words={"block": ["x"]}) == made(words={"block": [{"text": "x", "action": "block"}]})
    assert made(grounding={"grounding": 0.5}) == made(grounding={"grounding": {"threshold": 0.5}})
    assert made(blocked_input="No.\n") == made()
    assert made(words={"block": ["x"], "profanity": False}) == made()


def test_what_equals_bedrocks_default_is_no_difference() -> None:
    words = [{"text": "x", "inputAction": "BLOCK", "outputAction": "BLOCK", "inputEnabled": True}]
    reply = {
        "name": "a", "blockedInputMessaging": "No.", "blockedOutputsMessaging": "No.",
        "wordPolicy": {"words": words, "managedWordLists": []},
        "topicPolicy": {"topics": [], "tier": {"tierName": "CLASSIC"}},
    }  # fmt: skip
    assert differences(facts(configuration(reply)), facts(made())) == []


def test_the_order_of_entries_is_no_difference() -> None:
    one, other = made(pii={"email": "mask", "url": "block"}), made(pii={"url": "block", "email": "mask"})
    assert digest(facts(one)) == digest(facts(other))
    assert digest(facts(one)) != digest(facts(made(pii={"email": "mask"})))


def test_a_digest_is_of_what_a_version_keeps() -> None:
    assert digest(facts(made(description="d", kms_key="alias/k"))) == digest(facts(made()))
    assert digest(facts(made(blocked_input="Never."))) != digest(facts(made()))


def test_keys_are_compared_as_far_as_they_can_be() -> None:
    arn = "arn:aws:kms:eu-west-1:123456789012:key/" + "a" * 36
    for key, changes in (("alias/k", 0), ("a" * 36, 0), (arn, 0), ("b" * 36, 1)):
        assert len(differences({"kms_key": arn}, {"kms_key": key})) == changes
    assert len(differences({"kms_key": arn}, {})) == 1
    assert len(differences({}, {"kms_key": "alias/k"})) == 1


def test_changes_are_written_on_a_line() -> None:
    assert str(Change("pii.email", "mask", "block")) == '~ pii.email: "mask" -> "block"'
    assert str(Change("pii.email", None, "block")) == '+ pii.email: "block"'
    assert str(Change("pii.email", "mask", None)) == '- pii.email: "mask"'


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"blockd_input": "x"}, "a.toml has no setting 'blockd_input': did you mean 'blocked_input'?"),
        ({"filters": {"hat": "low"}}, "a.toml, [filters] has no 'hat': did you mean 'hate'?"),
        ({"filters": {"hate": "hig"}}, "a.toml, [filters] hate, input is 'hig': did you mean 'high'?"),
        ({"filters": {"prompt_attack": {"input": "low", "output": "low"}}}, "attacks are looked for in prompts"),
        ({"pii": {"emial": "mask"}}, "a.toml, [pii] has no 'emial': did you mean 'email'?"),
        ({"pii": {"email": "maks"}}, "a.toml, [pii] email is 'maks': did you mean 'mask'?"),
        ({"pii": {"email": {"inpt": "mask"}}}, "a.toml, [pii] email has no 'inpt': did you mean 'input'?"),
        ({"words": {"block": ["x", "x"]}}, "a.toml, [words]: 'x' occurs twice: remove one"),
        ({"words": {"block": [""]}}, "a.toml, [words], item 1's text is a text of 1 to 100 characters"),
        ({"topics": [{"name": "t", "definition": "d", "action": "mask"}]},
         "a.toml, topic \"t\", action is 'mask': there is: block, detect, off"),
        ({"topics": [{"name": "t", "definition": "x" * 201}]}, "definition is a text of 1 to 200 characters"),
        ({"regexes": [{"name": "r", "pattern": "("}]}, "it is not a regular expression"),
        ({"regexes": [{"name": "r", "pattern": "(?<=a)b"}]}, "Bedrock has no lookaround"),
        ({"grounding": {"grounding": 1}}, "threshold is a number of 0 to 0.99, not 1"),
        ({"grounding": {"grounding": {"threshold": 0.5, "action": "blok"}}}, "did you mean 'block'?"),
        ({"tier": "standard"}, "a.toml: the standard tier needs cross_region, such as us.guardrail.v1:0"),
        ({"kms_key": "nope"}, "kms_key is the ARN, id or alias/… of a KMS key, not 'nope'"),
        ({"tags": {"aws:x": "y"}}, "does not begin with aws:"),
        ({"words": {}}, "a.toml has no policy: add one of topics, filters, words"),
        ({"topics": {"a": 1}}, "a.toml: topics must be tables [[topics]], not {'a': 1}"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_mistakes_are_named_with_what_was_meant(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse({**BARE, **changed}, "a.toml", "a")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_template_is_a_guardrail(tmp_path: Path) -> None:
    path = begin("support", tmp_path / "guardrails")
    settings = read(path)
    assert (settings.name, settings.tags) == ("support", {"application": "support"})
    assert list(guardrail_rules.broken(arguments(settings))) == []
    for name, message in (("support", "exists: choose another name"), ("a b", "is 1 to 50 letters")):
        with pytest.raises(ConfigError, match=message):
            begin(name, tmp_path / "guardrails")


def test_files_are_found_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="begin one with `rag guardrail new NAME`"):
        files(tmp_path)
    path = begin("support", tmp_path)
    assert find("support", tmp_path) == path and find(str(path), Path("elsewhere")) == path
    assert files(tmp_path) == [path]
    with pytest.raises(ConfigError, match=r"there is no guardrail .suport. in .*: did you mean 'support'"):
        find("suport", tmp_path)
    path.write_text("name = ", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"support.toml is not TOML"):
        read(path)


def test_a_name_in_the_file_counts() -> None:
    table = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    assert parse({**table, "name": "desk"}, "a.toml", "a").name == "desk"
