"""``rag doctor --bedrock`` against an emulator: what is found, refused, asked for and reported."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.emulator import Behaviour, Emulator
from rag.emulator.connection import Incoming
from rag.emulator.wire import Reply
from tests.command import run as run_command
from tests.emulator.trials import Differing, of_header

SONNET = "global.anthropic.claude-sonnet-5-5"
TOML = f"""
[embedder]
use = "titan"
[generator]
use = "claude"
model = "{SONNET}"
"""


class Late(Emulator):
    """Its clock is ten minutes behind."""

    def answer(self, incoming: Incoming) -> Reply:
        reply = super().answer(incoming)
        return Reply(
            reply.body, reply.status, {**reply.headers, "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, reply.events
        )


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def emulator(shared: Emulator) -> Emulator:
    shared.behaviour = Behaviour()
    shared.counts.clear()
    shared.problems.clear()
    return shared


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "rag.toml").write_text(TOML)
    return tmp_path


def run(emulator: Emulator, *arguments: object, cwd: Path, code: int = 0, **variables: str) -> Any:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    environment = {**clean, **nothing, **emulator.environment(), **variables}
    kept = {name: value for name, value in environment.items() if value}
    return run_command("doctor", "--bedrock", *arguments, code=code, cwd=cwd, env=kept)


def found(emulator: Emulator, *arguments: object, cwd: Path, code: int = 0, **variables: str) -> Any:
    return json.loads(run(emulator, "--json", *arguments, cwd=cwd, code=code, **variables).stdout)


def named(told: Any, name: str) -> list[dict[str, str]]:
    return [each for each in told["findings"] if each["name"] == name]


def test_an_account_that_may_do_everything(emulator: Emulator, here: Path) -> None:
    out = run(emulator, "--yes", cwd=here).stdout
    for line in (
        r"ok    region +us-east-1, from AWS_REGION", r"ok    credentials +from environment variables",
        r"ok    clock +agrees with AWS's",
        r"ok    identity +arn:aws:iam::\*{8}9012:user/emulated, account \*{8}9012",
        r"ok    embedder +amazon\.titan-embed-text-v2:0 in us-east-1: access granted; \$0\.02 per million",
        rf"ok    generator +{re.escape(SONNET)} in us-east-1: access granted; \$2 in, \$10 out",
        r"ok    quota +On-demand .* Titan Text Embeddings V2: 6,000|ok    quota +Cross-region",
        r"ok    embedder +bedrock:InvokeModel is allowed: .* ms, under \$0\.0001 at most",
        r"ok    generator +ConverseStream \(bedrock:InvokeModelWithResponseStream\) is allowed",
    ):  # fmt: skip
        assert re.search(line, out), (line, out)
    assert "123456789012" not in out
    assert [problem for problem in emulator.problems if "GET /" not in problem and " /:" not in problem] == []


def test_calls_that_cost_are_made_with_yes_only(emulator: Emulator, here: Path) -> None:
    told = found(emulator, cwd=here)
    [skipped] = named(told, "calls")
    assert skipped["state"] == "skip" and re.search(
        r"3 calls for at most \$0\.000\d were not made", skipped["found"]
    )
    assert not {"Converse", "ConverseStream", "InvokeModel"} & emulator.counts.keys()


def test_what_is_refused_becomes_a_policy(emulator: Emulator, here: Path) -> None:
    emulator.behaviour.denied = frozenset({
        "bedrock:InvokeModelWithResponseStream", "sts:GetCallerIdentity", "servicequotas:ListServiceQuotas",
        "bedrock:ListFoundationModels",
    })  # fmt: skip
    told = found(emulator, "--yes", cwd=here, code=1)
    states = {(each["name"], each["state"]): each for each in told["findings"]}
    stream = states["generator", "fail"]
    assert stream["advice"] == (
        "add bedrock:InvokeModelWithResponseStream on "
        f"arn:aws:bedrock:us-east-1:********9012:inference-profile/{SONNET}"
    )
    assert states["identity", "warn"]["advice"] == "add sts:GetCallerIdentity on *"
    assert states["quotas", "warn"]["advice"] == "add servicequotas:ListServiceQuotas on *"
    assert states["models", "warn"]["found"] == "bedrock:ListFoundationModels is not allowed"
    actions = {action: each["Resource"] for each in told["policy"]["Statement"] for action in each["Action"]}
    assert actions["bedrock:InvokeModelWithResponseStream"] == [
        f"arn:aws:bedrock:us-east-1:ACCOUNT:inference-profile/{SONNET}"
    ]
    assert actions.keys() == emulator.behaviour.denied
    shown = run(emulator, "--yes", "--full", cwd=here, code=1).stdout
    assert "arn:aws:bedrock:us-east-1:123456789012:inference-profile" in shown
    assert "A policy that allows what was refused" in shown


def test_models_that_cannot_be_called(emulator: Emulator, here: Path) -> None:
    (here / "rag.toml").write_text(
        f'[generator]\nuse = "claude"\nmodel = "{SONNET}"\nfallback = ["anthropic.claude-sonnet-5", '
        '"us.anthropic.claude-sonnet-55", "anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-none"]\n'
    )
    emulator.behaviour.no_access = frozenset({"anthropic.claude-sonnet-5-5"})
    told = found(emulator, cwd=here, code=1)
    texts = [f"{each['state']} {each['found']}: {each['advice']}" for each in told["findings"]
             if each["name"].startswith("generator")]  # fmt: skip
    assert texts[0].startswith(f"fail {SONNET}: access to it was not requested in the Bedrock console")
    assert texts[1] == (
        "fail anthropic.claude-sonnet-5 cannot be called by its id in us-east-1: use us.anthropic.claude-sonnet-5 "
        "or global.anthropic.claude-sonnet-5"
    )
    assert texts[2].startswith("fail us-east-1 has no profile us.anthropic.claude-sonnet-55: did you mean")
    assert re.match(
        r"warn .* AWS retires it: callable until 20\d\d-\d\d-\d\d: choose a newer model", texts[3]
    )
    assert texts[4].startswith("fail us-east-1 does not offer anthropic.claude-none")


def test_without_access_the_call_says_what_to_do(emulator: Emulator, here: Path) -> None:
    emulator.behaviour.no_access = frozenset({"anthropic.claude-sonnet-5-5"})
    told = found(emulator, "--yes", cwd=here, code=1)
    calls = [each for each in named(told, "generator") if "AccessDenied" in each["found"]]
    assert len(calls) == 2
    assert all(each["found"].endswith("request access to the model in the Bedrock console") for each in calls)
    assert "policy" not in told


@pytest.mark.parametrize(
    ("variables", "name", "expected"),
    [
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "region", "no AWS region is set"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials", "there are no AWS credentials"),
        ({"AWS_ACCESS_KEY_ID": ""}, "credentials", "AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID"),
        ({"AWS_PROFILE": "none", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials",
         "The config profile (none) could not be found"),
        ({"AWS_ENDPOINT_URL_BEDROCK": "http://127.0.0.1:9", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:9",
          "AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME": "http://127.0.0.1:9"}, "bedrock", "Could not connect"),
    ],
    ids=["region", "credentials", "half", "profile", "endpoint"],
)  # fmt: skip
def test_what_is_missing_fails_in_one_line(
    emulator: Emulator, tmp_path: Path, variables: dict[str, str], name: str, expected: str
) -> None:
    told = found(emulator, "--yes", cwd=tmp_path, code=1, **variables)
    [line] = named(told, name)
    assert line["state"] == "fail" and expected in line["found"]
    assert not emulator.counts


def test_a_wrong_secret(emulator: Emulator, here: Path) -> None:
    told = found(emulator, "--yes", cwd=here, code=1, AWS_SECRET_ACCESS_KEY="wrong")
    calls = [each for each in named(told, "generator") if each["state"] == "fail"]
    assert all("the secret key or the clock is wrong: check both" in each["found"] for each in calls)
    assert len(calls) == 2


def test_a_clock_that_is_off(here: Path) -> None:
    with Late() as emulator:
        [clock] = named(found(emulator, cwd=here, code=1), "clock")
    assert clock["state"] == "fail" and "ahead of AWS, which refuses such signatures" in clock["found"]


def test_calls_are_in_the_ledger_and_its_budget_is_kept(emulator: Emulator, here: Path) -> None:
    (here / "rag.toml").write_text(TOML + "[ledger]\npath = 'ledger.sqlite'\nstop_usd = 0.00006\n")
    told = found(emulator, "--yes", cwd=here)
    states = [each["state"] for each in named(told, "generator")[1:]]
    assert states == ["ok", "skip"] or states == ["skip", "skip"]
    assert (here / "ledger.sqlite").exists()


def test_the_policy_of_the_account(emulator: Emulator, here: Path) -> None:
    statements = json.loads(run(emulator, "--policy", "--full", cwd=here).stdout)["Statement"]
    assert f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{SONNET}" in str(statements)
    assert "ACCOUNT" not in str(statements)


# ---------------------------------------------------------------------- the trial


def test_the_whole_is_confirmed_and_reported(emulator: Emulator, here: Path) -> None:
    done = run(emulator, "--whole", "--yes", "--output", "out", cwd=here)
    assert re.search(r"ok    price +at most \$0\.0\d+; ", done.stdout)
    assert re.search(r"ok    assumptions +\d\d confirmed, \d+ not tried; it cost \$0\.0\d+", done.stdout)
    assert sorted(path.name for path in (here / "out").iterdir()) == [
        "report.json",
        "report.md",
        "traffic.jsonl",
    ]
    report = json.loads((here / "out" / "report.json").read_text())
    assert "differs" not in report["counts"] and report["spent_usd"] < 0.05
    assert "123456789012" not in "".join(path.read_text() for path in (here / "out").iterdir())
    again = run(emulator, "--whole", "--yes", "--output", "out", cwd=here, code=2)
    assert "out holds files: name an empty or new folder with --output" in again.stderr


def test_a_service_that_differs_is_named(here: Path) -> None:
    with Differing(of_header("x-amzn-RequestId", None)) as service:
        told = found(service, "--whole", "--yes", cwd=here)
    assert [each["id"] for each in told["trial"]["assumptions"] if each["state"] == "differs"] == [
        "http.request-id"
    ]
    [line] = named(told, "http.request-id")
    assert line["state"] == "warn" and "Converse has no header x-amzn-RequestId" in line["found"]
    assert re.fullmatch(r"rag-doctor-us-east-1-\d{4}-\d\d-\d\d", told["trial"]["folder"])


def test_the_trial_is_asked_for(emulator: Emulator, here: Path) -> None:
    told = found(emulator, "--whole", cwd=here)
    [trial] = named(told, "trial")
    assert re.match(r"\d\d steps for at most \$0\.0\d+ were not made", trial["found"])
    assert not list(here.glob("rag-doctor-*")) and "Converse" not in emulator.counts


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--model", "global.anthropic.claude-of-tomorrow"), "cannot be priced: no price is known for"),
        (("--max-usd", "0.001"), "above --max-usd ($0.0010): raise it, or give a cheaper --model"),
    ],
    ids=["price", "limit"],
)
def test_a_trial_that_costs_too_much_is_refused(
    emulator: Emulator, here: Path, arguments: tuple[str, ...], expected: str
) -> None:
    done = run(emulator, "--whole", "--yes", *arguments, cwd=here, code=2)
    assert expected in done.stderr
    assert not list(here.glob("rag-doctor-*"))


def test_what_the_trial_cost_is_in_the_users_ledger(emulator: Emulator, here: Path) -> None:
    (here / "rag.toml").write_text(TOML + "[ledger]\npath = 'ledger.sqlite'\n")
    told = found(emulator, "--whole", "--yes", "--model", "global.anthropic.claude-haiku-5-5", cwd=here)
    cost = json.loads(run_command("cost", "--json", cwd=here).stdout)["total"]
    assert cost["usd"] >= told["trial"]["spent_usd"] > 0


def test_ctrl_c_leaves_the_report_of_what_was_tried(here: Path) -> None:
    with Emulator(Behaviour(latency_s=0.5)) as service:
        process = subprocess.Popen(
            [sys.executable, "-m", "rag", "doctor", "--bedrock", "--whole", "--yes", "--output", "out"],
            cwd=here, env={**os.environ, **service.environment()}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        while "converse " not in (line := process.stdout.readline()):
            assert line, process.stderr and process.stderr.read()
        process.send_signal(2)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "rag: interrupted: the report of what was tried so far is in out" in errors
    report = json.loads((here / "out" / "report.json").read_text())
    assert [step["name"] for step in report["steps"]][:3] == ["catalog", "embed", "converse"]
    assert len(report["steps"]) < 10
