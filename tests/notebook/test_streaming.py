"""`show`: the text as it comes, in a notebook and in a terminal; hostile texts are inert at every piece."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("IPython")
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import rag
from rag.conversation.chat import Chat
from rag.core.answers import Answer, Event
from rag.core.errors import GenerationError
from rag.core.shown import Shown
from rag.notebook import streaming
from rag.notebook.streaming import streaming_html, write
from rag.notebook.wrapping import Wrapped
from tests.notebook.objects import HOSTILE, markup

QUESTION = "How many weeks of parental leave do I get?"


@pytest.fixture
def pipe(handbook_index: rag.Index) -> rag.Pipeline:
    return rag.Pipeline(handbook_index)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A shell that shows HTML, as a notebook's kernel does; every piece of a text is drawn."""
    monkeypatch.setattr(streaming, "EVERY_S", 0.0)
    made = InteractiveShell.instance()
    made.kernel = object()
    yield made
    del made.kernel
    InteractiveShell.clear_instance()


def test_in_a_terminal_the_text_comes_first_and_citations_follow(
    pipe: rag.Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = pipe.show(QUESTION, where="region == 'us'")
    out = capsys.readouterr().out
    assert out.startswith(shown.answer.text + "\n  [1] people/leave-policy-us.html")
    assert "  supported 1 of 1 sentence\n" in out and out.endswith("\n") and not out.endswith("\n\n")
    assert repr(shown) == "<shown above; .answer is the Answer>"


def test_a_conversation_shows_its_answers_and_keeps_them(
    pipe: rag.Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = pipe.chat()
    assert isinstance(chat, Chat)
    first = chat.show(QUESTION, where="region == 'us'").answer
    assert first.text in capsys.readouterr().out
    assert [turn.question for turn in chat.transcript.turns] == [QUESTION]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("width", [20, 40, 80, None])
def test_pieces_of_any_size_are_wrapped_alike_and_no_word_is_cut(size: int, width: int | None) -> None:
    text = "Staff in Europe take  28 days of annual leave. [1]\n\n- Tell your manager.\n- 東京都の休暇 too."
    out: list[str] = []
    lines = Wrapped(out.append, width)
    for at in range(0, len(text), size):
        lines.write(text[at : at + size])
    lines.close()
    written = "".join(out)
    assert written.split() == text.split()
    if width is None:
        assert written == text + "\n"
    else:
        assert all(len(line) <= width for line in written.splitlines())
        assert written.count("\n\n") == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_obeys_no_piece(text: str) -> None:
    out: list[str] = []
    lines = Wrapped(out.append, 40)
    for character in text:
        lines.write(character)
    lines.close()
    assert not set("".join(out)) & {"\x1b", "\x9b", "\x07", "\u202e", "\u2066", "\x00", "\r"}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_card_is_inert_wherever_the_text_breaks_off(text: str) -> None:
    for end in range(1, min(len(text), 60) + 1):
        markup(streaming_html(text[:end], text[:end], "answering…"))
    markup(streaming_html(text, text, f"failed: {text}", True))


def shown_by(run: Any) -> tuple[list[Any], Any]:
    with capture_output() as caught:
        result = run()
    return list(caught.outputs), result


def test_a_notebook_draws_in_place_and_ends_as_the_answer(
    kernel: InteractiveShell, pipe: rag.Pipeline
) -> None:
    drawn, shown = shown_by(lambda: pipe.show(QUESTION, where="region == 'us'"))
    assert len({each.transient["display_id"] for each in drawn}) == 1
    assert [each.update for each in drawn] == [False, *[True] * (len(drawn) - 1)]
    assert "searching…" in drawn[0].data["text/html"]
    assert any("answering from" in each.data["text/html"] for each in drawn)
    assert drawn[-1].data == shown.answer._repr_mimebundle_()
    again, _ = shown_by(lambda: kernel.display_formatter.format(shown))
    assert again == []  # what is shown already is not shown again


def events(text: str, error: BaseException) -> Iterator[Event]:
    yield Event("text", text)
    raise error


@pytest.mark.parametrize(("error", "said"), [
    (KeyboardInterrupt(), "stopped; what the reply cost until then is in the ledger"),
    (GenerationError("no"), "failed: GenerationError; what the reply cost until then is in the ledger"),
])  # fmt: skip
def test_what_came_stays_when_it_ends_early(
    kernel: InteractiveShell, error: BaseException, said: str
) -> None:
    def run() -> None:
        with pytest.raises(type(error)):
            streaming.show(events("Staff take 28", error), "How many?")

    html = shown_by(run)[0][-1].data["text/html"]
    assert "Staff take 28" in html and said in html and "aria-busy" not in html


def test_drawing_is_bounded(
    kernel: InteractiveShell, monkeypatch: pytest.MonkeyPatch, pipe: rag.Pipeline
) -> None:
    monkeypatch.setattr(streaming, "EVERY_S", 3600.0)
    answer = pipe.ask(QUESTION)

    def pieces() -> Iterator[Event]:
        yield from (Event("text", character) for character in "word " * 1000)
        yield Event("answer", answer)

    drawn, given = shown_by(lambda: streaming.show(pieces(), QUESTION))
    assert len(drawn) == 3 and given is answer  # the beginning, the first piece, the answer


def test_what_was_written_stays_when_a_stream_breaks(tmp_path: Path) -> None:
    out: list[str] = []
    with pytest.raises(GenerationError):
        write(events("Staff take 28 days", GenerationError("no")), out.append, 10)
    assert "".join(out) == "Staff take\n28 days\n"


def test_a_shown_answer_is_an_answer(pipe: rag.Pipeline) -> None:
    answer = pipe.ask(QUESTION)
    assert isinstance(Shown(answer).answer, Answer)
