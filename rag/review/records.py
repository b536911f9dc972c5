"""What a review queue holds: items, and the decisions of reviewers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from rag.core.citations import Citation
from rag.core.displayable import Displayable
from rag.core.drawn import drawn
from rag.core.errors import ReviewConflictError
from rag.core.format import utc_text
from rag.core.plain import from_fields

State = Literal["open", "approved", "corrected", "rejected"]
STATES: tuple[State, ...] = get_args(State)
#: What a state may be followed by. A decision is changed by opening the item again, which is recorded, too.
NEXT: Mapping[State, tuple[State, ...]] = {
    "open": ("approved", "corrected", "rejected"),
    "approved": ("open",), "corrected": ("open",), "rejected": ("open",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an answer goes to a person.

    Attributes
    ----------
    name : str
        ``"unsupported"``, ``"confidence"``, ``"escalated"``, ``"refused"``, ``"guardrail"``, ``"sample"``, or
        what a function of the user's names.
    detail : str
        What was seen, for the reviewer.
    """

    name: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.detail})" if self.detail else self.name


@dataclass(frozen=True, slots=True, repr=False)
class Decision(Displayable):
    """What a reviewer decided.

    Attributes
    ----------
    state : {"open", "approved", "corrected", "rejected"}
        ``"open"`` opens a decided item again.
    by : str
        The reviewer's name.
    at : float
        When, in seconds since 1970.
    answer : str
        The corrected text; empty otherwise.
    citations : tuple of Citation
        What the corrected text rests on, verified in the version of the index that was asked.
    answerable : bool
        Of a correction: False if it says that the documents do not answer the question.
    """

    state: State
    by: str
    at: float
    comment: str = ""
    answer: str = ""
    citations: tuple[Citation, ...] = ()
    answerable: bool = True

    def __str__(self) -> str:
        """Return ``approved by ana at 2026-11-25 14:03 UTC: as in the policy``."""
        what = "opened again" if self.state == "open" else self.state
        comment = f": {self.comment}" if self.comment else ""
        return drawn(f"{what} by {self.by} at {utc_text(self.at)}{comment}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "citations": [each.to_dict() for each in self.citations]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Decision:
        """Read what `to_dict` returned."""
        return from_fields(cls, values)


@dataclass(frozen=True, slots=True, repr=False)
class Item(Displayable):
    """An answer in the queue, without the answer itself, which the store keeps beside it.

    Attributes
    ----------
    id : str
        26 characters that nobody can guess (80 random bits), and that sort by time.
    at : float
        When the answer was queued, in seconds since 1970.
    question : str
        As it was asked.
    search : str
        In a conversation, the question as it stands on its own.
    where : str or None
        The question's filter, as a string.
    tenant, tag, user : str
        Whose question it was; empty where that was not said.
    index : str
        The name of the index's folder.
    version : int or None
        The index's version that was asked.
    model, tier : str
        The model that answered, and the router's tier.
    prompt, prompt_hash : str
        As of `Answer`.
    answered : bool
        False if the answer is that there is none.
    supported : float or None
        The share, in [0, 1], of the sentences that citations support.
    cost_usd : float or None
        Of all calls for the answer; None if no price is known.
    fingerprint : str
        A hash of question, filter, tenant, passages, prompt and text: of equal answers one is queued.
    decisions : tuple of Decision
        All that were ever made, oldest first.
    """

    id: str
    at: float
    question: str
    search: str
    where: str | None
    tenant: str
    tag: str
    user: str
    reasons: tuple[Reason, ...]
    index: str
    version: int | None
    model: str
    tier: str
    prompt: str
    prompt_hash: str
    answered: bool
    supported: float | None
    cost_usd: float | None
    fingerprint: str
    decisions: tuple[Decision, ...] = ()

    @property
    def state(self) -> State:
        """That of the last decision."""
        return self.decisions[-1].state if self.decisions else "open"

    @property
    def last(self) -> Decision | None:
        """The decision that is in force; None while the item is open."""
        return None if self.state == "open" else self.decisions[-1]

    def after(self, decision: Decision) -> Item:
        """Return the item with one more decision.

        Raises
        ------
        ReviewConflictError
            Its state does not allow this; the message says who was first.
        """
        if decision.state in NEXT[self.state]:
            return replace(self, decisions=(*self.decisions, decision))
        if self.state == "open":
            raise ReviewConflictError(f"item {self.id} is open already")
        raise ReviewConflictError(
            f"item {self.id} was {self.decisions[-1]}; to decide again, run `rag review reopen {self.id}`"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            **asdict(self), "state": self.state, "reasons": [asdict(each) for each in self.reasons],
            "decisions": [each.to_dict() for each in self.decisions],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Item:
        """Read what `to_dict` returned, also after it was written as JSON."""
        return from_fields(cls, values)
