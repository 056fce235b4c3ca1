"""CloudFormation acts with its caller's rights, also where it tags; MiniStack asks for none.

They are asked for where AWS is at its worst, where an institution's documents are rehearsed, and where the
account's settings say so. Source:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/control-access-with-iam.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services.cloudformation import provisioners, stacks

from local_aws.server import account
from local_aws.server.cloudformation.handlers import KEYS, ON_ALL, actions, needed
from local_aws.server.iam.caller import CALLER
from local_aws.server.strict.chance import count, is_strict

Properties = Mapping[str, Any]

NAMES: dict[str, tuple[str, str, int]] = {
    # The property that names it, its resource in an ARN, and how long a name that CloudFormation makes up may be.
    "AWS::CloudWatch::Alarm": ("AlarmName", "cloudwatch:{region}:{account}:alarm:{name}", 255),
    "AWS::EC2::KeyPair": ("KeyName", "ec2:{region}:{account}:key-pair/{name}", 255),
    "AWS::EC2::LaunchTemplate": ("LaunchTemplateName", "ec2:{region}:{account}:launch-template/{name}", 128),
    "AWS::Events::Rule": ("Name", "events:{region}:{account}:rule/{name}", 64),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", "iam::{account}:policy{path}{name}", 128),
    "AWS::IAM::Role": ("RoleName", "iam::{account}:role{path}{name}", 64),
    "AWS::IAM::RolePolicy": ("RoleName", "iam::{account}:role{path}{name}", 64),
    "AWS::Lambda::EventInvokeConfig": ("FunctionName", "lambda:{region}:{account}:function:{name}", 64),
    "AWS::Lambda::Function": ("FunctionName", "lambda:{region}:{account}:function:{name}", 64),
    "AWS::Lambda::Permission": ("FunctionName", "lambda:{region}:{account}:function:{name}", 64),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs:{region}:{account}:log-group:{name}", 512),
    "AWS::SNS::Topic": ("TopicName", "sns:{region}:{account}:{name}", 256),
}

PART_OF = ("AWS::IAM::RolePolicy", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Permission")
"""The types whose physical ID does not name what their actions are authorized on."""


_ON_ALL = set(actions(ON_ALL))
_KEYS = {key: set(actions(having)) for key, having in KEYS.items()}


def install() -> None:
    """Check before every step of a stack."""
    provision, update, delete = stacks._provision_resource, stacks._update_resource, stacks._delete_resource

    def provision_checked(resource_type: str, logical_id: str, properties: Properties, stack_name: str) -> Any:
        if _asks(resource_type):
            name_property, _, longest = NAMES[resource_type]
            made_up = provisioners._physical_name(stack_name, logical_id, max_len=longest)
            _check(resource_type, properties.get(name_property) or made_up, properties, "create", "read")
        return provision(resource_type, logical_id, properties, stack_name)

    def update_checked(resource_type: str, physical_id: str, old: Properties, new: Properties, *more: Any) -> Any:
        if _asks(resource_type) and old != new:
            _check(resource_type, _name(resource_type, physical_id, new), new, "update", "read")
        return update(resource_type, physical_id, old, new, *more)

    def delete_checked(resource_type: str, physical_id: str, properties: Properties, *more: Any) -> Any:
        if _asks(resource_type):
            _check(resource_type, _name(resource_type, physical_id, properties), properties, "delete", "read")
        return delete(resource_type, physical_id, properties, *more)

    stacks._provision_resource = provision_checked
    stacks._update_resource = update_checked
    stacks._delete_resource = delete_checked


def _asks(resource_type: str) -> bool:
    return resource_type in NAMES and (
        is_strict() or account.settings().caller_rights or bool(account.settings().rehearsed)
    )


def _name(resource_type: str, physical_id: str, properties: Properties) -> str:
    return str(properties[NAMES[resource_type][0]]) if resource_type in PART_OF else physical_id


def _check(resource_type: str, name: str, properties: Properties, *handlers: str) -> None:
    """Raise ValueError, which fails the resource, where the caller may not do what the handlers do."""
    for action in sorted(needed(resource_type, *handlers)):
        for resource in _resources(action, resource_type, name, properties):
            denied = iam_evaluator.enforce(
                CALLER.get(),
                action,
                action.partition(":")[0],
                get_region(),
                resource_arn=resource,
                service_context=_context(action, properties),
            )
            count("a right of CloudFormation's caller that is asked for")
            if denied:
                raise ValueError(
                    f'Resource handler returned message: "User is not authorized to perform: {action} on resource: '
                    f'{resource}" (HandlerErrorCode: AccessDenied)'
                )


def _resources(action: str, resource_type: str, name: str, properties: Properties) -> Iterator[str]:
    """Yield what an action is authorized on; nothing where these properties do not trigger it."""
    service = action.partition(":")[0]
    if action in ("iam:PassRole", "iam:GetRole") and resource_type != "AWS::IAM::Role":
        # Of the schemas that list it, only that of a function has a role among our properties.
        yield from [properties["Role"]] if action == "iam:PassRole" and "Role" in properties else []
    elif _is_untriggered(action, resource_type, properties):
        return
    elif action in _ON_ALL:
        yield "*"
    elif service == "ssm":
        yield f"arn:aws:ssm:{get_region()}:{get_account_id()}:parameter/ec2/keypair/key-0123456789abcdef0"
    elif service == NAMES[resource_type][1].partition(":")[0]:
        if name.startswith("arn:"):
            yield name
        else:
            path = properties.get("Path") or _path(name)
            place = {"region": get_region(), "account": get_account_id(), "path": path, "name": name}
            yield "arn:aws:" + NAMES[resource_type][1].format(**place)


def _is_untriggered(action: str, resource_type: str, properties: Properties) -> bool:
    if action.startswith("iam:Detach"):
        # Only where somebody attached it.
        return True
    if resource_type == "AWS::Lambda::Function" and action.startswith("ec2:"):
        # Who may not see network interfaces is not waited for: see networks.
        return "VpcConfig" not in properties or action == "ec2:DescribeNetworkInterfaces"
    if action == "iam:AttachRolePolicy":
        return "ManagedPolicyArns" not in properties
    if action == "iam:PutRolePolicy" and resource_type == "AWS::IAM::Role":
        return "Policies" not in properties
    if action in ("ec2:CreateTags", "ec2:DeleteTags"):
        return "TagSpecifications" not in properties
    return resource_type == "AWS::SNS::Topic" and "ubscri" in action and "Subscription" not in properties


def _path(role_name: str) -> str:
    from ministack.services import iam

    return str(iam._roles.get(role_name, {}).get("Path", "/"))


def _context(action: str, properties: Properties) -> dict[str, Any]:
    """Return the condition keys that the action has and the properties give."""
    given = {
        "iam:PassedToService": "lambda.amazonaws.com",
        "iam:PermissionsBoundary": properties.get("PermissionsBoundary"),
        "iam:PolicyARN": next(iter(properties.get("ManagedPolicyArns", [])), None),
        "events:TargetArn": [target["Arn"] for target in properties.get("Targets", [])],
        "cloudwatch:AlarmActions": properties.get("AlarmActions"),
        "lambda:Principal": properties.get("Principal") if action == "lambda:AddPermission" else None,
        "ssm:Overwrite": "false",
        "ec2:CreateAction": "CreateLaunchTemplate" if "LaunchTemplateData" in properties else None,
    }
    tags = {
        f"aws:RequestTag/{tag['Key']}": tag["Value"]
        for specification in properties.get("TagSpecifications", [])
        for tag in specification["Tags"]
    }
    context: dict[str, Any] = {key: value for key, value in given.items() if value and action in _KEYS[key]}
    return context | (tags if action in ("ec2:CreateLaunchTemplate", "ec2:CreateTags") else {})
