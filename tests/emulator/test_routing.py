"""Paths and the operations that they belong to."""

from __future__ import annotations

import re

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel

from rag.emulator import Emulator, routing
from tests.emulator.conftest import client_of, send


@pytest.mark.parametrize(("method", "path", "operation"), [
    ("POST", "/model/amazon.titan-embed-text-v2%3A0/invoke", ("bedrock-runtime", "InvokeModel")),
    ("POST", "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A000000000000%3Ainference-profile%2Fx/converse-stream",
     ("bedrock-runtime", "ConverseStream")),
    ("POST", "/guardrail/abc/version/1/apply", ("bedrock-runtime", "ApplyGuardrail")),
    ("POST", "/rerank", ("bedrock-agent-runtime", "Rerank")),
    ("POST", "/knowledgebases/KB12345678/retrieve", ("bedrock-agent-runtime", "Retrieve")),
    ("POST", "/retrieveAndGenerateStream", ("bedrock-agent-runtime", "RetrieveAndGenerateStream")),
    ("PUT", "/knowledgebases/", ("bedrock-agent", "CreateKnowledgeBase")),
    ("POST", "/knowledgebases/KB12345678/datasources/", ("bedrock-agent", "ListDataSources")),
    ("POST", "/CreateIndex", ("s3vectors", "CreateIndex")),
    ("POST", "/model-invocation-job", ("bedrock", "CreateModelInvocationJob")),
    ("GET", "/model-invocation-jobs", ("bedrock", "ListModelInvocationJobs")),
])  # fmt: skip
def test_raw_path_leads_to_operation(method: str, path: str, operation: tuple[str, str]) -> None:
    route = routing.find(method, path)
    assert (route.service, route.operation) == operation


def test_every_operation_is_reachable() -> None:
    for service in routing.SERVICES:
        model = ServiceModel(Loader().load_service_model(service, "service-2"))
        for name in model.operation_names:
            if "tag" in name.lower():  # several services have these at the same paths, on hosts of their own
                continue
            http = model.operation_model(name).http
            path = re.sub(r"\{[^}]+\}", "x", http["requestUri"].partition("?")[0])
            route = routing.find(http["method"], path)
            assert (route.service, route.operation) == (service, name)


def test_unknown_path_names_near_misses(emulator: Emulator) -> None:
    status, code, message = send(emulator, "/model/x/convers", {})
    assert (status, code) == (404, "UnknownOperationException")
    assert "POST /model/{modelId}/converse" in message
    with pytest.raises(ClientError, match="the emulator has no GetAsyncInvoke"):
        arn = "arn:aws:bedrock:eu-west-1:000000000000:async-invoke/abcdefghijkl"
        client_of(emulator).get_async_invoke(invocationArn=arn)
