"""All displays in a real browser: nothing runs or is fetched, both themes can be read, keys reach everything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")
pytest.importorskip("axe_playwright_python")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

import rag
from tests.conftest import HANDBOOK
from tests.notebook.objects import HOSTILE, records
from tests.notebook.reports import reports

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
#: What JupyterLab and VS Code say of their theme, whatever the system prefers.
THEMES = {
    "light": "", "dark": "", "jupyter light": 'data-jp-theme-light="true"', "jupyter dark": 'data-jp-theme-light="false"',
    "vscode dark": 'class="vscode-dark"',
}  # fmt: skip


@pytest.fixture(scope="module")
def cards(handbook_index: rag.Index) -> str:
    """Every kind of display, of the sample handbook or with hostile texts, on one page."""
    pipe = rag.Pipeline(handbook_index)
    question = "How many weeks of parental leave do I get?"
    shown = [
        handbook_index, rag.Store(handbook_index.path), rag.plan(HANDBOOK, handbook_index.path), pipe, pipe.prompt,
        handbook_index.search("who may declare a SEV-1?", k=4), pipe.ask(question, where="region == 'us'"),
        pipe.context(question), pipe.explain(question, "parental leave"), pipe.meter.ledger,
        handbook_index.check("status == 'current'"), *(each for text in (HOSTILE[0], "x" * 5000) for each in [*records(text), *reports(text)]),
    ]  # fmt: skip
    return "".join(each._repr_html_() for each in shown)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def page_of(browser: Any, path: Path, cards: str, theme: str, width: int = 1000) -> Any:
    """Open the displays under a theme, with all that unfolds open; what they ask for is noted."""
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Displays</title></head><body {THEMES[theme]} '
        f'style="margin:8px"><main><h1>Displays</h1>{cards}</main></body></html>',
        encoding="utf-8",
    )
    # The opposite of what the application's own theme says.
    scheme = {"dark": "dark", "jupyter light": "dark"}.get(theme, "light")
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("dialog", lambda dialog: page.asked.append("a script ran"))
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_is_fetched(
    browser: Any, cards: str, tmp_path: Path, theme: str
) -> None:
    page = page_of(browser, tmp_path / "cards.html", cards, theme)
    found = Axe().run(page).response["violations"]
    assert [
        (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
    ] == []
    assert page.asked == [page.url]
    assert page.evaluate("document.querySelectorAll('.rag script, .rag img, .rag svg, .rag a').length") == 0


def test_a_theme_of_the_application_wins_over_the_systems(browser: Any, cards: str, tmp_path: Path) -> None:
    of = "getComputedStyle(document.querySelector('.rag')).backgroundColor"
    grounds = {
        theme: page_of(browser, tmp_path / "cards.html", cards, theme).evaluate(of) for theme in THEMES
    }
    assert grounds["light"] == grounds["jupyter light"] == "rgb(255, 255, 255)"
    assert grounds["dark"] == grounds["jupyter dark"] == grounds["vscode dark"] == "rgb(21, 24, 27)"


@pytest.mark.parametrize("width", [360, 1200])
def test_no_card_is_wider_than_its_page(browser: Any, cards: str, tmp_path: Path, width: int) -> None:
    page = page_of(browser, tmp_path / "cards.html", cards, "light", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_citation_opens_by_the_keyboard(browser: Any, cards: str, tmp_path: Path) -> None:
    page = page_of(browser, tmp_path / "cards.html", cards, "light")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = false)")
    mark = page.locator("details.cite > summary").first
    mark.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    quote = page.locator("details.cite[open] mark.quote").first
    assert quote.is_visible() and "weeks" in quote.inner_text()
    page.keyboard.press("Tab")  # leaves it for the next thing that can be reached
    assert page.evaluate("document.activeElement.tagName") in ("SUMMARY", "DIV")
