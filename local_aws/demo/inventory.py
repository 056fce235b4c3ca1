"""Everything in an account and region that our commands could leave behind, by kind."""

from __future__ import annotations

from collections.abc import Iterator

import boto3

from annex_contract.statuses import DELETE_COMPLETE

Inventory = frozenset[tuple[str, str]]
"""Pairs of a kind and a name."""


def take_inventory(session: boto3.Session) -> Inventory:
    """Return what the account holds.

    Args:
        session: of a principal that may list everything.
    """
    return frozenset(
        (kind, name)
        for kind, names in (
            ("stack", _stacks(session)),
            ("bucket", _listed(session, "s3", "list_buckets", "Buckets", "Name")),
            ("role", _listed(session, "iam", "list_roles", "Roles", "Arn")),
            ("instance profile", _listed(session, "iam", "list_instance_profiles", "InstanceProfiles", "Arn")),
            ("policy", _policies(session)),
            ("security group", _listed(session, "ec2", "describe_security_groups", "SecurityGroups", "GroupId")),
            ("key pair", _listed(session, "ec2", "describe_key_pairs", "KeyPairs", "KeyName")),
            ("function", _listed(session, "lambda", "list_functions", "Functions", "FunctionName")),
            ("log group", _listed(session, "logs", "describe_log_groups", "logGroups", "logGroupName")),
            ("alarm", _listed(session, "cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName")),
            ("rule", _listed(session, "events", "list_rules", "Rules", "Name")),
            ("topic", _listed(session, "sns", "list_topics", "Topics", "TopicArn")),
        )
        for name in names
    )


def is_service_linked(entry: tuple[str, str]) -> bool:
    """Tell whether an entry is a service-linked role: these belong to the account and remain on purpose."""
    kind, name = entry
    return kind == "role" and "/aws-service-role/" in name


def _listed(session: boto3.Session, service: str, operation: str, items: str, key: str) -> Iterator[str]:
    client = session.client(service)  # type: ignore[call-overload]  # any of the services above
    if client.can_paginate(operation):
        for page in client.get_paginator(operation).paginate():
            yield from (item[key] for item in page[items])
    else:
        yield from (item[key] for item in getattr(client, operation)()[items])


def _stacks(session: boto3.Session) -> Iterator[str]:
    for page in session.client("cloudformation").get_paginator("list_stacks").paginate():
        for stack in page["StackSummaries"]:
            if stack["StackStatus"] != DELETE_COMPLETE:
                yield stack["StackName"]


def _policies(session: boto3.Session) -> Iterator[str]:
    for page in session.client("iam").get_paginator("list_policies").paginate(Scope="Local"):
        yield from (policy["Arn"] for policy in page["Policies"])
