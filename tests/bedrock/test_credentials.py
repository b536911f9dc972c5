"""Region and credentials: one precedence for every client, and one line of ours for what is missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

import rag
from rag.bedrock.embeddings.titan import TitanEmbeddings
from rag.bedrock.runtime.client import client, missing_keys
from rag.bedrock.runtime.retry import Retry
from rag.bedrock.storage.batch_jobs import BatchJobs
from rag.bedrock.storage.s3 import S3Files
from rag.core.errors import RagError

KEY, SECRET, TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """An environment without AWS's variables, with a profile in a region; set the given ones."""
    (tmp_path / "config").write_text("[profile team]\nregion = eu-central-1\n[profile lone]\noutput = json\n")
    (tmp_path / "credentials").write_text(
        "[team]\naws_access_key_id = a\naws_secret_access_key = b\n[half]\naws_access_key_id = a\n"
    )
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)

    def set_(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_


@pytest.mark.parametrize(
    ("variables", "region", "right"),
    [
        ({"AWS_REGION": "eu-north-1"}, None, "eu-north-1"),
        ({"AWS_DEFAULT_REGION": "eu-north-1"}, None, "eu-north-1"),
        ({"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "us-east-1"}, None, "eu-north-1"),
        ({"AWS_REGION": "eu-north-1", "AWS_PROFILE": "team"}, None, "eu-north-1"),
        ({"AWS_DEFAULT_REGION": "eu-north-1", "AWS_PROFILE": "team"}, None, "eu-north-1"),
        ({"AWS_PROFILE": "team"}, None, "eu-central-1"),
        ({"AWS_REGION": "", "AWS_PROFILE": "team"}, None, "eu-central-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-east-1"}, None, "us-east-1"),
        ({"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "us-east-1"}, "sa-east-1", "sa-east-1"),
    ],
)
def test_every_client_has_the_same_region(
    bare: Callable[..., None], variables: dict[str, str], region: str | None, right: str
) -> None:
    bare({KEY: "a", SECRET: "b", **variables})
    given = {"region": region} if region else {}
    clients = [
        client("bedrock-runtime", region=region), rag.ClaudeBedrock(**given).client,
        client("bedrock-agent-runtime", region=region),
        BatchJobs("s3://b/p", region=region)._s3(), BatchJobs("s3://b/p", region=region)._bedrock(),
    ]  # fmt: skip
    if region is None:
        clients.append(S3Files("s3://b/p")._client)
    assert {one.meta.region_name for one in clients} == {right}


def one_line(call: Callable[[], Any]) -> str:
    with pytest.raises(RagError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    return line


USES: dict[str, Callable[[], Any]] = {
    "titan": lambda: TitanEmbeddings(patience=0).embed_query("leave"),
    "claude": lambda: rag.ClaudeBedrock(retry=Retry(attempts=1)).invoke("Who?"),
    "s3": lambda: list(S3Files("s3://bucket/prefix").list()),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({KEY: "a"}, f"{KEY} is set without {SECRET}"),
        ({SECRET: "b"}, f"{SECRET} is set without {KEY}"),
        ({TOKEN: "c"}, f"{TOKEN} is set without {KEY} and {SECRET}"),
        ({KEY: "a", TOKEN: "c"}, f"{KEY} and {TOKEN} are set without {SECRET}"),
        ({SECRET: "b", TOKEN: "c"}, f"{SECRET} and {TOKEN} are set without {KEY}"),
        ({KEY: "a", SECRET: ""}, f"{KEY} is set without {SECRET}"),
        ({"AWS_PROFILE": "half"}, "missing: aws_secret_access_key"),
        ({"AWS_PROFILE": "nosuch"}, "nosuch"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere"}, "no role ARN"),
        ({}, "there are no AWS credentials: set AWS_PROFILE"),
    ],
)
def test_what_is_missing_is_named_in_one_line(
    bare: Callable[..., None], use: Callable[[], Any], variables: dict[str, str], says: str
) -> None:
    bare({"AWS_REGION": "eu-west-1", **variables})
    assert says in one_line(use)


def test_keys_passed_to_the_model_are_checked_with_the_environments(bare: Callable[..., None]) -> None:
    bare({"AWS_REGION": "eu-west-1"})
    line = one_line(lambda: rag.ClaudeBedrock(aws_access_key_id="a"))
    assert f"{KEY} is set without {SECRET}" in line
    bare({SECRET: "b"})
    assert rag.ClaudeBedrock(aws_access_key_id="a").client.meta.region_name == "eu-west-1"
    assert rag.ClaudeBedrock(credentials_profile_name="team").client is not None
    bare({"AWS_BEARER_TOKEN_BEDROCK": "t"})
    assert rag.ClaudeBedrock().client is not None


@pytest.mark.parametrize(
    "given", [{}, {KEY: "a", SECRET: "b"}, {KEY: "a", SECRET: "b", TOKEN: "c"}, {KEY: ""}]
)
def test_keys_that_are_whole_or_absent_are_right(given: dict[str, str]) -> None:
    assert missing_keys(given) is None
