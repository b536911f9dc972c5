"""The files of images: a template with exact rights, a Dockerfile that keeps to the rules, pinned requirements."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cfnlint.api
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rag
from rag.config import settings as rag_toml
from rag.core.errors import ConfigError, RagError, UsageError
from rag.deployment.files import written
from rag.serving.keys import KeyStore
from tests.command import run
from tests.conftest import ROOT

TOML = """
embedder = "titan"
generator = "claude"

[deploy]
index = "s3://my-bucket/indexes/handbook"
"""
TOKENS = '\n[serving.auth]\nuse = "tokens"\nissuer = "https://issuer.example"\naudience = "rag"\n'


def made(folder: Path, text: str, **options: Any) -> Path:
    """The files of a rag.toml."""
    (folder / "rag.toml").write_text(text, encoding="utf-8")
    written(
        folder / "out", rag_toml.read(folder / "rag.toml"), folder / "rag.toml", rag.__version__, **options
    )
    return folder / "out"


def template(folder: Path, text: str) -> dict[str, Any]:
    out = made(folder, text)
    problems = cfnlint.api.lint_file(out / "template.yaml")
    assert problems == []
    loaded: dict[str, Any] = yaml.safe_load((out / "template.yaml").read_text())
    return loaded


def transformed(loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What AWS SAM makes of a template, with the image that `sam build` fills in."""
    translator = pytest.importorskip(
        "samtranslator.translator.transform", reason="aws-sam-translator is absent"
    )
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    image = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/rag:1"
    loaded["Resources"]["Function"]["Properties"]["ImageUri"] = image

    class NoManagedPolicies:
        def load(self) -> dict[str, str]:
            return {}

    resources: dict[str, Any] = translator.transform(loaded, {}, NoManagedPolicies())
    return resources


@pytest.mark.parametrize("more", [
    "", "stream = false\n", 'architecture = "arm64"\n', "provisioned = 2\nmemory_mb = 3008\nstorage_mb = 4096\n",
])  # fmt: skip
def test_the_template_is_valid_before_and_after_the_transform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    loaded = template(tmp_path, TOML + more + TOKENS)
    function = loaded["Resources"]["Function"]["Properties"]
    mode = "BUFFERED" if "stream" in more else "RESPONSE_STREAM"
    assert function["FunctionUrlConfig"] == {"AuthType": "NONE", "InvokeMode": mode}
    assert function["MemorySize"] == (3008 if "3008" in more else 1769) and function["Timeout"] == 120
    result = transformed(loaded, monkeypatch)
    (tmp_path / "cfn.json").write_text(json.dumps(result))
    assert cfnlint.api.lint_file(tmp_path / "cfn.json") == []
    public = [each["Properties"]["Action"] for each in result["Resources"].values()
              if each["Type"] == "AWS::Lambda::Permission"]  # fmt: skip
    assert sorted(public) == ["lambda:InvokeFunction", "lambda:InvokeFunctionUrl"]
    roles = [each for each in result["Resources"].values() if each["Type"] == "AWS::IAM::Role"]
    assert len(roles) == 1 and "ManagedPolicyArns" not in roles[0]["Properties"], "no rights but those named"


def test_an_open_service_is_reached_by_signed_requests_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = template(tmp_path, TOML + "open = true\n")
    assert loaded["Resources"]["Function"]["Properties"]["FunctionUrlConfig"]["AuthType"] == "AWS_IAM"
    result = transformed(loaded, monkeypatch)
    assert not [each for each in result["Resources"].values() if each["Type"] == "AWS::Lambda::Permission"]
    twice = made(tmp_path, TOML + 'open = true\nurl_auth = "none"\n', force=True)
    assert "AuthType: NONE" in (twice / "template.yaml").read_text(), "both were said"


CONFIGURED = (
    TOML + TOKENS,
    TOML + TOKENS + '[cache.responses]\nuse = "dynamodb"\ntable = "answers"\n',
    TOML.replace('generator = "claude"', "")
    + TOKENS
    + '[generator]\nuse = "claude"\nmodel = "eu.anthropic.claude-haiku-5-5"\nguardrail = "gr1:2"\n',
    TOML.replace("s3://my-bucket/indexes/handbook", "indexes/handbook").replace("titan", "local") + TOKENS,
)


def policy_of(loaded: dict[str, Any]) -> dict[str, Any]:
    """The policy of a template with the words of `rag doctor --policy`."""
    (policy,) = loaded["Resources"]["Role"]["Properties"]["Policies"]
    text = json.dumps(policy["PolicyDocument"])
    text = re.sub(r'\{"Fn::Sub": ("[^"]+")\}', r"\1", text)
    for name, word in (("Partition", "aws"), ("Region", "eu-west-1"), ("AccountId", "ACCOUNT")):
        text = text.replace(f"${{AWS::{name}}}", word)
    assert "${" not in text
    values: dict[str, Any] = json.loads(text)
    return values


@pytest.mark.parametrize("text", CONFIGURED)
def test_the_rights_are_those_that_the_doctor_prints(tmp_path: Path, text: str) -> None:
    loaded = template(tmp_path, text)
    printed = run(
        "doctor", "--policy", "--region", "eu-west-1", "--config", tmp_path / "rag.toml", cwd=tmp_path
    )
    assert policy_of(loaded) == json.loads(printed.stdout)


#: Where a `*` may stand: the objects of a prefix, streams of a log, and the regions of a profile's model.
_STARS = re.compile(
    r"arn:aws:s3:::[a-z0-9.-]+/[^*]+/\*"
    r"|arn:aws:logs:[a-z0-9-]+:[A-Z0-9]+:log-group:/aws/lambda/[\w-]+:\*"
    r"|arn:aws:bedrock:\*::foundation-model/[^*]+"
)


