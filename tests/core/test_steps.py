"""An asynchronous generator's steps in a context of their own are closed there, however the task ends."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator

import anyio

from rag.core.steps import asteps_in

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="outside")


async def endless(ended: list[str]) -> AsyncGenerator[int, None]:
    token = NAME.set("inside")
    try:
        for n in range(1000):
            yield n
            await asyncio.sleep(0.005)
    finally:
        await asyncio.sleep(0.01)  # as a connection takes to close
        NAME.reset(token)  # a ValueError in any other context
        ended.append("closed")


async def test_a_cancelled_scope_of_anyio_closes_them_in_their_context() -> None:
    """It cancels each wait anew, also those of closing."""
    for at in (0.003, 0.02):
        ended: list[str] = []
        with anyio.move_on_after(at):
            async for _ in asteps_in(contextvars.copy_context(), endless(ended)):
                pass
        assert ended == ["closed"], at
    assert NAME.get() == "outside"


async def test_a_cancelled_task_does_so_too() -> None:
    ended: list[str] = []

    async def taking() -> None:
        async for _ in asteps_in(contextvars.copy_context(), endless(ended)):
            pass

    task = asyncio.create_task(taking())
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() and ended == ["closed"]
