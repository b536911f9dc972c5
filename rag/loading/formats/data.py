"""Data (json, jsonl, xml) as an outline that a person and a model can read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rag.core.errors import LoadError
from rag.loading.formats.archive import local_name, read_xml
from rag.loading.formats.encoding import decode
from rag.loading.structure import Options, Parsed, Text

_DEEPEST = 100
_DECLARED = re.compile(rb"\s*<\?xml[^>]*encoding=[\"']([\w.:-]+)")


def parse_json(path: Path, data: bytes, options: Options) -> Parsed:
    """Read JSON: ``name: value`` a line, indented as it is nested, the records of a list apart.

    Escapes are resolved, so that a search finds the words that they stand for. Comments and commas too many,
    as settings files have them, are passed over; so are lines of JSON lines that are none, with a note.
    """
    return _parsed(data, (_whole, _commented, _most_lines))


def parse_jsonl(path: Path, data: bytes, options: Options) -> Parsed:
    """Read JSON lines: a record a line; a line that is none is left out, with a note."""
    return _parsed(data, (_lines, _whole, _commented, _most_lines))


#: Reads JSON of some form: its records, and notes.
_Form = Callable[[str], tuple[list[Any], list[str]]]


def _parsed(data: bytes, forms: Sequence[_Form]) -> Parsed:
    text, encoding, notes = decode(data)
    text = text.removeprefix("\ufeff")
    out = Text()
    try:
        values, more = _first(text, forms)
        _records(values, out)
    except RecursionError:
        raise LoadError("is nested too deeply", "rename it to .txt to read it as text") from None
    except json.JSONDecodeError as error:
        raise LoadError(
            f"is not JSON ({error.msg}, line {error.lineno})",
            "correct it, or rename it to .txt to read it as text",
        ) from None
    out.parsed.notes += [*notes, *more]
    return out.done({"encoding": encoding})


def _first(text: str, forms: Sequence[_Form]) -> tuple[list[Any], list[str]]:
    """Read a text in the first form that it has; where it has none, the first form's error says why."""
    error: json.JSONDecodeError | None = None
    for form in forms:
        try:
            return form(text)
        except json.JSONDecodeError as one:
            error = error or one
    assert error is not None
    raise error


def _whole(text: str) -> tuple[list[Any], list[str]]:
    """Read one value, or several that follow one another; a list's items are records."""
    decoder = json.JSONDecoder(strict=False)
    values: list[Any] = []
    at = _GAP.match(text, 0).end()  # type: ignore[union-attr]  # matches anywhere, if only nothing
    while at < len(text) or not values:
        value, at = decoder.raw_decode(text, at)
        values.append(value)
        at = _GAP.match(text, at).end()  # type: ignore[union-attr]
    return (values[0] if len(values) == 1 and isinstance(values[0], list) else values), []


#: What stands between values: white space, and the mark of RFC 7464.
_GAP = re.compile(r"[\s\x1e]*")
_STRING = r'"(?:[^"\\]|\\.)*+"'
_COMMENT = re.compile(rf"{_STRING}|//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])", re.DOTALL)


def _commented(text: str) -> tuple[list[Any], list[str]]:
    """Read JSON with comments and with commas behind the last item, as editors' settings have them."""
    count = 0

    def blank(match: re.Match[str]) -> str:
        nonlocal count
        if match[0].startswith('"'):
            return match[0]
        count += 1
        return " " + "\n" * match[0].count("\n")

    plain = _COMMENT.sub(blank, text)
    values, _ = _whole(_COMMA.sub(lambda match: match[0] if match[0] != "," else " ", plain))
    return values, [f"read without its comments ({count})"] if count else []


def _lines(text: str) -> tuple[list[Any], list[str]]:
    values, wrong = _by_line(text)
    for _, error in wrong:
        raise error
    return values, []


def _most_lines(text: str) -> tuple[list[Any], list[str]]:
    values, wrong = _by_line(text)
    if not any(isinstance(value, dict | list) for value in values) and wrong:
        raise wrong[0][1]
    which = ", ".join(str(number) for number, _ in wrong[:5]) + (", …" if len(wrong) > 5 else "")
    lines = "1 line is" if len(wrong) == 1 else f"{len(wrong)} lines are"
    return values, [f"{lines} not JSON: left out (line {which})"]


