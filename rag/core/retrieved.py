"""What was retrieved for a question, kept so that it can be asked later."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rag.core.answers import Step
from rag.core.calls import Call
from rag.core.passages import Context


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What was retrieved for a question, and what that came to.

    Attributes
    ----------
    context : Context
    steps : tuple of Step
        Of retrieving and trimming.
    calls : tuple of Call
        Paid for and recorded already.
    notes : tuple of str
        For the user.
    """

    context: Context
    steps: tuple[Step, ...] = ()
    calls: tuple[Call, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; `rag.core.plain.from_fields` reads them."""
        return {
            "context": self.context.to_dict(), "steps": [asdict(step) for step in self.steps],
            "calls": [asdict(call) for call in self.calls], "notes": list(self.notes),
        }  # fmt: skip
