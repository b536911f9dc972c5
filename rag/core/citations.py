"""Citations: quotes of an answer with their places in the sources, and how far they support it.

Offsets are characters, end exclusive; pages are 1-based and inclusive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rag.core.displayable import Displayable
from rag.core.passages import Section, SectionBreaks, place_of, sections_of
from rag.core.plain import from_fields


@dataclass(frozen=True, slots=True, repr=False)
class Citation(Displayable):
    """A quote of the answer, and its place in the source.

    Attributes
    ----------
    number : int
        The ``[n]`` in the answer's text.
    text : str
        The exact text of the source, ``loaded_text[start:end]``. If `verified` is false, the words that
        the model presented as a quote (`start` and `end` are then 0).
    verified : bool
        Whether the quote stands, word for word, in one of the passages sent.
    section : tuple of str
        The heading path of the section in which the quote begins.
    section_breaks : tuple of (int, tuple of str)
        Offsets in the document, inside the quote, at which another section begins, with its heading path.
    supports : bool
        Whether the numbers of the sentence that cites it stand in the sentence's quotes or in the
        question. If not, the answer's text has ``[n?]``.
    """

    number: int
    source: str
    start: int
    end: int
    text: str
    verified: bool
    page_start: int | None = None
    page_end: int | None = None
    section: Section = ()
    supports: bool = True
    section_breaks: SectionBreaks = ()

    @property
    def place(self) -> str:
        """Where a person would look."""
        return place_of(self)

    @property
    def headings(self) -> list[str]:
        """The headings of all sections that the quote runs over, each once."""
        return list(dict.fromkeys(heading for path in sections_of(self) for heading in path))

    @property
    def verdict(self) -> str:
        """What is wrong with the citation; empty if nothing is."""
        if not self.verified:
            return "not found in the context"
        return "" if self.supports else "does not have the numbers of its sentence"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        breaks = [[at, list(path)] for at, path in self.section_breaks]
        return {**asdict(self), "section": list(self.section), "section_breaks": breaks}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Citation:
        """Read what `to_dict` returned, also after it was written as JSON."""
        return from_fields(cls, values)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence or list item of an answer that states something.

    Attributes
    ----------
    start, end : int
        Offsets in the answer's text, in characters, end exclusive; marks behind the sentence left out.
    citations : tuple of int
        The numbers of the citations that it carries.
    why : str
        Why it is not supported; empty if it is.
    """

    start: int
    end: int
    citations: tuple[int, ...]
    supported: bool
    why: str


@dataclass(frozen=True, slots=True)
class Support:
    """How much of an answer its citations support.

    Attributes
    ----------
    share : float or None
        The share of its sentences, in [0, 1], that are supported; None if there are none.
    unit : {"sentence", "field"}
        What its `sentences` are: of an answer as data, the lines of its fields.
    """

    share: float | None
    sentences: tuple[Sentence, ...]
    unit: str = "sentence"

    def __str__(self) -> str:
        """Return ``supported 3 of 4 sentences``."""
        count, known = len(self.sentences), sum(sentence.supported for sentence in self.sentences)
        return f"supported {known} of {count} {self.unit}{'s' * (count != 1)}"

    @property
    def doubts(self) -> tuple[Sentence, ...]:
        """The sentences that are not supported."""
        return tuple(sentence for sentence in self.sentences if not sentence.supported)


@dataclass(frozen=True, slots=True)
class Field:
    """A value of an answer as data, and what it rests on.

    Attributes
    ----------
    path : str
        Where it stands: ``days``, ``items[0].price``; ``$`` if it is all of the data.
    value : str, int, float or bool
    citations : tuple of Citation
        Those of the field, and of what it is a part of.
    supported : bool
        Whether one of them is verified, and they or the question hold its numbers.
    why : str
        Why it is not supported; empty if it is.
    """

    path: str
    value: Any
    citations: tuple[Citation, ...]
    supported: bool
    why: str = ""
