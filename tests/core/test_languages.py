"""A text's language is told where it is sure, and not guessed where it is not."""

from __future__ import annotations

import pytest

from rag.core.languages import language_of

#: The same two sentences, written for this test.
SAID = {
    "en": "Every member of the team must tell the manager when they are ill. It is not enough to write on the next day.",
    "de": "Jedes Mitglied des Teams muss der Leitung sagen, wenn es krank ist. Es genügt nicht, das am nächsten Tag zu schreiben.",
    "fr": "Chaque membre de l'équipe doit informer son responsable quand il est malade. Il ne suffit pas d'écrire le lendemain.",
    "es": "Cada miembro del equipo debe avisar a su responsable cuando está enfermo. No es suficiente escribir al día siguiente.",
    "it": "Ogni membro della squadra deve avvisare il responsabile quando è malato. Non è sufficiente scrivere il giorno dopo.",
    "pt": "Cada membro da equipa deve avisar o seu responsável quando está doente. Não é suficiente escrever no dia seguinte.",
    "nl": "Elk lid van het team moet het aan de leiding zeggen als hij ziek is. Het is niet genoeg om dat op de volgende dag te schrijven.",
    "sv": "Varje medlem i laget ska säga till chefen när den är sjuk. Det är inte nog att skriva det till nästa dag.",
    "pl": "Każdy członek zespołu musi powiedzieć o tym kierownikowi, gdy jest chory. Nie jest to dla nas dobre, że pisze się po dniu.",
    "ru": "Каждый сотрудник должен сообщить руководителю о болезни.",
    "zh": "每位员工生病时必须通知经理。",
    "ja": "社員は病気のときは上司に知らせなければなりません。",
    "ko": "직원은 아프면 관리자에게 알려야 합니다.",
    "ar": "يجب على كل موظف إبلاغ المدير عند المرض.",
    "el": "Κάθε εργαζόμενος πρέπει να ενημερώνει τον διευθυντή.",
}


@pytest.mark.parametrize("language", SAID)
def test_each_language_is_told(language: str) -> None:
    assert language_of(SAID[language]) == language


@pytest.mark.parametrize(
    "text", ["", "28 days", "SEV-1", "GetObject s3://bucket/key", "Müller GmbH", "12 % 2026-01-02"]
)
def test_names_numbers_and_code_tell_nothing(text: str) -> None:
    assert language_of(text) is None


def test_a_quote_in_another_language_is_left_out() -> None:
    german = SAID["de"]
    assert language_of(f'The policy says that this is what the staff must do: "{german}"') == "en"
