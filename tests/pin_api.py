"""Write down the public API of `rag`, names and types: ``python -m tests.pin_api``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rag

PINNED = Path(__file__).with_name("public_api.txt")


def lines() -> Iterator[str]:
    """Yield a line for each public name of `rag`, and below a class for each of its own public members."""
    for name in sorted(rag.__all__):
        value = getattr(rag, name)
        if not inspect.isclass(value):
            yield f"def {name}{signature(value)}"
            continue
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"class {name}({bases})" if bases else f"class {name}"
        yield from (f"    {line}" for line in members(value))


def members(kind: type) -> Iterator[str]:
    """Yield a class's constructor, fields, properties and methods, those of our own bases included."""
    if issubclass(kind, BaseException):
        yield from ()
    elif not hasattr(kind, "model_fields"):
        yield f"__init__{signature(kind)}"
    for name, annotation, default in fields(kind):
        yield f"{name}: {annotation}{'' if default is inspect.Parameter.empty else f' = {shown(default)}'}"
    for name in sorted(dir(kind)):
        owner = next((base for base in kind.__mro__ if name in vars(base)), object)
        value = inspect.getattr_static(kind, name)
        where = getattr(
            value, "__module__", owner.__module__
        )  # pydantic puts functions of its own into a class
        if not owner.__module__.startswith("rag.") or not str(where).startswith("rag."):
            continue
        if name.startswith("_") and name not in _OPERATORS:
            continue
        if isinstance(value, property):
            yield f"{name} -> {annotation_of(value.fget, 'return')}"
        elif isinstance(value, classmethod | staticmethod):
            yield f"{type(value).__name__} {name}{signature(getattr(kind, name))}"
        elif inspect.isfunction(value):
            yield f"def {name}{signature(value)}"


_OPERATORS = ("__call__", "__len__", "__iter__", "__getitem__", "__eq__", "__and__", "__or__", "__invert__")


def fields(kind: type) -> Iterator[tuple[str, str, Any]]:
    """Yield the fields of a dataclass or a pydantic model: name, annotation, default."""
    empty = inspect.Parameter.empty
    own: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("rag."):
            own |= {name: text(each) for name, each in inspect.get_annotations(base).items()}
    if dataclasses.is_dataclass(kind):
        for field in dataclasses.fields(kind):
            default = empty if field.default is dataclasses.MISSING else field.default
            made = field.default_factory is not dataclasses.MISSING
            yield field.name, own[field.name], Made() if made else default
    elif hasattr(kind, "model_fields"):
        for name, field in kind.model_fields.items():
            if name in own:
                default = empty if field.is_required() else field.get_default()
                yield name, own[name], Made() if field.default_factory is not None else default


class Made:
    """Stands for a default that is made anew each time."""

    def __repr__(self) -> str:
        return "..."


def signature(function: Any) -> str:
    """Return a signature with its annotations as they are written."""
    found = inspect.signature(function)
    parameters = []
    star = slash = False
    kinds = [each.kind for each in found.parameters.values()]
    for number, each in enumerate(found.parameters.values()):
        if each.kind is each.KEYWORD_ONLY and not star and each.VAR_POSITIONAL not in kinds:
            parameters.append("*")
            star = True
        mark = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        hint = "" if each.annotation is each.empty else f": {text(each.annotation)}"
        default = "" if each.default is each.empty else f" = {shown(each.default)}"
        parameters.append(f"{mark}{each.name}{hint}{default}")
        last = number + 1 == len(kinds) or kinds[number + 1] is not each.POSITIONAL_ONLY
        if each.kind is each.POSITIONAL_ONLY and last and not slash:
            parameters.append("/")
            slash = True
    gives = "" if found.return_annotation is found.empty else f" -> {text(found.return_annotation)}"
    return f"({', '.join(parameters)}){gives}"


def annotation_of(function: Any, name: str) -> str:
    return text(inspect.get_annotations(function).get(name, "Any"))


def text(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def shown(default: Any) -> str:
    """Return a default as one would write it; a function or class by its name, without an address."""
    if inspect.isfunction(default) or inspect.isclass(default):
        return str(default.__qualname__)
    written = repr(default)
    return f"{type(default).__name__}(...)" if " at 0x" in written else written


if __name__ == "__main__":
    PINNED.write_text("\n".join(lines()) + "\n", encoding="utf-8")
    print(f"{PINNED.name}: {sum(1 for _ in lines())} lines; look at what changed before you commit it")
