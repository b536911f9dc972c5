"""Data (json, jsonl, xml) as an outline that a person and a model can read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rag.core.errors import LoadError
from rag.loading.formats.archive import local_name, read_xml
from rag.loading.formats.plain import decode, decode_as
from rag.loading.structure import Options, Parsed, Text

_DEEPEST = 100
_DECLARED = re.compile(rb"\s*<\?xml[^>]*encoding=[\"']([\w.:-]+)")


def parse_json(path: Path, data: bytes, options: Options) -> Parsed:
    """Read JSON: ``name: value`` a line, indented as it is nested, the records of a list apart.

    Escapes are resolved, so that a search finds the words that they stand for.
    """
    return _parsed(data, _whole)


def parse_jsonl(path: Path, data: bytes, options: Options) -> Parsed:
    """Read JSON lines: a record a line."""
    return _parsed(data, lambda text: list(_lines(text)))


def _parsed(data: bytes, records: Callable[[str], list[Any]]) -> Parsed:
    text, encoding = decode(data)
    out = Text()
    try:
        _records(records(text.removeprefix("\ufeff")), out)
    except RecursionError:
        raise LoadError("is nested too deeply", "rename it to .txt to read it as text") from None
    except json.JSONDecodeError as error:
        raise LoadError(
            f"is not JSON ({error.msg}, line {error.lineno})",
            "correct it, or rename it to .txt to read it as text",
        ) from None
    return out.done({"encoding": encoding})


def _whole(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        try:  # many a .json holds one object a line
            return list(_lines(text))
        except json.JSONDecodeError:
            raise error from None
    return value if isinstance(value, list) else [value]


def parse_xml(path: Path, data: bytes, options: Options) -> Parsed:
    """Read XML: an element of text is ``name: text``, one of mixed content a paragraph."""
    declared = _DECLARED.match(data)
    text, encoding = (decode_as(data, declared[1].decode()) if declared else None) or decode(data)
    root = read_xml(re.sub(r"\A\ufeff?\s*<\?xml[^>]*\?>", "", text).encode("utf-8", "replace"))
    if local_name(root) == "html":
        from rag.loading.formats.html import parse_html

        return parse_html(path, data, options)
    out = Text()
    _element(root, out, 0)
    return out.done({"encoding": encoding})


def _lines(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                error.lineno = number
                raise


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
        out.block(" ".join("".join(element.itertext()).split()))
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


def _mixed(element: Any, children: list[Any]) -> bool:
    """Tell whether text and elements stand side by side, as in prose."""
    return bool(children) and (
        bool((element.text or "").strip()) or any((child.tail or "").strip() for child in children)
    )


def _named(element: Any) -> str:
    pairs = ", ".join(f"{key.rsplit('}', 1)[-1]} {value}" for key, value in element.attrib.items())
    return local_name(element) + (f" ({pairs})" if pairs else "")
