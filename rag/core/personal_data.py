"""Mask personal data in texts that are kept: questions of a log, records of calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

from rag.core.checksums import iban, luhn
from rag.core.extras import installed

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,}\b")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\w-])[2-6](?:[ -]?\d){12,18}(?![\w-])")
# With a country code, or in groups; a lone number of some digits may be an order or a ticket.
_PHONE = re.compile(
    r"(?<![\w.+-])(?:(?:\+|00)[1-9]\d{0,2}[ ./-]?(?:\(0?\d{1,4}\)[ ./-]?)?\d{1,5}(?:[ ./-]?\d{2,5}){1,5}"
    r"|\(?0\d{1,5}\)?[ /-]\d{2,5}(?:[ -]?\d{2,5}){1,4}|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4})(?![\w-])"
)


def masked(text: str) -> str:
    """Return a text with a mark in place of e-mail addresses, telephone numbers, IBANs and card numbers.

    Names of persons are masked if presidio-analyzer and its model of English are installed. IBANs and
    cards are known by their checksums (ISO 13616, ISO/IEC 7812), telephone numbers by a country code or
    their groups.

    Examples
    --------
    >>> masked("Why was DE89 3704 0044 0532 0130 00 charged? Mail ann@example.com or ring +353 1 555 0100.")
    'Why was [IBAN] charged? Mail [e-mail] or ring [phone].'
    >>> masked("What does error 4111 mean in 2024?")
    'What does error 4111 mean in 2024?'
    """
    for mark, (pattern, fits) in _PATTERNS.items():
        text = pattern.sub(lambda match, mark=mark, fits=fits: mark if fits(match[0]) else match[0], text)  # type: ignore[misc]
    return _without_names(text)


def _always(text: str) -> bool:
    return True


_PATTERNS: Mapping[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "[e-mail]": (_EMAIL, _always), "[IBAN]": (_IBAN, iban), "[card]": (_CARD, luhn),
    "[phone]": (_PHONE, _always),
}  # fmt: skip


@lru_cache(maxsize=1)
def name_analyzer() -> Any:
    """Return presidio's analyzer; None if it, or spaCy's model that it reads with, is not installed."""
    if not installed("presidio_analyzer") or not installed("en_core_web_lg"):
        return None
    return import_module("presidio_analyzer").AnalyzerEngine()


def _without_names(text: str) -> str:
    analyzer = name_analyzer()
    if analyzer is None:
        return text
    found = analyzer.analyze(text=text, entities=["PERSON"], language="en")
    for each in sorted(found, key=lambda each: -int(each.start)):
        text = f"{text[: each.start]}[name]{text[each.end :]}"
    return text