def _by_line(text: str) -> tuple[list[Any], list[tuple[int, json.JSONDecodeError]]]:
    values: list[Any] = []
    wrong: list[tuple[int, json.JSONDecodeError]] = []
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip(" \t\r\x1e")
        if bare:
            try:
                values.append(json.loads(bare, strict=False))
            except json.JSONDecodeError as error:
                error.lineno = number
                wrong.append((number, error))
    return values, wrong


def parse_xml(path: Path, data: bytes, options: Options) -> Parsed:
    """Read XML: an element of text is ``name: text``, one of mixed content a paragraph."""
    declared = _DECLARED.match(data)
    text, encoding, notes = decode(data, declared[1].decode() if declared else None)
    root = read_xml(re.sub(r"\A\ufeff?\s*<\?xml[^>]*\?>", "", text).encode("utf-8", "replace"))
    if local_name(root) == "html":
        from rag.loading.formats.html import parse_html

        return parse_html(path, data, options)
    out = Text()
    _element(root, out, 0)
    out.parsed.notes += notes
    return out.done({"encoding": encoding})


def _records(values: list[Any], out: Text) -> None:
    for value in values:
        plain = not isinstance(value, dict | list)
        (out.line if plain else out.block)("\n".join(_outline(value, 0)))


def _outline(value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if depth > _DEEPEST:
        yield indent + json.dumps(value, ensure_ascii=False)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, dict | list) and inner:
                if isinstance(inner, list) and all(_short(item) for item in inner):
                    yield f"{indent}{name}: {', '.join(map(_scalar, inner))}"
                else:
                    yield f"{indent}{name}:"
                    yield from _outline(inner, depth + 1)
            else:
                yield f"{indent}{name}: {_indented(_scalar(inner), indent)}"
    elif isinstance(value, list):
        for inner in value:
            first = True
            for line in _outline(inner, depth + 1) if isinstance(inner, dict | list) else [_scalar(inner)]:
                text = line[2 * (depth + 1) :] if isinstance(inner, dict | list) else line
                yield f"{indent}{'- ' if first else '  '}{_indented(text, indent + '  ')}"
                first = False
    else:
        yield indent + _indented(_scalar(value), indent)


def _short(value: Any) -> bool:
    return not isinstance(value, dict | list) and len(str(value)) <= 40 and "\n" not in str(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None or value in ([], {}) else json.dumps(value)


def _indented(text: str, indent: str) -> str:
    return text.replace("\n", f"\n{indent}  ")


def _element(element: Any, out: Text, depth: int) -> None:
    children = [child for child in element if isinstance(child.tag, str)]
    if not children:
        out.block(_leaf(element))
    elif depth > _DEEPEST or _mixed(element, children):
        text = " ".join(_flow(element).split())
        out.block(f"{_named(element)}: {text}" if element.attrib else text)
    else:
        if element.attrib:
            out.block(_named(element))
        below = False  # whether the element before was a leaf, too: then they are lines of one block
        for child in children:
            if len(child):
                _element(child, out, depth + 1)
            else:
                (out.line if below else out.block)(_leaf(child))
            below = not len(child)


def _leaf(element: Any) -> str:
    text = " ".join("".join(element.itertext()).split())
    return f"{_named(element)}: {text}" if text else _named(element) if element.attrib else ""


def _flow(element: Any) -> str:
    """Return an element's text; behind that of an element inside it, its attributes."""
    parts = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str):
            parts.append(_flow(child))
            parts.append(f" ({_pairs(child)})" if child.attrib else "")
        parts.append(child.tail or "")
    return "".join(parts)


def _mixed(element: Any, children: list[Any]) -> bool:
    """Tell whether text and elements stand side by side, as in prose."""
    return bool(children) and (
        bool((element.text or "").strip()) or any((child.tail or "").strip() for child in children)
    )


def _named(element: Any) -> str:
    return local_name(element) + (f" ({_pairs(element)})" if element.attrib else "")


def _pairs(element: Any) -> str:
    return ", ".join(f"{key.rsplit('}', 1)[-1]} {value}" for key, value in element.attrib.items())
