"""The pages of `make docs`: everything public is on one, and a browser without a network shows them."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rag
from tests.conftest import ROOT
from tests.scale import scale

DOCS = ROOT / ".docs"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
#: What axe says of the lists by which Sphinx marks up signatures and fields.
SPHINX = ("definition-list", "dlitem")
#: Attributes of HTML by which a page loads something; a link that a reader may follow is none.
LOADS = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*(?:src|href)=\"(?:https?:)?//[^\"]*\"")
LOADS_OF_A_STYLE = re.compile(r"(?:@import|url\()\s*[\"']?(?:https?:)?//")


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named() -> set[str]:
    """Return what the reference's pages document."""
    texts = [path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md")]
    return {name for text in texts for name in re.findall(r"^\.\. auto\w+:: (\S+)$", text, re.MULTILINE)}


@pytest.mark.parametrize(
    "room", ["", ".chunking", ".emulator", ".evaluation", ".retrieval", ".testing", ".trimming"]
)
def test_the_reference_has_every_public_name(room: str) -> None:
    module = importlib.import_module(f"rag{room}")
    home = {getattr(rag, name) for name in rag.__all__}
    missing = {
        f"rag{room}.{name}" for name in module.__all__ if not room or getattr(module, name) not in home
    }
    # A type or function of typing has no page of its own.
    assert missing - named() == ({"rag.chunking.CountTokens"} if room == ".chunking" else set())


def test_every_guide_becomes_a_page(builder: ModuleType, tmp_path: Path) -> None:
    builder.sources(tmp_path / "source")
    for path in [
        *(ROOT / "rag").rglob("README.md"),
        *ROOT.glob("*.md"),
        *(ROOT / "notebooks").glob("*.ipynb"),
    ]:
        assert (tmp_path / "source" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    trees = re.findall(
        r"^```{toctree}.*?^```", (DOCS / "index.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    for path in (ROOT / "rag").rglob("README.md"):
        assert any(path.relative_to(ROOT).with_suffix("").as_posix() in tree for tree in trees), path


@pytest.fixture(scope="module")
def pages(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not scale(False, True):
        pytest.skip("builds all pages, which takes 20 s: runs in make soak")
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("pages") / "docs"
    assert builder.build(folder) == 0
    return folder


@pytest.mark.soak
def test_no_page_loads_anything_from_elsewhere(pages: Path) -> None:
    found = list(pages.rglob("*.html"))
    assert len(found) >= 60
    loads = {path.name: LOADS.findall(path.read_text(encoding="utf-8")) for path in found}
    assert {name: urls for name, urls in loads.items() if urls} == {}
    styles = [
        path.name
        for path in pages.rglob("*.css")
        if LOADS_OF_A_STYLE.search(path.read_text(encoding="utf-8"))
    ]
    assert styles == []


@pytest.mark.soak
@pytest.mark.enable_socket
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_without_a_network_shows_and_searches_them(pages: Path, scheme: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(
            viewport={"width": 1300, "height": 1000}, color_scheme=scheme, offline=True
        )
        page: Any = context.new_page()
        page.set_default_timeout(45_000)
        asked, errors = [], []
        page.on(
            "request", lambda request: asked.append(request.url) if request.url.startswith("http") else None
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        for name in (
            "index",
            "README",
            "reference/asking",
            "notebooks/02_from_folder_to_index",
            "rag/index/README",
        ):
            page.goto((pages / f"{name}.html").as_uri())
            assert page.locator("h1").first.is_visible()
            serious = [
                (each["id"], each["nodes"][0]["html"][:200])
                for each in axe.Axe().run(page, "article").response["violations"]
                if each["impact"] in ("serious", "critical") and each["id"] not in SPHINX
            ]
            assert serious == [], name
        page.goto((pages / "search.html").as_uri() + "?q=BudgetTrimmer")
        page.locator("#search-results a").first.wait_for()
        assert "Stages" in page.locator("#search-results").inner_text()
        page.set_viewport_size({"width": 390, "height": 800})
        page.goto((pages / "README.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
    assert asked == [] and errors == []
