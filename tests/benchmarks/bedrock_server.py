"""An emulator in a process of its own, that tells what it answered: run by `tests.benchmarks.bedrock`.

    python -m tests.benchmarks.bedrock_server '{"latency_s": 0.08}' [echo] [batch]

Its first line is the environment that sends AWS's clients to it. Each line that it reads is answered with
what happened since it last behaved in a new way; a line that is not empty is a new behaviour. It ends with
its input. With ``echo`` models repeat the question and quote the first search result; with ``batch`` there
is an S3, too, and a share of a job's records fails.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from rag.emulator import Behaviour, Emulator, Reply, Request
from rag.emulator.answering import texts
from rag.emulator.connection import Incoming
from rag.emulator.embedding import vectors
from rag.emulator.jobs import jobs_of
from rag.emulator.rules import search_results

FAILED_RECORDS, QUOTED = 0.05, 200
_QUESTION = re.compile("<question>(.*?)</question>", re.DOTALL)


class Watched(Emulator):
    """An emulator that notes when each request was answered, and how often each was answered well."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.begin(self.behaviour)

    def begin(self, behaviour: Behaviour) -> None:
        """Behave in a new way, and forget what was before."""
        self.behaviour, self.began_s = behaviour, time.process_time()
        self.log: list[tuple[float, int]] = []
        self.paid: Counter[int] = Counter()
        self.counts.clear()

    def answer(self, incoming: Incoming) -> Reply:
        status = 0  # of a connection that is cut
        try:
            reply = super().answer(incoming)
            status = reply.status
            return reply
        finally:
            self.log.append((time.monotonic(), status))
            if status == 200:
                self.paid[hash(incoming.body)] += 1

    def told(self) -> dict[str, Any]:
        return {
            "log": self.log, "counts": self.counts, "problems": self.problems[:5],
            "twice": self.paid.total() - len(self.paid), "cpu_s": time.process_time() - self.began_s,
        }  # fmt: skip


def echo(request: Request) -> str:
    """Repeat the question, and quote what the first search result begins with."""
    asked = "".join(texts(request.params["messages"][-1]["content"]))
    question = _QUESTION.findall(asked)[-1]
    first = next(iter(search_results(request.params)))
    quote = first["content"][0]["text"][:QUOTED].strip()
    return f'{question}\n\n{quote} <cite doc="1">{quote}</cite>'


def storage() -> str:
    """Start an S3 with a bucket in this process; return where."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket="work")
    return url


def behaviour(line: str, reply: Callable[[Request], str] | None) -> Behaviour:
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(line).items()}
    return Behaviour(reply=reply, **given)


def main(first: str, *more: str) -> None:
    vectors(["The model is loaded before anything is measured."], 1024)
    reply = echo if "echo" in more else None
    s3 = storage() if "batch" in more else None
    emulator = Watched(behaviour(first, reply), s3_endpoint=s3)
    jobs_of(emulator).fail_records = FAILED_RECORDS
    with emulator:
        found = emulator.environment() | ({"AWS_ENDPOINT_URL_S3": s3} if s3 else {})
        print(json.dumps(found), flush=True)
        for line in sys.stdin:
            if line.strip():
                emulator.begin(behaviour(line, reply))
            print(json.dumps(emulator.told()), flush=True)
        os._exit(0)  # connections and jobs may still be open


if __name__ == "__main__":
    main(*sys.argv[1:])
