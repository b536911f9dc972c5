"""Plain text and Markdown: the loaded text is the file's decoded text, so offsets hold in it."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import yaml

from rag.core.errors import LoadError
from rag.loading.structure import Options, Parsed

_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_FRONT_LIMIT = 65_536
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]|$)")
_UNDERLINE = re.compile(r"^ {0,3}([=-])\1*[ \t]*$")
_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n|(?<=.)\Z)")
_LONGEST_TITLE = 300
_MARKUP = re.compile(
    r"!?\[([^\[\]]*)\]\([^()]*\)|\{[#.:][^{}]*\}"
    r"|</?(?:a|abbr|b|br|code|del|em|font|i|img|ins|kbd|mark|p|s|small|span|strong|sub|sup|u|var)\b[^<>]*>"
)
_EMPHASIS = re.compile(r"(?<![\w*_`])([*_`]{1,3})(?=\S)([^*_`]+(?:_[^*_`]+)*)(?<=\S)\1(?![\w*_`])")


#: Byte order marks, the longer before those that they begin with.
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32-le"), (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"),
)  # fmt: skip
#: What a binary file begins with, for the reason that a person is told.
_BINARY = (
    (b"\x89PNG", "a picture (PNG)"), (b"\xff\xd8\xff", "a picture (JPEG)"), (b"GIF8", "a picture (GIF)"),
    (b"II*\0", "a picture (TIFF)"), (b"MM\0*", "a picture (TIFF)"), (b"ID3", "a sound (MP3)"),
    (b"OggS", "a sound (Ogg)"), (b"PK\x03\x04", "a zip archive"), (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"), (b"SQLite format 3", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0", "an OLE file"),
)  # fmt: skip
#: How much of a file is looked at to tell its encoding.
_SAMPLE = 1 << 20


def decode(data: bytes) -> tuple[str, str]:
    """Return a file's text and its encoding; line ends and a byte order mark stay in the text.

    By its byte order mark; UTF-8 where it is valid; UTF-16 where every other byte is zero; else by
    charset-normalizer, which weighs the languages.

    Raises
    ------
    LoadError
        The bytes are no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            with contextlib.suppress(UnicodeDecodeError):
                return data.decode(encoding), encoding
    if b"\0" in data[:_SAMPLE]:
        wide = _utf16(data)
        if wide is None:
            raise LoadError(f"is {_binary(data)}", "leave it out, or convert it to text")
        return data.decode(wide, "replace"), wide
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        encoding = _guess(data)
        return data.decode(encoding, "replace"), encoding


#: What a declared encoding means in practice, as browsers have it (the WHATWG's Encoding Standard).
_LABELS = {
    "ascii": "cp1252", "us-ascii": "cp1252", "iso-8859-1": "cp1252", "iso8859-1": "cp1252",
    "latin1": "cp1252", "latin-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030",
    "shift_jis": "cp932", "shift-jis": "cp932", "iso-8859-9": "cp1254", "tis-620": "cp874",
    "ks_c_5601-1987": "cp949", "euc-kr": "cp949", "big5": "big5hkscs",
}  # fmt: skip


def decode_as(data: bytes, label: str) -> tuple[str, str] | None:
    """Return a text in the encoding that it is said to be in; None if it is not, or there is none."""
    label = label.strip().lower()
    for encoding in dict.fromkeys((_LABELS.get(label, label), label)):
        with contextlib.suppress(LookupError, UnicodeError, ValueError):
            return data.decode(encoding), encoding
    return None


def _utf16(data: bytes) -> str | None:
    """Tell UTF-16 without a mark: in most scripts' texts spaces and digits have a zero byte."""
    sample = data[:_SAMPLE]
    first, second = sample[::2].count(0), sample[1::2].count(0)
    for encoding, zeros, others in (("utf-16-be", first, second), ("utf-16-le", second, first)):
        if zeros > 10 * others and zeros > len(sample) // 20:
            with contextlib.suppress(UnicodeDecodeError):
                text = sample[: len(sample) // 2 * 2].decode(encoding)
                if text.isprintable() or sum(c.isprintable() or c.isspace() for c in text) > 0.95 * len(text):
                    return encoding
    return None


def _guess(data: bytes) -> str:
    import charset_normalizer  # slow to import, seldom needed

    matches = charset_normalizer.from_bytes(data[:_SAMPLE])
    best = matches.best()
    if best is not None:
        # Of equally likely ones the one that browsers take, too: Western European Windows.
        equal = [m for m in matches if m.chaos <= best.chaos and m.coherence >= best.coherence]
        names = {name for m in equal for name in (m.encoding, *m.could_be_from_charset)}
        return "cp1252" if names & {"cp1252", "latin_1"} else best.encoding
    controls = sum(data[:_SAMPLE].count(code) for code in (*range(1, 9), *range(14, 27)))
    if controls > len(data[:_SAMPLE]) // 50:
        raise LoadError(f"is {_binary(data)}", "leave it out, or convert it to text")
    return "cp1252"


def _binary(data: bytes) -> str:
    return next((what for magic, what in _BINARY if data.startswith(magic)), "a binary file")


def parse_text(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a plain text or source file."""
    text, encoding = decode(data)
    return Parsed(text, {"encoding": encoding})


def parse_markdown(path: Path, data: bytes, options: Options) -> Parsed:
    """Read Markdown: YAML front matter becomes metadata, headings become structure."""
    text, encoding = decode(data)
    parsed = Parsed(text, {"encoding": encoding})
    front = _FRONT.match(text)
    if front:
        parsed.body = front.end()
        parsed.metadata.update(_front_matter(front.group(1), parsed.notes))
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
        if comment or (not fence and bare.startswith("<!--")):
            comment, before = "-->" not in bare, None
        elif fence:
            if opening and opening[1].startswith(fence) and not bare.strip(" \t`~"):
                fence = ""
        elif opening:
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


def _front_matter(source: str, notes: list[str]) -> dict[str, Any]:
    if len(source) > _FRONT_LIMIT:
        notes.append(f"front matter over {_FRONT_LIMIT} characters was not read")
        return {}
    try:
        values = yaml.load(source, Loader=_NoAliases)
    except Exception as error:  # PyYAML's own faults on odd tags and numbers are many
        reason = " ".join(str(error).split())
        notes.append(f"front matter was not read: {reason[:160]}")
        return {}
    if values is None:
        return {}
    if not isinstance(values, dict):
        notes.append("front matter was not read: it is not a mapping of names to values")
        return {}
    return {str(name): value for name, value in values.items()}
