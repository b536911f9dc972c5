"""Find the operation of a request in botocore's service models."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from rag.emulator.wire import Refusal

SERVICES = ("bedrock-runtime", "bedrock-agent-runtime", "bedrock", "bedrock-agent", "s3vectors")
#: Operations that no path names, with their services.
_BY_ACTION = {"GetCallerIdentity": "sts", "ListServiceQuotas": "service-quotas"}


@dataclass(frozen=True, slots=True)
class Route:
    """An operation and its path.

    Attributes
    ----------
    service, operation : str
    template : str
        ``/model/{modelId}/converse``.
    pattern : re.Pattern
        Matches the raw path; one group per label, in order.
    labels : tuple of str
    model : botocore.model.OperationModel
    """

    service: str
    operation: str
    template: str
    pattern: re.Pattern[str]
    labels: tuple[str, ...]
    model: Any

    def label_values(self, path: str) -> dict[str, str]:
        """Return the values of the labels in a raw path without query."""
        match = self.pattern.fullmatch(path)
        if match is None:
            return {}
        return {name: unquote(value) for name, value in zip(self.labels, match.groups(), strict=True)}


def find(method: str, path: str) -> Route:
    """Find the operation with a method and a raw path without query.

    Raises
    ------
    Refusal
        No operation matches: ``UnknownOperationException``, status 404; the message names near misses.

    Examples
    --------
    >>> find("POST", "/model/amazon.titan-embed-text-v2%3A0/invoke").operation
    'InvokeModel'
    """
    for service in SERVICES:
        for route in _routes(service).get((method, path.count("/")), ()):
            if route.pattern.fullmatch(path):
                return route
    all_templates = {
        f"{way} {route.template}"
        for service in SERVICES for (way, _), routes in _routes(service).items() for route in routes
    }  # fmt: skip
    near = difflib.get_close_matches(f"{method} {path}", all_templates, n=3, cutoff=0.3)
    raise Refusal(
        "UnknownOperationException",
        f"no operation has {method} {path}; near misses: {'; '.join(near) or 'none'}",
        404,
    )


def by_action(path: str, headers: Mapping[str, str], body: bytes) -> Route | None:
    """Find the operation of a request whose path names none: one of STS or of Service Quotas.

    Parameters
    ----------
    path : str
        Without query.
    headers : Mapping
        Names in lower case; Service Quotas names the operation in one.
    body : bytes
        STS has the operation in its form.

    Examples
    --------
    >>> by_action("/", {}, b"Action=GetCallerIdentity&Version=2011-06-15").operation
    'GetCallerIdentity'
    """
    if path != "/":
        return None
    target = headers.get("x-amz-target", "").rpartition(".")[2]
    form = dict(parse_qsl(body.decode("latin-1"))) if body.startswith(b"Action=") else {}
    operation = target or form.get("Action", "")
    service = _BY_ACTION.get(operation)
    if service is None:
        return None
    return next(route for route in _routes(service)["POST", 1] if route.operation == operation)


@lru_cache(maxsize=len(SERVICES) + 2)
def _routes(service: str) -> dict[tuple[str, int], list[Route]]:
    """Return a service's operations by method and number of slashes."""
    by_shape: dict[tuple[str, int], list[Route]] = defaultdict(list)
    for route in _read(service):
        by_shape[route.model.http["method"], route.template.count("/")].append(route)
    for routes in by_shape.values():
        routes.sort(key=lambda route: len(route.labels))  # a fixed path takes precedence over a label
    return dict(by_shape)


def _read(service: str) -> Iterator[Route]:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    for name in model.operation_names:
        operation = model.operation_model(name)
        template = operation.http["requestUri"].partition("?")[0]
        parts = re.split(r"\{([^}]+)\}", template)
        pattern = "".join(re.escape(part) if at % 2 == 0 else "([^/]+)" for at, part in enumerate(parts))
        yield Route(service, name, template, re.compile(pattern), tuple(parts[1::2]), operation)
