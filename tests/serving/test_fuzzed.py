"""Requests made from the description of the interface, right and wrong ones: none ends in an error of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

import rag
from rag.serving.app import create_app
from rag.serving.keys import OpenAuthenticator
from rag.serving.service import Service
from tests.scale import scale
from tests.serving.served import running

pytestmark = [pytest.mark.soak, pytest.mark.slow]


def test_no_request_ends_in_a_500(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Leave\n\nStaff in Europe take 28 days of annual leave.\n")
    rag.build(tmp_path / "docs", tmp_path / "ix", embedder="static")
    app = create_app(Service(tmp_path / "ix", lambda: rag.Pipeline(tmp_path / "ix")), OpenAuthenticator())
    paths = set()
    with running(app) as address:
        described = schemathesis.openapi.from_url(f"{address}/openapi.json")
        for found in described.get_all_operations():
            operation = found.ok()
            paths.add(operation.path)

            @settings(
                max_examples=scale(15, 1000),
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            )
            @given(case=operation.as_strategy())
            def ask(case: schemathesis.Case) -> None:
                reply = case.call(timeout=60)
                assert reply.status_code < 500, reply.text
                if reply.status_code >= 400 and reply.headers["content-type"] == "application/json":
                    assert "Traceback" not in reply.text

            ask()
    assert {"/v1/ask", "/v1/chat/completions", "/v1/search", "/v1/source", "/v1/explain"} <= paths
