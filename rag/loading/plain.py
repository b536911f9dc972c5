"""Plain text and Markdown: the loaded text is the file's decoded text, so offsets hold in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from rag.errors import LoadError
from rag.loading.structure import Parsed

_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_FRONT_LIMIT = 65_536
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-+)[ \t]*$")
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}|\{[#.:][^}]*\}|<[^>]+>")


def decode(data: bytes) -> tuple[str, str]:
    """Return a file's text and its encoding; line ends and a byte order mark stay in the text.

    Raises
    ------
    LoadError
        The bytes are no text.
    """
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            try:
                return data.decode(encoding), encoding
            except UnicodeDecodeError:
                break
    if b"\0" in data[:65_536]:
        raise LoadError("is a binary file", "leave it out, or convert it to text")
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        import charset_normalizer  # slow to import, seldom needed

        best = charset_normalizer.from_bytes(data[:1_000_000]).best()
        if best is None:
            raise LoadError(
                "is neither text in a known encoding nor a known format",
                "convert it to UTF-8, or leave it out",
            ) from None
        try:
            return data.decode(best.encoding), best.encoding
        except UnicodeDecodeError:
            return data.decode(best.encoding, "replace"), best.encoding


def parse_text(path: Path, data: bytes) -> Parsed:
    """Read a plain text or source file."""
    text, encoding = decode(data)
    return Parsed(text, _encoding(encoding))


def parse_markdown(path: Path, data: bytes) -> Parsed:
    """Read Markdown: YAML front matter becomes metadata, headings become structure."""
    text, encoding = decode(data)
    parsed = Parsed(text, _encoding(encoding))
    front = _FRONT.match(text)
    if front:
        parsed.body = front.end()
        parsed.metadata.update(_front_matter(front.group(1), parsed.notes))
    parsed.headings = headings(text, parsed.body)
    return parsed


def headings(text: str, start: int = 0) -> list[tuple[int, int, str]]:
    """Find Markdown's headings (``#`` and underlined), not those inside fenced code."""
    found: list[tuple[int, int, str]] = []
    fence = ""
    before: tuple[int, str] | None = None  # the line above, if it can be underlined
    at = start
    for line in text[start:].splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        opening = _FENCE.match(bare)
        if fence:
            if opening and opening[1].startswith(fence) and not bare.strip(" \t`~"):
                fence = ""
        elif opening:
            fence, before = opening[1], None
        elif atx := _ATX.match(bare):
            found.append((at, len(atx[1]), _title(atx[2])))
            before = None
        elif before is not None and (under := _UNDERLINE.match(bare)):
            found.append((before[0], 1 if under[1][0] == "=" else 2, _title(before[1])))
            before = None
        else:
            plain = bare.strip() and not bare.startswith(("    ", "\t", "|", ">", "- ", "* "))
            before = (at, bare) if plain and before is None else None
        at += len(line)
    return [item for item in found if item[2]]


def _title(raw: str) -> str:
    return " ".join(_MARKUP.sub(lambda match: match[1] or "", raw).split())


def _encoding(encoding: str) -> dict[str, Any]:
    return {} if encoding == "utf-8" else {"encoding": encoding}


class _NoAliases(yaml.SafeLoader):
    """YAML without aliases, which can make a few bytes expand without end."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


def _front_matter(source: str, notes: list[str]) -> dict[str, Any]:
    if len(source) > _FRONT_LIMIT:
        notes.append(f"front matter over {_FRONT_LIMIT} characters was not read")
        return {}
    try:
        values = yaml.load(source, Loader=_NoAliases)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        notes.append(f"front matter was not read: {reason[:160]}")
        return {}
    if values is None:
        return {}
    if not isinstance(values, dict):
        notes.append("front matter was not read: it is not a mapping of names to values")
        return {}
    return {str(name): value for name, value in values.items()}
