"""Describe a stage or an option by all that decides its results, as values that JSON has.

Equal descriptions mean equal results. An object that cannot be described gets a mark of its own, which no
other object of this process, and none of another, ever has: it is never taken for another one.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import hashlib
import inspect
import itertools
import threading
import types
import uuid
import weakref
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Protocol, get_args, get_origin, runtime_checkable

import numpy as np
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from rag.index.filters.bind import Bound
from rag.index.filters.where import And, Or

#: Fields of LangChain's components that say who watches a call, or how often it may be made.
_NOT_OF_RESULTS = frozenset((
    "callbacks", "callback_manager", "tags", "metadata", "verbose", "cache", "rate_limiter", "name",
    "custom_get_token_ids",
))  # fmt: skip
#: How calls are made, not what comes of them.
_OF_CALLS = (
    "rag.bedrock.runtime.retry:Retry",
    "rag.generation.circuit_breaker:Breaker",
    "botocore.config:Config",
)
#: What of a message its reader sees; its id and usage differ from call to call.
_OF_MESSAGES = ("content", "additional_kwargs", "tool_calls", "tool_call_id")
_PROCESS = uuid.uuid4().hex


class Manifest(Protocol):
    """What a version of an index consists of."""

    def to_json(self) -> str:
        """Return it as it is stored."""


class Source(Protocol):
    """A document of an index, with its hash and that of its metadata."""

    source: str
    sha256: str
    metadata_sha256: str


@runtime_checkable
class Versioned(Protocol):
    """An index whose versions name all that they hold (`rag.Index`)."""

    @property
    def manifest(self) -> Manifest:
        """The open version."""

    @property
    def sources(self) -> Sequence[Source]:
        """Its documents."""


class _Marks:
    """A mark for each object, by its identity; an address that is used again gets another mark."""

    def __init__(self) -> None:
        self._marks: dict[int, tuple[Any, int]] = {}
        self._numbers, self._lock = itertools.count(), threading.Lock()

    def of(self, value: object) -> str:
        with self._lock:
            known = self._marks.get(id(value))
            if known is None or known[0]() is not value:
                try:
                    gone = functools.partial(self._forget, id(value))
                    known = (weakref.ref(value, gone), next(self._numbers))
                except TypeError:  # no weak references: never the same again
                    return f"{_PROCESS}:{next(self._numbers)}"
                self._marks[id(value)] = known
            return f"{_PROCESS}:{known[1]}"

    def _forget(self, number: int, _: Any) -> None:
        self._marks.pop(number, None)  # no lock: called wherever the object happens to end


_MARKS = _Marks()


class Describer:
    """Describes what decides an answer from one index.

    Parameters
    ----------
    index : Index, optional
        Described as "the index": its version is a part of the key by itself (`index_digest`).

    Attributes
    ----------
    unknown : list of str
        The classes of objects that got a mark of their own.

    Examples
    --------
    >>> Describer().of({"k": 4, "where": ("a", 1.0)})
    ['map', [['k', 4], ['where', ['list', 'a', ['float', '1.0']]]]]
    """

    def __init__(self, index: Any = None) -> None:
        self._index, self._active = index, set[int]()
        self.unknown: list[str] = []

    def of(self, value: Any) -> Any:
        """Return the description of a value."""
        if value is None or (isinstance(value, bool | str | int) and not isinstance(value, enum.Enum)):
            return value
        simple = _simple(value)
        if simple is not None:
            return simple
        if id(value) in self._active:
            return ["again", _name(type(value))]
        self._active.add(id(value))
        try:
            return self._composed(value)
        finally:
            self._active.discard(id(value))

    def _composed(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            items = ((key if isinstance(key, str) else repr(key), item) for key, item in value.items())
            return ["map", sorted(([key, self.of(item)] for key, item in items), key=repr)]
        if isinstance(value, list | tuple):
            return ["list", *map(self.of, value)]
        if isinstance(value, set | frozenset):
            return ["set", *sorted(map(self.of, value), key=repr)]
        if value is self._index:
            return "the index"
        if isinstance(value, Bound):
            return self.of(value.where)
        if isinstance(value, And | Or):  # their order decides nothing
            return [type(value).__name__, *sorted(map(self.of, value.parts), key=repr)]
        if isinstance(value, type) or get_origin(value) is not None:
            return self._type(value)
        if callable(value) and isinstance(
            value, types.FunctionType | types.BuiltinFunctionType | types.MethodType | functools.partial
        ):
            return self._function(value)
        return self._object(value)

    def _object(self, value: Any) -> Any:
        kind = self._class(type(value))
        if kind in _OF_CALLS:
            return kind
        fingerprint = getattr(
            value, "fingerprint", None
        )  # `Fingerprinted`, whose check takes ten times as long
        if isinstance(fingerprint, str):
            return [kind, fingerprint]
        if isinstance(value, BaseModel):
            return [kind, *self._fields(value)]
        if dataclasses.is_dataclass(value):
            names = [field.name for field in dataclasses.fields(value)]
            return [kind, *([name, self.of(getattr(value, name))] for name in names)]
        if isinstance(value, Versioned):
            return ["index", index_digest(value)]
        if type(value).__module__.startswith("rag."):
            return [kind, *([name, self.of(item)] for name, item in sorted(vars(value).items()))]
        return self._mark(value)

    def _fields(self, model: BaseModel) -> list[Any]:
        """Describe the fields of a pydantic model, and what LangChain's say of themselves."""
        is_langchain = any(base.__module__.startswith("langchain_core.") for base in type(model).__mro__)
        fields = type(model).model_fields
        if any(base.__name__ == "BaseMessage" for base in type(model).__mro__):
            names = [name for name in _OF_MESSAGES if name in fields]
        else:
            names = [
                name for name, field in sorted(fields.items())
                if not (is_langchain and (field.exclude or name in _NOT_OF_RESULTS))
            ]  # fmt: skip
        described = [[name, self.of(getattr(model, name))] for name in names]
        extra = model.model_extra
        return [*described, ["extra", self.of(extra)]] if extra else described

    def _function(self, value: Any) -> Any:
        if isinstance(value, functools.partial):
            return ["partial", self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if isinstance(value, types.MethodType):
            return ["method", self.of(value.__self__), self.of(value.__func__)]
        if isinstance(value, types.BuiltinFunctionType):
            return self._mark(value) if value.__self__ is not None and not inspect.ismodule(
                value.__self__
            ) else ["function", f"{value.__module__}:{value.__qualname__}"]  # fmt: skip
        closure = [cell.cell_contents for cell in value.__closure__ or () if cell != types.CellType()]
        return [
            "function", f"{value.__module__}:{value.__qualname__}", _code(value.__code__),
            self.of(value.__defaults__), self.of(value.__kwdefaults__), self.of(closure),
        ]  # fmt: skip

    def _type(self, value: Any) -> Any:
        if get_origin(value) is not None:
            return ["type", str(get_origin(value)), *map(self.of, get_args(value))]
        if isinstance(value, type) and issubclass(value, BaseModel):
            return ["type", self._class(value), self.of(value.model_json_schema())]
        hints = inspect.get_annotations(value)
        return ["type", self._class(value), self.of({name: repr(hint) for name, hint in hints.items()})]

    def _class(self, kind: type) -> str:
        """Name a class; one that is made anew in each run, or in a function, has a mark of its own."""
        if "<locals>" in kind.__qualname__ or kind.__module__ == "__main__":
            self.unknown.append(_name(kind))
            return f"{_name(kind)}@{_MARKS.of(kind)}"
        return _name(kind)

    def _mark(self, value: Any) -> Any:
        self.unknown.append(_name(type(value)))
        return ["only", _name(type(value)), _MARKS.of(value)]


def _simple(value: Any) -> Any:
    """Describe a plain value whose type JSON does not have; None for any other."""
    if isinstance(value, float):
        return ["float", repr(value)]
    if isinstance(value, enum.Enum):
        return ["enum", _name(type(value)), value.name]
    if isinstance(value, dt.date | dt.time | dt.timedelta):
        return [type(value).__name__, str(value)]
    if isinstance(value, bytes | bytearray):
        return ["bytes", hashlib.sha256(value).hexdigest()]
    if isinstance(value, PurePath):
        return ["path", str(value)]
    if isinstance(value, SecretStr | SecretBytes | Secret):  # a key opens a door; what answers is the same
        return "secret"
    if isinstance(value, np.ndarray):
        return ["array", str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    return None


def index_digest(index: Versioned) -> str:
    """Return the SHA-256 of an index's manifest, which names every file of the version with its SHA-256.

    It tells versions apart, and indexes of the same name; a copy of an index has the same.
    """
    known = _DIGESTS.get(index)
    if known is None or known[0] is not index.manifest:
        text = index.manifest.to_json()
        known = _DIGESTS[index] = (index.manifest, hashlib.sha256(text.encode()).hexdigest())
    return known[1]


_DIGESTS: weakref.WeakKeyDictionary[Any, tuple[Any, str]] = weakref.WeakKeyDictionary()


def _code(code: types.CodeType) -> str:
    """Return a hash of a function's code, with the functions inside it."""
    inner = [_code(each) if isinstance(each, types.CodeType) else repr(each) for each in code.co_consts]
    return hashlib.sha256(repr((code.co_code, code.co_names, inner)).encode()).hexdigest()[:16]


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
