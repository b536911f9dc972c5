"""Forbid a process its system calls for network, writing, other processes and the kernel (Linux seccomp).

A filter in classic BPF, for this process and all its threads, which cannot be taken off again. What it
forbids fails with EPERM, as if the user had no right to it.

Sources: seccomp(2), bpf(4); ``linux/seccomp.h``, ``linux/filter.h``, ``linux/audit.h``; numbers of system
calls from ``asm/unistd_64.h`` and ``asm-generic/unistd.h`` of Linux 6.12.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Callable

#: Number of the call ``seccomp`` and ``AUDIT_ARCH_…``, by machine.
_MACHINES = {"x86_64": (317, 0xC000003E), "aarch64": (277, 0xC00000B7)}
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000

# Instructions: load a word of `struct seccomp_data`, jump if equal / not below / any bit set, return.
_LOAD, _EQUAL, _NOT_BELOW, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH = 0, 4
_X32 = 0x40000000
#: The first number behind the calls that are known here: a newer kernel has calls that nobody judged.
_UNKNOWN = 470

#: Forbidden calls, with their numbers on x86_64 and aarch64.
_FORBIDDEN = """
socket 41 198, connect 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242,
creat 85 -, truncate 76 45, mkdir 83 -, mkdirat 258 34, rmdir 84 -, unlink 87 -, unlinkat 263 35,
rename 82 -, renameat 264 38, renameat2 316 276, link 86 -, linkat 265 37, symlink 88 -, symlinkat 266 36,
mknod 133 -, mknodat 259 33, chmod 90 -, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452,
chown 92 -, lchown 94 -, fchown 93 55, fchownat 260 54, utime 132 -, utimes 235 -, utimensat 280 88,
futimesat 261 -, setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, setxattrat 463 463, removexattr 197 14,
lremovexattr 198 15, fremovexattr 199 16, removexattrat 466 466, file_setattr 469 469,
fork 57 -, vfork 58 -, execve 59 221, execveat 322 281, ptrace 101 117, process_vm_readv 310 270,
process_vm_writev 311 271, process_madvise 440 440, process_mrelease 448 448, pidfd_open 434 434,
pidfd_getfd 438 438, pidfd_send_signal 424 424, kcmp 312 272, setns 308 268, unshare 272 97, tkill 200 130,
rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, setpriority 141 140, ioprio_set 251 30,
mq_open 240 180, mq_unlink 241 181, shmget 29 194, shmat 30 196, semget 64 190, msgget 68 186,
mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, move_mount 429 429, open_tree 428 428,
open_tree_attr 467 467, fsopen 430 430, fsconfig 431 431, fsmount 432 432, fspick 433 433,
mount_setattr 442 442, swapon 167 224, swapoff 168 225, reboot 169 142, kexec_load 246 104,
kexec_file_load 320 294, init_module 175 105, finit_module 313 273, delete_module 176 106, bpf 321 280,
perf_event_open 298 241, userfaultfd 323 282, io_uring_setup 425 425, io_uring_enter 426 426,
io_uring_register 427 427, keyctl 250 219, add_key 248 217, request_key 249 218,
open_by_handle_at 304 265, name_to_handle_at 303 264, fanotify_init 300 262, acct 163 89, quotactl 179 60,
quotactl_fd 443 443, sethostname 170 161, setdomainname 171 162, settimeofday 164 170,
clock_settime 227 112, clock_adjtime 305 266, adjtimex 159 171, syslog 103 116, iopl 172 -, ioperm 173 -,
personality 135 92, migrate_pages 256 238, move_pages 279 239
"""
#: Calls whose arguments this filter cannot read, or decides by others: libraries fall back to older ones.
_ABSENT = "clone3 435 435, openat2 437 437"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CLONE_THREAD = 0x00010000  # linux/sched.h
_TIOCSTI = 0x5412  # types into a terminal (asm-generic/ioctls.h)


def apply() -> bool:
    """Filter the calls of this process from now on; return whether the system could.

    The process must have set ``PR_SET_NO_NEW_PRIVS``.
    """
    call = _seccomp()
    if call is None:
        return False
    program = _program(platform.machine(), os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog { unsigned short len; struct sock_filter *filter; }
    described = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    return call(_SET_MODE_FILTER, _ALL_THREADS, ctypes.create_string_buffer(described, len(described))) == 0


def _seccomp() -> Callable[..., int] | None:
    if sys.platform != "linux" or platform.machine() not in _MACHINES or sys.maxsize < 1 << 32:
        return None
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    number = _MACHINES[platform.machine()][0]
    return lambda operation, flags, data: int(syscall(number, *map(ctypes.c_long, (operation, flags)), data))


def _numbers(calls: str, machine: str) -> list[int]:
    column = 1 + list(_MACHINES).index(machine)
    numbers = (entry.split()[column] for entry in calls.split(","))
    return [int(number) for number in numbers if number != "-"]


def _program(machine: str, pid: int) -> bytes:
    """Return the filter's instructions, 8 bytes each."""
    forbid, absent = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    steps = [
        (_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, _MACHINES[machine][1]), (_RETURN, 0, 0, forbid),
        (_LOAD, 0, 0, _NUMBER), (_NOT_BELOW, 0, 1, _X32), (_RETURN, 0, 0, forbid),
        (_NOT_BELOW, 0, 1, _UNKNOWN), (_RETURN, 0, 0, absent),
    ]  # fmt: skip
    for calls, outcome in ((_FORBIDDEN, forbid), (_ABSENT, absent)):
        for number in _numbers(calls, machine):
            steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, outcome)]
    allowed_if = (  # call, argument, test, value, whether the call is allowed where the test holds
        ("open 2 -", 1, _ANY_BIT, _WRITING, False),
        ("openat 257 56", 2, _ANY_BIT, _WRITING, False),
        ("clone 56 220", 0, _ANY_BIT, _CLONE_THREAD, True),
        ("kill 62 129", 0, _EQUAL, pid, True),
        ("tgkill 234 131", 0, _EQUAL, pid, True),
        ("prlimit64 302 261", 0, _EQUAL, 0, True),
        ("ioctl 16 29", 1, _EQUAL, _TIOCSTI, False),
    )
    for call, argument, test, value, allowed in allowed_if:
        for number in _numbers(call, machine):
            # The low half of the argument: both machines are little-endian, and the values fit 32 bits.
            steps += [
                (_EQUAL, 0, 4, number), (_LOAD, 0, 0, 16 + 8 * argument),
                (test, *((1, 0) if allowed else (0, 1)), value),
                (_RETURN, 0, 0, forbid), (_RETURN, 0, 0, _ALLOW),
            ]  # fmt: skip
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in steps)
