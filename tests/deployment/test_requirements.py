"""The pinned requirements suffice: with every other package hidden, a question is answered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import rag
from rag.emulator import Emulator
from tests.conftest import ROOT
from tests.deployment.conftest import LEAVE, QUOTE
from tests.deployment.lambda_service import url_event

FILES = ROOT / "rag" / "deployment" / "image"
#: Hides what no requirement brings, then answers an event by the handler.
PROGRAM = """
import importlib.abc, json, re, sys, time
from importlib.metadata import packages_distributions

def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()

event, *lists = sys.argv[1:]
allowed = {plain(line.partition("==")[0]) for path in lists for line in open(path) if "==" in line}
known = packages_distributions()

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        owners = {plain(owner) for owner in known.get(name.partition(".")[0], ())} - {"bedrock-rag"}
        if owners and not owners & allowed:
            raise ModuleNotFoundError(f"{name} is hidden", name=name)
        return None

sys.meta_path.insert(0, Hidden())
from rag.deployment.handler import handler
from rag.deployment.invocation import InvocationContext
reply = handler(json.loads(event), InvocationContext("id", time.time() + 60))
import rag.deployment.runtime, rag.deployment.web, rag.serving.tokens, uvicorn, jwt  # what the images start
print(json.dumps(reply))
"""


def answered(folder: Path, toml: str, environment: dict[str, str], *lists: str) -> dict:
    event = json.dumps(url_event("POST", "/v1/ask", {"question": LEAVE}))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, event, *(str(FILES / name) for name in lists)], cwd=folder,
        capture_output=True, text=True, timeout=120,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "RAG_TOML": toml, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    reply = json.loads(done.stdout.splitlines()[-1])
    assert reply["statusCode"] == 200
    return json.loads(reply["body"])


def test_titan_and_claude_need_no_more(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "eu.md").write_text(f"# Leave\n\n{QUOTE}\n")
    with Emulator() as emulator:
        environment = emulator.environment()
        words = [sys.executable, "-m", "rag", "build", "docs", "ix", "--bedrock"]
        variables = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, env=variables)
        assert rag.Index.open(tmp_path / "ix").manifest.embedder.name == "titan"
        toml = 'embedder = "titan"\ngenerator = "claude"\n[deploy]\nindex = "ix"\nopen = true\n'
        answer = answered(tmp_path, toml, environment, "requirements.txt")
    assert QUOTE in answer["text"] and emulator.counts["InvokeModel"] >= 2


def test_the_local_model_needs_onnxruntime_besides(small_index: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "eu.md").write_text(f"# Leave\n\n{QUOTE}\n")
    rag.build(tmp_path / "docs", tmp_path / "ix", embedder="local")
    toml = '[deploy]\nindex = "ix"\nopen = true\n'
    answer = answered(tmp_path, toml, {}, "requirements.txt", "requirements-local.txt")
    assert QUOTE in answer["text"]
