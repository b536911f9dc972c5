"""A real JupyterLab in a real browser: run all, ask, filter, compare, lasso; nothing of a document runs.

Every request of the page is noted: none leaves this machine.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")
pytest.importorskip("axe_playwright_python")
pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

import rag
from rag.evaluation.golden_set import read
from tests.notebook.explorer.lab import jupyterlab, notebook
from tests.scale import scale

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
    pytest.mark.skipif(not scale(False, True), reason="takes minutes: runs in make soak"),
    pytest.mark.slow, pytest.mark.soak, pytest.mark.enable_socket,
]  # fmt: skip
HOSTILE = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
LEAVE = "How many days of annual leave do staff in Europe take?"
#: How long a busy machine may take for one step.
PATIENCE = 45_000
CELLS = (
    f"import rag\npipe = rag.Pipeline('ix')\npipe.ask({LEAVE!r}, where='year == 2025')",
    f"rag.explore(pipe, {LEAVE!r}, golden='golden.jsonl')",
    "m = rag.chunk_map('ix', color='region', question='annual leave')\nm",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of a few documents, hostile in text, metadata and name, and a notebook."""
    made = tmp_path_factory.mktemp("lab")
    (made / "docs").mkdir()
    name = "eu<img src=x>.md"
    (made / "docs" / name).write_text(
        f"# Leave {HOSTILE}\n\nStaff in Europe take 28 days of annual leave each year {HOSTILE}.\n\nSick notes go to the manager.\n"
    )
    (made / "docs" / "us.md").write_text("# Leave\n\nStaff in America take 15 days of annual leave.\n")
    rows = [
        {"source": name, "region": f"europe {HOSTILE}", "year": 2025},
        {"source": "us.md", "region": "us", "year": 2024},
    ]
    (made / "meta.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rag.build(made / "docs", made / "ix", embedder="static", metadata=str(made / "meta.jsonl"))
    notebook(made / "try.ipynb", CELLS)
    return made


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Any]:
    """The notebook in JupyterLab, all of its cells run; what the page asks for elsewhere is noted."""
    with jupyterlab(folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_context(viewport={"width": 1400, "height": 2600}).new_page()
        opened.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        opened.elsewhere, opened.errors = [], []
        opened.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((address, "data:", "blob:"))
                else opened.elsewhere.append(request.url)
            ),
        )
        opened.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.goto(f"{address}doc/tree/try.ipynb")
        expect(opened.locator(".jp-Notebook .jp-CodeCell")).to_have_count(3)
        expect(opened.locator(".jp-Notebook-ExecutionIndicator").first).to_have_attribute(
            "data-status", "idle"
        )
        opened.get_by_role("menuitem", name="Run", exact=True).click()
        opened.get_by_text("Run All Cells", exact=True).click()
        expect(opened.locator(".explorer .answer-part .answer")).to_contain_text("28 days")
        expect(opened.locator(".map .legend li")).to_have_count(2)
        yield opened
        browser.close()


def test_an_answer_shows_its_citation_and_it_unfolds(page: Any) -> None:
    card = page.locator(".jp-OutputArea-output > .rag").first
    assert "28 days" in card.inner_text()
    card.locator("details.cite > summary").first.click()
    expect(card.locator("details.cite[open] mark.quote").first).to_contain_text("28 days")


def test_plain_keys_in_the_explorer_and_the_map_are_no_shortcuts_of_the_notebook(page: Any) -> None:
    for place in (page.locator(".explorer .search"), page.locator(".map .marks")):
        page.locator(".jp-Cell .jp-InputPrompt").first.click()  # command mode
        expect(page.locator(".jp-Notebook.jp-mod-commandMode")).to_have_count(1)
        place.focus()
        for key in ("b", "a", "x", "m", "Enter"):  # would add cells, cut one, make it Markdown, edit it
            page.keyboard.press(key)
        expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(3)
        expect(page.locator(".jp-Notebook.jp-mod-editMode")).to_have_count(0)


def test_a_question_a_filter_and_a_wrong_one_change_the_results(page: Any) -> None:
    side = page.locator(".explorer .side").first
    where = side.get_by_label("as a string (where)")
    side.locator(".filters > summary").click()
    where.fill("region == 'us'")
    expect(side.locator(".matches")).to_contain_text("chunks match")
    expect(side.locator(".hits-part")).not_to_contain_text("28 days")
    expect(side.locator(".answer-part")).to_contain_text("15 days")
    expect(side.locator(".rows .row")).to_have_count(1)  # the form shows what was typed
    where.fill("regoin == 'us'")
    expect(side.locator(".error")).to_have_text("no document has a field 'regoin': did you mean 'region'?")
    where.fill("")
    expect(side.locator(".hits-part")).to_contain_text("28 days")
    page.get_by_label("question").first.fill("Where do sick notes go?")
    expect(side.locator(".hits-part mark", has_text="Sick").first).to_be_visible()
    page.get_by_label("question").first.fill(LEAVE)
    expect(side.locator(".answer-part")).to_contain_text("28 days")