@pytest.mark.parametrize("text", CONFIGURED)
def test_no_right_is_wider_than_it_needs_to_be(tmp_path: Path, text: str) -> None:
    statements = policy_of(template(tmp_path, text))["Statement"]
    actions = {action for each in statements for action in each["Action"]}
    resources = {resource for each in statements for resource in each["Resource"]}
    assert not [action for action in actions if "*" in action]
    assert not [each for each in resources if "*" in each and not _STARS.fullmatch(each)]
    assert actions <= {
        "bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream", "bedrock:ApplyGuardrail",
        "s3:GetObject", "logs:CreateLogStream", "logs:PutLogEvents", "dynamodb:GetItem", "dynamodb:PutItem",
        "dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:Scan",
    }  # fmt: skip
    assert ("s3:GetObject" in actions) == ("s3://" in text)


def instructions(path: Path) -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*$", "", path.read_text(), flags=re.M)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    pairs = (line.strip().partition(" ") for line in lines if line.strip())
    return [(name, rest.strip()) for name, _, rest in pairs]


def test_the_dockerfile_keeps_to_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    KeyStore(tmp_path / "keys.sqlite").add("crm")
    monkeypatch.chdir(tmp_path)
    out = made(tmp_path, TOML + '\n[serving.auth]\npath = "keys.sqlite"\n')
    found = instructions(out / "Dockerfile")
    stages = [rest for name, rest in found if name == "FROM"]
    assert [stage.rpartition(" AS ")[2] for stage in stages] == ["packages", "base", "lambda", "web"]
    (base,) = [rest for name, rest in found if name == "ARG"]
    assert re.fullmatch(r"PYTHON=python:3\.\d+-slim-\w+", base), "a version, and not latest"
    users = [rest for name, rest in found if name == "USER"]
    assert users == ["10001"]
    after = found[[name for name, _ in found].index("USER") :]
    assert not [name for name, _ in after if name in ("RUN", "COPY", "ADD")], "nothing is done as root later"
    assert not re.search(
        r"secret|password|token|access_key|index-url|ADD http", (out / "Dockerfile").read_text(), re.I
    )
    assert [json.loads(rest) for name, rest in found if name == "ENTRYPOINT"] == [
        ["python", "-m", "rag.deployment.runtime"], ["python", "-m", "rag.deployment.web"],
    ]  # fmt: skip
    assert sum(name == "HEALTHCHECK" for name, _ in found) == 1 and ("STOPSIGNAL", "SIGTERM") in found
    for _, rest in (each for each in found if each[0] == "COPY" and "--from" not in each[1]):
        for source in rest.split()[:-1]:
            assert "*" in source or (out / source).exists(), source
    runs = " ".join(rest for name, rest in found if name == "RUN")
    assert (
        "--no-cache-dir" in runs and "rm -rf /var/lib/apt/lists" in runs and "--no-install-recommends" in runs
    )
    assert KeyStore(out / "app" / "keys.sqlite").all()[0].name == "crm"
    ignored = (out / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*" and set(ignored[1:]) == {
        "!app",
        "!requirements.txt",
        "!trim.sh",
        "!*.whl",
    }


def pins(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = {}
    for line in lines:
        requirement = Requirement(line)
        (pin,) = requirement.specifier
        assert pin.operator == "==", line
        found[canonicalize_name(requirement.name)] = pin.version
    return found


def test_requirements_are_those_of_the_constraints(tmp_path: Path) -> None:
    constraints = pins((ROOT / "constraints.txt").read_text())
    lean = pins((made(tmp_path, TOML + TOKENS) / "requirements.txt").read_text())
    own = lean.pop("bedrock-rag")
    assert own == rag.__version__
    assert {name: constraints.get(name) for name in lean} == lean
    assert not lean.keys() & {"onnxruntime", "langchain", "lxml", "pypdf", "pypdfium2", "rich", "torch"}
    local = TOML.replace("titan", "local") + TOKENS
    assert "onnxruntime" in pins((made(tmp_path, local, force=True) / "requirements.txt").read_text())


def test_what_would_answer_nobody_or_everybody_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text, kind, expected in (
        (TOML, UsageError, "nobody could call"),
        (TOKENS, ConfigError, "has no table"),
        ("[deploy]\nopen = true\n", ConfigError, "names no index"),
        (TOML + '\n[serving.auth]\npath = "keys.sqlite"\n', UsageError, "keys.sqlite is missing"),
        (TOML + '\n[serving.auth]\npath = "/etc/keys.sqlite"\n', ConfigError, "is absolute"),
        (TOML + "memory_mb = 64\n" + TOKENS, ConfigError, "memory_mb is a whole number from 512"),
    ):
        with pytest.raises(RagError, match=expected) as raised:
            made(tmp_path, text)
        assert isinstance(raised.value, kind) and not (tmp_path / "out").exists()


def test_the_command_writes_and_replaces_nothing_unasked(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text(TOML + TOKENS)
    said = run("deploy", "out", cwd=tmp_path)
    assert "out/template.yaml" in said.stdout + said.stderr
    run("deploy", "out", cwd=tmp_path)  # the same again changes nothing
    (tmp_path / "out" / "Dockerfile").write_text("FROM mine\n")
    refused = run("deploy", "out", cwd=tmp_path, code=2)
    assert "Dockerfile is there and differs: --force replaces it" in refused.stderr
    assert (tmp_path / "out" / "Dockerfile").read_text() == "FROM mine\n"
    run("deploy", "out", "--force", cwd=tmp_path)
    assert (tmp_path / "out" / "Dockerfile").read_text() != "FROM mine\n"
    assert "rag.toml is missing" in run("deploy", "out", cwd=tmp_path / "out", code=2).stderr
