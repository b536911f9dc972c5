"""Check prompts before they are used: what is wrong, and what could be better."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rag.core.text import sentences, words
from rag.generation.prompts.file import SECTIONS, Finding, PromptFile, has_front_matter, read_text
from rag.generation.prompts.library import contract
from rag.generation.prompts.parse import parse
from rag.usage.tokens import estimate_tokens

#: Tokens above which a system text counts as long: some four times the shipped `answer-v1`. Every question
#: pays for them.
MOST_TOKENS = 1200
#: Words from which on a sentence that is there twice counts as repeated.
_WORDS = 5
#: What a contract holds: how to cite, in text that a model writes, and what to reply without an answer.
_CITES, _REFUSES = re.compile(r"<cite\s+doc="), re.compile(r"<no_answer\s*/>")


@dataclass(frozen=True, slots=True)
class Caching:
    """From how many tokens on a model caches a prompt's beginning.

    Attributes
    ----------
    minimum : int or None
        None if the model has no prompt cache.
    """

    model: str
    minimum: int | None


def check(path: Path, caching: Caching | None = None, most_tokens: int = MOST_TOKENS) -> list[Finding]:
    """Return what is wrong with a prompt's file, or could be better, by line.

    Parameters
    ----------
    path : Path
    caching : Caching, optional
        Of the model that the prompt is for.
    most_tokens : int
        Tokens of the system text, as estimated, above which it counts as long.

    Raises
    ------
    ConfigError
        The file cannot be read.
    """
    text = read_text(path)
    if not has_front_matter(text):
        # A file without front matter is a system text as it stands: no sections are asked of it.
        return [
            *_contract(str(path), 1, text, cite=False, form=None),
            *_size(str(path), 1, text, caching, most_tokens),
        ]
    made, findings = parse(path, text)
    if made is not None:
        findings += _sections(made)
        findings += _unused(made)
        line, body = made.body.line, made.body.text
        findings += _contract(made.path, line, body, cite=made.cite, form=made.form)
        whole = f"{body.rstrip()}\n\n{contract(made.form or 'text')}" if made.cite else body
        findings += _size(made.path, line, whole, caching, most_tokens)
    return sorted(findings, key=lambda finding: (finding.line, finding.severity, finding.text))


def _sections(made: PromptFile) -> Iterator[Finding]:
    sections = made.sections()
    titles = [title for title, _, _ in sections]
    for title in SECTIONS:
        if title not in titles:
            yield Finding(made.path, made.body.line, "error", f"there is no section # {title}")
    seen: dict[str, int] = {}
    for title, line, text in sections:
        if title in seen:
            yield Finding(
                made.path, line, "error", f"the section {title} is there twice, before at line {seen[title]}"
            )
        seen.setdefault(title, line)
        if not text:
            yield Finding(
                made.path, line, "error", f"the section {title} is empty: say at least that nothing applies"
            )
    order = list(dict.fromkeys(titles))
    if order != [title for title in SECTIONS if title in titles]:
        wanted = ", ".join(SECTIONS)
        yield Finding(
            made.path, made.body.line, "warning", f"the sections stand in another order than {wanted}"
        )


def _unused(made: PromptFile) -> Iterator[Finding]:
    used = {*made.body.names, *(made.question.names if made.question else ())}
    for name in made.variables:
        if name not in used:
            lines = made.text.split("\n")
            place = re.compile(rf"\s+['\"]?{re.escape(name)}['\"]?\s*:")
            line = next((number for number, text in enumerate(lines, 1) if place.match(text)), 1)
            yield Finding(made.path, line, "warning", f"the variable {name!r} is not used: remove it")


def _contract(path: str, line: int, text: str, *, cite: bool, form: str | None) -> Iterator[Finding]:
    """Yield what is wrong about the citation contract."""
    cites, refuses = bool(_CITES.search(text)), bool(_REFUSES.search(text))
    if cite:
        if cites or refuses:
            twice = "the citation contract is in the text, and appended by cite: true: keep one of the two"
            yield Finding(path, line, "warning", twice)
        return
    mend = "add cite: true, or write it"
    if not cites and form != "search_results":
        yield Finding(path, line, "error", f'there is no citation contract (<cite doc="N">…</cite>): {mend}')
    elif not refuses:
        yield Finding(path, line, "error", f"the citation contract lacks <no_answer/>: {mend}")


def _size(path: str, line: int, text: str, caching: Caching | None, most: int) -> Iterator[Finding]:
    """Yield where a system text is longer than needed, and where it is too short to be cached."""
    counts: Counter[tuple[str, ...]] = Counter()
    places: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    for start, end in sentences(text):
        sentence = text[start:end].strip()
        key = tuple(word.lower() for word in words(sentence))
        if len(key) >= _WORDS:
            counts[key] += 1
            places.setdefault(key, []).append((text.count("\n", 0, start), sentence))
    for key, count in counts.items():
        if count > 1:
            again, sentence = places[key][1]
            wasted = (count - 1) * estimate_tokens(sentence)
            short = sentence if len(sentence) <= 50 else sentence[:49] + "…"
            what = f"longer than needed by about {wasted} tokens: {count} times {' '.join(short.split())!r}"
            yield Finding(path, line + again, "warning", what)
    size = estimate_tokens(text, caching.model if caching is not None else None)
    if size > most:
        what = f"longer than needed: about {size} tokens, more than {most}; every question pays them"
        yield Finding(path, line, "warning", what)
    if caching is not None and (caching.minimum is None or size < caching.minimum):
        why = (
            f"{caching.model} has no prompt cache" if caching.minimum is None
            else f"about {size} tokens, {caching.model} caches from {caching.minimum} on"
        )  # fmt: skip
        yield Finding(path, line, "warning", f"cannot be cached: {why}")
