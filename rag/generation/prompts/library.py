"""Find prompts by name: those that ship, those of a folder, and any file."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from rag.core.errors import ConfigError, near_miss
from rag.generation.prompts.file import Form, read_text

#: Where ``NAME@VERSION`` is looked for.
FOLDER = "prompts"
#: The prompt that goes with each form.
SHIPPED: dict[Form, str] = {
    "text": "answer-v1", "search_results": "answer-native-v1", "guarded": "answer-v1",
}  # fmt: skip


@functools.cache
def contract(form: Form) -> str:
    """Return the citation contract of a form, as a system text ends with it."""
    name = "search_results" if form == "search_results" else "text"
    path = resources.files("rag.generation.prompts") / "contract" / f"{name}.md"
    return path.read_text(encoding="utf-8").rstrip()


def shipped(name: str) -> str | None:
    """Return the text of a prompt that ships; None if there is no such."""
    if "/" in name:
        return None
    file = resources.files("rag.generation.prompts") / f"{name}.md"
    return file.read_text(encoding="utf-8") if file.is_file() else None


def files(folder: Path) -> list[Path]:
    """Return the prompts of a folder, by name."""
    return sorted(folder.glob("*@*.md"), key=lambda path: path.name)


def find(name: str, folder: Path) -> Path:
    """Return the file of a prompt: of a path, of ``NAME@VERSION``, or of a name that has one version.

    Raises
    ------
    ConfigError
        There is none, or the name has several versions.
    """
    path = Path(name)
    if path.is_file():
        return path
    named = folder / f"{name}.md"
    if "/" not in name and named.is_file():
        return named
    inside = files(folder)
    versions = [each for each in inside if each.name.rpartition("@")[0] == name]
    if len(versions) == 1:
        return versions[0]
    if versions:
        labels = ", ".join(each.stem for each in versions)
        raise ConfigError(f"the prompt {name!r} has several versions: name one of {labels}")
    known = [*shipped_names(), *(each.name.removesuffix(".md") for each in inside)]
    raise ConfigError(f"there is no prompt {name!r}: {near_miss(name, known)}")


def shipped_names() -> list[str]:
    """Return the names of the prompts that ship."""
    folder = resources.files("rag.generation.prompts")
    return sorted(item.name.removesuffix(".md") for item in folder.iterdir() if item.name.endswith(".md"))


def texts(name: str, folder: Path) -> tuple[str, str, Path | None]:
    """Return a prompt's name, its text, and its file unless it ships.

    A file is known by all of its name, suffix included, so that no two files of a folder share one.

    Raises
    ------
    ConfigError
        There is no such prompt, or its file cannot be read.
    """
    text = shipped(name)
    if text is not None:
        return name, text, None
    path = find(name, folder)
    return path.name, read_text(path), path


def all_names(folder: Path) -> Iterator[str]:
    """Yield the names of all prompts: of those that ship, then those of the folder."""
    yield from shipped_names()
    for path in files(folder):
        yield path.name.removesuffix(".md")
