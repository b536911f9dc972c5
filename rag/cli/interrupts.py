"""What is said when a person stops a command with Ctrl-C: what is kept, and how to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag.core.errors import RagError

#: The exit code of a command that was stopped, as of shells: 128 and the number of SIGINT.
CODE = 130

_PAID = "what is paid for is kept: run the same command again"
_LOGGED = "answers that are in --log are kept: run the same command with the same --log again"
_WHOLE = "the index is whole, before or after the change: run the same command again"
_NOTHING = "nothing is changed"
#: Of each command that leaves something behind; the others read only.
KEPT: Mapping[str, str] = {
    "build": f"readers keep the version they have, and {_PAID}",
    "demo": "run the same command again",
    "batch": "jobs on AWS go on by themselves: run the same command again to wait for them",
    "ask": "what a model's reply cost until then is in the ledger",
    "chat": "the conversation is left",
    "eval": _LOGGED,
    "sweep": f"vectors that are paid for, and {_LOGGED}",
    "gate": _LOGGED,
    "golden": "drafts are written at the end; what a model's replies cost until then is in the ledger",
    "judge": _LOGGED,
    "answer": "what a model's reply cost until then is in the ledger",
    "cache": _WHOLE,
    "compact": _WHOLE,
    "promote": _WHOLE,
    "prune": _WHOLE,
    "rollback": _WHOLE,
    "upgrade": _WHOLE,
    "forget": "an erasure that has begun is completed by the same command, or by the next build",
    "push": "run the same push again, it goes on where it stopped",
    "pull": "run the same pull again, it goes on where it stopped",
    "kb": "what is at AWS stays, and its jobs go on: run the same command again",
    "observe": "a change set that was begun at AWS goes on by itself: run the same command again",
    "guardrail": "versions that were made at AWS stay: rag guardrail plan shows what is left to do",
    "deploy": "run the same command again",
    "keys": "rag keys list shows what is kept",
    "review": "decisions that were shown as made are kept",
    "serve": "requests under way were given 30 s to end",
    "mcp": "requests under way have ended",
}


class StoppedError(RagError):
    """A person stopped a command, which says itself what is kept."""

    exit_code = CODE


def message(words: Sequence[str]) -> str:
    """Return what is said of a command that was stopped.

    Parameters
    ----------
    words : sequence of str
        The command's words; the first that is in `KEPT` decides.

    Examples
    --------
    >>> message(["search", "indexes/handbook", "leave"])
    'interrupted: nothing is changed'
    """
    command = next((word for word in words if not word.startswith("-")), "")
    return f"interrupted: {KEPT.get(command, _NOTHING)}"
