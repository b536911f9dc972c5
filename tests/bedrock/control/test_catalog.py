"""Models, profiles and access as the account has them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag.bedrock.control.catalog import Access, Catalog, Profile
from rag.bedrock.control.endpoints import SERVICES, reach, url_of
from rag.bedrock.control.quotas import Quota, of_model, quotas
from rag.bedrock.models import MODELS
from rag.core.errors import RagError
from rag.emulator import Emulator
from rag.emulator.behaviour import Behaviour
from rag.emulator.connection import Incoming
from rag.emulator.pytest_plugin import point_at
from rag.emulator.wire import Reply

ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl"
SONNET = "anthropic.claude-sonnet-5-5"


class Late(Emulator):
    """Its clock is ten minutes behind."""

    def answer(self, incoming: Incoming) -> Reply:
        reply = super().answer(incoming)
        return Reply(
            reply.body, reply.status, {**reply.headers, "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, reply.events
        )


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with (
        Emulator(inference_profiles={ARN: f"global.{SONNET}"}) as running,
        pytest.MonkeyPatch.context() as patch,
    ):
        point_at(patch, running.environment())
        yield running


@pytest.fixture
def emulator(shared: Emulator) -> Emulator:
    shared.behaviour = Behaviour()
    shared.problems.clear()
    return shared


def test_models_are_those_of_the_region(emulator: Emulator) -> None:
    listed = {model.id: model for model in Catalog().models()}
    assert listed.keys() == MODELS.keys()
    assert (listed[SONNET].name, listed[SONNET].provider) == ("Claude Sonnet 5.5", "Anthropic")
    assert (listed[SONNET].on_demand, listed[SONNET].streams) == (False, True)
    titan = listed["amazon.titan-embed-text-v2:0"]
    assert (titan.outputs, titan.on_demand, titan.legacy) == (("EMBEDDING",), True, False)
    old = listed["anthropic.claude-3-haiku-20240307-v1:0"]
    assert old.legacy and old.ends is not None
    assert emulator.problems == []


def test_profiles_name_their_models_once_and_tell_the_accounts_own(emulator: Emulator) -> None:
    profiles = {profile.id: profile for profile in Catalog().profiles()}
    assert profiles[f"us.{SONNET}"] == Profile(f"us.{SONNET}", (SONNET,))
    assert profiles["abcdefghijkl"] == Profile("abcdefghijkl", (SONNET,), own=True)
    assert f"eu.{SONNET}" not in profiles
    assert f"eu.{SONNET}" in {profile.id for profile in Catalog("eu-west-1").profiles()}


def test_access_says_what_is_missing(emulator: Emulator) -> None:
    assert Catalog().access(SONNET) == Access(True)
    emulator.behaviour.no_access = frozenset({SONNET})
    assert Catalog().access(SONNET) == Access(
        False, "access to it was not requested in the Bedrock console; its agreement is not available"
    )
    with pytest.raises(RagError, match="ResourceNotFoundException"):
        Catalog().access("anthropic.claude-none")


def test_access_to_many_keeps_the_errors_of_each(emulator: Emulator) -> None:
    found = Catalog().access_to([SONNET, "anthropic.claude-none"])
    assert found[SONNET] == Access(True)
    assert isinstance(found["anthropic.claude-none"], RagError)
    assert Catalog().access_to([]) == {}


def test_a_call_that_is_not_allowed_names_itself(emulator: Emulator) -> None:
    emulator.behaviour.denied = frozenset({"bedrock:ListFoundationModels"})
    with pytest.raises(RagError, match="bedrock:ListFoundationModels: AccessDeniedException"):
        Catalog().models()


def test_quotas_of_a_model_are_found_by_the_words_of_its_name(emulator: Emulator) -> None:
    held = quotas()
    assert len(of_model(held, "Claude Sonnet 5.5")) == 2
    assert of_model([Quota("per minute for Anthropic Claude Sonnet 5", 1.0)], "Claude Sonnet 5.5") == []
    assert of_model(held, "") == []
    emulator.behaviour.denied = frozenset({"servicequotas:ListServiceQuotas"})
    with pytest.raises(RagError, match=r"AccessDeniedException.*allow servicequotas:ListServiceQuotas"):
        quotas()


def test_endpoints_are_reached_without_credentials(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {url_of(service) for service in SERVICES}
    assert urls == {emulator.url}
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    reached = reach(emulator.url)
    assert reached.skew_s is not None and abs(reached.skew_s) < 3
    assert reached.seconds < 5


def test_a_clock_that_is_off_is_seen_in_the_reply() -> None:
    with Late() as emulator:
        skew = reach(emulator.url).skew_s
    assert skew is not None and skew > 300


def test_an_endpoint_that_is_not_there_says_what_to_check() -> None:
    with pytest.raises(RagError, match=r"127\.0\.0\.1:9: .*check the network, the region, a proxy"):
        reach("http://127.0.0.1:9")
