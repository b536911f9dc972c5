"""Sentences of a plain form as questions; all others give none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.evaluation.checks import said
from rag.evaluation.drafting.wording import asked, names
from rag.evaluation.expected import Expected

KNOWN = frozenset({"Kelvara", "People", "Tuesday"})


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("Full-time employees in Europe have 28 days of paid annual leave.",
         "How many days of paid annual leave do full-time employees in Europe have?"),
        ("Each new parent receives 20 weeks of parental leave on full pay.",
         "How many weeks of parental leave does each new parent receive on full pay?"),
        ("Mailboxes of leavers are kept suspended for 30 days and may be opened by the manager.",
         "For how many days are mailboxes of leavers kept suspended?"),
        ("Kelvara answers within ten working days and encloses its measurement.",
         "Within how many working days does Kelvara answer?"),
        ("The notice period is three months for managers.", "How long is the notice period for managers?"),
        ("Claims must be submitted within 60 days of the expense.",
         "Within how many days of the expense must claims be submitted?"),
        ("Passwords are changed every 180 days.", "How often are passwords changed?"),
        ("A review takes five weeks on average.", "How many weeks does a review take on average?"),
        ("Acceptances last 90 days at most and may be renewed once.", "How many days do acceptances last?"),
        ("The hotel limit is EUR 140 a night in every city.", "How much is the hotel limit?"),
        ("A permit costs EUR 25.", "How much does a permit cost?"),
        ("Managers may sign for up to EUR 5,000.", "For how much may managers sign?"),
        ("The share of duplicates is 0.5 % in a normal week.",
         "What percentage is the share of duplicates in a normal week?"),
        ("All salary bands will be visible in the HR portal by 1 December.",
         "By when will all salary bands be visible in the HR portal?"),
        ("A promotion takes effect on 1 October.", "When does a promotion take effect?"),
        ("Only the duty manager may declare a SEV-1.", "Who may declare a SEV-1?"),
        ("People may decline for reasons of health, care or pregnancy.",
         "Who may decline for reasons of health?"),
        ("The technical lead decides what is tried and in which order.",
         "Who decides what is tried and in which order?"),
        ("A mute is a loan that somebody has to take.", "What is a mute?"),
        ("Availability means the share of minutes in which readings are received.",
         "What does availability mean?"),
        ("RPO stands for the recovery point objective of a service.", "What does RPO stand for?"),
    ],
)  # fmt: skip
def test_a_sentence_answers_a_question(sentence: str, question: str) -> None:
    found = list(asked(sentence, KNOWN))
    assert question in [each.question for each in found]
    for each in found:  # what is expected of an answer stands in the sentence
        expected = Expected(numbers=each.numbers, must_include=each.must_include)
        assert all(check.value == 1 for check in said(expected, sentence))


def test_numbers_roles_and_dates_are_expected_of_the_answer() -> None:
    def only(sentence: str) -> object:
        (found,) = asked(sentence)
        return found.numbers or found.must_include

    assert only("Objects in the store are kept for 90 days.") == ({"value": 90, "unit": "days"},)
    assert only("The hotel limit is EUR 140 a night.") == ({"value": 140, "unit": "EUR"},)
    assert only("A promotion takes effect on 1 October.") == (("1 October",),)
    assert only("Only the duty manager may declare a SEV-1.") == (("duty manager",),)


@pytest.mark.parametrize(
    "sentence",
    [
        "It lasts three months.",  # what does?
        "Requests for those weeks are answered within three days.",
        "Objects are kept for 90 days, or 30 days in Spain.",  # which of both?
        "Then the team waits for 48 hours.",
        "Objects are kept for 90 days",  # no sentence
        "objects are kept for 90 days.",
        "Objects are not kept for more than 90 days.",  # asking for the number would turn it round
        "Remote days are withdrawn with two weeks' notice.",
        "The mover's new manager asks for one extension.",
        "The list is read out at the meeting and has so far led to nine fixes.",
        "Staff are paid the mean of the previous four quarters.",
        "The last ten passwords cannot be used again.",
        "Colleagues in Austin may see it during support at night.",
        "Urgent work may be announced at shorter notice.",
        "Your manager is the natural first address for everything.",
        "The second is a phone that is set to silent.",
        "Two years is the figure at room temperature.",
        "Is this a question?",
        "",
    ],
)
def test_other_sentences_give_none(sentence: str) -> None:
    assert [each.question for each in asked(sentence, KNOWN)] == []


_WORDS = st.sampled_from(
    "The A Only staff manager is are may must have kept for within every of 28 days EUR 5,000 weeks 1 March % a to be "
    "and not , ; ( ' up".split()
)


@given(st.lists(_WORDS, max_size=14).map(lambda words: " ".join(words) + "."))
def test_whatever_a_sentence_is_its_questions_are_whole(sentence: str) -> None:
    for found in asked(sentence, KNOWN):
        assert found.question.endswith("?") and "  " not in found.question
        assert found.question[0].isupper()
        expected = Expected(numbers=found.numbers, must_include=found.must_include)
        assert all(check.value == 1 for check in said(expected, sentence))


@given(st.text(max_size=80))
def test_no_text_is_too_strange(text: str) -> None:
    assert isinstance(list(asked(f"A{text}.", KNOWN)), list)


def test_names_keep_their_capital() -> None:
    texts = ["Ask Pingvale for the log.", "Logs of Pingvale are kept.", "We keep logs.", "Our Logs differ."]
    assert names(texts) == {"Pingvale"}
    assert [each.question for each in asked("Pingvale holds 90 numbers.", {"Pingvale"})] == [
        "How many numbers does Pingvale hold?"
    ]
    assert [each.question for each in asked("Gateways hold 90 readings.", {"Pingvale"})] == [
        "How many readings do gateways hold?"
    ]
