"""Many questions in threads and processes at once: one call for each distinct one, and no wrong answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.responses import measure
from tests.response_cache.models import USD


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_many_questions_are_one_call_each(
    folder: Path, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    settings = {"path": str(tmp_path / "r.sqlite"), "timeout_s": 10.0}
    if kind == "redis":
        url = request.getfixturevalue("redis").url
        settings = {"use": "redis", "url": url, "prefix": tmp_path.name, "timeout_s": 10.0}
    figures = measure(str(folder / "ix"), settings, tmp_path, count=240, repeats=0.5, processes=3, threads=20)
    assert (figures.calls, figures.wrong, figures.hits) == (figures.distinct, 0, 240 - figures.distinct)
    assert figures.saved_usd == pytest.approx(figures.hits * USD)
