"""The key of an answer: a hash of all that decides it."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

from rag.core.passages import Context
from rag.index.filters.parse import parse
from rag.response_cache.describe import Describer, Versioned, index_digest

#: Raised when what an entry holds, or how parts are described, changes.
FORMAT = 1
#: Of a passage, what no prompt of `rag` writes.
_NOT_SENT = ("score", "dense", "lexical", "doc_id", "chunk_id", "gap")
_OWN_SEARCH = ("rag.retrieval.hybrid", "rag.retrieval.search")


@dataclass(frozen=True, slots=True)
class Parts:
    """What decides an answer, part by part.

    Attributes
    ----------
    index : str or None
        The digest of the index's version. None where something else than the index decides what is
        sent, a retriever or prompt of others; what is sent then takes its place.
    question : str
        Normalised.
    tenant, salt : str
        Of the question or the settings.
    stages, options : mapping
        Described (`rag.response_cache.describe`).
    unknown : tuple of str
        The classes of objects that could not be described; no other process then has the same key.
    """

    index: str | None
    question: str
    tenant: str
    salt: str
    stages: Mapping[str, Any]
    options: Mapping[str, Any]
    unknown: tuple[str, ...] = ()
    version: str = ""

    @property
    def key(self) -> str:
        """The key of an answer from this version of the index, as hex."""
        return _hash("version", self._values(index=self.index))

    def with_context(self, context: Context, messages: Any = None) -> str:
        """Return the key of an answer from these very passages, whatever the index's version.

        `messages` are those of a prompt that is not `rag`'s: it may write something else each day.
        """
        return _hash("passages", self._values(passages=_passages(context), messages=messages))

    @property
    def others(self) -> str:
        """The key of all parts but the question, for what is common to similar questions."""
        return _hash("others", replace(self, question="")._values(index=self.index))

    def _values(self, **more: Any) -> dict[str, Any]:
        return {
            "format": FORMAT, "rag": self.version, "question": self.question, "tenant": self.tenant,
            "salt": self.salt, "stages": self.stages, "options": self.options, **more,
        }  # fmt: skip


def parts_of(
    pipeline: Any,
    question: str,
    options: Mapping[str, Any],
    *,
    prompt: Any = None,
    tenant: str = "",
    salt: str = "",
) -> Parts:
    """Return what decides the answer of a pipeline to a question.

    Parameters
    ----------
    pipeline : Pipeline
    question : str
    options : mapping
        Those of `Pipeline.ask`, each a part of the key.
    prompt : optional
        The question's; by default the pipeline's.
    tenant, salt : str

    Raises
    ------
    WhereError
        The filter does not fit the index.
    """
    describe = Describer(pipeline.index)
    by_index = _decided_by(pipeline.index, pipeline.retriever)
    given = {name: value for name, value in options.items() if value is not None}
    where = given.pop("where", None)
    if where is not None:
        given["where"] = pipeline.index.both(where) if by_index else parse(where)
    names = ("retriever", "trimmer", "generator", "on_unverified")
    stages = {name: describe.of(getattr(pipeline, name)) for name in names}
    prompt = pipeline.prompt if prompt is None else prompt
    stages["prompt"] = describe.of(prompt)
    stages["embedder"] = describe.of(getattr(pipeline.index, "embedder", None))
    described = {name: describe.of(value) for name, value in sorted(given.items())}
    version = index_digest(pipeline.index) if by_index and is_own(prompt) else None
    return Parts(
        version,
        normalised(question),
        tenant,
        salt,
        stages,
        described,
        tuple(dict.fromkeys(describe.unknown)),
        _version(),
    )


def normalised(question: str) -> str:
    r"""Return a question in the form in which two that differ in their blanks alone are equal.

    Letters keep their case ("US" is not "us"), and lines stay lines, as code may depend on them.

    Examples
    --------
    >>> normalised("  Who  decides? "), normalised("def f():\n  pass")
    ('Who decides?', 'def f():\n  pass')
    """
    text = unicodedata.normalize("NFC", question).strip()
    return text if "\n" in text else re.sub(r"\s+", " ", text)


@functools.cache
def _version() -> str:
    """Return the version of `rag`: another one may write a prompt, or read a reply, differently."""
    try:
        return metadata.version("bedrock-rag")
    except metadata.PackageNotFoundError:
        return "not installed"


def _decided_by(index: Any, retriever: Any) -> bool:
    """Tell whether a version of the index decides what is retrieved: by `rag`'s own search over it alone.

    A class that is derived from it may search elsewhere, too.
    """
    own = type(retriever).__module__ in _OWN_SEARCH and retriever.index is index
    return own and isinstance(index, Versioned)


def is_own(prompt: Any) -> bool:
    """Tell whether a prompt writes the same for the same question and passages, as `rag`'s do."""
    module = type(prompt).__module__
    return module.startswith("rag.generation.") and module != "rag.generation.prompt_adapter"


def _passages(context: Context) -> list[Any]:
    """Return the passages as the prompt sees them."""
    describe = Describer()
    return [
        describe.of({name: value for name, value in hit.to_dict().items() if name not in _NOT_SENT})
        for hit in context.hits
    ]


def _hash(kind: str, values: Mapping[str, Any]) -> str:
    text = json.dumps([kind, values], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
