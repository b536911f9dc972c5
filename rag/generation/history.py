"""The messages of a conversation, in each form that LangChain takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rag.core.errors import UsageError

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


def messages_of(history: Sequence[Any]) -> list[BaseMessage]:
    """Return a history's messages.

    Parameters
    ----------
    history : sequence
        Of messages, pairs ``("human", text)``, or mappings with ``role`` and ``content``.

    Raises
    ------
    UsageError
        It holds something else.

    Examples
    --------
    >>> messages = messages_of([("human", "How long?"), {"role": "ai", "content": "28 days."}])
    >>> [message.type for message in messages]
    ['human', 'ai']
    """
    # An evaluation imports this file, and does without LangChain.
    from langchain_core.messages import convert_to_messages

    if not isinstance(history, str | bytes):
        try:
            return convert_to_messages(list(history))
        except (ValueError, TypeError, KeyError, NotImplementedError):
            pass
    raise UsageError(
        f"history is {type(history).__name__}: give LangChain's messages, pairs ('human', text), or "
        "mappings with 'role' and 'content'"
    )
