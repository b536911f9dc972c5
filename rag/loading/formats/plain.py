"""Plain text and Markdown: the loaded text is the file's decoded text, so offsets hold in it."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import yaml

from rag.loading.formats.encoding import decode
from rag.loading.structure import Options, Parsed

_FRONT = re.compile(
    r"\A\ufeff?---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE
)
_FRONT_LIMIT = 65_536
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\r\n]*)")
_ATX = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]|$)")
_UNDERLINE = re.compile(r"^ {0,3}([=-])\1*[ \t]*$")
_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n|(?<=.)\Z)")
_LONGEST_TITLE = 300
_MARKUP = re.compile(
    r"!?\[([^\[\]]*)\]\([^()]*\)|\{[#.:][^{}]*\}"
    r"|</?(?:a|abbr|b|br|code|del|em|font|i|img|ins|kbd|mark|p|s|small|span|strong|sub|sup|u|var)\b[^<>]*>"
)
_EMPHASIS = re.compile(r"(?<![\w*_`])([*_`]{1,3})(?=\S)([^*_`]+(?:_[^*_`]+)*)(?<=\S)\1(?![\w*_`])")


def parse_text(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a plain text or source file."""
    text, encoding, notes = decode(data, _coding(data))
    return Parsed(text, {"encoding": encoding}, notes=notes)


#: How a source file names its encoding, in its first two lines (PEP 263, as Emacs and Vim have it).
_CODING = re.compile(rb"\A(?:[^\r\n]*\r?\n)?[ \t\f]*(?:#|%|;|//|/\*)[^\r\n]*?coding[:=][ \t]*([-\w.]+)")


def _coding(data: bytes) -> str | None:
    named = _CODING.match(data[:1024])
    return named[1].decode("ascii") if named else None


def parse_markdown(path: Path, data: bytes, options: Options) -> Parsed:
    """Read Markdown: YAML front matter becomes metadata, headings become structure."""
    text, encoding, notes = decode(data)
    parsed = Parsed(text, {"encoding": encoding}, notes=notes)
    front = _FRONT.match(text)
    if front:
        values, all_read = _front_matter(front[1], parsed.notes)
        parsed.metadata.update(values)
        parsed.body = front.end() if all_read else 0
    parsed.headings, parsed.tables = outline(text, parsed.body)
    return parsed


def outline(text: str, start: int = 0) -> tuple[list[tuple[int, int, str]], list[tuple[int, int, int]]]:
    """Find Markdown's headings (``#`` and underlined) and tables, not those in fenced code or comments.

    Takes time in proportion to the text's length, whatever is in it.

    Returns
    -------
    headings : list of (int, int, str)
        Offset, level and title.
    tables : list of (int, int, int)
        Start, start of the first row below the head, and end.
    """
    found: list[tuple[int, int, str]] = []
    tables: list[tuple[int, int, int]] = []
    above: int | None = None  # where the line above began, if it can be a table's head
    in_table = False
    fence = ""
    comment = False
    before: tuple[int, str] | None = None  # where the paragraph above began that can be underlined
    closers = _closers(text, start)
    last_comment = text.rfind("-->")
    for line in _LINE.finditer(text, start):
        at, bare = line.start(), line.group()
        opening = _FENCE.match(bare)
        cells = "|" in bare and not (comment or fence)
        if in_table and cells:
            tables[-1] = (*tables[-1][:2], line.end())
        elif above is not None and cells and "-" in bare and not bare.strip("|-: \t\r\n"):
            tables.append((above, line.end(), line.end()))
            in_table = True
        else:
            in_table = False
        above = at if cells and not in_table else None
        if comment or (not fence and bare.startswith("<!--") and at < last_comment):
            comment, before = "-->" not in bare, None
        elif fence:
            if opening and opening[1].startswith(fence) and not opening[2].strip():
                fence = ""
        elif opening and at in closers:
            fence, before = opening[1], None
        elif atx := _ATX.match(bare):
            found.append((at, len(atx[1]), _title(_unclosed(bare[atx.end() :]))))
            before = None
        elif before is not None and (under := _UNDERLINE.match(bare)):
            found.append((before[0], 1 if under[1] == "=" else 2, _title(before[1])))
            before = None
        elif not bare.strip() or bare.startswith(("    ", "\t", "|", ">", "- ", "* ", "+ ")):
            before = None
        elif before is None:
            before = (at, bare[:_LONGEST_TITLE])
        elif len(before[1]) < _LONGEST_TITLE:
            before = (before[0], f"{before[1]} {bare}"[:_LONGEST_TITLE])
    return [item for item in found if item[2]], [table for table in tables if table[1] < table[2]]


