"""What one file may cost, and what its parser may do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost.

    Attributes
    ----------
    timeout_s : float
        Seconds for parsing one file.
    memory_mb : int
        Address space of a worker process, in MiB (Linux only; 0 for no limit).
    max_chars : int
        Characters of text that a file may yield.
    max_file_mb : int
        Size of a file, in MiB; larger ones are quarantined unread.
    confined : bool
        Whether the process goes without your environment, files, network and other programs. Only
        parsers of your own can need them.
    """

    timeout_s: float = 60.0
    memory_mb: int = 2048
    max_chars: int = 50_000_000
    max_file_mb: int = 100
    confined: bool = True
