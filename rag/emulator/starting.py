"""An emulator for the rest of a process: what a notebook or a script starts with one line."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from typing import Any

from rag.emulator.behaviour import Behaviour
from rag.emulator.server import Emulator
from rag.emulator.variables import environment


def start(behaviour: Behaviour | None = None, **options: Any) -> Emulator:
    """Start an emulator and point the AWS clients of this process at it, until the process ends.

    The process's own AWS settings (profile, keys, endpoints) have no effect from then on. In tests use the
    fixture ``bedrock_emulator``, elsewhere ``with Emulator() as emulator``, which change nothing for good.

    Parameters
    ----------
    behaviour : Behaviour, optional
    **options
        Those of `Emulator`.

    Examples
    --------
    >>> emulator = start(Behaviour(reply="Anyone may."))                     # doctest: +SKIP
    >>> rag.ClaudeBedrock().invoke("Who declares a SEV-1?").text             # doctest: +SKIP
    'Anyone may.'
    """
    stack = ExitStack()
    emulator = stack.enter_context(Emulator(behaviour, **options))
    stack.enter_context(environment(emulator.environment()))
    atexit.register(stack.close)
    return emulator
