"""Rubrics: what a judge looks at, and what each score means. A rubric is a file, so that it has a version."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rag.core.errors import ConfigError, near_miss

_FOLDER = Path(__file__).parent / "rubrics"
#: Those that ship and give a score, in the order in which they are shown.
SHIPPED = ("faithfulness", "correctness", "completeness", "relevance", "safety", "criteria")
PAIRWISE = "pairwise"
#: What a rubric may need besides question and answer; without it a question is not judged by it.
NEEDS = ("context", "reference", "criteria")
#: The scores of a rubric: 1 is the worst.
SCORES = (1, 2, 3, 4, 5)
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*\n(.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rubric:
    """What a judge is asked.

    Attributes
    ----------
    name, version : str
    text : str
        As the judge reads it.
    needs : tuple of {"context", "reference", "criteria"}
        What must be there besides question and answer.
    hash : str
        The SHA-256 of the file.
    """

    name: str
    version: str
    text: str = field(repr=False)
    needs: tuple[str, ...] = ()
    hash: str = field(default="", repr=False)

    @property
    def label(self) -> str:
        """``NAME@VERSION``."""
        return f"{self.name}@{self.version}"


def rubric(name: str | Path) -> Rubric:
    """Read a rubric: one that ships, by name, or a Markdown file of the same form.

    Raises
    ------
    ConfigError
        There is no such rubric, or its file is not one.

    Examples
    --------
    >>> rubric("faithfulness").label, rubric("faithfulness").needs
    ('faithfulness@1', ('context',))
    """
    known = (*SHIPPED, PAIRWISE)
    path = _FOLDER / f"{name}.md" if str(name) in known else Path(name)
    if path.suffix != ".md":
        raise ConfigError(
            f"there is no rubric {str(name)!r}: {near_miss(str(name), known)}, or a file NAME.md"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"cannot read the rubric {path}: {reason}") from None
    match = _FRONT.match(text)
    if match is None:
        raise ConfigError(f"{path}: write name, version and needs between two lines of ---, then the rubric")
    try:
        values: Any = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: its front matter is no YAML: {' '.join(str(error).split())}") from None
    return _checked(values, match[2].strip(), text, path)


def _checked(values: Any, body: str, text: str, path: Path) -> Rubric:
    if not isinstance(values, dict) or not {"name", "version"} <= values.keys():
        raise ConfigError(f"{path}: its front matter needs name and version")
    if unknown := values.keys() - {"name", "version", "needs"}:
        raise ConfigError(f"{path}: {near_miss(min(map(str, unknown)), ('name', 'version', 'needs'))}")
    needs = values.get("needs") or []
    for each in needs if isinstance(needs, list) else [needs]:
        if each not in NEEDS:
            raise ConfigError(f"{path}: needs: {near_miss(str(each), NEEDS)}")
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", str(values["name"])):
        raise ConfigError(f"{path}: name: {values['name']!r}: use lower-case letters, digits, - and _")
    missing = [score for score in SCORES if not re.search(rf"^{score}:", body, re.MULTILINE)]
    if missing and values["name"] != PAIRWISE:
        raise ConfigError(f"{path}: it does not say what a {missing[0]} is: write a line {missing[0]}: …")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Rubric(str(values["name"]), str(values["version"]), body, tuple(needs), digest)
