"""The tools of an assistant, by the SDK's own client: over standard input and over HTTP."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

import rag
from rag.serving.bounds import Bounds
from rag.serving.callers import Caller
from rag.serving.guard import Guard
from rag.serving.keys import KeyAuthenticator, KeyStore
from rag.serving.mcp import create_server, uri_of
from rag.serving.service import MOST_SOURCE, Service
from tests.command import run
from tests.serving.served import canary, running, tenants_index

QUESTION = "What is the launch code of the project?"


@pytest.fixture(scope="module")
def ix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tenants_index(tmp_path_factory.mktemp("mcp"), 4)


def service(ix: Path) -> Service:
    return Service(ix, lambda: rag.Pipeline(ix))


@asynccontextmanager
async def local(ix: Path, where: Any = None) -> AsyncIterator[Client]:
    """A client in this process."""
    caller = Caller("local", "local", where)
    async with Client(create_server(service(ix), lambda request: caller)) as client:
        yield client


async def called(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return dict(result.structured_content)


async def test_every_tool_has_schemas_and_only_reads(ix: Path) -> None:
    async with local(ix) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert sorted(tools) == ["ask", "explain", "list_sources", "read_source", "search"]
    for tool in tools.values():
        assert tool.output_schema is not None and tool.description and tool.annotations is not None
        assert tool.annotations.read_only_hint and "context" not in tool.input_schema["properties"]


async def test_the_tools_find_answer_explain_and_read(ix: Path) -> None:
    async with local(ix) as client:
        found = await called(client, "search", question=QUESTION, where="tenant == 't02'", k=3)
        assert canary(2) in found["passages"][0]["text"] and found["passages"][0]["source"] == "t02.md"
        said = await called(client, "ask", question=QUESTION, where="tenant == 't02'")
        assert said["answered"] and canary(2) in said["text"] and said["citations"][0]["verified"]
        why = await called(client, "explain", question=QUESTION, expect="t01.md", where="tenant == 't02'")
        assert why["stage"] == "filter"
        names = await called(client, "list_sources", contains="T0")
        assert names["sources"] == [f"t0{n}.md" for n in range(4)] and names["total"] == 4
        text = await called(client, "read_source", source="all.md")
        assert "canteen opens at noon" in text["text"] and text["next_start"] is None
        resource = await client.read_resource(uri_of("all.md"))
        assert "canteen opens at noon" in resource.contents[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("search", {"question": QUESTION, "where": "tennant == 't01'"}, "did you mean 'tenant'"),
        ("search", {"question": " "}, "from 1 to 8,000 characters"),
        ("read_source", {"source": "nothing.md"}, "there is no such source"),
        ("explain", {"question": QUESTION, "expect": "words that stand nowhere"}, "no passage with these words"),
    ],
)  # fmt: skip
async def test_an_error_is_a_line_that_says_what_to_do(
    ix: Path, tool: str, arguments: Any, says: str
) -> None:
    async with local(ix) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error and says in result.content[0].text  # type: ignore[union-attr]
    assert "Traceback" not in str(result.content) and str(ix) not in str(result.content)


async def test_what_is_long_is_cut_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    text = "\n\n".join(
        f"Paragraph {n} says that the rule number {n} holds for all staff." for n in range(900)
    )
    (tmp_path / "docs" / "long.md").write_text(text)
    rag.build(tmp_path / "docs", tmp_path / "ix", embedder="static")
    read, start = "", 0
    async with local(tmp_path / "ix") as client:
        while start is not None:
            part = await called(client, "read_source", source="long.md", start=start)
            assert 0 < len(part["text"]) <= MOST_SOURCE
            read, start = read + part["text"], part["next_start"]
    assert all(f"rule number {n} holds" in read for n in range(900))


async def test_what_a_caller_may_not_see_is_in_no_tool(ix: Path) -> None:
    async with local(ix, rag.field("tenant") == "t01") as client:
        for name, arguments in (
            ("search", {"question": QUESTION, "k": 50}), ("search", {"question": canary(2), "where": "tenant == 't02'"}),
            ("ask", {"question": f"{QUESTION} {canary(2)[:3]}"}), ("list_sources", {}),
        ):  # fmt: skip
            text = str(await client.call_tool(name, arguments))
            assert canary(2) not in text and "t02.md" not in text
        for source in ("t02.md", "nothing.md"):
            result = await client.call_tool("read_source", {"source": source})
            assert result.is_error and "there is no such source" in str(result.content)


async def test_over_http_a_key_says_what_is_seen(ix: Path, tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    _, key = store.add("one", where="tenant == 't01'")
    server = create_server(service(ix), lambda request: request.scope["state"]["caller"])
    with running(Bounds(Guard(server.streamable_http_app(), KeyAuthenticator(store)))) as address:
        headers = {"authorization": f"Bearer {key}"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(f"{address}/mcp", http_client=http)) as client,
        ):
            found = await called(client, "search", question=QUESTION, k=50)
            assert {each["source"] for each in found["passages"]} == {"t01.md"}
        async with httpx2.AsyncClient() as http:
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
            assert (await http.post(f"{address}/mcp", json=body)).status_code == 401


async def test_the_command_speaks_the_protocol_alone_on_standard_output(ix: Path) -> None:
    words = ["-m", "rag", "mcp", str(ix), "--where", "tenant == 't03'"]
    async with Client(stdio_client(StdioServerParameters(command=sys.executable, args=words))) as client:
        found = await called(client, "search", question=QUESTION)
        assert {each["source"] for each in found["passages"]} == {"t03.md"}
        assert json.dumps(found)


def test_the_command_refuses_what_is_not_safe(ix: Path) -> None:
    refused = run("mcp", ix, "--http", "0.0.0.0:8001", code=2)
    assert "without keys it does not start on 0.0.0.0" in refused.stderr
    assert "did you mean 'tenant'" in run("mcp", ix, "--where", "tennant == 'x'", code=2).stderr
