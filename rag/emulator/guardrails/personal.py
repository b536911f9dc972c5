"""Sensitive information: the types of GuardrailPiiEntityType by patterns, names by presidio, and regexes.

Patterns find what has a form. What has none is found only behind a word that names it ("password: …",
"account no. …"). ``NAME`` needs presidio-analyzer (`rag.emulator.guardrails.names`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rag.bedrock.guardrails.units import Source
from rag.core import checksums
from rag.emulator.guardrails import names
from rag.emulator.guardrails.verdict import Action, Span, evaluated

Place = tuple[int, int]
Finder = Callable[[str], Iterator[Place]]


def _finder(pattern: str, fits: Callable[[str], bool] = bool, *, exact_case: bool = False) -> Finder:
    """Return what finds a pattern; if it has a group, that alone is the entity."""
    compiled = re.compile(pattern, re.VERBOSE | (0 if exact_case else re.IGNORECASE))

    def found(text: str) -> Iterator[Place]:
        for match in compiled.finditer(text):
            group = match.lastindex or 0
            if fits(match[group]):
                yield match.span(group)

    return found


def _behind(words: str, value: str, *, joined: int = 0) -> Finder:
    """Return what finds a value behind words that name it, joined by at least so many of "is", "no.", …."""
    return _finder(
        rf"\b(?:{words})(?!\w) (?:\s*(?:is|number|no\.?|nr\.?|[:=\#])){{{joined},3}} \s* ({value})"
    )


_IN_URL, _ENDS_URL = r"[^\s<>\"'`()]", r"[^\s<>\"'`().,;:!?]"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
FINDERS: Mapping[str, Finder] = {
    "ADDRESS": _finder(
        r"""\b\d{1,5}\s+(?:[A-Z][\w'.-]*\s+){1,4}(?:Street|St\.?|Avenue|Ave\.?|Road|Rd\.?|Boulevard|Blvd\.?|Lane
        |Ln\.?|Drive|Dr\.?|Court|Ct\.?|Square|Place|Way)\b(?:,\s*(?![A-Z]{2}\s\d)[A-Z][\w'-]*(?:\s[A-Z][\w'-]*)?){0,2}
        (?:,?\s+[A-Z]{2}\s+\d{5}(?:-\d{4})?)?""", exact_case=True,
    ),
    "AGE": _finder(r"\b\d{1,3}[ -](?:years?|months?)(?:[ -]olds?)\b|\b(?:aged?|age:)\s+(\d{1,3})\b"),
    "AWS_ACCESS_KEY": _finder(r"\b(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{16}\b", exact_case=True),
    "AWS_SECRET_KEY": _behind(
        r"(?:aws[ _-]?)?secret(?:[ _-]?access)?[ _-]?key", r"(?<![\w/+])[A-Za-z0-9/+]{40}(?![\w/+=])"
    ),
    "CA_HEALTH_NUMBER": _behind(r"health\s(?:card|insurance)|OHIP|RAMQ", r"\d{4}[ -]?\d{3}[ -]?\d{3}\b"),
    "CA_SOCIAL_INSURANCE_NUMBER": _finder(r"(?<![\w-])\d{3}[ -]\d{3}[ -]\d{3}(?![\w-])", checksums.luhn),
    "CREDIT_DEBIT_CARD_CVV": _behind(r"CVV2?|CVC2?|CSC|security\scode", r"\d{3,4}\b"),
    "CREDIT_DEBIT_CARD_EXPIRY": _behind(
        r"exp(?:iry|ires|iration)?\.?(?:\sdate)?|valid\s(?:until|thru)",
        r"(?:0[1-9]|1[0-2])\s?/\s?(?:20)?\d\d\b",
    ),
    "CREDIT_DEBIT_CARD_NUMBER": _finder(r"(?<![\w-])[2-6](?:[ -]?\d){12,18}(?![\w-])", checksums.luhn),
    "DRIVER_ID": _behind(r"driver'?s?\s(?:licen[cs]e|id)", r"[A-Z]{0,3}\d[A-Z0-9-]{4,15}\b"),
    "EMAIL": _finder(r"(?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+[A-Z]{2,}\b"),
    "INTERNATIONAL_BANK_ACCOUNT_NUMBER": _finder(
        r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?\b", checksums.iban, exact_case=True
    ),
    "IP_ADDRESS": _finder(
        rf"(?<![\w.:])(?:{_OCTET}(?:\.{_OCTET}){{3}}|(?:[0-9a-f]{{0,4}}:){{2,7}}[0-9a-f]{{0,4}})(?![\w:]|\.\d)",
        checksums.address,
    ),
    "LICENSE_PLATE": _behind(
        r"(?:licen[cs]e|number|registration)\splate", r"(?=[A-Z -]*\d)[A-Z0-9]+(?:[ -]?[A-Z0-9]*\d[A-Z0-9]*)+"
    ),
    "MAC_ADDRESS": _finder(r"(?<![\w:-])[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}(?![\w:-])"),
    "PASSWORD": _behind(r"password|passwd|passphrase|pwd", r"[^\s,;]{4,}", joined=1),
    "PHONE": _finder(
        r"""(?<![\w.+/-])(?:\+\d{1,3}[ .-]?(?:\(0?\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}
        |(?:1[ .-])?(?:\(\d{3}\)[ ]?|\d{3}[.-])\d{3}[ .-]\d{4}
        |0\d{2,4}[ /-]\d{3,4}(?:[ -]?\d{2,4}){1,2})(?![\w/-])"""
    ),
    "PIN": _behind(r"PIN(?:\scode)?", r"\d{4,6}\b"),
    "SWIFT_CODE": _behind(r"SWIFT(?:\scode)?|BIC", r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?\b"),
    "UK_NATIONAL_HEALTH_SERVICE_NUMBER": _finder(r"(?<![\w-])\d{3}[ ]\d{3}[ ]\d{4}(?![\w-])", checksums.nhs),
    "UK_NATIONAL_INSURANCE_NUMBER": _finder(
        r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ ]?\d{2}[ ]?\d{2}[ ]?\d{2}[ ]?[A-D]\b", exact_case=True
    ),
    "UK_UNIQUE_TAXPAYER_REFERENCE_NUMBER": _behind(r"UTR|unique\staxpayer\sreference", r"\d{5}[ ]?\d{5}\b"),
    "URL": _finder(
        rf"\b(?:https?|ftp)://{_IN_URL}+{_ENDS_URL}|\bwww\.(?:[\w-]+\.)+[a-z]{{2,}}(?:/{_IN_URL}*{_ENDS_URL})?"
    ),
    "USERNAME": _behind(r"user\s?name|user\s?id|login", r"[\w.@-]{3,}\b", joined=1),
    "US_BANK_ACCOUNT_NUMBER": _behind(r"(?:bank\s)?account", r"\d{6,17}\b"),
    "US_BANK_ROUTING_NUMBER": _finder(r"\b(?:routing|ABA)\b[^\d\n]{0,20}(\d{9})\b", checksums.routing),
    "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER": _finder(
        r"(?<![\w-])9\d{2}[ -](?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])[ -]\d{4}(?![\w-])"
    ),
    "US_PASSPORT_NUMBER": _behind(r"passport", r"[A-Z]?\d{8,9}\b"),
    "US_SOCIAL_SECURITY_NUMBER": _finder(
        r"(?<![\w-])(?!000|666|9\d\d)\d{3}[ -](?!00)\d{2}[ -](?!0000)\d{4}(?![\w-])"
    ),
    "VEHICLE_IDENTIFICATION_NUMBER": _finder(r"\b[A-HJ-NPR-Z0-9]{17}\b", checksums.vin, exact_case=True),
}  # fmt: skip


def assessed(
    policy: Mapping[str, Any], texts: Sequence[str], source: Source
) -> tuple[dict[str, Any], list[list[Span]]]:
    """Return the GuardrailSensitiveInformationPolicyAssessment of texts, and each text's spans to mask.

    The assessment is empty if nothing is found.
    """
    entities: list[dict[str, Any]] = []
    regexes: list[dict[str, Any]] = []
    spans: list[list[Span]] = [[] for _ in texts]

    def matches(places: Callable[[str], Iterator[Place]], action: Action, mask: str) -> Iterator[str]:
        seen: dict[str, None] = {}
        for text, own in zip(texts, spans, strict=True):
            for start, end in places(text):
                seen.setdefault(text[start:end])
                if action == "ANONYMIZED":
                    own.append(Span(start, end, mask))
        return iter(seen)

    for entry, action in evaluated(policy.get("piiEntitiesConfig", ()), source):
        kind = entry["type"]
        for match in matches(_places_of(kind), action, f"{{{kind}}}"):
            entities.append({"match": match, "type": kind, "action": action, "detected": True})
    for entry, action in evaluated(policy.get("regexesConfig", ()), source):
        name, pattern = entry["name"], _compiled(entry["pattern"])
        for match in matches(functools.partial(_spans, pattern), action, f"{{{name}}}"):
            regexes.append(
                {"name": name, "match": match, "regex": pattern.pattern, "action": action, "detected": True}
            )
    return ({"piiEntities": entities, "regexes": regexes} if entities or regexes else {}), spans


def undetected(policy: Mapping[str, Any]) -> list[str]:
    """Return the types of a policy that are not found here, because what finds them is not installed."""
    kinds = [entry["type"] for entry in policy.get("piiEntitiesConfig", ())]
    return [kind for kind in kinds if kind not in FINDERS and not names.available()]


def _places_of(kind: str) -> Finder:
    return names.places if kind == "NAME" else FINDERS[kind]


def _spans(pattern: re.Pattern[str], text: str) -> Iterator[Place]:
    return (match.span() for match in pattern.finditer(text) if match[0])


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
