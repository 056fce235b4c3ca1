"""The policy of the key that a stack may be given: for whom no other policy can speak. Pure.

The stack's own roles, and the users of its policies, get their rights by those. Spot machines, CloudWatch Logs and
alarms use a key in AWS's name, so that the key's policy has to let them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from annex_contract.iam import Statement, allow, document
from annex_contract.keys import FOR_VOLUMES
from annex_contract.stack import SPOT_SERVICE_LINKED_ROLES

LOGS_ACTIONS = "kms: Decrypt Encrypt GenerateDataKey GenerateDataKeyWithoutPlaintext ReEncryptFrom ReEncryptTo"
"""https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html"""

ALARM_ACTIONS = "kms: Decrypt GenerateDataKey"
"""https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services"""


def key_policy(partition: str, account: str, region: str, stack_name: str) -> dict[str, Any]:
    """Return the policy that a key needs.

    Args:
        partition: such as ``aws``.
        account: the ID of the stack's account, 12 digits.
        region: of key and stack.
        stack_name: the stack's name, with which the names of its log groups begin.
    """
    linked = [
        f"arn:{partition}:iam::{account}:role/aws-service-role/{service}/{role}"
        for role, service in SPOT_SERVICE_LINKED_ROLES.items()
    ]
    # As a principal, a role would have to exist already.
    spot = {"ArnEquals": {"aws:PrincipalArn": linked}, "StringEquals": {"kms:CallerAccount": account}}
    groups = f"arn:{partition}:logs:{region}:{account}:log-group:{stack_name}-*"
    anybody, logs = {"AWS": "*"}, {"Service": f"logs.{region}.amazonaws.com"}
    return document(
        [
            allow("LetPoliciesDecide", "kms:*", "*", principal={"AWS": f"arn:{partition}:iam::{account}:root"}),
            # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet-prerequisites.html
            allow("EncryptVolumesOfSpotMachines", FOR_VOLUMES, "*", spot, principal=anybody),
            allow(
                "LetVolumesOfSpotMachinesUseKey",
                "kms: CreateGrant",
                "*",
                spot | {"Bool": {"kms:GrantIsForAWSResource": "true"}},
                principal=anybody,
            ),
            allow(
                "EncryptLogs",
                LOGS_ACTIONS,
                "*",
                {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
                principal=logs,
            ),
            # AWS names no condition key that CloudWatch is sure to send.
            allow("SendAlarms", ALARM_ACTIONS, "*", principal={"Service": "cloudwatch.amazonaws.com"}),
        ]
    )


def missing(needed: Mapping[str, Any], has: Mapping[str, Any]) -> list[str]:
    """Return the Sids of the statements that a key's policy lacks. Conditions are not compared.

    Args:
        needed: as ``key_policy`` returns it.
        has: the policy that the key has.
    """
    allowed = [statement for statement in _listed(has.get("Statement", [])) if statement.get("Effect") == "Allow"]
    return [
        wanted["Sid"]
        for wanted in needed["Statement"]
        if not all(
            any(_speaks_for(statement, wanted) and _allows(statement, action) for statement in allowed)
            for action in _listed(wanted["Action"])
        )
    ]


def _speaks_for(statement: Statement, wanted: Statement) -> bool:
    given, asked = _principals(statement), _principals(wanted)
    if "*" in given or asked & given:
        return True
    # A service-linked role may also be named, once it exists; and an account by its ID.
    condition = wanted.get("Condition", {}).get("ArnEquals", {}).get("aws:PrincipalArn", [])
    roots = {arn.split(":")[4] for arn in asked if arn.endswith(":root")}
    return set(condition) <= given if condition else bool(roots & given)


def _principals(statement: Statement) -> set[str]:
    principal = statement.get("Principal", {})
    return (
        {principal} if isinstance(principal, str) else {name for part in principal.values() for name in _listed(part)}
    )


def _allows(statement: Statement, action: str) -> bool:
    patterns: Iterable[str] = _listed(statement.get("Action", []))
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
