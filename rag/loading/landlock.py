"""Leave a process some files to read, and no others (Linux Landlock, from 5.13).

Sources: landlock(7); ``linux/landlock.h`` of Linux 6.12. Rights that the running kernel does not know
are left out: it could not restrict them.
"""

from __future__ import annotations

import ctypes
import os
import platform
import stat
import struct
import sys
from collections.abc import Iterable

# These calls have the same numbers on all machines.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
#: Rights over files, TCP and what is outside (abstract sockets, signals) that each version of the kernel's
#: interface brought: version to (files, network, scopes), all that came up to it.
_RIGHTS = {
    1: ((1 << 13) - 1, 0, 0), 2: ((1 << 14) - 1, 0, 0), 3: ((1 << 15) - 1, 0, 0), 4: ((1 << 15) - 1, 3, 0),
    5: ((1 << 16) - 1, 3, 0), 6: ((1 << 16) - 1, 3, 3),
}  # fmt: skip


def version() -> int:
    """Return the version of the kernel's Landlock interface; 0 where there is none."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        return 0
    return max(0, int(_syscall(_CREATE_RULESET, None, 0, _VERSION)))


def apply(readable: Iterable[str]) -> bool:
    """Let this thread, and those it starts, read these files and folders; return whether the system could.

    The process must have set ``PR_SET_NO_NEW_PRIVS``. Paths that do not exist are left out.
    """
    newest = version()
    if not newest:
        return False
    attributes = struct.pack("QQQ", *_RIGHTS[min(newest, max(_RIGHTS))])
    ruleset = _syscall(_CREATE_RULESET, attributes, 8 if newest < 4 else 16 if newest < 6 else 24, 0)
    if ruleset < 0:
        return False
    try:
        return all(_allow(ruleset, path) for path in readable) and _syscall(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str) -> bool:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        rights = _READ_FILE | (_READ_DIR if folder else 0)
        return _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, handle), 0) == 0
    finally:
        os.close(handle)


def _syscall(number: int, *arguments: object) -> int:
    full = (ctypes.c_long(value) if isinstance(value, int) else value for value in (number, *arguments))
    return int(ctypes.CDLL(None, use_errno=True).syscall(*full))
