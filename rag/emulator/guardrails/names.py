"""Names of people, by presidio-analyzer and a spaCy model if both are installed; nothing is downloaded here.

Both are installed by ``pip install presidio-analyzer`` and ``python -m spacy download en_core_web_sm``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from rag.core.extras import installed

#: spaCy's English models, the best first (https://spacy.io/models/en, November 2026).
MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm")
_LEAST_SCORE = 0.5


def available() -> bool:
    """Tell whether names can be found."""
    return installed("presidio_analyzer") and _model() is not None


def places(text: str) -> Iterator[tuple[int, int]]:
    """Yield where names stand; nothing where they cannot be found."""
    if available():
        found = _analyzer().analyze(text, language="en", entities=["PERSON"], score_threshold=_LEAST_SCORE)
        yield from sorted((each.start, each.end) for each in found)


def _model() -> str | None:
    return next((name for name in MODELS if _is_package(name)), None)


def _is_package(name: str) -> bool:
    """Tell whether a model is installed as presidio asks it; a mere module it would download again."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


@lru_cache(maxsize=1)
def _analyzer() -> Any:
    # Without a model named, presidio would download one.
    from importlib import import_module

    engines = import_module("presidio_analyzer.nlp_engine")
    model = {"lang_code": "en", "model_name": _model()}
    provider = engines.NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [model]})
    return import_module("presidio_analyzer").AnalyzerEngine(nlp_engine=provider.create_engine())
