"""The turns of a conversation, as a request names them, as LangChain's messages.

LangChain is imported with the first conversation: it takes a third of the time in which a service that was
killed is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


async def history(turns: Sequence[tuple[str, str]]) -> list[BaseMessage]:
    """Return the messages of turns, each a role (``"user"`` or ``"assistant"``) and a text."""
    return await asyncio.to_thread(_messages, turns) if turns else []


def _messages(turns: Sequence[tuple[str, str]]) -> list[BaseMessage]:
    from langchain_core.messages import AIMessage, HumanMessage

    return [HumanMessage(text) if role == "user" else AIMessage(text) for role, text in turns]
