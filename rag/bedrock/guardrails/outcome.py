"""What a guardrail did to a text, read from ApplyGuardrail's reply, and whether it is what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rag.bedrock.guardrails.cases import Case, Expect

#: For each list of entries in a GuardrailAssessment: what it is called in files, and the member that names an
#: entry; None where the entry is the list's name.
_ENTRIES = (
    ("topicPolicy", "topics", "topics", "name"), ("contentPolicy", "filters", "filters", "type"),
    ("wordPolicy", "customWords", "words", "match"), ("wordPolicy", "managedWordLists", "words", "type"),
    ("sensitiveInformationPolicy", "piiEntities", "pii", "type"),
    ("sensitiveInformationPolicy", "regexes", "regexes", "name"),
    ("contextualGroundingPolicy", "filters", "grounding", "type"),
)  # fmt: skip
_DONE: Mapping[str, Expect] = {"BLOCKED": "blocked", "ANONYMIZED": "masked", "NONE": "pass"}


@dataclass(frozen=True, slots=True)
class Detection:
    """Something that a guardrail detected: ``pii.email``, and what it did."""

    name: str
    did: Expect

    def __str__(self) -> str:
        """Return its name, and whether it was only reported."""
        return self.name if self.did != "pass" else f"{self.name} (detected)"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a text.

    Attributes
    ----------
    did : {"pass", "masked", "blocked"}
    text : str or None
        What replaces the text; None if it passes.
    found : tuple of Detection
        Each once.
    units : mapping of str to int
        Text units that were billed, as in GuardrailUsage.
    """

    did: Expect
    text: str | None
    found: tuple[Detection, ...]
    units: Mapping[str, int]


def outcome(reply: Mapping[str, Any]) -> Outcome:
    """Read ApplyGuardrail's reply.

    Examples
    --------
    >>> topic = {"name": "Salaries", "type": "DENY", "action": "BLOCKED"}
    >>> reply = {"action": "GUARDRAIL_INTERVENED", "outputs": [{"text": "No."}], "usage": {}}
    >>> outcome({**reply, "assessments": [{"topicPolicy": {"topics": [topic]}}]}).found[0].name
    'topics.Salaries'
    """
    found = tuple(dict.fromkeys(each for assessed in reply["assessments"] for each in _detections(assessed)))
    done = {each.did for each in found}
    intervened = reply["action"] == "GUARDRAIL_INTERVENED"
    # A guardrail that intervenes for a reason unknown here has replaced the text.
    did: Expect = (
        "pass" if not intervened else "masked" if "blocked" not in done and "masked" in done else "blocked"
    )
    texts = [each["text"] for each in reply.get("outputs", ()) if "text" in each]
    return Outcome(did, "\n".join(texts) if intervened else None, found, dict(reply.get("usage", {})))


def difference(case: Case, came: Outcome) -> str:
    """Return how an outcome differs from what a case expects; empty if it does not."""
    if came.did != case.expect:
        return f"{case.expect} was expected"
    if case.masked is not None and came.text != case.masked:
        return f"{case.masked!r} was expected"
    there = [each.name.casefold() for each in came.found if each.did == case.expect]
    missing = [name for name in case.by if not any(_is(name.casefold(), each) for each in there)]
    return f"by {', '.join(missing)} was expected" if missing else ""


def _is(wanted: str, name: str) -> bool:
    """Tell whether a policy's name, or an entry's, is of a detection."""
    return wanted == name or ("." not in wanted and name.startswith(f"{wanted}."))


def _detections(assessed: Mapping[str, Any]) -> Iterator[Detection]:
    for policy, entries, name, key in _ENTRIES:
        for entry in assessed.get(policy, {}).get(entries, ()):
            label = " ".join(str(entry.get(key, "")).split())
            label = label.lower() if key == "type" or name == "words" else label
            if entry.get("detected", entry["action"] != "NONE"):
                yield Detection(f"{name}.{label}", _DONE.get(entry["action"], "blocked"))
