"""How long a function takes to start and to answer, and what memory it takes, under the limits of AWS Lambda.

    python -m tests.benchmarks.cold_start
    python -m tests.benchmarks.cold_start --memory 512 --chunks 5000

Each row is a fresh process of `rag.deployment.runtime` against a stand-in for the Runtime API, in a mount
namespace of its own: the root file system is read-only, /tmp is 512 MB of memory, /dev has no shm, and there
is no HOME. It is a user without rights, in cgroups that give it the memory, and of processors
memory / 1,769 MB, as Lambda does (Lambda Developer Guide, "Configure Lambda function memory"). Titan and
Claude are the emulator's, without a delay, outside of the cgroups. Files are in the page cache: the time in
which Lambda loads an image is not in the figures. "start" is until the runtime asks for an invocation;
"peak" is the largest resident set, mapped files included. CPU seconds say
what a figure would be on a machine that does nothing else. Needs root on Linux with cgroups (version 1 or 2),
and says so where it has to do without.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rag.emulator import Emulator
from tests.deployment.lambda_service import LambdaService, url_event

ROOT = Path(__file__).parents[2]
MB_OF_A_CPU = 1769
HANDBOOK = ROOT / "data" / "handbook"
SMALL = HANDBOOK / "security"
QUESTIONS = ("How many days of leave are there?", "Who approves travel?", "When are backups tested?",
             "What does the retention schedule say?", "Who declares an incident?")  # fmt: skip
SETTINGS = {
    "local": "",
    "titan": 'embedder = "titan"\ngenerator = "claude"\n',
}
#: Runs in the namespace: takes away what Lambda does not have, then becomes the runtime.
_SCRIPT = """
set -e
for group in $RAG_CGROUPS; do echo $$ > "$group/cgroup.procs"; done
mount --make-rprivate /
dev=$(mktemp -d /tmp/rag-dev.XXXXXX)
mount -t tmpfs -o size=1m,mode=755 dev "$dev"
for name in null zero random urandom full; do touch "$dev/$name"; mount --bind "/dev/$name" "$dev/$name"; done
ln -s /proc/self/fd "$dev/fd"
mount --rbind "$dev" /dev
mount -o remount,ro,bind /
mount -t tmpfs -o size=512m,mode=1777 tmp /tmp
cd "$RAG_FOLDER"
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
"""


@contextlib.contextmanager
def cgroups(memory_mb: int, cpus: float) -> Iterator[tuple[list[Path], str]]:
    """Make cgroups with these limits; give their folders, and what they limit."""
    base, name, period = Path("/sys/fs/cgroup"), f"rag-cold-start-{os.getpid()}", 100_000
    if (base / "cgroup.controllers").exists():
        limits = {base / name: {"memory.max": memory_mb << 20, "cpu.max": f"{int(cpus * period)} {period}"}}
        said = "cgroup v2"
    else:
        limits = {
            base / "memory" / name: {"memory.limit_in_bytes": memory_mb << 20},
            base / "cpu" / name: {"cpu.cfs_period_us": period, "cpu.cfs_quota_us": int(cpus * period)},
        }
        said = "cgroup v1"
    made: list[Path] = []
    try:
        for folder, values in limits.items():
            folder.mkdir()
            made.append(folder)
            for file, value in values.items():
                (folder / file).write_text(f"{value}\n")
    except OSError as error:
        said = f"no limits of memory and CPU ({error.strerror})"
        for folder in made:
            folder.rmdir()
        made = []
    try:
        yield made, said
    finally:
        for folder in made:
            for _ in range(50):
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.1)


def python_for_all() -> tuple[str, str]:
    """Return an interpreter that every user can run, with the packages of this one."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    return f"/usr/bin/python{version}", f"{ROOT}:{packages}"


