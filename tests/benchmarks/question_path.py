"""How much of our code a question goes through: ``python -m tests.benchmarks.question_path [--functions]``.

Counts the files of `rag` and the functions in them that run for one question, after another one has warmed
everything up: with the local default, with a chat model in Claude's place, and for the search alone. Frames
of comprehensions, generator expressions and lambdas belong to the function that they stand in. With
``--functions`` their names are listed, too.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from langchain_core.language_models import FakeListChatModel

import rag

PACKAGE = Path(rag.__file__).parent
HANDBOOK = PACKAGE.parent / "data" / "handbook"
WARM_UP = "How many days of annual leave do staff get?"
QUESTION = "How long is parental leave?"
REPLY = 'It depends on the country.<cite doc="1">{words}</cite>'
_NAMELESS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>")


def traced(function: Callable[[], Any]) -> tuple[Any, dict[str, set[str]]]:
    """Call a function; return its result, and the names of our functions that ran, by file.

    Threads that are started inside are traced, too; those that ran before are not.
    """
    found: dict[str, set[str]] = defaultdict(set)
    root = f"{PACKAGE}/"

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(root) and code.co_name not in _NAMELESS:
            found[code.co_filename[len(root) :]].add(code.co_qualname)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        result = function()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return result, dict(found)


def report(title: str, found: Mapping[str, set[str]], *, names: bool = False) -> str:
    """Return the counts of a path, the files with the most functions first."""
    rows = [f"{title}: {len(found)} files, {sum(map(len, found.values()))} functions"]
    for file, functions in sorted(found.items(), key=lambda row: (-len(row[1]), row[0])):
        rows.append(f"  {len(functions):3}  {file}{'  ' + ' '.join(sorted(functions)) if names else ''}")
    return "\n".join(rows)


def paths(folder: Path) -> dict[str, dict[str, set[str]]]:
    """Return the path of each kind of question over an index of the sample handbook, built in a folder."""
    path = folder / "index"
    rag.build(HANDBOOK, path)
    words = rag.Pipeline(path).context(QUESTION).hits[0].text.split("\n")[-1][:80]
    chat = FakeListChatModel(responses=[REPLY.format(words=words)])
    out = {}
    for title, generator in (("the local default", None), ("a chat model", chat)):
        # An index remembers the vectors of questions: each pipeline has one of its own.
        pipeline = rag.Pipeline(path, generator=generator)
        pipeline.ask(WARM_UP)
        answer, out[title] = traced(functools.partial(pipeline.ask, QUESTION))
        assert answer.context.hits and (generator is None or answer.citations[0].verified)
    index = rag.Index.open(path)
    index.search(WARM_UP)
    hits, out["index.search"] = traced(functools.partial(index.search, QUESTION))
    assert hits
    return out


def main() -> None:
    """Print the paths."""
    with tempfile.TemporaryDirectory() as folder:
        for title, found in paths(Path(folder)).items():
            print(report(title, found, names="--functions" in sys.argv), end="\n\n")


if __name__ == "__main__":
    main()
