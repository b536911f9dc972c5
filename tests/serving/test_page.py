"""The page in a real browser: asks, streams, opens a citation, filters, stops; nothing of a document runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import expect, sync_playwright

import rag
from rag.serving.app import create_app
from rag.serving.keys import KeyAuthenticator, KeyStore, OpenAuthenticator
from rag.serving.service import Service
from tests.serving.served import running

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"), pytest.mark.slow,
]  # fmt: skip
HOSTILE = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
LEAVE = "How many days of annual leave do staff in Europe take?"


@pytest.fixture(scope="module")
def ix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "docs").mkdir()
    (folder / "docs" / "eu.md").write_text(
        f"# Leave {HOSTILE}\n\nStaff in Europe take 28 days of annual leave each year {HOSTILE}.\n\n"
        "Sick notes go to the manager.\n"
    )
    (folder / "docs" / "us.md").write_text("# Leave\n\nStaff in America take 15 days of annual leave.\n")
    rows = '{"source": "eu.md", "region": "europe", "year": 2025}\n{"source": "us.md", "region": "us", "year": 2024}\n'
    (folder / "meta.jsonl").write_text(rows)
    rag.build(folder / "docs", folder / "ix", embedder="static", metadata=str(folder / "meta.jsonl"))
    return folder / "ix"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 900, "height": 1000})
    opened = context.new_page()
    opened.problems = []
    opened.on("console", lambda message: message.type == "error" and opened.problems.append(message.text))
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.on("request", lambda request: "127.0.0.1" in request.url or opened.problems.append(request.url))
    yield opened
    context.close()


def service(ix: Path) -> Service:
    return Service(ix, lambda: rag.Pipeline(ix))


@pytest.mark.enable_socket
def test_a_question_is_answered_and_its_citation_opens_the_passage(ix: Path, page: Any) -> None:
    with running(create_app(service(ix), OpenAuthenticator())) as address:
        page.goto(address)
        page.get_by_label("Question").fill(LEAVE)
        page.get_by_label("Question").press("Enter")
        expect(page.locator("#facts")).to_contain_text(" s ")
        assert "28 days" in page.inner_text("#answer")
        assert page.get_attribute("#answer", "aria-busy") == "false"
        assert (
            "passages" in page.inner_text("#size") and page.evaluate("document.title") == "Ask the documents"
        )
        page.locator("#answer button[aria-label*='eu.md']").first.click()
        page.wait_for_selector("dialog[open]")
        assert "28 days" in page.inner_text("#source-text mark")
        assert HOSTILE in page.inner_text("#source-text")  # seen, and not obeyed
        assert page.locator("#source-text img, #answer img, #source-text script").count() == 0
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog:not([open])", state="attached")
    assert page.problems == []


@pytest.mark.enable_socket
def test_filters_are_those_of_the_index_and_hold(ix: Path, page: Any) -> None:
    with running(create_app(service(ix), OpenAuthenticator())) as address:
        page.goto(address)
        page.locator("#filters summary").click()
        page.get_by_label("region").select_option("us")
        page.get_by_label("Question").fill("How many days of annual leave do staff take?")
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#facts")).to_contain_text(" s ")
        assert "15 days" in page.inner_text("#answer") and "28" not in page.inner_text("#answer")
        page.get_by_label("year").select_option("2025")  # no document has both
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#size")).to_contain_text(re.compile(r"^0 "))
        assert "28 days" not in page.inner_text("body")
    assert page.problems == []


@pytest.mark.enable_socket
def test_a_service_with_keys_asks_for_one_and_keeps_it_in_the_tab(
    ix: Path, page: Any, tmp_path: Path
) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    _, key = store.add("me", where="region == 'us'")
    with running(create_app(service(ix), KeyAuthenticator(store))) as address:
        page.goto(address)
        page.wait_for_selector("#key", state="visible")
        assert "needs an API key" in page.inner_text("#error")
        page.get_by_label("API key").fill(key)
        page.get_by_label("Question").fill(LEAVE)
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#size")).to_contain_text("passage")
        assert "28 days" not in page.inner_text("body")
        assert page.evaluate("localStorage.length") == 0 and key not in page.content()


@pytest.mark.enable_socket
@pytest.mark.parametrize("width", [390, 1200])
def test_it_fits_and_can_be_read_in_light_and_dark(ix: Path, page: Any, width: int) -> None:
    with running(create_app(service(ix), OpenAuthenticator())) as address:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(address)
        for theme in ("light", "dark"):
            if page.evaluate("document.documentElement.dataset.theme") != theme:
                page.get_by_label("Switch between light and dark").click()
            assert page.evaluate("document.documentElement.dataset.theme") == theme
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        names = page.evaluate(
            "[...document.querySelectorAll('textarea, select, button, input')]"
            ".filter(each => !(each.labels?.length || each.textContent.trim() || each.ariaLabel)).length"
        )
        assert names == 0  # everything that can be used has a name