def isolated() -> str:
    """Return why processes cannot be isolated here; empty if they can."""
    if os.geteuid() != 0:
        return "this needs root: mount namespaces and cgroups"
    for program in ("unshare", "setpriv"):
        if shutil.which(program) is None:
            return f"{program} is missing (util-linux)"
    if not Path(python_for_all()[0]).exists():
        return f"{python_for_all()[0]} is missing: an interpreter that a user without rights can run"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        return "mount namespaces are not allowed here"
    return ""


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process has used, its children's not included."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def resident_mb(pid: int) -> int:
    """Return the peak resident set of a process."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) >> 10
    return 0


def measure(folder: Path, toml: str, memory_mb: int, environment: dict[str, str]) -> tuple[list[str], str]:
    """Start a function and ask it; return the cells of its row, and what limited it."""
    (folder / "rag.toml").write_text(toml)
    cpus = memory_mb / MB_OF_A_CPU
    python, packages = python_for_all()
    with cgroups(memory_mb, cpus) as (groups, said), LambdaService() as service:
        variables = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": packages, "RAG_FOLDER": str(folder),
            "RAG_CGROUPS": " ".join(map(str, groups)), "AWS_LAMBDA_RUNTIME_API": service.address,
            "PYTHONDONTWRITEBYTECODE": "1", "AWS_EC2_METADATA_DISABLED": "true", **environment,
        }  # fmt: skip
        began = time.monotonic()
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", _SCRIPT, "sh", python, "-m", "rag.deployment.runtime"],
            env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            while not service.asked and process.poll() is None:
                time.sleep(0.005)
            if process.poll() is not None:
                assert process.stderr is not None
                lines = process.stderr.read().strip().splitlines()
                end = f"exit {process.returncode}" if process.returncode > 0 else "killed: out of memory"
                return ["-", "-", "-", "-", f"{end}: {lines[-1] if lines else ''}"[:90]], said
            start, used = service.asked[0] - began, cpu_s(process.pid)
            times, worked = [], []
            for question in QUESTIONS:
                asked, before = time.monotonic(), cpu_s(process.pid)
                reply = service.send(url_event("POST", "/v1/ask", {"question": question}), timeout_s=120)
                while not reply.done.wait(0.005) and process.poll() is None:
                    pass
                if not reply.done.is_set():
                    return [f"{start:.1f}", "-", "-", "-", "killed: out of memory"], said
                times.append(time.monotonic() - asked)
                worked.append(cpu_s(process.pid) - before)
                assert reply.head["statusCode"] == 200, reply.content[:300]
                assert "text" in json.loads(reply.content)
            whole = resident_mb(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(20)
            finally:
                process.kill()
                process.communicate()
    warm, warm_cpu = statistics.median(times[1:]), statistics.median(worked[1:])
    cells = [f"{start:.1f} ({used:.1f})", f"{times[0] * 1000:.0f} ({worked[0] * 1000:.0f})",
             f"{warm * 1000:.0f} ({warm_cpu * 1000:.0f})", f"{whole}", ""]  # fmt: skip
    return cells, said


def built(
    folder: Path, embedder: str, chunks: int, environment: dict[str, str], source: Path = HANDBOOK
) -> Path:
    """Build an index of the sample handbook, and for more chunks of copies of it."""
    docs, target = folder / f"docs-{embedder}", folder / f"ix-{embedder}"
    for copy in range(max(chunks // 1000, 1)):
        shutil.copytree(source, docs / f"copy{copy}")
    words = [sys.executable, "-m", "rag", "build", str(docs), str(target)]
    words += ["--bedrock"] if embedder == "titan" else ["--embedder", embedder]
    variables = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=variables, capture_output=True, text=True, cwd=folder)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    for path in target.glob("*.sqlite*"):
        path.unlink()  # of the build; not part of what is served
    return target


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--memory", default="512,1024,1769", help="megabytes, with commas")
    parser.add_argument("--embedders", default="titan,local")
    parser.add_argument("--chunks", type=int, default=1000, help="about so many; 1,000 is one handbook")
    options = parser.parse_args()
    if why := isolated():
        print(f"skipped: {why}")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="rag-cold-start-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        with Emulator() as emulator:
            environment = emulator.environment()
            print("embedder  memory MB  CPUs   start s (CPU)  first ms (CPU)  warm ms (CPU)  peak MB")
            said = ""
            for embedder in options.embedders.split(","):
                index = built(folder, embedder, options.chunks, environment)
                for memory_mb in map(int, options.memory.split(",")):
                    toml = f'{SETTINGS[embedder]}[deploy]\nindex = "{index}"\nopen = true\n'
                    cells, said = measure(folder, toml, memory_mb, environment)
                    row = [f"{embedder:8}", f"{memory_mb:9}", f"{memory_mb / MB_OF_A_CPU:4.2f}"]
                    row += [f"{cell:>{width}}" for cell, width in zip(cells, (14, 14, 13, 7, 0), strict=True)]
                    print("  ".join(row).rstrip(), flush=True)
            print(f"limits by {said}; read-only root, /tmp of 512 MB, no HOME, no /dev/shm, user 65534")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
