"""A template of AWS SAM for an index as a function, with the rights that its ``rag.toml`` needs, no others.

Properties: AWS SAM Developer Guide, "AWS::Serverless::Function" (read November 2026). Its transform adds the
two permissions of a URL for everyone, ``lambda:InvokeFunctionUrl`` and ``lambda:InvokeFunction``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from rag.bedrock.control.permissions import Place, needed, policy
from rag.config.bedrock_uses import uses
from rag.config.deploy import DeploySettings

_HERE = Place("${AWS::Region}", "${AWS::AccountId}", "${AWS::Partition}")
_HEAD = """\
# An index of rag as a function of AWS Lambda, with a URL. Made by `rag deploy` from rag.toml: to change it,
# change [deploy] there. Deploy it with
#   sam build && sam deploy --guided
"""


def rights(settings: Mapping[str, Any], place: Place = _HERE) -> dict[str, Any]:
    """Return the IAM policy of the function: that of ``rag doctor --policy``.

    Parameters
    ----------
    settings : mapping
        As `rag.config.settings.read` returns them, with ``deploy``.
    place : Place
        Where it holds; by default wherever the template is deployed.
    """
    return policy(
        each
        for use in uses(settings)
        for each in needed(use, replace(place, region=use.region) if use.region else place)
    )


def template(settings: Mapping[str, Any], deploy: DeploySettings) -> str:
    """Return the template as YAML.

    Parameters
    ----------
    settings : mapping
        As `rag.config.settings.read` returns them, with ``deploy``.
    deploy : DeploySettings
        The same table, checked.
    """
    for_all = (deploy.url_auth or ("iam" if deploy.open else "none")) == "none"
    resources: dict[str, Any] = {
        "Function": {
            "Type": "AWS::Serverless::Function",
            "Properties": _function(deploy, for_all),
            "Metadata": {
                "Dockerfile": "Dockerfile",
                "DockerContext": ".",
                "DockerTag": deploy.name.lower(),
                "DockerBuildTarget": "lambda",
            },
        },
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{
                        "Effect": "Allow",
                        "Principal": {"Service": "lambda.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }],
                },
                "Policies": [{"PolicyName": "rag", "PolicyDocument": _substituted(rights(settings))}],
            },
        },
        "Log": {
            "Type": "AWS::Logs::LogGroup",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {
                "LogGroupName": f"/aws/lambda/{deploy.name}",
                "RetentionInDays": deploy.log_days,
            },
        },
    }  # fmt: skip
    made = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": "An index of rag as a function with a URL",
        "Resources": resources,
        "Outputs": {"Url": {"Value": {"Fn::GetAtt": ["FunctionUrl", "FunctionUrl"]}}},
    }
    return _HEAD + yaml.safe_dump(made, sort_keys=False, width=110, allow_unicode=True)


def _function(deploy: DeploySettings, for_all: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "FunctionName": deploy.name,
        "PackageType": "Image",
        "Architectures": [deploy.architecture],
        "MemorySize": deploy.memory_mb,
        "Timeout": deploy.timeout_s,
        "EphemeralStorage": {"Size": deploy.storage_mb},
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "LoggingConfig": {"LogGroup": {"Ref": "Log"}},
        "FunctionUrlConfig": {
            "AuthType": "NONE" if for_all else "AWS_IAM",
            "InvokeMode": "RESPONSE_STREAM" if deploy.stream else "BUFFERED",
        },
    }
    if deploy.provisioned:
        properties["AutoPublishAlias"] = "live"
        properties["ProvisionedConcurrencyConfig"] = {"ProvisionedConcurrentExecutions": deploy.provisioned}
    return properties


def _substituted(value: Any) -> Any:
    """Return a policy whose ARNs CloudFormation completes."""
    if isinstance(value, Mapping):
        return {name: _substituted(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_substituted(each) for each in value]
    return {"Fn::Sub": value} if isinstance(value, str) and re.search(r"\$\{AWS::\w+\}", value) else value
