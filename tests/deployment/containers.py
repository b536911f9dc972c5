"""The real runtime in a process of its own, against the stand-in for Lambda."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.conftest import ROOT
from tests.deployment.lambda_service import LambdaService


@contextlib.contextmanager
def container(
    folder: Path, toml: str, environment: Mapping[str, str] | None = None, *, leave_after: int = 0
) -> Iterator[tuple[LambdaService, subprocess.Popen[str]]]:
    """Start `rag.deployment.runtime` with a ``rag.toml``; end it by SIGTERM, and check that it ends well."""
    (folder / "rag.toml").write_text(toml, encoding="utf-8")
    variables = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    with LambdaService(leave_after=leave_after) as service:
        process = subprocess.Popen(
            [sys.executable, "-m", "rag.deployment.runtime"], cwd=folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**variables, "PYTHONPATH": str(ROOT), "AWS_LAMBDA_RUNTIME_API": service.address,
                 "AWS_EC2_METADATA_DISABLED": "true", **(environment or {})},
        )  # fmt: skip
        try:
            yield service, process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            finally:
                process.kill()
                for stream in (process.stdout, process.stderr):
                    if stream is not None and not stream.closed:
                        stream.close()
