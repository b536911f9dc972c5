"""Conversations over the sample handbook: ``python -m tests.benchmarks.conversation [--split dev|test]``.

Of each follow-up of ``conversations.jsonl`` (written by somebody who had not seen the code): is a passage
with the words that answer it in the context? With the question as typed, as `carry_over` completes it, and as
its author would ask it in full. Then what the prompts of the turns cost at full price, with and without a
stable beginning, by the emulator's count of a prompt cache. ``dev`` was looked at while `carry_over` was
written, ``test`` was not.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.conversation.follow_up import carry_over
from rag.emulator import Emulator

HERE = Path(__file__).parent
HANDBOOK = HERE.parents[1] / "data" / "handbook"
Turn = Mapping[str, Any]


def conversations(split: str | None) -> Iterator[list[Turn]]:
    """Yield the turns of each conversation."""
    for line in (HERE / "conversations.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if split in (None, row["split"]):
            yield row["turns"]


def holds(context: rag.Answer | Any, turn: Turn) -> bool:
    """Whether a passage of a gold source in the context holds the words that answer a turn."""
    words = _flat(turn["words"])
    return any(hit.source in turn["gold"] and words in _flat(hit.text) for hit in context.hits)


def _flat(text: str) -> str:
    return re.sub(r"[\s*_|`]+", " ", text).casefold()


def searched(turns: list[Turn], number: int, way: str) -> str:
    """Return what is searched for a turn."""
    if way == "as typed":
        return str(turns[number]["question"])
    if way == "in full":
        return str(turns[number]["in_full"])
    return carry_over(turns[number]["question"], [(turn["question"], "") for turn in turns[:number]])


def found(pipe: rag.Pipeline, split: str | None, way: str, *, show: bool = False) -> tuple[int, int]:
    """Return how many follow-ups have the right passage in their context, and how many there are."""
    right = count = 0
    for turns in conversations(split):
        for number, turn in enumerate(turns):
            if turn["kind"] not in ("follow-up", "return"):
                continue
            search = searched(turns, number, way)
            good = holds(pipe.context(search), turn)
            right, count = right + good, count + 1
            if show and not good:
                print(f"    {turn['question']!r} searched as {search!r}; in full {turn['in_full']!r}")
    return right, count


def billed(path: Path, turns: list[Turn]) -> tuple[int, int]:
    """Return the tokens of a conversation that cost the full price: with a stable beginning, and without."""
    full = []
    for cache in ("5m", None):
        with Emulator() as emulator, pytest.MonkeyPatch.context() as patch:
            for name, value in emulator.environment().items():
                patch.setenv(name, value)
            claude = rag.ClaudeBedrock(prompt_cache=cache)
            chat = rag.Pipeline(rag.Index.open(path), generator=claude).chat(keep_tokens=100_000)
            usages = [chat.ask(turn["question"]).usage for turn in turns]
            full.append(sum(usage.input_tokens for usage in usages))
    return full[0], full[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--split", choices=["dev", "test"])
    parser.add_argument("--show", action="store_true", help="list the follow-ups that miss")
    parser.add_argument("--index", type=Path, help="of the handbook; by default a new one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.index or Path(folder) / "ix"
        if arguments.index is None:
            rag.build(HANDBOOK, path)
        pipe = rag.Pipeline(path)
        for way in ("as typed", "carry_over", "in full"):
            right, count = found(pipe, arguments.split, way, show=arguments.show and way == "carry_over")
            print(f"{way:12} {right:3} of {count} follow-ups have their passage: {right / count:.1%}")
        turns = max(conversations(arguments.split), key=len)[:10]
        stable, anew = billed(path, turns)
        print(
            f"{len(turns)} turns: {stable:,} input tokens at full price, {anew:,} without the cache: {stable / anew:.0%}"
        )


if __name__ == "__main__":
    main()
