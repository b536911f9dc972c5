"""Texts with ``{{ name }}`` in them: names are replaced, and nothing is executed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

#: A name in braces, or braces that are meant as such.
_BRACES = re.compile(r"\\\{\{|\{\{(.*?)\}\}|\{\{", re.DOTALL)
_NAME = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)?)\s*")


@dataclass(frozen=True, slots=True)
class Template:
    r"""A text with names in double braces; ``\{{`` stands for the braces themselves.

    Attributes
    ----------
    text : str
    line : int
        The line of its file at which it begins, from 1.

    Examples
    --------
    >>> Template("Work for {{ company }}.").render({"company": "Kelvara {{ x }}"})
    'Work for Kelvara {{ x }}.'
    """

    text: str
    line: int = 1
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = dict.fromkeys(name for _, name, _ in self.places() if name)
        object.__setattr__(self, "names", tuple(names))

    def places(self) -> Iterator[tuple[int, str, str]]:
        """Yield the line, the name and the written text of each pair of braces; no name where it is none."""
        for match in _BRACES.finditer(self.text):
            if match[0] == "\\{{":
                continue
            name = _NAME.fullmatch(match[1] or "")
            line = self.line + self.text.count("\n", 0, match.start())
            yield line, name[1] if name else "", match[0]

    def render(self, values: Mapping[str, str]) -> str:
        """Return the text with its names replaced; those without a value stay as they are written.

        A value is inserted as it is: braces in it are no names.
        """

        def replaced(match: re.Match[str]) -> str:
            if match[0] == "\\{{":
                return "{{"
            name = _NAME.fullmatch(match[1] or "")
            return values.get(name[1], match[0]) if name else match[0]

        return _BRACES.sub(replaced, self.text)
