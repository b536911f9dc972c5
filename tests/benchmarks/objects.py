"""Seconds and bytes of an index on S3: pushes, pulls and openings, on servers of this machine.

    python -m tests.benchmarks.objects [--chunks 100000] [--servers seaweed,moto]

The index has random words and vectors of 384 dimensions, 50 chunks a document. "Changed" replaces 1 % of the
documents. "Cold" opens with an empty cache, "warm" with all of it. The network is that of one machine, and the
server takes CPU time of the same two cores: the figures compare steps, and say nothing of S3's speed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import numpy as np

import rag
from rag.core.format import bytes_text
from rag.index.storage.chunk import Chunk
from rag.index.storage.manifest import EmbedderEntry, files_of
from rag.index.storage.writer import open_writer
from tests.index.remote.faulty_proxy import FaultyProxy
from tests.index.remote.seaweed import KEYS, running

DIMENSIONS, PER_DOCUMENT = 384, 50
WORDS = np.array([f"word{number}" for number in range(20_000)])


def write_documents(folder: Path, first: int, count: int, removed: set[str], seed: int) -> None:
    chance = np.random.default_rng(seed)
    entry = EmbedderEntry("", "random", DIMENSIONS)
    with open_writer(folder, entry) as writer:
        for number in range(first, first + count):
            vectors = chance.standard_normal((PER_DOCUMENT, DIMENSIONS), dtype=np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            at, chunks = 0, []
            document = writer.add_document(f"d{number}", f"{number}.md", {"part": number % 7})
            for row in range(PER_DOCUMENT):
                text = " ".join(WORDS[chance.zipf(1.3, 70) % len(WORDS)])
                chunks.append((document, Chunk(f"c{number}-{row}", at, at + len(text), text)))
                at += len(text) + 1
            writer.add_chunks(chunks, vectors)
        writer.commit(removed=removed, sources=[], root=".", chunker="none")


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    value = call()
    return time.perf_counter() - started, value


def measure(server: str, chunks: int) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        work = Path(name)
        (work / "server").mkdir()
        url = stack.enter_context({"moto": moto, "seaweed": running}[server](work / "server"))
        os.environ.update({**KEYS, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": url})
        boto3.client("s3").create_bucket(Bucket="indexes")
        place, folder, remote = "s3://indexes/handbook", work / "index", {"cache": str(work / "cache")}
        documents = chunks // PER_DOCUMENT
        write_documents(folder, 0, documents, set(), 1)
        whole = sum(file.bytes for file in files_of(rag.Index.open(folder).manifest))
        print(f"\n{server}: {chunks:,} chunks, {bytes_text(whole)}")
        print(f"  {'':44}{'seconds':>9}{'moved':>12}{'there already':>16}{'requests':>10}")
        counting = stack.enter_context(FaultyProxy(url))

        def line(what: str, seconds: float, moved: int = 0, there: int = 0, requests: str = "") -> None:
            print(f"  {what:44}{seconds:9.2f}{bytes_text(moved):>12}{bytes_text(there):>16}{requests:>10}")

        def transfer(what: str, call: Callable[[], Any]) -> None:
            seconds, done = timed(call)
            line(what, seconds, done.bytes, done.skipped_bytes)

        transfer("push", lambda: rag.push(folder, place))
        transfer("push again, nothing changed", lambda: rag.push(folder, place))
        transfer("pull into a new folder", lambda: rag.pull(place, work / "copy"))
        transfer("pull again, every SHA-256 compared", lambda: rag.pull(place, work / "copy"))
        seconds, _ = timed(lambda: rag.Index.open(place, remote=remote))
        line("cold open", seconds, whole)
        seconds, _ = timed(lambda: rag.Index.open(place, remote=remote))
        line("warm open", seconds, 0, whole)
        seconds, _ = timed(lambda: rag.Index.open(folder))
        line("open of the folder, for comparison", seconds)
        seconds, _ = timed(lambda: shutil.copytree(folder, work / "plain"))
        line("copy of the folder on disk, for comparison", seconds, whole)
        few = max(1, documents // 100)
        write_documents(folder, documents, few, {f"{number}.md" for number in range(few)}, 2)
        transfer("push after 1 % changed", lambda: rag.push(folder, place))
        transfer("pull after 1 % changed", lambda: rag.pull(place, work / "copy"))
        seconds, _ = timed(lambda: rag.Index.open(place, remote=remote))
        line("open after 1 % changed", seconds)
        transfer("push --prune", lambda: rag.push(folder, place, keep=1))
        for what, call in (
            ("requests of a push of nothing", lambda r: rag.push(folder, place, remote=r)),
            ("requests of a warm open", lambda r: rag.Index.open(place, remote=r | remote)),
        ):
            rag.Index.open(place, remote={"endpoint_url": counting.url} | remote)
            before = counting.requests
            seconds, _ = timed(lambda call=call: call({"endpoint_url": counting.url}))
            line(what, seconds, requests=str(counting.requests - before))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--servers", default="seaweed,moto")
    options = parser.parse_args()
    for server in options.servers.split(","):
        measure(server, options.chunks)


if __name__ == "__main__":
    main()
