"""A question of a conversation: what is searched for it, and the messages that lead up to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rag.conversation.follow_up import FollowUp, carry_over
from rag.conversation.transcript import Transcript, Turn
from rag.core.answers import Answer, Step
from rag.core.passages import Context, Hit
from rag.generation.prompt import Prompt
from rag.generation.reply import texts
from rag.generation.timing import timed
from rag.usage.collector import note

#: Takes the passages for a question; returns the messages, all passages that may be cited, in the order of
#: their numbers, and what adds the reply to the conversation.
Assemble = Callable[[Context], tuple[Sequence[Any], Sequence[Hit], Callable[[Any, Answer], None]]]


def begin(
    question: str, history: Any, follow_up: FollowUp | None, prompt: Any, steps: list[Step]
) -> tuple[str, Assemble]:
    """Return the question as it stands on its own, and what assembles its messages.

    Parameters
    ----------
    question : str
    history : Transcript or sequence of BaseMessage
        A transcript gets the turn added to it.
    follow_up : callable, optional
        By default `carry_over`.
    prompt : PassagePrompt
        One that is not `rag`'s gets the question in full and its passages, and none of the turns before.
    steps : list of Step
        The step ``follow-up`` is added to it: what is searched, and by what it was found.
    """
    transcript = history if isinstance(history, Transcript) else Transcript.of(history)
    follow_up = follow_up or carry_over
    search = question
    if transcript.earlier and question.strip():
        with timed(steps, "follow-up") as detail:
            search = follow_up(question, transcript.earlier) or question
            by = getattr(follow_up, "__name__", type(follow_up).__name__)
            detail["search"], detail["by"] = search, by

    def assemble(context: Context) -> tuple[Sequence[Any], Sequence[Hit], Callable[[Any, Answer], None]]:
        with timed(steps, "assemble") as detail:
            if not isinstance(prompt, Prompt):
                return _without_turns(question, search, context, prompt, transcript)
            turn = transcript.begin(question, search, context.hits, prompt)
            hits = (*transcript.hits, *turn.hits)
            detail["turns"], detail["new"] = len(transcript.turns), len(turn.hits)
            detail["sent_before"] = len(turn.again)
            if transcript.dropped:
                detail["turns_dropped"] = len(transcript.dropped)
            messages = transcript.messages(turn, prompt) if context.hits or transcript.hits else ()
        return messages, hits, _adding(transcript, turn)

    return search, assemble


def _without_turns(
    question: str, search: str, context: Context, prompt: Any, transcript: Transcript
) -> tuple[Sequence[Any], Sequence[Hit], Callable[[Any, Answer], None]]:
    if transcript.turns:
        note(f"the prompt {prompt.name} is not rag's: it got the question in full, without the turns before")
    messages = prompt.messages(search, context.hits) if context.hits else ()
    return messages, context.hits, _adding(transcript, Turn(question, search))


def _adding(transcript: Transcript, turn: Turn) -> Callable[[Any, Answer], None]:
    def end(message: Any, answer: Answer) -> None:
        transcript.end(turn, "" if message is None else "".join(texts([message])), answer)

    return end
