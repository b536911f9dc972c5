"""The IAM actions and resources that a pipeline needs, as a policy with least rights.

Actions and resources: Service Authorization Reference, "Actions, resources, and condition keys for Amazon
Bedrock"; that a profile needs its models, too, in all the regions that it may choose: Bedrock User Guide,
"Prerequisites for inference profiles" (both read November 2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rag.bedrock.runtime.faults import code_of, response_of
from rag.usage import model_ids

#: Actions that have another name than the operation, or another service's prefix.
_ACTIONS: Mapping[str, str] = {
    "Converse": "bedrock:InvokeModel", "ConverseStream": "bedrock:InvokeModelWithResponseStream",
    "GetCallerIdentity": "sts:GetCallerIdentity", "ListServiceQuotas": "servicequotas:ListServiceQuotas",
}  # fmt: skip
_REFUSED = re.compile(r"not authorized to perform: ([a-z0-9-]+:\w+)(?: on resource: (\S+))?")
_JOBS = ("CreateModelInvocationJob", "GetModelInvocationJob", "StopModelInvocationJob")
_TABLE_ACTIONS = ("GetItem", "PutItem", "DeleteItem", "DescribeTable", "Scan")
Kind = Literal[
    "embed", "chat", "rerank", "retrieve", "guardrail", "batch", "table", "index", "log", "records"
]


def action_of(operation: str) -> str:
    """Return the IAM action of an operation of Bedrock, STS or Service Quotas.

    Examples
    --------
    >>> action_of("Converse"), action_of("Rerank")
    ('bedrock:InvokeModel', 'bedrock:Rerank')
    """
    return _ACTIONS.get(operation, f"bedrock:{operation}")


@dataclass(frozen=True, slots=True)
class Use:
    """Something of AWS that a configured pipeline calls.

    Attributes
    ----------
    kind : {"embed", "chat", "rerank", "retrieve", "guardrail", "batch", "table", "index", "log", "records"}
    stage : str
        Which setting names it, e.g. ``"generator"``.
    name : str
        A model's id, profile or ARN; a knowledge base's id; ``"identifier:version"`` of a guardrail;
        ``s3://bucket/prefix`` of batch jobs or of an index; a DynamoDB table; the function whose log it is.
    base : str or None
        The model behind an application inference profile; of batch jobs, the model that they run.
    region : str or None
        The stage's own; by default the environment's.
    role_arn : str
        Of batch jobs.
    body : str
        Of an embedder: the JSON with which InvokeModel embeds one word.
    """

    kind: Kind
    stage: str
    name: str
    base: str | None = None
    region: str | None = None
    role_arn: str = ""
    body: str = ""


@dataclass(frozen=True, slots=True)
class Permission:
    """An action on a resource; `service` limits ``iam:PassRole`` to one."""

    action: str
    resource: str
    service: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a policy holds; what is not known stays a word to replace."""

    region: str = "REGION"
    account: str = "ACCOUNT"
    partition: str = "aws"

    def arn(self, path: str, *, region: str | None = None, account: str | None = None) -> str:
        """Return the ARN of something of Bedrock."""
        here = self.region if region is None else region
        return f"arn:{self.partition}:bedrock:{here}:{self.account if account is None else account}:{path}"


def resources(model: str, base: str | None, place: Place) -> tuple[str, ...]:
    """Return the ARNs that calling a model needs: its own, and those of the models behind a profile.

    Examples
    --------
    >>> resources("amazon.titan-embed-text-v2:0", None, Place("eu-west-1"))
    ('arn:aws:bedrock:eu-west-1::foundation-model/amazon.titan-embed-text-v2:0',)
    >>> resources("eu.anthropic.claude-sonnet-5-5", None, Place("eu-west-1", "111122223333"))[0]
    'arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-sonnet-5-5'
    """
    profile, id = model_ids.split(model)
    if model.startswith("arn:"):
        if profile:
            return (model, _everywhere(id, place), *_global(profile, id, place))
        return (model, _everywhere(model_ids.split(base)[1], place)) if base else (model,)
    if not profile:
        return (place.arn(f"foundation-model/{id}", account=""),)
    own = place.arn(f"inference-profile/{model}")
    return (own, _everywhere(id, place), *_global(profile, id, place))


def _everywhere(id: str, place: Place) -> str:
    return place.arn(f"foundation-model/{id}", region="*", account="")


def _global(profile: str, id: str, place: Place) -> tuple[str, ...]:
    """Return the model without a region, which a global profile asks for besides."""
    return (place.arn(f"foundation-model/{id}", region="", account=""),) if profile == "global" else ()


