"""Old office formats by way of LibreOffice, where it is installed: .doc becomes .docx, and that is read."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from rag.core.errors import ConfigError, LoadError, near_miss
from rag.loading.formats.archive import OLE
from rag.loading.limits import Limits

CONVERTERS = ("libreoffice",)
#: What is converted, and to what. Those in `_OLE` only if they are what their suffix says.
TARGETS = {
    ".doc": ".docx", ".dot": ".docx", ".wpd": ".docx", ".wps": ".docx", ".sxw": ".docx", ".stw": ".docx",
    ".ppt": ".pptx", ".pps": ".pptx", ".pot": ".pptx", ".sxi": ".pptx", ".sti": ".pptx", ".sxc": ".xlsx",
    ".stc": ".xlsx",
}  # fmt: skip
_OLE = {".doc", ".dot", ".ppt", ".pps", ".pot"}
#: Of LibreOffice's settings: nothing in a file runs, and nothing outside of it is fetched.
_SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry" xmlns:xs="http://www.w3.org/2001/XMLSchema"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
{}
</oor:items>
"""
_SCRIPTING, _NETWORK = "Common/Security/Scripting", "Inet/Settings"
_VALUES = (
    (_SCRIPTING, "DisableMacrosExecution", "true"), (_SCRIPTING, "MacroSecurityLevel", "3"),
    (_SCRIPTING, "DisableActiveContent", "true"), (_SCRIPTING, "BlockUntrustedRefererLinks", "true"),
    (_NETWORK, "ooInetProxyType", "2"), (_NETWORK, "ooInetHTTPProxyName", "127.0.0.1"),
    (_NETWORK, "ooInetHTTPProxyPort", "9"), (_NETWORK, "ooInetHTTPSProxyName", "127.0.0.1"),
    (_NETWORK, "ooInetHTTPSProxyPort", "9"),
)  # fmt: skip
#: Bounds address space (KiB, or "unlimited"), CPU time (s) and core dumps, then becomes the program.
_LIMITED = 'ulimit -v "$1"; ulimit -t "$2"; ulimit -c 0; shift 2; exec "$@"'


class LibreOffice:
    """Converts files with ``soffice``, each in a process and a profile folder of its own.

    The process is under the limits of the parsers; where the system allows it, it has no network.

    Parameters
    ----------
    limits : Limits

    Raises
    ------
    ConfigError
        The program is not installed.
    """

    def __init__(self, limits: Limits) -> None:
        program = shutil.which("soffice") or shutil.which("libreoffice")
        if program is None:
            raise ConfigError(
                "convert needs LibreOffice, whose program soffice is not on the PATH: install it "
                "(apt-get install libreoffice-nogui, brew install --cask libreoffice), or remove convert"
            )
        self._program, self._limits = program, limits
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    @staticmethod
    def target(source: str, head: bytes) -> str | None:
        """Return the suffix that a file is converted to; None for one that is read as it is."""
        suffix = Path(source).suffix.lower()
        return None if suffix in _OLE and not head.startswith(OLE) else TARGETS.get(suffix)

    @contextlib.contextmanager
    def converted(self, path: Path, suffix: str, target: str) -> Iterator[Path]:
        """Yield a file's conversion, which is deleted afterwards.

        Parameters
        ----------
        path : Path
        suffix : str
            Of the file's name, by which LibreOffice takes it for what it is.
        target : str
            One of the suffixes of Office Open XML.

        Raises
        ------
        LoadError
            LibreOffice cannot read the file, or takes longer than `timeout_s`.
        """
        with tempfile.TemporaryDirectory(prefix="rag-convert-") as folder:
            work = Path(folder)
            (work / "profile" / "user").mkdir(parents=True)
            (work / "profile" / "user" / "registrymodifications.xcu").write_text(
                _settings(), encoding="utf-8"
            )
            source = work / f"document{suffix}"
            shutil.copyfile(path, source)
            message = self._run(source, target, work)
            made = work / "out" / f"document{target}"
            if not made.is_file():
                raise LoadError(f"cannot be converted by LibreOffice (it wrote nothing: {message})", _ADVICE)
            size, most = made.stat().st_size >> 20, self._limits.max_file_mb
            if size > most:
                raise LoadError(
                    f"has {size} MB as {target}, the limit is {most} MB",
                    "split it, or raise the loader's limits.max_file_mb in rag.toml",
                )
            yield made

    def begin(self) -> None:
        """Allow conversions, also after a stop."""
        with self._lock:
            self._stopped = False

    def stop(self) -> None:
        """Kill what is running: whoever waits for it gets an error."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)

    def _run(self, source: Path, target: str, work: Path) -> str:
        """Run the program; return the last line of what it has to say."""
        bounded = self._limits.memory_mb and sys.platform == "linux"
        command = [
            *_without_network(), "/bin/sh", "-c", _LIMITED, "sh",
            str(self._limits.memory_mb << 10) if bounded else "unlimited",
            str(int(2 * self._limits.timeout_s) + 2),
            self._program, "--headless", "--norestore", "--nologo", "--nolockcheck", "--nodefault",
            f"-env:UserInstallation={(work / 'profile').as_uri()}", "--convert-to", target.removeprefix("."),
            "--outdir", str(work / "out"), str(source),
        ]  # fmt: skip
        environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        environment |= {"HOME": str(work), "TMPDIR": str(work), "LANG": "C.UTF-8", "SAL_USE_VCLPLUGIN": "svp"}
        with self._lock:
            if self._stopped:
                raise LoadError("was not read: loading was stopped", "load again")
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                cwd=work, env=environment, start_new_session=True,
            )  # fmt: skip
            self._running.add(process)
        try:
            _, errors = process.communicate(timeout=self._limits.timeout_s)
        except subprocess.TimeoutExpired:
            raise LoadError(
                f"took LibreOffice more than {self._limits.timeout_s:g} s to convert",
                "leave it out, or raise timeout_s and build with --retry",
            ) from None
        finally:
            _kill(process)
            process.communicate()
            with self._lock:
                self._running.discard(process)
        lines = errors.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        last = " ".join(lines[-1].split())[:200]
        if process.returncode:
            raise LoadError(
                f"cannot be converted by LibreOffice (exit status {process.returncode}: {last})", _ADVICE
            )
        return last


_ADVICE = "open it and save it in a format of today, or leave it out"


def converter_of(setting: str | None, limits: Limits) -> LibreOffice | None:
    """Return what the loader's ``convert`` names; None where it is off.

    Raises
    ------
    ConfigError
        There is no such converter, or it is not installed.
    """
    if setting is None:
        return None
    if setting not in CONVERTERS:
        raise ConfigError(f"there is no converter {setting!r}: {near_miss(str(setting), CONVERTERS)}")
    return LibreOffice(limits)


def _settings() -> str:
    items = (
        f'<item oor:path="/org.openoffice.{"Office." * (path == _SCRIPTING)}{path}"><prop oor:name="{name}" '
        f'oor:op="fuse"><value>{value}</value></prop></item>' for path, name, value in _VALUES
    )  # fmt: skip
    return _SETTINGS.format("\n".join(items))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


@functools.cache
def _without_network() -> tuple[str, ...]:
    """Return the command that runs another without a network; empty where the system does not allow it."""
    program = shutil.which("unshare")
    if program is None:
        return ()
    command = (program, "--user", "--map-root-user", "--net", "--")
    try:
        allowed = (
            subprocess.run([*command, "true"], capture_output=True, timeout=5, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return command if allowed else ()
