"""Turn a sentence into a question that it answers, by its form alone: no model, nothing learned.

Only sentences of a plain form are turned, ``subject verb … number unit …`` and the like, in which the
subject names a thing and refers to nothing before it. All others give no question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rag.core.quantities import Figure, figures
from rag.core.text import words

_AUXILIARIES = "may|must|can|will|should|is|are|was|were|cannot"
#: Main verbs, and what asks for them: "have" is asked for as "do … have".
_VERBS: Mapping[str, tuple[str, str]] = {
    form: (auxiliary, base)
    for base, third in {
        "have": "has", "get": "gets", "receive": "receives", "earn": "earns", "take": "takes",
        "last": "lasts", "cover": "covers", "hold": "holds", "need": "needs", "cost": "costs",
        "contain": "contains", "run": "runs", "lapse": "lapses", "expire": "expires", "end": "ends",
        "begin": "begins", "start": "starts", "pay": "pays", "give": "gives", "include": "includes",
        "answer": "answers", "carry": "carries", "allow": "allows", "support": "supports",
    }.items()
    for form, auxiliary in ((base, "do"), (third, "does"))
}  # fmt: skip
#: Words with which a subject begins that refers to something before, or that is none.
_REFERS = frozenset(
    "it this that these those they he she we i there here if when where while after before since as for "
    "in on at by with without but and or so yet also then however such both neither either another "
    "other others its their his her our who whoever what which how why no not nor because unless until "
    "during from to of than please do never always again instead otherwise one same".split()
)
#: Words that no subject has: it is a clause, then, or two.
_CLAUSE = frozenset(
    "that which who if when where while because unless although it they had has have was were is are "
    "may must can will be been do does comes".split()
)
#: Words that refer to something before; a question with one cannot be understood alone.
_PRONOUNS = frozenset("it its them they their this these that those there such he she his her".split())
#: What a text before a number cannot end with, as the number belongs to it.
_OPEN = frozenset(
    "of the a an than and any its their one all first last next previous past following coming".split()
)
_QUALIFIER = (
    r"(?:up to|at most|at least|no more than|not more than|no less than|no later than|about|around|only|"
    r"roughly|exactly|a maximum of|a minimum of|more than|over|under|less than)"
)
_PREPOSITION = r"(?:for|within|after|at|in|by|with|to|from|on|against)"
_BEFORE = re.compile(
    rf"^(?P<rest>.*?)\s*(?:\b(?P<preposition>{_PREPOSITION}|every))?\s*(?:\b(?P<qualifier>{_QUALIFIER}))?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_UNIT = re.compile(r"\s?(?P<unit>[a-z]+(?:[ -][a-z]+)?)\b")
_UNIT_ENDS = frozenset(
    "a an and are as at before after but by during every for from if in is of on once or over per than "
    "that the then to until unless when where which while with without within counted each later only".split()
)
_ROLES = frozenset(
    "manager managers commander lead leads officer officers engineer engineers team teams owner owners "
    "director directors president presidents ceo cto cfo ciso dpo counsel administrator administrators "
    "admin admins agent agents anyone anybody everyone everybody nobody employee employees colleague "
    "colleagues customer customers sponsor sponsors reviewer reviewers auditor auditors people legal "
    "finance security quality it facilities supplier suppliers vendor vendors partner partners board "
    "staff user users".split()
)
_MONEY = re.compile(r"(?:[$€£¥]|\b(?:EUR|USD|GBP|JPY|CHF|SGD|DKK))\s?$")
_DURATIONS = frozenset(
    "second seconds minute minutes hour hours day days week weeks month months quarter quarters year "
    "years".split()
)
_OF = re.compile(
    r" of(?: (?!(?:in|for|per|on|at|with|from|during|each|every|by|to|within|if|when|after|before|once)\b)"
    r"[\w'-]+){1,5}"
)
_DATE = re.compile(r"\d{2}-\d{2}")
_LONGEST_SUBJECT, _LONGEST = 9, 220
#: Last words of subjects that mean nothing without the sentence before.
_VAGUE = frozenset(
    "one ones reason reasons second first third window range point thing way rule exception question "
    "answer same limit usual result rest idea aim purpose cause problem other manager word words".split()
)
#: Texts up to a comma, but not that of "5,000", or another mark that ends a part.
_PART = r"(?:[^,;:()]|(?<=\d),(?=\d))"
_DEFINES = re.compile(
    r"^(?P<subject>[^,;:.!?()]{3,60}?)\s(?P<verb>is|are|means|stands for|refers to)\s"
    r"(?P<rest>(?:an?|the|any|one of|where|when|every|whatever)\s.{15,})\.$"
)


_MEANS = {"means": "mean", "stands for": "stand for", "refers to": "refer to"}
_DECIDES = re.compile(
    rf"^(?P<subject>{_PART}{{2,60}}?)\s(?P<verb>may|must|decides|approves)\s(?P<rest>{_PART}{{12,120}})"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that a sentence answers.

    Attributes
    ----------
    kind : {"number", "date", "who", "definition"}
    numbers : tuple of mapping
        As a golden set writes them.
    must_include : tuple of tuple of str
    """

    question: str
    kind: str
    numbers: tuple[Mapping[str, Any], ...] = ()
    must_include: tuple[tuple[str, ...], ...] = ()


