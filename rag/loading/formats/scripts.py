"""Raised and lowered characters as plain text: ``x²`` must not become ``x2``, nor ``1st`` ``1^st``."""

from __future__ import annotations

from collections.abc import Iterable

#: A piece of text and where it stands: above (1), below (-1) or on (0) the line.
Piece = tuple[str, int]

_ABOVE = str.maketrans("0123456789+-−–=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁼⁽⁾ⁿⁱ")
_BELOW = str.maketrans("0123456789+-−–=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₋₌₍₎")
_BETWEEN = " ,;.\u00a0"
#: Written above the line for looks alone: ordinals of several languages, and marks.
_PLAIN = {
    "st", "nd", "rd", "th", "er", "re", "e", "ème", "eme", "ère", "te", "ter", "de", "mo", "ma",
    "tm", "sm", "r", "™", "®", "©", "*", "**", "***", "†", "‡", "°", "′", "″", "'", '"', "§", "#",
}  # fmt: skip
_ORDINAL = {"o": "º", "a": "ª"}
_INDICES = set("ijkmnprstxyz")


def flat(pieces: Iterable[Piece]) -> str:
    """Return pieces as one text.

    Digits and signs above the line become Unicode's superscripts, other characters follow a ``^``, but
    for ordinals and marks; what is below the line is set off only where it would run into a number
    or make another word.

    Examples
    --------
    >>> flat([("5 m", 0), ("2", 1), (", the 1", 0), ("st", 1), (" e", 0), ("kt", 1), (" CO", 0), ("2", -1)])
    '5 m², the 1st e^kt CO2'
    """
    merged: list[Piece] = []
    for text, place in pieces:
        if text and merged and merged[-1][1] == place:
            merged[-1] = (merged[-1][0] + text, place)
        elif text:
            merged.append((text, place))
    out = ""
    for at, (text, place) in enumerate(merged):
        after = merged[at + 1][0] if at + 1 < len(merged) else ""
        if place == 0 or not text.strip():
            out += text
        else:
            out += above(text, out) if place > 0 else below(text, out, after)
    return out


def above(text: str, before: str = "") -> str:
    """Return a raised text as it is written on the line, behind `before`."""
    core = text.strip()
    after_digit = before[-1:].isdigit()
    if all(c in _BETWEEN or ord(c) in _ABOVE for c in core) and not (core.isalpha() and len(core) > 1):
        return text.translate(_ABOVE)
    if after_digit and core.lower() in _ORDINAL:
        return _ORDINAL[core.lower()]
    plain = core.lower() in _PLAIN and (after_digit or len(core) > 1 or not core.isalpha())
    if plain or core.startswith(("[", "(")) or not before or before[-1].isspace():
        return text
    return "^" + core if core.isalnum() else f"^({core})"


def below(text: str, before: str = "", after: str = "") -> str:
    """Return a lowered text as it is written on the line, between `before` and `after`."""
    core = text.strip()
    joins = (before[-1:].isdigit() and core[:1].isdigit()) or (core[-1:].isdigit() and after[:1].isdigit())
    if joins and all(ord(c) in _BELOW for c in core):
        return text.translate(_BELOW)
    return "_" + core if joins or (core in _INDICES and before[-1:].isalpha()) else text
