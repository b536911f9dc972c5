"""The service in the form of OpenAI's chat completions, so that clients that speak it work unchanged.

The last message of the user is the question, those before it are the conversation. Messages of a system are
left out: the pipeline's prompt says how to answer, and a caller must not override it. Citations are
annotations of the kind ``url_citation``, whose URL is ``rag:SOURCE#START-END``; the whole answer is in the
field ``rag``. The form is that of https://platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from rag.core.answers import Answer, Event
from rag.core.ids import new_id
from rag.serving.callers import Caller
from rag.serving.forms import Completion
from rag.serving.replies import status_of
from rag.serving.streams import EventStream, whole
from rag.serving.turns import history

_LOG = logging.getLogger("rag.serving")
#: How OpenAI calls the ends of replies.
_ENDS = {"max_tokens": "length", "length": "length", "guardrail_intervened": "content_filter",
         "content_filtered": "content_filter"}  # fmt: skip


class Answers(Protocol):
    """What answers (`rag.serving.service.Service`)."""

    name: str
    started: float

    def events(self, caller: Caller, question: str, **options: Any) -> AsyncGenerator[Event, None]:
        """Answer a question as events."""


def models(service: Answers) -> dict[str, Any]:
    """Return the one model: the index."""
    name, since = service.name, int(service.started)
    made = {"id": name, "object": "model", "created": since, "owned_by": "rag"}
    return {"object": "list", "data": [made]}


async def completion(service: Answers, query: Completion, caller: Caller, request: Request) -> Response:
    """Answer a request in OpenAI's form."""
    turns = [each for each in query.messages if each.role in ("user", "assistant")]
    if query.model != service.name:
        return _refused(404, f"there is no model {query.model!r}: GET /v1/models names it", "model_not_found")
    if not turns or turns[-1].role != "user" or not turns[-1].text.strip():
        return _refused(400, "the last message must be the user's question", "invalid_request_error")
    before = await history([(each.role, each.text) for each in turns[:-1]])
    options: dict[str, Any] = {"history": before} if before else {}
    events = service.events(caller, turns[-1].text[:8_000], **options)
    if query.stream:
        usage = bool((query.stream_options or {}).get("include_usage"))
        return EventStream(_chunks(events, query.model, usage))
    answer = await whole(events, request)
    if answer is None:
        return Response(status_code=499)
    message = {
        "role": "assistant",
        "content": answer.text,
        "refusal": None,
        "annotations": _annotations(answer),
    }
    choice = {"index": 0, "message": message, "finish_reason": _end(answer), "logprobs": None}
    return JSONResponse({
        "id": f"chatcmpl-{answer.id or new_id()}", "object": "chat.completion", "created": int(time.time()),
        "model": query.model, "choices": [choice], "usage": _usage(answer), "rag": answer.to_dict(),
    })  # fmt: skip


async def _chunks(
    events: AsyncGenerator[Event, None], model: str, with_usage: bool
) -> AsyncGenerator[str, None]:
    head = {"id": f"chatcmpl-{new_id()}", "object": "chat.completion.chunk"}
    base = {**head, "created": int(time.time()), "model": model}

    def chunk(delta: Mapping[str, Any], end: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": end, "logprobs": None}
        return f"data: {json.dumps({**base, 'choices': [choice]})}\n\n"

    try:
        yield chunk({"role": "assistant", "content": ""})
        async with contextlib.aclosing(events):
            async for event in events:
                if event.kind == "text":
                    yield chunk({"content": event.value})
                elif event.kind == "answer":
                    answer = event.value
                    yield chunk({"annotations": _annotations(answer)}, _end(answer))
                    if with_usage:
                        yield f"data: {json.dumps({**base, 'choices': [], 'usage': _usage(answer)})}\n\n"
    except Exception as error:
        status, kind, text = status_of(error)
        if status == 500:
            _LOG.error("a stream failed", exc_info=error)
        yield f"data: {json.dumps({'error': {'message': text, 'type': kind, 'code': status}})}\n\n"
    yield "data: [DONE]\n\n"


def _annotations(answer: Answer) -> list[dict[str, Any]]:
    """Return an annotation for each mark ``[n]`` of a verified citation in the text."""
    found = []
    for each in answer.citations:
        mark = f"[{each.number}]"
        at = answer.text.find(mark)
        if each.verified and at >= 0:
            url = f"rag:{quote(each.source)}#{each.start}-{each.end}"
            found.append({"type": "url_citation", "url_citation": {
                "start_index": at, "end_index": at + len(mark), "title": each.place, "url": url,
            }})  # fmt: skip
    return found


def _end(answer: Answer) -> str:
    return _ENDS.get(answer.stop_reason, "stop")


def _usage(answer: Answer) -> dict[str, int]:
    counts = [call.usage.counts for call in answer.calls]
    totals = [sum(each) for each in zip(*counts, strict=True)] or [0] * 4
    read, written = totals[0] + totals[2] + totals[3], totals[1]
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _refused(status: int, text: str, code: str) -> JSONResponse:
    error = {"message": text, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": error}, status)