def names(texts: Iterable[str]) -> frozenset[str]:
    """Return the words that have a capital inside sentences more often than not.

    Examples
    --------
    >>> sorted(names(["Ask the People team in Aarhus.", "Objects are kept."]))
    ['Aarhus', 'People']
    """
    inside = Counter(word for text in texts for word in re.findall(r"(?<=[a-z,] )[A-Za-z][\w'-]*", text))
    return frozenset(
        word for word, count in inside.items() if word[0].isupper() and count > inside[word.lower()]
    )


def asked(text: str, known: Collection[str] = ()) -> Iterator[Asked]:
    """Yield the questions that a sentence answers.

    Parameters
    ----------
    text : str
        On one line.
    known : collection of str
        Words that are names (`names`), and keep their capital inside a question.

    Examples
    --------
    >>> [each.question for each in asked("Objects in the store are kept for 90 days.")]
    ['For how many days are objects in the store kept?']
    >>> [each.question for each in asked("The notice period is three months for managers.", {"the"})]
    ['How long is the notice period for managers?']
    >>> [each.question for each in asked("It lasts three months.")]
    []
    """
    if not text.endswith(".") or len(text) > _LONGEST or not text[:1].isupper() or '"' in text:
        return
    sentence = text[:-1].replace("’", "'")
    stated = [figure for figure in figures(sentence) if figure.needs]
    for found in (_definition(text, known), _who(sentence, known)):
        if found is not None:
            yield found
    if len(stated) == 1:
        found = _quantity(sentence, stated[0], known)
        if found is not None:
            yield found


def _definition(text: str, known: Collection[str]) -> Asked | None:
    match = _DEFINES.match(text)
    if match is None or not _is_subject(match["subject"], 5) or figures(match["subject"]):
        return None
    named, verb = words(match["subject"]), match["verb"]
    definite = named[0] == "the" and (len(named) < 3 or not re.match(r"an?\b", match["rest"]))
    if definite or named[-1] in _VAGUE or named[0] in ("your", "my", "most", "every", "each"):
        return None
    subject = _lowered(match["subject"], known)
    if verb in ("is", "are"):
        return Asked(f"What {verb} {subject}?", "definition")
    return Asked(f"What does {subject} {_MEANS[verb]}?", "definition")


