"""The emulator's batch jobs behave as Bedrock's."""

from __future__ import annotations

import json
import re
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError

from rag.bedrock.storage import batch_jobs as aws
from tests.building.batch_world import ROLE, World, quick


def control(world: World) -> Any:
    return boto3.client("bedrock", endpoint_url=world.emulator.url)


def job_request(name: str = "one", **more: Any) -> dict[str, Any]:
    return {
        "jobName": name, "roleArn": ROLE, "modelId": "amazon.titan-embed-text-v2:0",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://work/in/"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://work/out/"}}, **more,
    }  # fmt: skip


def ended(client: Any, arn: str) -> dict[str, Any]:
    while (found := client.get_model_invocation_job(jobIdentifier=arn))["status"] not in aws.ENDED:
        quick(1)
    return found


def put_input(world: World, key: str, records: list[dict[str, Any]]) -> None:
    body = "".join(json.dumps(record) + "\n" for record in records).encode()
    world.s3.put_object(Bucket="work", Key=key, Body=body)


def test_the_emulator_reads_a_prefix_and_makes_up_record_ids(world: World) -> None:
    put_input(
        world,
        "in/a.jsonl",
        [{"modelInput": {"inputText": f"Text {n}", "dimensions": 256}} for n in range(60)],
    )
    put_input(
        world, "in/b.jsonl", [{"recordId": f"r{n}", "modelInput": {"inputText": ""}} for n in range(40)]
    )
    put_input(world, "in/notes.txt", [{}])
    client = control(world)
    arn = client.create_model_invocation_job(**job_request())["jobArn"]
    assert re.fullmatch(r"arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/[a-z0-9]{12}", arn)
    found = ended(client, arn)
    assert (found["status"], found["successRecordCount"], found["errorRecordCount"]) == ("Completed", 60, 40)
    folder = f"out/{arn[-12:]}"
    lines = world.s3.get_object(Bucket="work", Key=f"{folder}/a.jsonl.out")["Body"].read().splitlines()
    records = [json.loads(line) for line in lines]
    ids = [record["recordId"] for record in records]
    assert len(set(ids)) == 60 and all(len(one) == 11 for one in ids) and ids != sorted(ids)
    assert all(len(record["modelOutput"]["embedding"]) == 256 for record in records)
    line = world.s3.get_object(Bucket="work", Key=f"{folder}/b.jsonl.out")["Body"].read().splitlines()[0]
    error = json.loads(line)["error"]
    assert error["errorCode"] == 400 and not error["expired"] and not error["retryable"]
    manifest = json.loads(
        world.s3.get_object(Bucket="work", Key=f"{folder}/manifest.json.out")["Body"].read()
    )
    assert manifest["totalRecordCount"] == 100 and manifest["inputTokenCount"] > 60


def test_the_emulator_validates_what_it_reads(world: World) -> None:
    client = control(world)
    name = iter("abcdef")

    def failed(**more: Any) -> str:
        arn = client.create_model_invocation_job(**job_request(next(name), **more))["jobArn"]
        found = ended(client, arn)
        assert found["status"] == "Failed"
        return str(found["message"])

    assert "holds no file" in failed()
    put_input(world, "in/a.jsonl", [{"modelInput": {"inputText": f"Text {n}"}} for n in range(99)])
    assert "99 records; at least 100" in failed()
    world.jobs.max_records = 50
    put_input(world, "in/b.jsonl", [{"modelInput": {"inputText": "x"}}])
    assert "100 records" in failed()
    put_input(world, "in/b.jsonl", [{"inputText": "x"}])
    assert failed() == "b.jsonl, line 1 is not a record."
    with pytest.raises(ClientError, match="roleArn"):
        client.create_model_invocation_job(**job_request(roleArn="arn:aws:iam::1:user/x"))
    wrong = {"s3InputDataConfig": {"s3Uri": "https://work/in"}}
    with pytest.raises(ClientError, match="s3Uri"):
        client.create_model_invocation_job(**job_request(inputDataConfig=wrong))


def test_the_emulator_lists_stops_and_starts_once_a_token(world: World) -> None:
    put_input(world, "in/a.jsonl", [{"modelInput": {"inputText": f"Text {n}"}} for n in range(100)])
    world.emulator.job_s = 60
    client = control(world)
    one = client.create_model_invocation_job(**job_request("one", clientRequestToken="t1"))["jobArn"]
    assert client.create_model_invocation_job(**job_request("one", clientRequestToken="t1"))["jobArn"] == one
    two = client.create_model_invocation_job(**job_request("two"))["jobArn"]
    assert one != two and len(world.started) == 2
    listed = client.list_model_invocation_jobs()["invocationJobSummaries"]
    assert [job["jobArn"] for job in listed] == [two, one]
    listed = client.list_model_invocation_jobs(nameContains="on")["invocationJobSummaries"]
    assert [job["jobName"] for job in listed] == ["one"]
    first = client.list_model_invocation_jobs(maxResults=1, sortOrder="Ascending")
    assert [job["jobArn"] for job in first["invocationJobSummaries"]] == [one]
    after = client.list_model_invocation_jobs(
        maxResults=1, sortOrder="Ascending", nextToken=first["nextToken"]
    )
    assert [job["jobArn"] for job in after["invocationJobSummaries"]] == [two] and "nextToken" not in after
    client.stop_model_invocation_job(jobIdentifier=one)
    assert ended(client, one)["status"] == "Stopped"
    with pytest.raises(ClientError, match="ConflictException"):
        client.stop_model_invocation_job(jobIdentifier=one)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.get_model_invocation_job(jobIdentifier=one[:-1] + "x")
    world.jobs.max_running = 1
    with pytest.raises(ClientError, match="ServiceQuotaExceededException"):
        client.create_model_invocation_job(**job_request("three"))
    client.stop_model_invocation_job(jobIdentifier=two)


def test_record_ids_are_alike_for_alike_texts_alone() -> None:
    texts = [f"Text {n}" for n in range(20_000)]
    assert len({aws.record_id(text) for text in texts}) == len(texts)
    assert aws.record_id("Text 1") == aws.record_id("Text 1")
    assert np.mean([len(aws.record_id(text)) for text in texts]) == 11
