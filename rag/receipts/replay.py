"""Make an answer again from its receipt, and say what differs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.core.answers import Answer
from rag.core.displayable import Displayable
from rag.core.errors import StoreError
from rag.receipts.receipt import digest, passages, stages_of


@dataclass(frozen=True, slots=True, repr=False)
class Replay(Displayable):
    """What became of an answer that was made again.

    Attributes
    ----------
    differences : tuple of str
        A line each; empty if all is as it was.
    text_diff : tuple of str
        The lines of the texts, as ``diff`` writes them, where the model was asked again and said other words.
    answer : Answer or None
        The new answer, if the model was asked.
    """

    id: str
    differences: tuple[str, ...]
    text_diff: tuple[str, ...] = ()
    answer: Answer | None = None

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "id": self.id, "same": self.same, "differences": list(self.differences),
            "text_diff": list(self.text_diff),
            "answer": None if self.answer is None else self.answer.to_dict(),
        }  # fmt: skip


def replay(
    receipt: Mapping[str, Any], open_version: Callable[[int | None], Any], *, ask: bool = False
) -> Replay:
    """Retrieve and trim again on the version of a receipt; on request, ask the model again.

    Parameters
    ----------
    receipt : mapping
        `rag.receipts.store.ReceiptStore.get`.
    open_version : callable
        Opens a pipeline over a version of the index; None is the current one.
    ask : bool
        Ask the model, and compare what it says.

    Examples
    --------
    >>> replay(receipt, lambda v: rag.Pipeline(rag.Index.open(path, version=v))).differences  # doctest: +SKIP
    ()
    """
    differences: list[str] = []
    try:
        pipe = open_version(receipt["version"])
    except StoreError as error:
        differences.append(
            f"version {receipt['version']} of the index is gone ({error}): the current one is used"
        )
        pipe = open_version(None)
    options = {**receipt["options"], **({"where": receipt["where"]} if receipt["where"] else {})}
    context = pipe.context(receipt["search"], **options)
    differences += _passages(receipt["passages"], passages(context.hits))
    now = stages_of(pipe, receipt["question"])
    differences += [
        f"the {name} has other settings" for name, value in receipt["stages"].items()
        if name in now and now[name] != value
    ]  # fmt: skip
    begun = pipe.begin(receipt["search"], **options)
    if begun.voice.hash != receipt["prompt_hash"]:
        differences.append(f"the prompt {receipt['prompt']} has another text, or is {begun.voice.name} now")
    answer: Answer | None = None
    diff: tuple[str, ...] = ()
    if ask:
        answer = pipe.ask(receipt["search"], **options)
        differences += _answers(receipt, answer)
        diff = tuple(_diff(receipt["text"], answer.text))
    return Replay(receipt["id"], tuple(differences), diff, answer)


def _passages(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[str]:
    places = [[(each["source"], each["start"], each["end"]) for each in rows] for rows in (before, now)]
    old, new = (dict(zip(places[at], rows, strict=True)) for at, rows in enumerate((before, now)))
    lines = [f"a passage is lost: {_place(place)}" for place in places[0] if place not in new]
    lines += [f"a passage is new: {_place(place)}" for place in places[1] if place not in old]
    lines += [
        f"a passage has another text: {_place(place)}" for place in places[0]
        if place in new and new[place]["sha256"] != old[place]["sha256"]
    ]  # fmt: skip
    if not lines and places[0] != places[1]:
        lines.append("the passages stand in another order")
    return lines


def _place(place: tuple[str, int, int]) -> str:
    return f"{place[0]}:{place[1]}-{place[2]}"


def _answers(receipt: Mapping[str, Any], answer: Answer) -> list[str]:
    lines = []
    if digest(answer.text) != receipt["text_sha256"]:
        lines.append("the answer has another text")
    if answer.answered != receipt["answered"]:
        lines.append("it refuses now" if receipt["answered"] else "it answers now, where it refused")
    cited = {(each["source"], each["start"], each["end"]) for each in receipt["citations"]}
    now = {(each.source, each.start, each.end) for each in answer.citations}
    lines += [f"a citation is lost: {_place(each)}" for each in sorted(cited - now)]
    lines += [f"a citation is new: {_place(each)}" for each in sorted(now - cited)]
    if answer.generator != receipt["generator"]:
        lines.append(f"{answer.generator} answers, where {receipt['generator']} did")
    return lines


def _diff(before: str | None, now: str) -> list[str]:
    if before is None or before == now:
        return []
    return list(difflib.unified_diff(before.splitlines(), now.splitlines(), "then", "now", lineterm="", n=1))
