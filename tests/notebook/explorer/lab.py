"""A JupyterLab of this machine, and a notebook in it: real server, kernel, comm messages and widget manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nbformat

#: What JupyterLab would ask of the internet: news, updates, extensions, a browser.
QUIET = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/extensionmanager-extension:plugin": {"enabled": False},
}  # fmt: skip


def notebook(path: Path, cells: Sequence[str]) -> None:
    """Write a notebook with these cells of code."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """Run JupyterLab over a folder, and yield its address; its settings and logs stay in the folder."""
    home = folder / ".home"
    home.mkdir(exist_ok=True)
    overrides = folder / ".home" / "settings"
    overrides.mkdir(exist_ok=True)
    (overrides / "overrides.json").write_text(json.dumps(QUIET), encoding="utf-8")
    environment = {
        **os.environ, "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_PLATFORM_DIRS": "1",
        "JUPYTER_DATA_DIR": str(home / "data"), "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "IPYTHONDIR": str(home / "ipython"),
    }  # fmt: skip
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root", f"--ServerApp.root_dir={folder}",
        "--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.news_url=", f"--LabServerApp.app_settings_dir={overrides}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
        try:
            yield _address(home, server)
        finally:
            server.terminate()
            server.wait(20)


def _address(home: Path, server: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        for file in (home / "runtime").glob("jpserver-*.json"):
            try:
                url = str(json.loads(file.read_text(encoding="utf-8"))["url"]).replace(
                    "localhost", "127.0.0.1"
                )
                with urllib.request.urlopen(f"{url}api", timeout=5):
                    return url
            except (OSError, ValueError, KeyError):
                pass
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start: {(home / 'log').read_text(encoding='utf-8')[-2000:]}")