def _who(sentence: str, known: Collection[str]) -> Asked | None:
    """Ask for a role: "Only the DPO may open it" answers "Who may open it?"."""
    match = _DECIDES.match(sentence)
    if match is None or not _is_subject(match["subject"], 6) or figures(match["subject"]):
        return None
    head = re.split(r"\s(?:of|in|outside|from|with|on|at|for)\s", match["subject"])[0]
    rest = words(match["rest"])
    if words(head)[-1] not in _ROLES or rest[0] in ("not", "be") or not _PRONOUNS.isdisjoint(rest):
        return None
    who = re.sub(r"^(?:Only )?(?:[Tt]he|[Aa]n?|[Aa]ny|[Ee]very|[Ee]ach) |^Only ", "", match["subject"])
    return Asked(f"Who {match['verb']} {match['rest'].rstrip()}?", "who", must_include=((who,),))


def _quantity(sentence: str, figure: Figure, known: Collection[str]) -> Asked | None:
    """Ask for the number of a sentence, or for its date."""
    split = _split(sentence, figure)
    if split is None:
        return None
    subject, verb, before, after = split
    subject = _lowered(subject, known)
    match = _BEFORE.match(before)
    assert match is not None
    rest, preposition = match["rest"].strip(), (match["preposition"] or "").lower()
    inside = words(rest)
    if {"and", "but"} & {*inside} or inside[-1:] in ([each] for each in _OPEN) or after.startswith("'"):
        return None
    if any(_DATE.fullmatch(form) for form in figure.needs):
        return _date(sentence, figure, subject, verb, rest, preposition, after)
    value = _value(figure)
    if value is None:
        return None
    auxiliary, base = _VERBS.get(verb, (verb, ""))
    if base and "and" in words(subject):  # "it follows the round and takes effect": two verbs
        return None
    money = _MONEY.search(before)
    if money:
        return _money(sentence, figure, subject, verb, rest, money[0].strip(), value)
    if sentence[figure.start : figure.end].endswith(("%", "cent")):
        if rest or verb not in ("is", "are") or preposition:
            return None
        return Asked(
            f"What percentage {verb} {subject}{_tail(after)}?", "number", ({"value": value, "unit": "%"},)
        )
    unit = _UNIT.match(after)
    if unit is None:
        return None
    named = unit["unit"].replace("-", " ").split(" ")
    name = named[0] if named[0] not in _UNIT_ENDS else ""
    if len(named) == 2 and named[1] not in _UNIT_ENDS and name in ("working", "calendar", "business"):
        name = unit["unit"]
    if not name or len(name) < 3:
        return None
    behind = (
        after[unit.start() + (1 if after[:1] == " " else 0) + len(name) :] if unit.start() == 0 else after
    )
    if behind.startswith("'"):  # "two weeks' notice"
        return None
    length = name.split(" ")[-1]
    numbers = ({"value": value, "unit": length},)
    inner = " ".join(filter(None, (base, rest)))
    if not rest and verb in ("is", "are") and not preposition:
        how = "How long" if length in _DURATIONS else f"How many {name}"
        return Asked(f"{how} {verb} {subject}{_tail(behind)}?", "number", numbers)
    if preposition == "every":
        return Asked(_flat(f"How often {auxiliary} {subject} {inner}{_tail(behind)}?"), "number", numbers)
    if not inner:
        return None
    if not name.endswith("s") and value != 1:
        return None
    many = name if name.endswith("s") else f"{name}s"
    tail = _tail(behind)
    of = _OF.match(tail)
    if of:  # "28 days of leave" stay together
        many, tail = f"{many}{of[0]}", tail[of.end() :]
    how = f"{preposition.capitalize()} how many {many}" if preposition else f"How many {many}"
    return Asked(_flat(f"{how} {auxiliary} {subject} {inner}{tail}?"), "number", numbers)


