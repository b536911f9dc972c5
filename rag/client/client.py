"""A client of `rag serve` with the methods of a pipeline, which returns the pipeline's own records."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from rag.client import records
from rag.client.address import KEY, Secret, checked_url, is_private, key_for
from rag.client.calls import ASK, CONTEXT, SEARCH, AskOptions, Call, ContextOptions, SearchOptions, asked
from rag.client.connections import Connections
from rag.client.records import ReplyError, plain, record
from rag.client.replies import Replies
from rag.client.transport import Bounds, Transport
from rag.core.answers import Answer, Event
from rag.core.errors import UsageError
from rag.core.passages import Context, Hit
from rag.core.shown import Shows

if TYPE_CHECKING:
    from rag.client.retriever import RemoteRetriever
    from rag.conversation.chat import Chat
    from rag.retrieval.explain import Explanation

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a server.

    Attributes
    ----------
    status : {"ok", "stale"}
        ``"stale"`` if there is a new version of the index that cannot be opened.
    version : int
        The version of the index that is in service.
    """

    status: str
    version: int


class Client(Shows):
    """Asks a server of `rag serve`; threads may share it.

    Parameters
    ----------
    url : str, optional
        Where the server is, e.g. ``"https://rag.example.com"``; by default the variable ``RAG_SERVER``.
    key : str, optional
        An API key, or a token of the server's provider; by default the variable ``RAG_KEY``, which, where
        ``RAG_SERVER`` is set, goes to that server alone. It is shown and logged nowhere.
    timeout_s : float
        The most that an answer may take, and of a stream, the most from one event to the next.
    retries : int
        How often a request is sent again at most: one that the server did not begin with (no connection, no
        room), and one that costs nothing to repeat, such as a search. A question that the server may have
        begun to answer is never sent again.
    most_wait_s : float
        The most that is waited before a request is sent again; a server that asks for more by
        ``Retry-After`` is not waited for.
    most_bytes : int
        The largest reply that is read.
    ca : ssl.SSLContext, str or Path, optional
        Certificates (PEM, or a folder of them) that may vouch for the server's; by default those of certifi,
        or of the variables ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``. They are always checked.
    plain_http : bool
        Let the key go over ``http://`` to another machine, where the network between can read it.

    Raises
    ------
    UsageError
        The URL, the key or a bound is wrong, or the key would go to another machine without encryption.

    Examples
    --------
    >>> client = rag.Client("http://127.0.0.1:8000")                             # doctest: +SKIP
    >>> client.ask("Who declares a SEV-1?", where="status == 'current'").text    # doctest: +SKIP
    """

    url = ""
    _with_key = False

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout_s: float = 120.0,
        retries: int = 2,
        most_wait_s: float = 30.0,
        most_bytes: int = 64 << 20,
        ca: ssl.SSLContext | str | Path | None = None,
        plain_http: bool = False,
    ) -> None:
        given, key = [key], None  # some tools record the local variables of tracebacks
        own = Secret(given.pop())
        self.url = checked_url(url)
        secret = key_for(self.url, own)
        if secret and not plain_http and not is_private(self.url):
            raise UsageError(
                f"the key (key= or {KEY}) would go to {self.url} unencrypted: use https://, or say "
                "plain_http=True if the network between is your own"
            )
        for name, value, least in (
            ("timeout_s", timeout_s, 0.001), ("retries", retries, 0), ("most_wait_s", most_wait_s, 0),
            ("most_bytes", most_bytes, 1),
        ):  # fmt: skip
            if not value >= least:
                raise UsageError(f"{name} is {value}: give a number from {least}")
        self._replies, self._with_key = Replies(self.url, secret), bool(secret)
        self._connections = Connections(self.url, secret, timeout_s, ca)
        bounds = Bounds(timeout_s, retries, most_wait_s, most_bytes)
        self._transport = Transport(self._connections, self._replies, bounds)

    def __repr__(self) -> str:
        return f"Client({self.url!r}{', key=…' if self._with_key else ''})"

    # ------------------------------------------------------------------- questions

    def ask(self, question: str, **options: Unpack[AskOptions]) -> Answer:
        """Answer a question.

        Parameters
        ----------
        question : str
            At most 8,000 characters.
        where : Where, str or dict, optional
            A filter in any notation; the server combines it with what the key may see.
        k, mode, budget, unit, tag : optional
            As of `rag.Pipeline.ask`.

        Raises
        ------
        RagError
            The library's own: `UsageError`, `WhereError`, `AuthError`, `TooManyError`, `BudgetError`,
            `GenerationError`; `ServerError` if the server cannot be reached or fails. `RagError.request_id`
            is what the server's log calls the request.
        """
        return self._got(asked("/v1/ask", question, options, ASK, repeatable=False), _answer)

    def stream(self, question: str, **options: Unpack[AskOptions]) -> Iterator[Event]:
        """Answer a question as events: context, text and citations as they come, then the answer.

        The options are those of `ask`. To leave the iterator closes the connection, and the server ends the
        model's reply.

        Raises
        ------
        RagError
            As of `ask`; `ServerError` if the stream ends before its answer.
        """
        return self._transport.events(asked("/v1/ask", question, options, ASK, repeatable=False, stream=True))

    def chat(self, history: Any = None, *, where: Any = None, tag: str | None = None) -> Chat:
        """Return a conversation, whose questions may build on those before them.

        The server keeps none of it: each question takes the questions and answers before it along, as many as
        a server takes.

        Parameters
        ----------
        history : BaseChatMessageHistory or sequence of BaseMessage, optional
            Where its turns are stored; what it holds already is continued.
        where : Where, str or dict, optional
            The filter; it stays in force until another one is given to `Chat.ask`.
        tag : str, optional
            Recorded with the calls.
        """
        from rag.client.chat import RemoteTurns
        from rag.conversation.chat import Chat

        return Chat(RemoteTurns(self._transport), history, where=where, tag=tag)

    def search(self, question: str, **options: Unpack[SearchOptions]) -> list[Hit]:
        """Return the `k` best passages, by default 10, best first."""
        return self._got(asked("/v1/search", question, options, SEARCH), _hits)

    def retrieve(self, question: str, **options: Unpack[ContextOptions]) -> list[Hit]:
        """Return the retriever's passages, best first: the first half of `context`, with its options."""
        return self._got(asked("/v1/retrieve", question, options, CONTEXT), _hits)

    def context(self, question: str, **options: Unpack[ContextOptions]) -> Context:
        """Return what would be sent to the model."""
        return self._got(asked("/v1/context", question, options, CONTEXT), _context)

    def explain(self, question: str, expect: str, **options: Unpack[ContextOptions]) -> Explanation:
        """Find the stage at which a passage was lost, and what would have kept it.

        Parameters
        ----------
        question : str
        expect : str
            Words of the passage, a source, or ``source:start-end``.
        **options
            Those of `context`.

        Raises
        ------
        MissingSourceError
            There is no such passage that the key may see.
        """
        return self._got(_explaining(question, expect, options), _explanation)

    # ------------------------------------------------------------------- what the server has

    def source(self, source: str, start: int = 0, end: int | None = None, *, around: int = 500) -> list[Hit]:
        """Return the chunks of a source that stand at a place, and around it, in order.

        Parameters
        ----------
        source : str
        start, end : int
            Characters of the document, end exclusive.
        around : int
            Characters before and behind, at most 5,000.

        Raises
        ------
        MissingSourceError
            There is no such source that the key may see.
        """
        return self._got(_place(source, start, end, around), _chunks)

    def schema(self) -> dict[str, dict[str, Any]]:
        """Return the fields to filter by, each with its ``type`` and most frequent ``values``."""
        return self._got(_SCHEMA, _fields)

    def models(self) -> list[str]:
        """Return the names of the server's models in OpenAI's form: that of its index."""
        return self._got(_MODELS, _names)

    def health(self) -> Health:
        """Return the state of the server."""
        return self._got(_HEALTH, _health)

    # ------------------------------------------------------------------- without blocking the event loop

    async def aask(self, question: str, **options: Unpack[AskOptions]) -> Answer:
        """Answer a question without blocking the event loop; see `ask`."""
        return await self._agot(asked("/v1/ask", question, options, ASK, repeatable=False), _answer)

    def astream(self, question: str, **options: Unpack[AskOptions]) -> AsyncGenerator[Event, None]:
        """Answer a question as events, without blocking the event loop; see `stream`.

        If the task is cancelled, or the iterator is closed, so is the connection.
        """
        return self._transport.aevents(
            asked("/v1/ask", question, options, ASK, repeatable=False, stream=True)
        )

    async def achat(self, history: Any = None, *, where: Any = None, tag: str | None = None) -> Chat:
        """Return a conversation without blocking the event loop, as reading a stored history may; see `chat`.

        Its questions are asked with `Chat.aask` and `Chat.astream`.
        """
        return await asyncio.to_thread(self.chat, history, where=where, tag=tag)

    async def asearch(self, question: str, **options: Unpack[SearchOptions]) -> list[Hit]:
        """Return the best passages without blocking the event loop; see `search`."""
        return await self._agot(asked("/v1/search", question, options, SEARCH), _hits)

    async def aretrieve(self, question: str, **options: Unpack[ContextOptions]) -> list[Hit]:
        """Return the retriever's passages without blocking the event loop; see `retrieve`."""
        return await self._agot(asked("/v1/retrieve", question, options, CONTEXT), _hits)

    async def acontext(self, question: str, **options: Unpack[ContextOptions]) -> Context:
        """Return what would be sent to the model, without blocking the event loop; see `context`."""
        return await self._agot(asked("/v1/context", question, options, CONTEXT), _context)

    async def aexplain(self, question: str, expect: str, **options: Unpack[ContextOptions]) -> Explanation:
        """Find the stage at which a passage was lost, without blocking the event loop; see `explain`."""
        return await self._agot(_explaining(question, expect, options), _explanation)

    async def asource(
        self, source: str, start: int = 0, end: int | None = None, *, around: int = 500
    ) -> list[Hit]:
        """Return the chunks at a place of a source, without blocking the event loop; see `source`."""
        return await self._agot(_place(source, start, end, around), _chunks)

    async def aschema(self) -> dict[str, dict[str, Any]]:
        """Return the fields to filter by, without blocking the event loop; see `schema`."""
        return await self._agot(_SCHEMA, _fields)

    async def amodels(self) -> list[str]:
        """Return the names of the server's models, without blocking the event loop; see `models`."""
        return await self._agot(_MODELS, _names)

    async def ahealth(self) -> Health:
        """Return the state of the server, without blocking the event loop; see `health`."""
        return await self._agot(_HEALTH, _health)

    # ------------------------------------------------------------------- the client itself

    def as_retriever(self, **options: Unpack[SearchOptions]) -> RemoteRetriever:
        """Return a LangChain retriever over the server, with options for all its questions.

        A pipeline takes it, too: ``rag.Pipeline(index, retriever=client.as_retriever())``.
        """
        from rag.client.retriever import RemoteRetriever

        return RemoteRetriever(client=self, **options)

    def close(self) -> None:
        """Close the connections of this process; the client takes no more questions."""
        self._connections.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those of the process."""
        await self._connections.aclose()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Client:
        """Keep connections for this event loop; without it each call has one of its own."""
        self._connections.keep()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _got(self, call: Call, read: Callable[[bytes], T]) -> T:
        return self._read(read, self._transport.fetch(call))

    async def _agot(self, call: Call, read: Callable[[bytes], T]) -> T:
        return self._read(read, await self._transport.afetch(call))

    def _read(self, read: Callable[[bytes], T], body: bytes) -> T:
        try:
            return read(body)
        except ReplyError as error:
            wrong = self._replies.strange(error)
        raise wrong


# ------------------------------------------------------------------- requests and what their replies hold

_SCHEMA, _MODELS, _HEALTH = Call("GET", "/v1/schema"), Call("GET", "/v1/models"), Call("GET", "/readyz")


def _explaining(question: str, expect: object, options: Mapping[str, Any]) -> Call:
    if not isinstance(expect, str) or not expect.strip():
        raise UsageError("nothing is expected: give a passage's words, or a source")
    return asked("/v1/explain", question, options, CONTEXT, expect=expect)


def _place(source: str, start: int, end: int | None, around: int) -> Call:
    params = {"source": source, "start": str(start), "around": str(around)}
    return Call("GET", "/v1/source", params=params if end is None else {**params, "end": str(end)})


def _answer(body: bytes) -> Answer:
    return record(Answer.from_dict, plain(body))


def _context(body: bytes) -> Context:
    return record(Context.from_dict, plain(body))


def _explanation(body: bytes) -> Explanation:
    from rag.retrieval.explain import Explanation

    return record(Explanation.from_dict, plain(body))


def _hits(body: bytes) -> list[Hit]:
    return records.hits(records.of_fields(body, "hits")[0])


def _chunks(body: bytes) -> list[Hit]:
    return records.hits(records.of_fields(body, "chunks")[0])


def _fields(body: bytes) -> dict[str, dict[str, Any]]:
    (found,) = records.of_fields(body, "fields")
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise ReplyError("no fields")
    return found


def _names(body: bytes) -> list[str]:
    (found,) = records.of_fields(body, "data")
    try:
        return [str(each["id"]) for each in found]
    except (TypeError, KeyError) as error:
        wrong = str(error)
    raise ReplyError(f"no models: {wrong}")


def _health(body: bytes) -> Health:
    return record(lambda values: Health(*values), records.of_fields(body, "status", "version"))