def _closers(text: str, start: int) -> set[int]:
    """Return where the fences begin that another closes: a mark in a sentence or left open swallows nothing.

    One that a block of a language follows before the fence that could close it was left open, too.
    """
    out: set[int] = set()
    waiting: list[tuple[int, str]] = []  # open fences: where, and their mark
    for line in _FENCES.finditer(text, start):
        mark, info = line[1], line[2]
        if mark[0] == "`" and ("`" in info or _is_prose(info)):
            continue
        at = None if info.strip() else _closed_by(mark, waiting)
        if at is None:
            waiting = [*waiting[-_MOST_OPEN:], (line.start(), mark)]
        else:
            closed = waiting[at][1]
            out.add(waiting[at][0])
            waiting = [item for item in waiting[:at] if not closed.startswith(item[1])]
    return out


def _is_prose(info: str) -> bool:
    """Tell whether the words behind a fence are no language and options, but a sentence."""
    words = info[:_LONGEST_TITLE]
    least = 2 if words[:1].isspace() else 3
    return len(words.split()) >= least and not any(char in words for char in "{}=:\"'")


def _closed_by(mark: str, waiting: list[tuple[int, str]]) -> int | None:
    """Return which open fence a mark closes: the last that is as long, or else the last that is shorter."""
    places = range(len(waiting) - 1, -1, -1)
    same = next((at for at in places if waiting[at][1] == mark), None)
    return same if same is not None else next((at for at in places if mark.startswith(waiting[at][1])), None)


_FENCES = re.compile(r"(?<![^\r\n]) {0,3}(`{3,}|~{3,})([^\r\n]*)")
#: Fences left open that are remembered.
_MOST_OPEN = 10


def _unclosed(title: str) -> str:
    """Return a heading's text without the ``#`` that may close it, behind a space."""
    title = title[:_LONGEST_TITLE].strip()
    bare = title.rstrip("#")
    return bare if not bare or bare[-1] in " \t" else title


def _title(raw: str) -> str:
    """Return a title as it reads: without marks of emphasis and code, links, tags and attributes."""
    raw = _MARKUP.sub(lambda match: match[1] or "", raw)
    return " ".join(_EMPHASIS.sub(lambda match: match[2], raw).split())


class _NoAliases(yaml.SafeLoader):
    """YAML without aliases, which can make a few bytes expand without end."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


# Front matter without what only PyYAML's own reader refuses or nests deeply; libyaml's is seven times faster
# and has no bound on either. The rest, and what libyaml refuses, is PyYAML's.
_SIMPLE = re.compile(r"(?:(?![?*&!%|>]|(?:- ){3})[\n\r\x20-\x7e\xa0-\ud7ff])*+")
_MOST_FLOWS = 64


def _values(source: str) -> Any:
    simple = _SIMPLE.fullmatch(source) and source.count("[") + source.count("{") <= _MOST_FLOWS
    if simple and yaml.__with_libyaml__:
        with contextlib.suppress(Exception):
            return yaml.load(source, Loader=yaml.CSafeLoader)
    return yaml.load(source, Loader=_NoAliases)


#: Names that front matter usually has (Jekyll, Hugo, Pandoc, Docusaurus, Obsidian).
_USUAL = frozenset(
    "title date author authors tags tag categories category draft layout description summary slug permalink "
    "keywords lang language version status id weight subtitle abstract aliases updated created lastmod url "
    "sidebar_position sidebar_label theme marp type format output bibliography".split()
)
_NAME = re.compile(r"[^\W\dA-Z][\w.:/-]*")
_ANY_NAME = re.compile(r"[^\W\d][\w .:/()-]{0,39}")
_SENTENCE = re.compile(r"(?:\S+\s+){4,}\S+[.!?]")


def _front_matter(source: str, notes: list[str]) -> tuple[dict[str, Any], bool]:
    """Return the metadata between two rules, and whether that is all that stands there; else it is text."""
    if len(source) > _FRONT_LIMIT:
        notes.append(f"front matter over {_FRONT_LIMIT} characters was read as text")
        return {}, False
    if not source.strip():
        return {}, True
    try:
        values = _values(source)
    except Exception as error:  # PyYAML's own faults on odd tags and numbers are many
        reason = " ".join(str(error).split())
        notes.append(f"front matter was read as text, as it is not YAML: {reason[:160]}")
        return {}, False
    if not isinstance(values, dict):  # a rule, then prose
        return {}, False
    names = {str(name): value for name, value in values.items()}
    unusual = {name: value for name, value in names.items() if name.lower() not in _USUAL}
    sentences = any(
        isinstance(value, str) and _SENTENCE.fullmatch(value.strip()) for value in unusual.values()
    )
    if len(unusual) < len(names):
        return names, not sentences
    if sentences or not all(_ANY_NAME.fullmatch(name) for name in names):
        return {}, False
    # Pandoc's rule, too: no blank line follows the first rule of metadata.
    return names, source[0] not in "\r\n" and all(_NAME.fullmatch(name) for name in names)
