"""The house: no import circle, at most so many levels, and each library where it belongs.

Read from the source: imports inside functions and under TYPE_CHECKING count, and a package's ``__init__``
is a file that depends on all that it imports.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import rag

PACKAGE = Path(rag.__file__).parent
#: The design asks for at most 10. Lower this number with the levels; never raise it.
MOST_LEVELS = 14

Graph = Mapping[str, Mapping[str, int]]  # file -> what it imports, and on which line


@functools.cache
def parsed(path: Path) -> ast.Module:
    """Return a file's syntax tree, read once for all tests."""
    return ast.parse(path.read_text(encoding="utf-8"))


def modules(package: Path) -> dict[str, Path]:
    """Return a package's files by the names of their modules."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def graph_of(package: Path) -> Graph:
    """Return which file of a package imports which other one."""
    files = modules(package)
    return {
        name: {target: line for target, line in _targets(name, path, files) if target != name}
        for name, path in files.items()
    }


def _targets(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[tuple[str, int]]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, name if path.name == "__init__.py" else name.rpartition(".")[0])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for imported in names:
            target = imported
            while target and target not in files:
                target = target.rpartition(".")[0]
            if target:
                yield target, node.lineno


def _base(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def circles(graph: Graph) -> list[list[str]]:
    """Return the groups of files that import each other in a circle (Tarjan's strong components)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        stack.append(name)
        for target in graph[name]:
            if target not in numbers:
                visit(target)
                lowest[name] = min(lowest[name], lowest[target])
            elif target in stack:
                lowest[name] = min(lowest[name], numbers[target])
        if lowest[name] == numbers[name]:
            group = [stack.pop()]
            while group[-1] != name:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in numbers:
            visit(name)
    return found


def longest_chain(graph: Graph) -> list[str]:
    """Return the longest chain of imports, from the top down, each with the line of the import."""

    @functools.cache
    def below(name: str) -> tuple[int, str | None]:
        return max(((below(target)[0] + 1, target) for target in graph[name]), default=(1, None))

    name: str | None = max(graph, key=lambda each: below(each)[0])
    chain = []
    while name is not None:
        following = below(name)[1]
        chain.append(name if following is None else f"{name}:{graph[name][following]}")
        name = following
    return chain


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(graph_of(PACKAGE)) == []


def test_no_chain_of_imports_is_longer_than_it_was() -> None:
    chain = longest_chain(graph_of(PACKAGE))
    numbered = "\n".join(f"{len(chain) - n:3} {name}" for n, name in enumerate(chain))
    assert len(chain) <= MOST_LEVELS, f"{len(chain)} levels, at most {MOST_LEVELS}:\n{numbered}"


def test_only_the_contract_suites_and_the_plugin_of_pytest_import_it() -> None:
    importing = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules(PACKAGE).values()
        for node in ast.walk(parsed(path))
        for name in _libraries(node)
        if name == "pytest"
    }
    assert {name for name in importing if not name.startswith("testing/")} == {"emulator/pytest_plugin.py"}


def _libraries(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [(node.module or "").partition(".")[0]]
    return []


def made(folder: Path, **texts: str) -> Graph:
    package = folder / "made"
    package.mkdir()
    for name, text in {"__init__": "", **texts}.items():
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    return graph_of(package)


def test_a_lazy_import_and_one_for_types_close_a_circle(tmp_path: Path) -> None:
    graph = made(
        tmp_path, a="import made.b\n", c="import json\n",
        b="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.c import x\ndef f():\n    from . import a\n",
    )  # fmt: skip
    assert circles(graph) == [["made.a", "made.b"]]
    assert graph["made.b"] == {"made.c": 3, "made.a": 5}


def test_what_a_package_exports_is_a_level(tmp_path: Path) -> None:
    graph = made(tmp_path, __init__="from made.a import x\n", a="from made.b import x\n", b="x = 1\n")
    assert longest_chain(graph) == ["made:1", "made.a:1", "made.b"]