def _date(
    sentence: str, figure: Figure, subject: str, verb: str, rest: str, preposition: str, after: str
) -> Asked | None:
    auxiliary, base = _VERBS.get(verb, (verb, ""))
    inner = " ".join(filter(None, (base, rest)))
    if base and "and" in words(subject):
        return None
    if not inner or preposition not in ("on", "by", "from", "to"):
        return None
    when = {"on": "When", "by": "By when", "from": "From when", "to": "Until when"}[preposition]
    date = sentence[figure.start : figure.end]
    return Asked(_flat(f"{when} {auxiliary} {subject} {inner}?"), "date", must_include=((date,),))


def _money(
    sentence: str, figure: Figure, subject: str, verb: str, rest: str, currency: str, value: float
) -> Asked | None:
    rest = _MONEY.sub("", rest).strip()
    match = _BEFORE.match(rest)
    assert match is not None
    inner, preposition = match["rest"].strip(), (match["preposition"] or "").lower()
    numbers = ({"value": value, "unit": currency},)
    if not inner and not preposition and verb in ("is", "are"):
        return Asked(f"How much {verb} {subject}?", "number", numbers)
    if verb in ("costs", "cost") and not inner:
        return Asked(f"How much {'does' if verb == 'costs' else 'do'} {subject} cost?", "number", numbers)
    if preposition == "for" and inner and verb not in _VERBS:
        return Asked(_flat(f"For how much {verb} {subject} {inner}?"), "number", numbers)
    return None


def _split(sentence: str, figure: Figure) -> tuple[str, str, str, str] | None:
    """Return subject, verb, and what stands between it and the number, and behind the number."""
    verbs = f"{_AUXILIARIES}|{'|'.join(_VERBS)}"
    head = sentence[: figure.start]
    # The currency belongs to the number.
    match = re.match(rf"^(?P<subject>[^,;:()]{{2,80}}?)\s(?P<verb>{verbs})\b(?P<before>[^;:()]*)$", head)
    if match is None or not _is_subject(match["subject"], _LONGEST_SUBJECT) or "," in match["before"]:
        return None
    before = match["before"]
    written = sentence[figure.start : figure.end]
    currency = re.match(r"(?:[$€£¥]|EUR|USD|GBP|JPY|CHF)\s?", written)
    if currency:
        before += f" {currency[0]}"
    if match["verb"] == "cannot" or re.match(r"\s*not\b", before):
        return None
    return match["subject"], match["verb"], before, sentence[figure.end :]


def _is_subject(text: str, longest: int) -> bool:
    named = words(text)
    return (
        0 < len(named) <= longest and named[0] not in _REFERS and _CLAUSE.isdisjoint(named)
        and _PRONOUNS.isdisjoint(named)
        and named[-1] not in _OPEN and named != ["you"]
    )  # fmt: skip


def _lowered(subject: str, known: Collection[str]) -> str:
    """Return a subject as it stands inside a sentence: a name keeps its capital."""
    first, _, rest = subject.partition(" ")
    small = first.lower()
    article = small in ("the", "a", "an", "each", "every", "any", "all", "some")
    name = first in known or not re.fullmatch(r"[A-Za-z][a-z]+(?:['-][a-z]+)*", first)
    return subject if name and not article else f"{small} {rest}".strip()


def _tail(after: str) -> str:
    """Return what behind a number limits the question: a few words, without a further number or clause."""
    part = re.split(r"[,;:()–—]|\s(?:and|but|or|so|which|because)\s", after)[0].strip()
    part = re.sub(r"\s?\b(?:at (?:most|least)|or (?:more|less))$", "", part)
    if not part or len(part.split()) > 12 or re.search(r"\d", part):
        return ""
    return f" {part}"


def _value(figure: Figure) -> float | int | None:
    plain = [form for form in figure.offers if re.fullmatch(r"\d+(?:\.\d+)?", form)]
    percent = [form[:-1] for form in figure.offers if re.fullmatch(r"\d+(?:\.\d+)?%", form)]
    if not plain and not percent:
        return None
    value = float((plain or percent)[0])
    return int(value) if value == int(value) else value


def _flat(text: str) -> str:
    return re.sub(r"\s+([?])", r"\1", " ".join(text.split()))
