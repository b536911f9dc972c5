"""Confine the processes in which parsers run: what they know, read, write and reach.

Parsers are native code that reads hostile files. Their process gets an environment of its own and the
file's bytes, so it needs no rights: where the kernel lets an unprivileged process give rights up, it does.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.loading import landlock, seccomp

#: Variables that a parser's process gets: where Python and its libraries are, language, time zone, threads.
ENVIRONMENT = frozenset({
    "PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONHOME", "PYTHONUTF8",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
})  # fmt: skip
#: What the interpreter and native libraries read of the system.
_SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share", "/nix/store", "/gnu/store",
    "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/etc/mime.types", "/dev/null", "/dev/zero",
    "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu",
)  # fmt: skip
_NO_NEW_PRIVS, _DUMPABLE = 38, 4  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a parser's process cannot do.

    Attributes
    ----------
    calls : bool
        Reach the network, write, start programs or signal other processes (seccomp).
    files : bool
        Read files but those of the interpreter and its packages (Landlock).
    """

    calls: bool = False
    files: bool = False

    def __str__(self) -> str:
        if self.calls and self.files:
            return "confined: no network, no writing, no programs, none of your files"
        lacks = " and ".join(
            name for name, holds in (("seccomp", self.calls), ("Landlock", self.files)) if not holds
        )
        if self.calls:
            held = "no network, no writing, no programs, but your files can be read"
        elif self.files:
            held = "none of your files and no writing, but the network can be reached"
        else:
            held = "your files and the network can be reached, but no file can grow"
        return f"partly confined: {held} (this system lacks {lacks})"


def environment(paths: Iterable[str], *, confined: bool) -> dict[str, str]:
    """Return the environment of a parser's process, which imports from these paths."""
    kept = {name: value for name, value in os.environ.items() if not confined or name in ENVIRONMENT}
    return {**kept, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def readable(modules: Sequence[str] = ()) -> list[str]:
    """Return the files and folders that a parser's process may read.

    They are the system's libraries, the interpreter, installed packages, this package, and if parsers of
    the user's run, all folders that modules are imported from. A folder that holds the user's home is never
    among them: of it only the parsers' modules are.

    Parameters
    ----------
    modules : sequence of str
        Modules of the user's parsers.
    """
    own = str(Path(__file__).parents[1])
    installed = [*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, sys.exec_prefix]
    searched = [os.path.abspath(path) for path in sys.path]  # noqa: PTH100
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    folders = [*_SYSTEM, *installed, *filter(os.path.isabs, libraries), site.getusersitepackages()]
    folders += [path for path in searched if modules or _holds_packages(path)]
    homes = _with_parents(home) if (home := _home()) is not None else set()
    kept = dict.fromkeys(path for path in folders if Path(path) not in homes)
    return [*kept, own, *(path for module in modules for path in _files_of(module))]


def _home() -> Path | None:
    """Return the user's home; None for a user without one, as containers may run."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def _holds_packages(folder: str) -> bool:
    if not os.path.isdir(folder):  # noqa: PTH112  # the standard library as a zip file
        return folder.endswith(".zip")
    if Path(folder).name in ("site-packages", "dist-packages"):
        return True
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.endswith(".dist-info") for entry in entries)
    except OSError:
        return False


def _with_parents(path: Path) -> set[Path]:
    return {place for form in (path, path.resolve()) for place in (form, *form.parents)}


def _files_of(module: str) -> list[str]:
    """Return the file or folder of a module's topmost package."""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    return list(spec.submodule_search_locations or filter(None, [spec.origin]))


def confine(paths: Iterable[str]) -> Confinement:
    """Give up this process's rights for good, as far as the system lets it; return what it gave up.

    Parameters
    ----------
    paths : iterable of str
        Files and folders that it may read (see `readable`).
    """
    if sys.platform == "win32":
        return Confinement()
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform != "linux":
        return Confinement()
    libc = ctypes.CDLL(None, use_errno=True)
    # A memory image may hold the file's words; and a program with other rights must not be the way out.
    libc.prctl(_DUMPABLE, 0, 0, 0, 0)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        return Confinement()
    files = landlock.apply(paths)
    return Confinement(calls=seccomp.apply(), files=files)
