"""Check an answer against what a golden set says of it: free, offline, and the same each time.

Each check is a value in [0, 1]; what a question says nothing of is not checked. Words are compared whatever
their case, blanks and citation marks.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rag.core.answers import Answer
from rag.core.citations import Citation
from rag.core.languages import language_of
from rag.core.quantities import Figure, figures
from rag.core.text import words
from rag.evaluation.answer_metrics import HARD
from rag.evaluation.durations import lengths, unit_length
from rag.evaluation.expected import Cites, Expected, Number
from rag.evaluation.golden_set import Question

_MARK = re.compile(r"\s?\[\d+\??\]")
_PLAIN = re.compile(r"(?P<before>[^\d\s-]?)(?P<value>-?\d+(?:\.\d+)?)(?P<after>%?)")
_ARTICLES = frozenset(("a", "an", "the"))
#: Currencies by what is written for them; `rag.core.quantities` knows them as these symbols.
_SYMBOLS = {
    "usd": "$", "dollar": "$", "eur": "€", "euro": "€", "gbp": "£", "pound": "£", "jpy": "¥", "yen": "¥",
    "percent": "%", "per cent": "%",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one answer.

    Attributes
    ----------
    name : str
    value : float
        In [0, 1]; 1 where all is as expected.
    detail : str
        What is not as expected; empty where all is.
    """

    name: str
    value: float
    detail: str = ""


def checks(question: Question, answer: Answer) -> list[Check]:
    """Check an answer.

    Parameters
    ----------
    question : Question
    answer : Answer

    Returns
    -------
    list of Check
        ``"answered"`` (it answers, or says that there is no answer, rightly), ``"must_include"``,
        ``"must_not_include"``, ``"regex"``, ``"numbers"``, ``"schema"``, ``"language"`` (that of the question); of the citations
        ``"verified"``,
        ``"cite_precision"`` and ``"cite_recall"`` against what should be cited; ``"supported"``
        (`Answer.supported`); against the gold answer ``"f1"`` and ``"contains"``. The first one is
        ``"correct"``: 1 if all of `HARD` are passed.

    Examples
    --------
    >>> answer = pipe.ask(question.question)                                           # doctest: +SKIP
    >>> [(check.name, check.value) for check in checks(question, answer)]              # doctest: +SKIP
    [('correct', 1.0), ('answered', 1.0), ('numbers', 1.0), ('verified', 1.0), …]
    """
    found = list(_checks(question, answer))
    hard = [check for check in found if check.name in HARD]
    failed = [check for check in hard if check.value < 1]
    return [Check("correct", float(not failed), "; ".join(check.detail for check in failed)), *found]


def _checks(question: Question, answer: Answer) -> Iterator[Check]:
    expected, text = question.expected, _MARK.sub("", answer.text)
    right = answer.answered == question.answerable
    why = "" if right else "it refuses" if question.answerable else "it answers, though there is no answer"
    yield Check("answered", float(right), why)
    if not question.answerable or not answer.answered:
        if question.answerable:  # a refusal says nothing that was expected, and cites nothing of it
            yield from (Check(name, 0.0) for name in _stated(question))
        return
    yield from said(expected, text)
    yield from _language(question.question, text)
    if expected.answer_schema is not None:
        problems = _misfits(answer, expected.answer_schema)
        yield Check("schema", float(not problems), "; ".join(problems))
    if answer.citations:
        wrong = [each for each in answer.citations if not each.verified]
        yield _share("verified", len(wrong), len(answer.citations), f"{len(wrong)} citations fail")
    yield from _cited(should_cite(question), answer.citations)
    if answer.supported is not None:
        yield Check("supported", answer.supported, "; ".join(answer.support_lines[1:]))
    if expected.answer:
        yield Check("f1", token_f1(expected.answer, text))
        yield Check("contains", containment(expected.answer, text))


def _language(question: str, text: str) -> Iterator[Check]:
    """Check that an answer is in its question's language, where both are sure."""
    asked, answered = language_of(question), language_of(text)
    if asked is not None and answered is not None:
        right = asked == answered
        yield Check(
            "language", float(right), "" if right else f"it is in {answered}, the question in {asked}"
        )


def said(expected: Expected, text: str) -> Iterator[Check]:
    """Check an answer's words alone: `must_include`, `must_not_include`, `regex` and `numbers`.

    Examples
    --------
    >>> [(check.name, check.value, check.detail) for check in said(Expected(numbers=(28,)), "24 days.")]
    [('numbers', 0.0, 'it lacks 28')]
    """
    flat = _flat(text)
    if expected.must_include:
        lacks = [each for each in expected.must_include if not any(_flat(part) in flat for part in each)]
        named = ", ".join(" or ".join(map(repr, each)) for each in lacks)
        yield _share("must_include", len(lacks), len(expected.must_include), f"it lacks {named}")
    if expected.must_not_include:
        has = [each for each in expected.must_not_include if _flat(each) in flat]
        says = f"it says {', '.join(map(repr, has))}"
        yield _share("must_not_include", len(has), len(expected.must_not_include), says)
    if expected.regex:
        forms = (text, " ".join(text.split()))  # a quote from a PDF has line ends between words
        lacks_pattern = [
            each for each in expected.regex
            if not any(re.search(each, form, re.IGNORECASE) for form in forms)
        ]  # fmt: skip
        yield _share("regex", len(lacks_pattern), len(expected.regex), f"no match of {lacks_pattern}")
    if expected.numbers:
        absent = [each for each in expected.numbers if not states(text, each)]
        yield _share("numbers", len(absent), len(expected.numbers), f"it lacks {', '.join(map(str, absent))}")


