"""The examples of a Markdown page in their order: blocks of Python, and command lines of `rag`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """A block of Python, or one command line, and on which line of its page it begins."""

    kind: str  # "python" or "command"
    text: str
    line: int

    @property
    def name(self) -> str:
        """Its first line that says something, by which the lists in ``exceptions.py`` name it."""
        if self.kind == "command":
            return re.sub(r"\s+", " ", re.split(r"\s+#", self.text)[0])
        lines = [line for line in self.text.splitlines() if line.strip() and not _is_import(line)]
        return (lines or self.text.splitlines())[0].strip()

    @property
    def words(self) -> list[str]:
        """The arguments of a command, without the comment and what it is redirected to."""
        return shlex.split(self.text.partition(" > ")[0], comments=True)[1:]

    @property
    def output(self) -> str | None:
        """The file to which a command's output goes."""
        after = shlex.split(self.text.partition(" > ")[2], comments=True)
        return after[0] if after else None


def _is_import(line: str) -> bool:
    return line.startswith(("import ", "from "))


def examples(page: Path) -> Iterator[Example]:
    """Yield the examples of a page."""
    text = page.read_text(encoding="utf-8")
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(2)) + 1
        if block[1] == "python":
            yield Example("python", block[2], line)
        elif block[1] in ("sh", "bash", "console", "text"):
            yield from _commands(block[2], line, prompted=block[1] in ("console", "text"))


def _commands(block: str, line: int, *, prompted: bool) -> Iterator[Example]:
    lines = iter(enumerate(block.splitlines(), line))
    for number, text in lines:
        if prompted and not text.startswith("$ "):
            continue
        whole = text.removeprefix("$ ")
        while whole.endswith("\\"):
            whole = whole[:-1].rstrip() + " " + next(lines)[1].strip()
        for part in re.split(r";\s+(?=rag )", whole):
            if part.startswith("rag "):
                yield Example("command", part.strip(), number)
