"""The Markdown documents of the repository: links lead somewhere, code parses, names exist."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import rag
from tests.conftest import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "rag").rglob("README.md"), ROOT / "notebooks" / "README.md"])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


@pytest.fixture(params=DOCUMENTS, ids=NAMES)
def document(request: pytest.FixtureRequest) -> Path:
    return request.param


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def test_links_lead_to_files(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert missing == []


def test_python_parses(document: Path) -> None:
    for code in blocks(document, "python"):
        ast.parse(code)


def test_toml_parses(document: Path) -> None:
    for code in blocks(document, "toml"):
        tomllib.loads(code)


def test_the_readme_is_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 250


def test_the_architecture_names_every_package() -> None:
    tree = blocks(ROOT / "ARCHITECTURE.md", "text")[0]
    named = set(re.findall(r"^  (\w+)/", tree, re.MULTILINE))
    assert named == {path.parent.name for path in (ROOT / "rag").glob("*/__init__.py")}


def test_the_architecture_names_functions_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## A question's way")[1]
    for line in re.findall(r"^\| .+ \| .+ \| .+ \|$", text.split("## Glossary")[0], re.MULTILINE):
        if line.startswith(("| step", "| ---")):
            continue
        code = re.findall(r"`([^`]+)`", line)
        files = [name for name in code if name.endswith(".py")]
        folder = ROOT / "rag" / Path(files[0]).parent
        sources = []
        for name in files:
            path = ROOT / "rag" / name if "/" in name else folder / name
            assert path.is_file(), (line, name)
            sources.append(path.read_text(encoding="utf-8"))
        for name in (part for each in code if not each.endswith(".py") for part in each.split(".")):
            assert any(re.search(rf"\b(?:def|class) {name}\b", source) for source in sources), (line, name)


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\d\S*)$", text, re.MULTILINE)[1] == rag.__version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == (
        rag.__version__
    )


def test_modules_that_the_changelog_moved_to_exist() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for row in re.findall(r"^\| `rag\..+? \| (`rag\..+) \|$", text, re.MULTILINE):
        base = ""
        for name in re.findall(r"`([\w.]+)(?::\w+)?`", row):
            full = name if not name.startswith(".") else base + name
            base = full.rpartition(".")[0]
            path = ROOT / full.replace(".", "/")
            assert path.with_suffix(".py").is_file() or path.is_dir(), (row, full)
