"""Compare replies with botocore's service models: members, types, enumerations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from rag.emulator.assumptions.assumption import Assumption, each, of
from rag.emulator.assumptions.exchange import Exchange

#: Enumerations to which AWS adds before botocore does.
_OPEN = frozenset({"InferenceType"})
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "long": (int,), "double": (int, float), "float": (int, float),
    "boolean": (bool,), "timestamp": (str, int, float),
}  # fmt: skip
_SERVICES: Mapping[str, tuple[str, ...]] = {
    "bedrock-runtime": ("Converse", "CountTokens", "ApplyGuardrail"),
    "bedrock-agent-runtime": ("Rerank",),
    "bedrock": (
        "ListFoundationModels", "GetFoundationModel", "GetFoundationModelAvailability",
        "ListInferenceProfiles", "GetInferenceProfile", "CreateModelInvocationJob", "GetModelInvocationJob",
    ),
}  # fmt: skip


@lru_cache(maxsize=32)
def _shape(service: str, operation: str) -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    return model.operation_model(operation).output_shape


def problems(value: Any, shape: Any, path: str = "") -> Iterator[str]:
    """Yield how a JSON value differs from a shape; paths name no index, so that a list differs once."""
    kind = shape.type_name
    if getattr(shape, "is_document_type", False) or kind in ("blob", "map"):
        return
    if kind == "structure":
        if not isinstance(value, Mapping):
            yield f"{path or 'the reply'} is no object"
            return
        for name in shape.required_members:
            if name not in value:
                yield f"{_join(path, name)} is missing"
        for name, inner in value.items():
            if name in shape.members:
                yield from problems(inner, shape.members[name], _join(path, name))
            elif name != "__type":
                yield f"{_join(path, name)} is not in botocore's model"
    elif kind == "list":
        for inner in value if isinstance(value, list) else ():
            yield from problems(inner, shape.member, f"{path}[]")
    elif value is not None and not isinstance(value, _TYPES.get(kind, (object,))):
        yield f"{path} is {value!r}, no {kind}"
    elif shape.metadata.get("enum") and shape.name not in _OPEN and value not in shape.metadata["enum"]:
        yield f"{path} is {value!r}, which botocore's model does not list"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _stream(exchange: Exchange) -> Iterator[str]:
    members = _shape("bedrock-runtime", "ConverseStream").members["stream"].members
    for event in exchange.events or ():
        if event.kind != "event":
            continue
        if event.name not in members:
            yield f"the event {event.name} is not in botocore's model"
        else:
            yield from problems(event.payload, members[event.name], event.name)


def _of_operation(service: str, operation: str) -> Assumption:
    return Assumption(
        f"shape.{operation}", f"Replies of {operation} have the members of botocore's model, and no others.",
        f"botocore 1.44.5, {service}", of(operation),
        each(lambda exchange: problems(exchange.body, _shape(service, operation))),
    )  # fmt: skip


SHAPES: tuple[Assumption, ...] = (
    *(_of_operation(service, operation) for service, names in _SERVICES.items() for operation in names),
    Assumption("shape.ConverseStream", "Events have the members of botocore's model, and no others.",
               "botocore 1.44.5, bedrock-runtime", of("ConverseStream"), each(_stream)),
)  # fmt: skip