def _stated(question: Question) -> Iterator[str]:
    """Yield the names of the checks that an answer to the question has whatever it says."""
    expected = question.expected
    for name, value in (
        ("must_include", expected.must_include), ("regex", expected.regex), ("numbers", expected.numbers),
        ("schema", expected.answer_schema), ("cite_recall", should_cite(question)), ("f1", expected.answer),
        ("contains", expected.answer),
    ):  # fmt: skip
        if value:
            yield name


def should_cite(question: Question) -> tuple[Cites, ...]:
    """Return what the answer should cite: what the question says, its evidence, or its gold documents."""
    if question.expected.cites:
        return question.expected.cites
    if question.evidence:
        return tuple(Cites(**span._asdict()) for span in question.evidence)
    return tuple(Cites(source=source) for source in question.gold)


def _cited(gold: Sequence[Cites], citations: Sequence[Citation]) -> Iterator[Check]:
    """Compare verified citations with what should be cited; they match where they share a character."""
    if not gold:
        return
    good = [each for each in citations if each.verified]
    lacks = [each for each in gold if not any(_matches(each, citation) for citation in good)]
    if good:
        astray = [each for each in good if not any(_matches(span, each) for span in gold)]
        places = ", ".join(dict.fromkeys(f"{each.source}:{each.start}-{each.end}" for each in astray))
        yield _share("cite_precision", len(astray), len(good), f"it cites {places}")
    names = ", ".join(each.source for each in lacks)
    yield _share("cite_recall", len(lacks), len(gold), f"it does not cite {names}")


def _matches(gold: Cites, citation: Citation) -> bool:
    if gold.source != citation.source:
        return False
    if gold.start is None or gold.end is None:
        return True
    return citation.start < gold.end and gold.start < citation.end


def states(text: str, number: Number) -> bool:
    """Tell whether a text states a number, within its tolerance and with its unit, or as long a time.

    Examples
    --------
    >>> states("Twenty-eight days, at EUR 1,000.", Number(value=28, unit="day"))
    True
    >>> states("It is 5 % at most.", Number(value=5, unit="$"))
    False
    >>> states("Every two years.", Number(value=24, unit="months"))
    True
    """
    if any(_fits(text, figure, number) for figure in figures(text)):
        return True
    unit = unit_length(number.unit)
    if unit is None:
        return False
    wanted, most = (Decimal(str(each)) * unit.size for each in (number.value, number.tolerance))
    return any(each.months == unit.months and abs(each.size - wanted) <= most for each in lengths(text))


def _fits(text: str, figure: Figure, number: Number) -> bool:
    unit = number.unit.strip().casefold()
    symbol = _SYMBOLS.get(unit.removesuffix("s"), _SYMBOLS.get(unit, unit))
    after = words(re.match(r"[^\d.,;:!?()]*", text[figure.end :])[0])[:3]  # type: ignore[index]
    for form in figure.offers:
        match = _PLAIN.fullmatch(form)
        if match is None or abs(Decimal(match["value"]) - Decimal(str(number.value))) > Decimal(
            str(number.tolerance)
        ):
            continue
        if not unit or symbol in (match["before"] or " ", match["after"] or " "):
            return True
        if symbol not in _SYMBOLS.values() and any(each.startswith(unit.removesuffix("s")) for each in after):
            return True
    return False


def _misfits(answer: Answer, schema: dict[str, object]) -> list[str]:
    from rag.generation.structured.json_text import json_in
    from rag.generation.structured.schemas import target

    try:
        value = json_in(answer.text) if answer.data is None else json.loads(answer.text)
    except ValueError as error:
        return [f"it is not JSON: {error}"]
    return target(schema).check(value)[1]


def token_f1(gold: str, text: str) -> float:
    """Return the harmonic mean of the precision and recall of an answer's words, each as often as it occurs.

    As for SQuAD (Rajpurkar et al., EMNLP 2016): without case, punctuation and articles.

    Examples
    --------
    >>> token_f1("28 days", "It is 28 days.")
    0.6666666666666666
    """
    right, said = _tokens(gold), _tokens(text)
    both = sum((Counter(right) & Counter(said)).values())
    return 2 * both / (len(right) + len(said)) if both else 0.0


def containment(gold: str, text: str) -> float:
    """Return the share of the gold answer's words, numbers in any spelling, that an answer contains.

    Unlike F1 it does not punish an answer for saying more.

    Examples
    --------
    >>> containment("Twenty-eight days.", "It is 28 days, and more in Spain.")
    1.0
    """
    numbers, rest, at = figures(gold), "", 0
    for each in numbers:
        rest += f"{gold[at : each.start]} "
        # A unit that is written on to it ("12c") is no word of its own.
        at = each.end + len(re.match(r"\w*", gold[each.end :])[0])  # type: ignore[index]
    rest += gold[at:]
    tokens, said = _tokens(rest), set(_tokens(text))
    offered = {form for each in figures(text) for form in each.offers}
    needed = [each.needs or each.offers for each in numbers]
    total = len(tokens) + len(needed)
    has = sum(token in said for token in tokens) + sum(bool(each & offered) for each in needed)
    return has / total if total else 0.0


def _tokens(text: str) -> list[str]:
    return [word.casefold() for word in words(text) if word.casefold() not in _ARTICLES]


def _flat(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _share(name: str, wrong: int, of: int, detail: str) -> Check:
    return Check(name, 1 - wrong / of, detail if wrong else "")
