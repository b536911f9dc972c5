"""How large the images of `rag deploy` would be, without Docker; and that what they install suffices.

    python -m tests.benchmarks.image_size                      # measure
    python -m tests.benchmarks.image_size --python python3.13  # by another interpreter, as the image's
    python -m tests.benchmarks.image_size --write              # resolve rag/deployment/image/requirements.txt anew

It does what the Dockerfile does: installs the pinned requirements and a wheel of this checkout without their
dependencies, runs the same ``trim.sh``, and compiles. Then a bare interpreter, with these packages alone,
answers a question with Titan and Claude on the emulator. Megabytes are 2**20 bytes on disk; "packed" is a
tar.gz, which is about what a registry stores and a container pulls. The base image is not measured but quoted:
about 120 MB, 42 MB packed, for python:3.13-slim-bookworm on amd64. Needs pip and PyPI.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from rag.emulator import Emulator
from tests.benchmarks.install_size import size

ROOT = Path(__file__).parents[2]
FILES = ROOT / "rag" / "deployment" / "image"
#: What the service imports; pip finds what these need.
WANTED = (
    "boto3", "faiss-cpu", "fastapi", "jsonschema", "langchain-aws", "langchain-core", "mangum", "numpy",
    "packaging", "prometheus-client", "pyarrow", "pyjwt[crypto]", "PyStemmer", "pyyaml", "uvicorn",
)  # fmt: skip
#: What pip finds and the service does not import.
LEFT_OUT = {"truststore", "websockets"}
BASE_MB, BASE_PACKED_MB = 120, 42
MOST_MB = 400
_ASK = """
import json, sys, time
from rag.deployment.handler import handler
from rag.deployment.invocation import InvocationContext
event = json.loads(sys.argv[1])
reply = handler(event, InvocationContext("id", time.time() + 60))
answer = json.loads(reply["body"])
names = sorted(name for name in ("onnxruntime", "langchain", "lxml", "pypdf", "click", "rich") if name in sys.modules)
print(json.dumps([reply["statusCode"], answer.get("answered"), answer.get("text"), names]))
"""


def resolve() -> str:
    """Return the pinned requirements of the service, all of them."""
    with tempfile.TemporaryDirectory() as work:
        report = Path(work) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet",
                   "--report", str(report), "--constraint", str(ROOT / "constraints.txt"), *WANTED]  # fmt: skip
        subprocess.run(command, check=True)
        found = json.loads(report.read_text())["install"]
    pins = {each["metadata"]["name"].lower(): each["metadata"]["version"] for each in found}
    lines = [f"{name}=={pins[name]}" for name in sorted(pins) if name not in LEFT_OUT]
    head = "# All that the service imports, for --no-deps; by python -m tests.benchmarks.image_size --write\n"
    return head + "\n".join(lines) + "\n"


def install(python: str, folder: Path, *, local: bool) -> None:
    """Install and trim as the Dockerfile does."""
    wheels = folder.parent / "wheels"
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)], check=True)
    (wheel,) = wheels.glob("*.whl")
    lists = [FILES / "requirements.txt", *([FILES / "requirements-local.txt"] if local else [])]
    named = [word for path in lists for word in ("--requirement", str(path))]
    subprocess.run(
        [*pip, "install", "--no-compile", "--no-deps", "--only-binary=:all:", "--target", str(folder),
         *named, str(wheel)], check=True,
    )  # fmt: skip
    subprocess.run(["sh", str(FILES / "trim.sh"), str(folder)], check=True)
    subprocess.run([python, "-m", "compileall", "-q", str(folder)], check=False)


def packed(folder: Path) -> int:
    """Return the bytes of a tar.gz of a folder."""
    with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
            archive.add(folder, arcname="packages")
        return file.tell()


def answers(python: str, packages: Path, work: Path) -> list[object]:
    """Ask a question in a bare interpreter with these packages alone."""
    from tests.deployment.lambda_service import url_event

    docs = work / "docs"
    docs.mkdir()
    (docs / "eu.md").write_text("# Leave\n\nStaff in Europe take 28 days of annual leave.\n")
    with Emulator() as emulator:
        environment = {"PATH": os.environ["PATH"], **emulator.environment()}
        build = [sys.executable, "-m", "rag", "build", str(docs), str(work / "ix"), "--bedrock"]
        variables = {**environment, "PYTHONPATH": str(ROOT)}
        subprocess.run(build, check=True, env=variables, capture_output=True, cwd=work)
        toml = f'embedder = "titan"\ngenerator = "claude"\n[deploy]\nindex = "{work / "ix"}"\nopen = true\n'
        event = url_event("POST", "/v1/ask", {"question": "How many days of leave do staff in Europe take?"})
        done = subprocess.run(
            [python, "-S", "-c", _ASK, json.dumps(event)], cwd=work, capture_output=True, text=True,
            env={**environment, "PYTHONPATH": str(packages), "RAG_TOML": toml},
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"it does not answer:\n{done.stderr[-3000:]}")
    return list(json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--local", action="store_true", help="with ONNX Runtime, for the local model")
    options = parser.parse_args()
    if options.write:
        (FILES / "requirements.txt").write_text(resolve())
        pin = re.search(r"^onnxruntime==\S+$", (ROOT / "constraints.txt").read_text(), re.M)
        assert pin is not None
        (FILES / "requirements-local.txt").write_text(f"{pin[0]}\n")
        return 0
    with tempfile.TemporaryDirectory() as work:
        packages = Path(work) / "packages"
        install(options.python, packages, local=options.local)
        for entry in sorted(packages.iterdir(), key=size, reverse=True)[:10]:
            print(f"{size(entry) / (1 << 20):6.0f} MB  {entry.name}")
        whole, gz = size(packages) >> 20, packed(packages) >> 20
        print(f"{whole:6} MB  packages; {gz} MB packed")
        print(
            f"{whole + BASE_MB:6} MB  with the base image; {gz + BASE_PACKED_MB} MB packed; wanted: {MOST_MB}"
        )
        print(f"        {answers(options.python, packages, Path(work))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
