"""What AWS's own evaluation of policies is asked about StartPolicy, before anything exists. Pure.

The stack is made up. The answers are known: the local AWS gives the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annex_bootstrap.stack.resolve import resolve
from annex_contract.stack import ANNEX_TAG, STACK_TAG, STARTED_BY_TAG, LogicalId
from local_aws.launcher import ACCOUNT, REGION
from tests.stack_values import TEMPLATE, conditions_of, new_stack_id, values_of

_STACK = new_stack_id("live")
_VALUES = values_of(_STACK, {"Image": "yes"})
_TEMPLATE_ARN = f"arn:aws:ec2:{REGION}:{ACCOUNT}:launch-template/{_VALUES['LaunchTemplate']}"
_INSTANCE = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0123456789abcdef0"

POLICY: dict[str, Any] = resolve(
    TEMPLATE[LogicalId.START_POLICY]["Properties"]["PolicyDocument"], _VALUES, conditions_of({"Image": "yes"})
)
"""StartPolicy of the made-up stack."""


@dataclass(frozen=True)
class Question:
    """May a user with StartPolicy make a call?

    Attributes:
        what: the question in words.
        action: such as ``ec2:RunInstances``.
        resource: an ARN.
        allowed: the answer.
        context: condition keys with their values.
    """

    what: str
    action: str
    resource: str
    allowed: bool
    context: Mapping[str, str]


_BY_TEMPLATE = {
    "aws:username": "alice",
    "ec2:LaunchTemplate": _TEMPLATE_ARN,
    "ec2:InstanceProfile": str(_VALUES["StartRole.ProfileArn"]),
    "ec2:MetadataHttpTokens": "required",
    f"aws:RequestTag/{ANNEX_TAG}": "annex",
    f"aws:RequestTag/{STARTED_BY_TAG}": "alice",
}

QUESTIONS = (
    Question("start a machine of the launch template", "ec2:RunInstances", _INSTANCE, True, _BY_TEMPLATE),
    *(
        Question(what, "ec2:RunInstances", _INSTANCE, False, _BY_TEMPLATE | other)
        for what, other in (
            ("start it in another's name", {f"aws:RequestTag/{STARTED_BY_TAG}": "bob"}),
            ("start it of another template", {"ec2:LaunchTemplate": _TEMPLATE_ARN[:-1] + "1"}),
            ("start it with another profile", {"ec2:InstanceProfile": f"arn:aws:iam::{ACCOUNT}:instance-profile/x"}),
            ("start it without IMDSv2", {"ec2:MetadataHttpTokens": "optional"}),
        )
    ),
    Question(
        "create a fleet of an annex",
        "ec2:CreateFleet",
        f"arn:aws:ec2:{REGION}:{ACCOUNT}:fleet/fleet-01234567-89ab-cdef-0123-456789abcdef",
        True,
        {f"aws:RequestTag/{ANNEX_TAG}": "annex", f"aws:RequestTag/{STACK_TAG}": _STACK},
    ),
    Question(
        "create a fleet without an annex",
        "ec2:CreateFleet",
        f"arn:aws:ec2:{REGION}:{ACCOUNT}:fleet/fleet-01234567-89ab-cdef-0123-456789abcdef",
        False,
        {f"aws:RequestTag/{STACK_TAG}": _STACK},
    ),
    *(
        Question(
            f"pass the machines' role to {service}",
            "iam:PassRole",
            str(_VALUES["StartRole.ProfileArn"]).replace("instance-profile", "role"),
            False,
            {"iam:PassedToService": service},
        )
        for service in ("lambda.amazonaws.com", "spotfleet.amazonaws.com")
    ),
    Question(
        "send the lease function an event",
        "lambda:InvokeFunction",
        str(_VALUES[f"{LogicalId.LEASE_FUNCTION}.Arn"]),
        True,
        {},
    ),
    Question(
        "let a rule call another function",
        "events:PutTargets",
        f"arn:aws:events:{REGION}:{ACCOUNT}:rule/annex",
        False,
        {"events:TargetArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:other"},
    ),
)
"""All of them."""
