"""What calls cost: usages, and the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.core.calls import price_text
from rag.core.format import counted, dollars
from rag.notebook import lines, parts
from rag.notebook.display import Display

if TYPE_CHECKING:
    from rag.core.calls import Usage
    from rag.usage.ledger import Ledger
    from rag.usage.spending import Spending

#: Most groups of a ledger that are shown.
_GROUPS = 20
_HEAD = ("model", "purpose", "calls", "tokens in", "tokens out", "dollars")


class UsageDisplay(Display):
    """The tokens and dollars of a call."""

    value: Usage

    def html(self) -> str:
        """Return the usage as a card."""
        usage = self.value
        read, written = usage.cache_read_input_tokens, usage.cache_write_input_tokens
        rows = [
            ("tokens in", f"{usage.input_tokens:,}"),
            ("from the prompt cache", f"{read:,}" if read else ""),
            ("into the prompt cache", f"{written:,}" if written else ""),
            ("tokens out", f"{usage.output_tokens:,}"),
            ("cost", "free" if usage.cost_usd == 0 else parts.inert(price_text(usage.cost_usd))),
        ]  # fmt: skip
        return parts.card("Usage", "", parts.facts(rows))

    def text(self) -> str:
        """Return tokens and dollars on one line."""
        return lines.line(f"Usage: {cost_text(self.value)}")


def cost_text(usage: Usage) -> str:
    """Return tokens and dollars; the tokens of a call that is free, too."""
    if usage.cost_usd == 0.0 and any(usage.counts):
        return f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out, free"
    return usage.cost


class LedgerDisplay(Display):
    """What was spent, by model and purpose, the dearest first."""

    value: Ledger

    def html(self) -> str:
        """Return the groups as a table."""
        groups = self.value.rows(("model", "purpose"))
        body = (
            f"<p>{parts.inert(self._total(groups))}</p>"
            + (parts.grid("", _HEAD, [_row(each) for each in groups[:_GROUPS]]) if groups else "")
            + parts.more(len(groups) - _GROUPS, "group", "ledger.to_pandas(by=['model', 'purpose'])")
        )
        return parts.card("Ledger", str(self.value.path), body)

    def text(self) -> str:
        """Return the total, and a line for each group."""
        groups = self.value.rows(("model", "purpose"))
        out = [*lines.wrapped(f"Ledger {self.value.path}", most=3), f"  {self._total(groups)}"]
        out += lines.grid(_HEAD, [_row(each) for each in groups[:_GROUPS]])
        left = lines.more(len(groups) - _GROUPS, "group", "ledger.to_pandas(by=['model', 'purpose'])")
        return "\n".join([*out, *left])

    def _total(self, groups: list[Spending]) -> str:
        calls, unpriced = sum(each.calls for each in groups), sum(each.unpriced for each in groups)
        rest = f", {unpriced:,} of them without a known price" if unpriced else ""
        spent = self.value.spent()
        return f"{dollars(spent) if spent else 'nothing'} spent, {counted(calls, 'call')}{rest}"


def _row(each: Spending) -> tuple[str, ...]:
    usd = "free" if each.usd == 0 else price_text(each.usd)
    tokens = each.input_tokens + each.cache_read_tokens + each.cache_write_tokens
    return (*each.group, f"{each.calls:,}", f"{tokens:,}", f"{each.output_tokens:,}", usd)