def test_conditions_are_added_by_the_keyboard(page: Any) -> None:
    side = page.locator(".explorer .side").first
    side.get_by_role("button", name="Add a condition").focus()
    page.keyboard.press("Enter")
    field = side.get_by_label("field", exact=True)
    field.select_option("year")
    side.get_by_label("from", exact=True).fill("2025")
    expect(side.get_by_label("as a string (where)")).to_have_value("year >= 2025")
    expect(side.locator(".hits-part")).not_to_contain_text("15 days")
    side.get_by_role("button", name="remove the condition on year").click()
    expect(side.locator(".hits-part")).to_contain_text("15 days")


def test_two_sides_why_and_the_golden_set(page: Any, folder: Path) -> None:
    page.get_by_role("button", name="Compare A | B").click()
    a, b = page.locator(".explorer .side").nth(0), page.locator(".explorer .side").nth(1)
    b.get_by_label("k", exact=True).fill("1")
    expect(page.locator(".difference")).to_contain_text("hits in both")
    expect(a.locator(".other.only").first).to_have_text("only in A")
    a.get_by_role("button", name="Why? hit 1", exact=True).click()
    expect(a.locator(".why-part")).to_contain_text("it is in the context")
    a.locator("[data-evidence='1']").check()
    a.get_by_role("button", name="Add to golden set").click()
    expect(a.locator(".golden")).to_contain_text("as a draft, with")
    (draft,) = read(folder / "golden.jsonl", drafts=True)
    assert draft.expected.draft and draft.question == LEAVE and draft.evidence
    page.get_by_role("button", name="Compare A | B").click()
    expect(page.locator(".explorer .side")).to_have_count(1)


def test_the_map_points_selects_and_shows_a_question(page: Any) -> None:
    place = page.locator(".map")
    place.locator(".marks").scroll_into_view_if_needed()
    expect(place.locator(".ask-line")).to_contain_text("hits of “annual leave”")
    place.get_by_role("button", name="select us, ").click()
    expect(place.locator(".chosen")).to_contain_text("m.selected")
    expect(place.locator("code.where")).to_have_text("region == 'us'")
    place.get_by_role("button", name="Lasso").click()
    box = place.locator(".marks").bounding_box()
    x, y, reach = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, 0.49 * box["height"]
    page.mouse.move(x + reach, y)
    page.mouse.down()
    for n in range(1, 25):
        page.mouse.move(x + 2.0 * reach * math.cos(n * math.pi / 12), y + reach * math.sin(n * math.pi / 12))
    page.mouse.up()
    expect(place.locator("code.where")).to_contain_text("chunk_id in")
    expect(place.locator(".listed li").first).to_be_visible()
    place.locator(".marks").focus()
    page.keyboard.press("Escape")
    expect(place.locator(".chosen")).to_have_text("Nothing is selected.")
    page.keyboard.press("Enter")
    expect(place.locator(".chosen")).to_contain_text("chunks: m.selected")


@pytest.mark.parametrize(("theme", "light"), [("JupyterLab Dark", "false"), ("JupyterLab Light", "true")])
def test_axe_finds_nothing_serious_in_light_and_dark(page: Any, theme: str, light: str) -> None:
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Theme$")).hover()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{theme}$")).click()
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", light)
    page.wait_for_timeout(1000)  # the theme's style sheet
    scheme = page.evaluate("getComputedStyle(document.querySelector('.explorer')).colorScheme")
    assert scheme == ("light" if light == "true" else "dark")
    for part in (".explorer:not(.map)", ".map"):
        found = Axe().run(page, part).response["violations"]
        assert [
            (each["id"], each["nodes"][0]["html"])
            for each in found
            if each["impact"] in ("serious", "critical")
        ] == []
    if os.environ.get("RAG_SHOTS"):
        page.locator(".explorer:not(.map)").screenshot(path=f"{os.environ['RAG_SHOTS']}/explorer-{light}.png")
        page.locator(".map").screenshot(path=f"{os.environ['RAG_SHOTS']}/map-{light}.png")


def test_nothing_was_run_or_fetched_elsewhere(page: Any) -> None:
    assert page.elsewhere == [] and page.errors == []
    assert page.evaluate("document.title") != "run"
    assert page.evaluate("document.querySelectorAll('.rag script, .rag img, .rag a').length") == 0
    assert HOSTILE in page.locator(".explorer .hits-part").first.inner_text()  # seen, and not obeyed