def needed(use: Use, place: Place) -> Iterator[Permission]:
    """Yield the permissions that a use needs."""
    if use.kind in ("embed", "chat", "rerank"):
        actions = ["bedrock:InvokeModel"]
        if use.kind == "chat":
            actions.append("bedrock:InvokeModelWithResponseStream")
        for action in actions:
            yield from (Permission(action, arn) for arn in resources(use.name, use.base, place))
        if use.kind == "rerank":  # Rerank takes no resource
            yield Permission("bedrock:Rerank", "*")
        if "application-inference-profile" in use.name and not use.base:
            yield Permission("bedrock:GetInferenceProfile", use.name)
    elif use.kind == "retrieve":
        yield Permission("bedrock:Retrieve", _own("knowledge-base", use.name, place))
    elif use.kind == "guardrail":
        identifier = use.name.rpartition(":")[0]
        yield Permission("bedrock:ApplyGuardrail", _own("guardrail", identifier, place))
    elif use.kind == "table":
        table = f"arn:{place.partition}:dynamodb:{place.region}:{place.account}:table/{use.name}"
        yield from (Permission(f"dynamodb:{action}", table) for action in _TABLE_ACTIONS)
    elif use.kind == "index":
        yield Permission("s3:GetObject", _below(use.name, place)[1])
    elif use.kind == "log":
        group = (
            f"arn:{place.partition}:logs:{place.region}:{place.account}:log-group:/aws/lambda/{use.name}:*"
        )
        yield from (Permission(f"logs:{action}", group) for action in ("CreateLogStream", "PutLogEvents"))
    elif use.kind == "records":
        region = use.region or place.region
        group = f"arn:{place.partition}:logs:{region}:{place.account}:log-group:{use.name}:*"
        yield from (Permission(f"logs:{action}", group) for action in ("CreateLogStream", "PutLogEvents"))
    else:
        yield from _batch(use, place)


def _batch(use: Use, place: Place) -> Iterator[Permission]:
    job = place.arn("model-invocation-job/*")
    for action in _JOBS:
        yield Permission(f"bedrock:{action}", job)
    for arn in resources(use.base, None, place) if use.base else ():
        yield Permission("bedrock:CreateModelInvocationJob", arn)
    yield Permission("bedrock:ListModelInvocationJobs", "*")
    bucket, objects = _below(use.name, place)
    for action in ("s3:GetObject", "s3:PutObject"):
        yield Permission(action, objects)
    yield Permission("s3:ListBucket", bucket)
    yield Permission("iam:PassRole", use.role_arn or "ROLE_ARN", "bedrock.amazonaws.com")


def _below(url: str, place: Place) -> tuple[str, str]:
    """Return the ARNs of a bucket, and of the objects below a prefix of it."""
    bucket, _, prefix = url.removeprefix("s3://").rstrip("/").partition("/")
    arn = f"arn:{place.partition}:s3:::{bucket}"
    return arn, f"{arn}/{prefix and prefix + '/'}*"


def _own(kind: str, name: str, place: Place) -> str:
    return name if name.startswith("arn:") else place.arn(f"{kind}/{name}")


def policy(permissions: Iterable[Permission]) -> dict[str, Any]:
    """Return permissions as an IAM policy: actions on the same resources are one statement.

    Examples
    --------
    >>> policy([Permission("bedrock:Rerank", "*")])["Statement"]
    [{'Effect': 'Allow', 'Action': ['bedrock:Rerank'], 'Resource': ['*']}]
    """
    by_action: dict[tuple[str, str], dict[str, None]] = {}
    for each in permissions:
        by_action.setdefault((each.action, each.service), {})[each.resource] = None
    by_resources: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for (action, service), named in by_action.items():
        by_resources.setdefault((tuple(named), service), []).append(action)
    statements: list[dict[str, Any]] = []
    for (arns, service), actions in by_resources.items():
        statement: dict[str, Any] = {"Effect": "Allow", "Action": actions, "Resource": list(arns)}
        if service:
            statement["Condition"] = {"StringEquals": {"iam:PassedToService": service}}
        statements.append(statement)
    return {"Version": "2012-10-17", "Statement": statements}


def denied(error: BaseException, operation: str, resource: str = "*") -> Permission | None:
    """Return the permission that a call lacked; None where it failed for another reason.

    Parameters
    ----------
    error : BaseException
        botocore's, or one that was raised from it.
    operation, resource : str
        What was called, where AWS's message names no action or resource.

    Examples
    --------
    >>> from botocore.exceptions import ClientError
    >>> message = "User: x is not authorized to perform: bedrock:Rerank because no policy allows it"
    >>> reply = {"Error": {"Code": "AccessDeniedException", "Message": message}}
    >>> denied(ClientError(reply, "Rerank"), "Rerank")
    Permission(action='bedrock:Rerank', resource='*', service='')
    """
    cause = error if response_of(error) else error.__cause__ or error
    if code_of(cause) != "AccessDeniedException":
        return None
    message = str(response_of(cause).get("Error", {}).get("Message", ""))
    if "access to the model" in message or "Marketplace" in message:  # of the account, not of the caller
        return None
    match = _REFUSED.search(message)
    if match is None:
        return Permission(action_of(operation), resource)
    return Permission(match[1], match[2] or resource)
