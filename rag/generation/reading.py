"""Read a generator's reply piece by piece: events as they come, and the answer at the end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rag.core.answers import Answer, Event, Step
from rag.core.calls import Usage
from rag.core.citations import Citation
from rag.core.passages import Context, Hit
from rag.generation import reply
from rag.generation.citations import OnFail, ReplyReader
from rag.generation.timing import timed


class Reading:
    """The reply to one question, while it comes.

    A stream is read the same way whoever waits for it: `feed` and `close` do not wait for anything.

    Parameters
    ----------
    question : str
    context : Context
        What was sent for this question.
    hits : sequence of Hit
        All passages that the model may cite, in the order in which the messages number them from 1.
    steps : list of Step
        The stages so far; ``generate`` and ``cite`` are added.
    on_fail : {"flag", "drop"}
        How to treat a citation that does not support its sentence.
    """

    def __init__(
        self,
        question: str,
        context: Context,
        hits: Sequence[Hit],
        steps: list[Step],
        on_fail: OnFail = "flag",
    ) -> None:
        self.question, self.context, self.steps = question, context, steps
        self._reader = ReplyReader(hits, on_fail, question)
        self._pieces: list[Any] = []
        self._message: Any = None
        self._started = time.perf_counter()
        self._detail: dict[str, Any] = {}

    def feed(self, piece: Any) -> Iterator[Event]:
        """Read one more piece; yield the text and citations that are complete now."""
        self._pieces.append(piece)
        self._message = None
        for part in reply.parts(piece):
            if part:
                self._detail.setdefault("first_token_s", round(time.perf_counter() - self._started, 4))
            yield from _events(_read(self._reader, part))

    @property
    def purpose(self) -> str:
        """What the next call is for."""
        return "generate"

    def more(self, messages: Sequence[Any]) -> Sequence[Any]:
        """Return the messages of a further call: none, as one reply answers."""
        return ()

    def again(self) -> None:
        """Forget how the reply ended: another one goes on."""
        self._pieces, self._message = [], None

    def close(self) -> Iterator[Event]:
        """Read the reply's end; yield what was held back."""
        self.steps.append(Step("generate", time.perf_counter() - self._started, self._detail))
        with timed(self.steps, "cite"):
            rest = list(self._reader.close())
        yield from _events(rest)

    @property
    def message(self) -> Any:
        """The reply so far as one message."""
        if self._message is None:
            self._message = reply.whole(self._pieces)
        return self._message

    def answer(self, generator: Any, prompt: str, usage: Usage) -> Answer:
        """Return the answer, without the calls and notes of the question's collector.

        Raises
        ------
        GenerationError
            The model's output is malformed.
        """
        message, reader = self.message, self._reader
        end = reply.ending(message, generator)
        tool_calls = reply.tool_calls(message)
        doubts = () if end.withheld or tool_calls else reader.notes
        return Answer(
            question=self.question, text=reader.text, answered=reader.answered and not end.withheld,
            citations=tuple(reader.citations), context=self.context, usage=usage, trace=tuple(self.steps),
            generator=reply.speaker(generator, message), prompt=prompt, stop_reason=end.reason,
            guardrail=end.guardrail, support=None if end.withheld else reader.support,
            notes=(*end.notes, *doubts), tool_calls=tool_calls,
        )  # fmt: skip


def _read(reader: ReplyReader, part: str | reply.Quoted) -> Iterator[str | Citation]:
    if isinstance(part, str):
        yield from reader.feed(part)
    else:
        yield from reader.cite(part.quote, part.document)


def _events(pieces: Iterable[str | Citation]) -> Iterator[Event]:
    for piece in pieces:
        yield Event("citation" if isinstance(piece, Citation) else "text", piece)
