"""Name a process so that another one can tell whether it still runs."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process of some machine.

    Attributes
    ----------
    machine : str
        Host, boot and process namespace: numbers of processes compare only within one.
    pid : int
    started : str
        The moment of its start in the kernel's ticks, as numbers are used again; empty where the system
        does not tell.
    """

    machine: str
    pid: int
    started: str

    def may_run(self) -> bool | None:
        """Tell whether it still runs; None where it cannot be seen from here."""
        if self.machine != _machine(os.getpid()):
            return None
        if self.started:
            return _started(self.pid) == self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True  # another user's
        return True


def this_process() -> Process:
    """Return the process that asks."""
    pid = os.getpid()
    return Process(_machine(pid), pid, _own_start(pid))


@lru_cache(maxsize=2)
def _own_start(pid: int) -> str:
    return _started(pid)


@lru_cache(maxsize=2)
def _machine(pid: int) -> str:
    """Return this machine's name, asked again in a fork."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        boot = space = ""
    return f"{socket.gethostname()} {boot} {space}".strip()


def _started(pid: int) -> str:
    """Return field 22 of ``/proc/PID/stat`` (proc(5)); empty where there is no such process or file."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    fields = state.rpartition(b")")[2].split()  # a command's name may hold spaces and brackets
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
