"""Read a reply in JSON: partial data as it comes, repairs of invalid replies, and the answer's fields."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from rag.core.answers import Answer, Event, Step
from rag.core.calls import Usage
from rag.core.citations import Support
from rag.core.passages import Context, Hit
from rag.generation import reply
from rag.generation.structured.envelope import Cited, Filled, cited
from rag.generation.structured.forms import Form
from rag.generation.structured.json_text import PartialJson
from rag.generation.timing import timed

#: The text of an answer without data.
NO_DATA = "null"


class DataReading:
    """The reply to one question that is answered as data; `rag.generation.reading.Reading` is its like.

    Parameters
    ----------
    question, context, hits, steps :
        As for `Reading`.
    drop : bool
        Leave out citations that fail.
    form : Form
        Of the envelope (`rag.generation.structured.envelope`).
    repairs : int
        Most further calls after an invalid reply.
    """

    def __init__(
        self,
        question: str,
        context: Context,
        hits: Sequence[Hit],
        steps: list[Step],
        *,
        drop: bool,
        form: Form,
        repairs: int,
    ) -> None:
        self.question, self.context, self.steps = question, context, steps
        self._hits, self._drop, self._form, self._repairs = hits, drop, form, repairs
        self._pieces: list[Any] = []
        self._partial = PartialJson()
        self._shown: Any = None
        self._calls = 0
        self._filled: Filled | None = None
        self._problems: list[str] = []
        self._cited: Cited | None = None
        self._started = time.perf_counter()
        self._detail: dict[str, Any] = {}

    @property
    def purpose(self) -> str:
        """What the next call is for."""
        return "repair" if self._calls else "generate"

    def feed(self, piece: Any) -> Iterator[Event]:
        """Read one more piece; yield what is known of the data, if that is more than before."""
        self._pieces.append(piece)
        text = self._form.piece(piece)
        if text:
            self._detail.setdefault("first_token_s", round(time.perf_counter() - self._started, 4))
        yield from self._show(self._partial.feed(text))

    def more(self, messages: Sequence[Any]) -> Sequence[Any]:
        """Take the end of a reply; return the messages that ask for a better one, none if it is good.

        Parameters
        ----------
        messages : sequence of BaseMessage
            Those that it replies to.
        """
        message = reply.whole(self._pieces)
        self._calls += 1
        if message is None or self._form.unusable(message) is not None:
            return ()
        self._filled, self._problems = self._form.read(message)
        if not self._problems or self._calls > self._repairs:
            return ()
        self._pieces, self._partial = [], PartialJson()
        return [*messages, *self._form.repair_request(message, self._problems)]

    def close(self) -> Iterator[Event]:
        """Look up the quotes; yield the whole data, the citations, and the data's text."""
        self.steps.append(Step("generate", time.perf_counter() - self._started, self._detail))
        if self._calls > 1:
            self._detail["repairs"] = self._calls - 1
        filled = self._filled
        if filled is None:
            return
        yield from self._show({"data": filled.plain})
        with timed(self.steps, "cite"):
            self._cited = cited(filled, self._hits, self.question, drop=self._drop)
        for citation in self._cited.citations:
            yield Event("citation", citation)
        yield Event("text", self._cited.text)

    @property
    def message(self) -> None:
        """Nothing: in a conversation the answer's text stands for the reply, whatever form that had."""
        return

    def answer(self, generator: Any, prompt: str, usage: Usage) -> Answer:
        """Return the answer, without the calls and notes of the question's collector.

        Raises
        ------
        GenerationError
            The reply is cut or malformed, or still does not fit the schema.
        """
        message = reply.whole(self._pieces)
        end = reply.ending(message, generator, by_tool=self._form.kind == "tool")
        if self._filled is None and not end.withheld:
            unusable = None if message is None else self._form.unusable(message)
            raise unusable or self._form.invalid(self._calls, self._problems or ["$: the reply is empty"])
        result = self._cited or Cited(NO_DATA, (), (), Support(None, ()), ())
        data = None if self._filled is None else self._filled.data
        return Answer(
            question=self.question, text=result.text, answered=data is not None, citations=result.citations,
            context=self.context, usage=usage, trace=tuple(self.steps),
            generator=reply.speaker(generator, message), prompt=prompt, stop_reason=end.reason,
            guardrail=end.guardrail, support=None if end.withheld else result.support,
            notes=(*end.notes, *result.notes, *_doubts(result)), data=data, fields=result.fields,
        )  # fmt: skip

    def _show(self, known: Any) -> Iterator[Event]:
        value = known.get("data") if isinstance(known, dict) else None
        if value is not None and value != self._shown:
            self._shown = value
            yield Event("data", value)


def _doubts(result: Cited) -> list[str]:
    lacking = [each.path for each in result.fields if not each.supported]
    if not lacking:
        return []
    more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
    return [f"not supported by a citation: {', '.join(lacking[:3])}{more}"]
