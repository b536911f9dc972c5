"""The emulator: it validates requests, applies quotas and failures, answers and records them."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any, Protocol

from rag.emulator import (
    access,
    agents,
    caller,
    catalog,
    conversing,
    embedding,
    generating,
    jobs,
    knowledge_bases,
    profiles,
    routing,
    rules,
    signing,
    validating,
    vector_buckets,
)
from rag.emulator.base_state import KnowledgeBases
from rag.emulator.behaviour import Behaviour, Chance, Cut, Failure, Hang, Moment, Quotas, paced
from rag.emulator.caching import PromptCache
from rag.emulator.completion import Guard
from rag.emulator.connection import Incoming, Listener
from rag.emulator.guardrails import applying, control
from rag.emulator.guardrails.store import Guardrails
from rag.emulator.wire import REGION, Refusal, Reply, Request

#: Requests kept in `Emulator.requests`; beyond that, the older half is dropped.
KEPT = 100_000
#: The secret of every access key, unless `secrets` is set.
SECRET = "test"


class Recorder(Protocol):
    """Answers instead of the emulator: from a recording, or from the real service."""

    def handle(self, request: Request) -> Reply | None:
        """Return the reply, or None if the emulator is to answer; may raise `Refusal`."""


class Emulator:
    """Amazon Bedrock on 127.0.0.1; a context manager.

    Parameters
    ----------
    behaviour : Behaviour, optional
    port : int
        0 takes a free one.
    host : str
    check_signatures : bool
        Whether to refuse wrong and missing signatures.
    secrets : Mapping, optional
        Access keys and their secrets; by default any key with the secret `SECRET`.
    s3_endpoint : str, optional
        Where batch jobs read and write, and knowledge bases ingest.
    knowledge_bases : Mapping
        Ids of knowledge bases, and the folders of their indexes.
    recorder : Recorder, optional
    job_s : float
        Seconds that a batch or ingestion job is in progress, and that a knowledge base is being created.
    inference_profiles : mapping of str to str, optional
        Ids or ARNs of application inference profiles, to the ids of their models.
    guardrail_s : float
        Seconds that a guardrail is not ready after it is created, updated or versioned.
    buckets : mapping of str to str or Path, optional
        Names of buckets to folders, from which knowledge bases ingest instead of from S3.

    Attributes
    ----------
    behaviour : Behaviour
        May be edited or replaced while it runs.
    jobs : Jobs
        Batch jobs, and the failures of those to come.
    guardrails : Guardrails
        The account's guardrails. Once there is one, a request that names another is refused as by AWS; while
        there is none, every guardrail acts as `behaviour` says.
    bases : KnowledgeBases
        The knowledge bases that were created here.
    requests : list of Request
        Every request, valid or not (the last `KEPT`).
    problems : list of str
        One line per invalid request.
    counts : Counter
        Requests by operation; ``refused`` (invalid), ``denied``, ``throttled``, ``failed`` (on demand).

    Examples
    --------
    >>> with Emulator() as emulator:
    ...     emulator.fail_next("ThrottlingException", times=2)
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        check_signatures: bool = True,
        secrets: Mapping[str, str] | None = None,
        s3_endpoint: str | None = None,
        knowledge_bases: Mapping[str, str | Path] | None = None,
        recorder: Recorder | None = None,
        job_s: float = 0.0,
        inference_profiles: Mapping[str, str] | None = None,
        guardrail_s: float = 0.0,
        buckets: Mapping[str, str | Path] | None = None,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.check_signatures, self.secrets = check_signatures, secrets
        self.s3_endpoint = s3_endpoint
        self.knowledge_bases: dict[str, str | Path] = dict(knowledge_bases or {})
        self.recorder, self.job_s = recorder, job_s
        self.inference_profiles = dict(inference_profiles or {})
        self.buckets = {name: Path(folder) for name, folder in (buckets or {}).items()}
        self.bases, self.vector_buckets = KnowledgeBases(), vector_buckets.VectorBuckets()
        self.requests: list[Request] = []
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.prompt_cache = PromptCache()
        self.jobs = jobs.Jobs()
        self.guardrails = Guardrails(guardrail_s)
        self._number = 0
        self._lock = threading.Lock()
        self._failures: list[Failure] = []
        self._quotas, self._chance = Quotas(), Chance()
        self._listener = Listener(
            (host, port), self.answer,
            on_malformed=lambda problem: self._note("", problem),
            bytes_per_second=lambda: self.behaviour.bytes_per_second,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """The URL that it listens on."""
        host, port = self._listener.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Emulator:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """End all connections."""
        self._listener.close()
        self._thread.join()
        self.bases.close()

    def guard(self, config: Mapping[str, Any]) -> Guard:
        """Return the guardrail of a request's ``guardrailConfig``."""
        return applying.guard_of(self, config)

    def environment(self) -> dict[str, str]:
        """Return environment variables that point AWS's clients here, with fake credentials."""
        key, secret = next(iter(self.secrets.items())) if self.secrets else ("test", SECRET)
        return {
            "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_BEDROCK": self.url, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.url,
            "AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME": self.url, "AWS_ENDPOINT_URL_BEDROCK_AGENT": self.url,
            "AWS_ENDPOINT_URL_S3VECTORS": self.url,
            "AWS_ENDPOINT_URL_STS": self.url, "AWS_ENDPOINT_URL_SERVICE_QUOTAS": self.url,
            **({"AWS_ENDPOINT_URL_S3": self.s3_endpoint} if self.s3_endpoint else {}),
        }  # fmt: skip

    def fail_next(self, code: str, times: int = 1, *, moment: Moment = "before", events: int = 2) -> None:
        """Make the next calls fail; these failures take precedence over random ones.

        Parameters
        ----------
        code : str
            A name in `rag.bedrock.runtime.faults.FAULTS`. ``StreamCut`` and ``ConnectionClosedError``
            cut the connection; ``ReadTimeoutError`` sends nothing until the client times out.
        times : int
        moment : {"before", "stream", "after"}
            Instead of a reply; in a stream after `events` pieces of content; after its content, before
            ``messageStop``. The last two wait for a ConverseStream.
        events : int

        Raises
        ------
        ConfigError
            No server fails with this code.
        """
        failure = Failure(code, moment, events)
        with self._lock:
            self._failures += [failure] * times

    def found(self, base: str, query: str, configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what a knowledge base finds, in the form of Retrieve."""
        return agents.search(self, base, query, configuration)[0]

    def answer(self, incoming: Incoming) -> Reply:
        """Answer a request.

        Raises
        ------
        Cut, Hang
            The connection is to end, or to stay open without an answer.
        """
        request, refusal = self._parse(incoming)
        with self._lock:
            self.requests.append(request)
            if len(self.requests) > KEPT:
                del self.requests[: KEPT // 2]
        headers = {
            "Date": formatdate(usegmt=True),
            "x-amzn-RequestId": f"00000000-0000-4000-8000-{request.number:012d}",
        }
        try:
            reply = self._checked(request, refusal)
        except Refusal as refused:
            other = caller.refused(request.service, refused, request.number)
            if other is not None:
                return Reply(other.body, other.status, {**headers, **other.headers})
            error = {"x-amzn-ErrorType": refused.code}
            return Reply({"message": refused.message}, refused.status, {**headers, **error})
        except (Cut, Hang):
            raise
        except Exception as error:
            traceback.print_exc()
            self._note("failed", f"the emulator itself failed: {type(error).__name__}: {error}")
            error_type = {"x-amzn-ErrorType": "InternalServerException"}
            return Reply({"message": f"the emulator failed: {error}"}, 500, {**headers, **error_type})
        return Reply(reply.body, reply.status, {**headers, **reply.headers}, reply.events)

    def _parse(self, incoming: Incoming) -> tuple[Request, Refusal | None]:
        """Parse a request, and return the refusal if it is invalid."""
        path, _, query = incoming.path.partition("?")
        service = operation = ""
        params: Mapping[str, Any] = {}
        refusal = None
        try:
            route = routing.by_action(path, incoming.headers, incoming.body) or routing.find(
                incoming.method, path
            )
            service, operation = route.service, route.operation
            params, wrong = validating.read(route, path, query, incoming.headers, incoming.body)
            if not wrong:
                wrong = list(rules.of_operation(operation, params))
            if wrong:
                refusal = validating.refusal(wrong)
        except Refusal as refused:
            refusal = refused
        with self._lock:
            self._number += 1
            number = self._number
        return Request(
            service, operation, params, incoming.method, incoming.path,
            incoming.headers, incoming.body, number,
        ), refusal  # fmt: skip

    def _checked(self, request: Request, refusal: Refusal | None) -> Reply:
        """Refuse an invalid request, in AWS's order: signature first; answer a valid one."""
        try:
            if self.check_signatures and request.operation:
                signing.check(request, self.secrets, SECRET)
            recorded = self.recorder.handle(request) if self.recorder and request.operation else None
            if refusal is not None and recorded is None:
                raise refusal
        except Refusal as refused:
            self._note("refused", f"{request.operation or request.path}: {refused}")
            raise
        with self._lock:
            self.counts[request.operation] += 1
        if recorded is not None:
            if refusal is not None:
                self._note("", f"{request.operation}: {refusal}")
            return recorded
        return self._served(request)

    def _served(self, request: Request) -> Reply:
        behaviour, streams = self.behaviour, request.operation in STREAMS
        try:
            access.check(behaviour, request)
        except Refusal:
            self._note("denied")
            raise
        failure = self._next_failure(streams)
        if failure is None:
            try:
                self._quotas.admit(behaviour, lambda: _quota_tokens(request), time.monotonic())
            except Refusal:
                self._note("throttled")
                raise
            failure = self._chance.failure(behaviour, stream=streams)
        if failure is not None:
            self._note("throttled" if failure.code == "ThrottlingException" else "failed")
        # A throttled call fails at once; every other takes the latency.
        if failure is None or failure.code != "ThrottlingException" or failure.moment != "before":
            time.sleep(self._chance.latency_s(behaviour))
        if failure is not None and failure.moment == "before":
            raise failure.exception()
        try:
            operation = OPERATIONS.get(request.operation)
            if operation is None:
                raise Refusal(
                    "UnknownOperationException",
                    f"the emulator has no {request.operation} of {request.service}", 501,
                )  # fmt: skip
            reply = operation(self, request)
        except Refusal as refused:
            self._note("refused", f"{request.operation}: {refused}")
            raise
        if reply.events is None:
            return reply
        return Reply(reply.body, reply.status, reply.headers, paced(reply.events, behaviour.token_s, failure))

    def _next_failure(self, streams: bool) -> Failure | None:
        with self._lock:
            for at, failure in enumerate(self._failures):
                if streams or failure.moment == "before":
                    return self._failures.pop(at)
        return None

    def _note(self, count: str, problem: str = "") -> None:
        with self._lock:
            if count:
                self.counts[count] += 1
            if problem:
                self.problems.append(problem)


#: Operations that answer with events.
STREAMS = ("ConverseStream", "RetrieveAndGenerateStream")
#: The functions that answer the operations.
OPERATIONS: Mapping[str, Callable[[Emulator, Request], Reply]] = {
    "ApplyGuardrail": applying.apply,
    "Converse": conversing.converse,
    "ConverseStream": conversing.converse_stream,
    "CountTokens": conversing.count_tokens,
    "CreateDataSource": knowledge_bases.create_source,
    "CreateGuardrail": control.create,
    "CreateGuardrailVersion": control.version,
    "CreateIndex": vector_buckets.create_index,
    "CreateKnowledgeBase": knowledge_bases.create_base,
    "CreateModelInvocationJob": jobs.create,
    "CreateVectorBucket": vector_buckets.create_bucket,
    "DeleteDataSource": knowledge_bases.delete_source,
    "DeleteGuardrail": control.delete,
    "DeleteKnowledgeBase": knowledge_bases.delete_base,
    "GetCallerIdentity": caller.identity,
    "GetDataSource": knowledge_bases.get_source,
    "GetFoundationModel": catalog.get_model,
    "GetFoundationModelAvailability": catalog.availability,
    "GetGuardrail": control.get,
    "GetIndex": vector_buckets.get_index,
    "GetInferenceProfile": profiles.get,
    "GetIngestionJob": knowledge_bases.get_job,
    "GetKnowledgeBase": knowledge_bases.get_base,
    "GetModelInvocationJob": jobs.get,
    "GetVectorBucket": vector_buckets.get_bucket,
    "InvokeModel": embedding.invoke_model,
    "ListDataSources": knowledge_bases.list_sources,
    "ListFoundationModels": catalog.list_models,
    "ListGuardrails": control.list_guardrails,
    "ListInferenceProfiles": catalog.list_profiles,
    "ListIngestionJobs": knowledge_bases.list_jobs,
    "ListKnowledgeBases": knowledge_bases.list_bases,
    "ListModelInvocationJobs": jobs.list_jobs,
    "ListServiceQuotas": caller.quotas,
    "ListTagsForResource": control.list_tags,
    "Rerank": agents.rerank,
    "Retrieve": agents.retrieve,
    "RetrieveAndGenerate": generating.retrieve_and_generate,
    "RetrieveAndGenerateStream": generating.retrieve_and_generate_stream,
    "StartIngestionJob": knowledge_bases.start_job,
    "StopIngestionJob": knowledge_bases.stop_job,
    "StopModelInvocationJob": jobs.stop,
    "TagResource": control.tag,
    "UntagResource": control.untag,
    "UpdateGuardrail": control.update,
}


def _quota_tokens(request: Request) -> int:
    """Return a request's share of the token quota; most operations have none."""
    if request.operation in ("Converse", "ConverseStream"):
        return conversing.tokens_of(request)
    return embedding.tokens_of(request) if request.operation == "InvokeModel" else 0
