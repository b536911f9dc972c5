"""The emulator's jobs of the type Converse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from rag.emulator import Emulator
from tests.answer_batches.answer_world import MODEL
from tests.building.batch_world import ROLE, quick


@pytest.fixture
def s3(moto: str) -> Iterator[Any]:
    client = boto3.client(
        "s3", endpoint_url=moto, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )  # fmt: skip
    client.create_bucket(Bucket="answers")
    yield client
    for item in client.list_objects_v2(Bucket="answers").get("Contents", ()):
        client.delete_object(Bucket="answers", Key=item["Key"])


def test_every_record_is_validated_as_a_call_is_and_answered_as_one(moto: str, s3: Any) -> None:
    def user(text: str) -> list[dict[str, Any]]:
        return [{"role": "user", "content": [{"text": text}]}]

    inputs: list[dict[str, Any]] = [
        {"messages": user("Leave is 28 days.\n\nHow long is leave?"), "inferenceConfig": {"maxTokens": 200}},
        {"messages": user("x"), "inferenceConfig": {"maxTokens": 0}}, {"messages": []},
        {"messages": user("x"), "modelId": MODEL}, {"messages": user("x"), "stream": True},
    ]  # fmt: skip
    lines = [json.dumps({"recordId": f"R{n}", "modelInput": each}) for n, each in enumerate(inputs)]
    s3.put_object(Bucket="answers", Key="in.jsonl", Body="\n".join(lines).encode())
    with Emulator(s3_endpoint=moto) as emulator:
        emulator.jobs.min_records = 1
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        client = boto3.client("bedrock", endpoint_url=emulator.url, **keys)
        arn = client.create_model_invocation_job(
            jobName="one", roleArn=ROLE, modelId=MODEL, modelInvocationType="Converse",
            inputDataConfig={"s3InputDataConfig": {"s3Uri": "s3://answers/in.jsonl"}},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://answers/out/"}},
        )["jobArn"]  # fmt: skip
        while (job := client.get_model_invocation_job(jobIdentifier=arn))["status"] != "Completed":
            quick(1)
        assert (job["modelInvocationType"], job["successRecordCount"], job["errorRecordCount"]) == (
            "Converse", 1, 4,
        )  # fmt: skip
        body = s3.get_object(Bucket="answers", Key=f"out/{arn[-12:]}/in.jsonl.out")["Body"].read()
        items = {item["recordId"]: item for item in map(json.loads, body.splitlines())}
        on_demand = boto3.client("bedrock-runtime", endpoint_url=emulator.url, **keys).converse(
            modelId=MODEL, **inputs[0]
        )
        del on_demand["ResponseMetadata"]
        assert items["R0"]["modelOutput"] == on_demand
        messages = [items[f"R{n}"]["error"]["errorMessage"] for n in range(1, 5)]
        assert ["maxTokens" in messages[0], "at least one message" in messages[1]] == [True, True]
        assert ["modelId" in messages[2], "stream" in messages[3]] == [True, True]
        assert len(emulator.problems) == 4
        manifest = json.loads(
            s3.get_object(Bucket="answers", Key=f"out/{arn[-12:]}/manifest.json.out")["Body"].read()
        )
        usage = on_demand["usage"]
        assert (manifest["inputTokenCount"], manifest["outputTokenCount"]) == (
            usage["inputTokens"], usage["outputTokens"],
        )  # fmt: skip
