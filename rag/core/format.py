"""Amounts and texts as people read them."""

from __future__ import annotations


def dollars(usd: float) -> str:
    """Return an amount for people.

    Examples
    --------
    >>> dollars(12.5), dollars(0.0123), dollars(0.00000002)
    ('$12.50', '$0.0123', 'under $0.0001')
    """
    if 0 < usd < 0.00005:
        return "under $0.0001"
    return f"${usd:,.2f}" if usd >= 10 else f"${usd:.4f}"
