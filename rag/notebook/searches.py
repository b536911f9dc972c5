"""How a search was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.core.format import counted
from rag.notebook import lines, parts
from rag.notebook.display import Display

if TYPE_CHECKING:
    from rag.index.search.results import SearchPlan

    pass


class SearchPlanDisplay(Display):
    """The plan of a search: how many chunks the filter left, and how many were compared."""

    value: SearchPlan

    def html(self) -> str:
        """Return the plan as a card."""
        plan = self.value
        share = plan.matched / plan.rows if plan.rows else 0.0
        compared = "all that match" if plan.exact else f"{plan.compared:,}; codes ruled out the rest"
        rows = [
            ("question", parts.inert(plan.question)),
            ("filter", parts.code(plan.where) if plan.where else "none"),
            ("matching", f"{parts.bar(share)}{plan.matched:,} of {counted(plan.rows, 'chunk')}"),
            ("compared exactly", parts.inert(compared)),
            ("lowest score", "" if plan.min_score is None else f"{plan.min_score:g}"),
            ("returned", f"{plan.found:,} of {plan.k:,} requested"),
        ]
        return parts.card("Search", plan.mode, parts.facts(rows))

    def text(self) -> str:
        """Return the plan, wrapped."""
        return "\n".join(lines.wrapped(str(self.value)))

    def line(self) -> str:
        """Return the plan on one line."""
        return f"<SearchPlan {lines.line(str(self.value), lines.WIDTH - 13)}>"
