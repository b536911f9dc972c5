"""Run ``rag COMMAND`` in a process of its own, forked from one that has imported everything.

A command is as real as from a shell: its own arguments, environment, working directory, output, exit code
and end. Only the imports, most of a short command's time, are done once for all.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.command_imports"])
    return context


def _command(arguments: list[str], folder: str, environment: Mapping[str, str], out: str, error: str) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for name, number in ((os.devnull, 0), (out, 1), (error, 2)):
        handle = os.open(name, os.O_RDWR)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, encoding="utf-8", closefd=False) for number, mode in enumerate("rww")
    )
    sys.argv = ["rag", *arguments]
    from rag.cli.main import main

    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def run(
    *arguments: object, code: int | None = 0, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command; check its exit code (None: any), and that it prints no traceback."""
    words = [str(argument) for argument in arguments]
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as error:
        variables = dict(os.environ if env is None else env)
        process = _server().Process(
            target=_command, args=(words, str(cwd or Path.cwd()), variables, out.name, error.name)
        )
        process.start()
        process.join(300)
        assert process.exitcode is not None, f"{words} does not end"
        done = subprocess.CompletedProcess(
            words, process.exitcode, out.read().decode(), error.read().decode()
        )
    assert code in (None, done.returncode), (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done
