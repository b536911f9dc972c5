"""Refuse calls of actions that the caller lacks, and of models that the account has no access to.

The messages are AWS's ("Troubleshooting access denied error messages", IAM User Guide; the second is that
of Bedrock's runtime).
"""

from __future__ import annotations

from rag.bedrock.control.permissions import action_of
from rag.emulator.behaviour import Behaviour
from rag.emulator.caller import ARN
from rag.emulator.wire import ACCOUNT, Refusal, Request
from rag.usage import model_ids

#: Operations that run a model.
_RUNS = ("Converse", "ConverseStream", "InvokeModel")


def check(behaviour: Behaviour, request: Request) -> None:
    """Raise `Refusal` where the behaviour denies a request."""
    action = action_of(request.operation)
    model = _model(request)
    if action in behaviour.denied:
        resource = f" on resource: {_arn(model, request.region)}" if model else ""
        raise Refusal(
            "AccessDeniedException",
            f"User: {ARN} is not authorized to perform: {action}{resource} because no identity-based policy "
            f"allows the {action} action",
        )
    if request.operation in _RUNS and model_ids.split(model)[1] in behaviour.no_access:
        raise Refusal(
            "AccessDeniedException", "You don't have access to the model with the specified model ID."
        )


def _model(request: Request) -> str:
    if request.operation == "Rerank":
        settings = request.params["rerankingConfiguration"]["bedrockRerankingConfiguration"]
        return str(settings["modelConfiguration"]["modelArn"])
    return str(request.params.get("modelId", ""))


def _arn(model: str, region: str) -> str:
    if model.startswith("arn:"):
        return model
    if model_ids.split(model)[0]:
        return f"arn:aws:bedrock:{region}:{ACCOUNT}:inference-profile/{model}"
    return f"arn:aws:bedrock:{region}::foundation-model/{model}"
