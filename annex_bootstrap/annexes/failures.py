"""Machines that ended by themselves: AWS could not start them, or took them back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from annex_bootstrap.aws import Account, explained
from annex_contract.lease import MACHINE_ENDED, annex_of_machine

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

ORDINARY = ("Client.UserInitiatedShutdown", "Client.InstanceInitiatedShutdown")
"""The codes of ends that somebody wanted: the lease function, a person, or the machine itself, which had no jobs. All:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html"""


def failure_of(instance: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return AWS's code and message of why a machine ended, or None where it runs or somebody ended it.

    Args:
        instance: as DescribeInstances describes it.
    """
    reason = instance.get("StateReason", {})
    code = reason.get("Code", "")
    if instance["State"]["Name"] not in MACHINE_ENDED or not code or code in ORDINARY:
        return None
    # AWS repeats the code in the message.
    return code, reason.get("Message", "").removeprefix(f"{code}: ") or "no reason given"


def describe_ended(account: Account, profile_arns: frozenset[str]) -> list[InstanceTypeDef]:
    """Return the stack's machines that ended lately, as DescribeInstances describes them.

    Raises:
        UserError: AWS refused.
    """
    with explained("listing the machines that ended"):
        pages = account.ec2.get_paginator("describe_instances").paginate(
            Filters=[
                {"Name": "instance-state-name", "Values": list(MACHINE_ENDED)},
                {"Name": "iam-instance-profile.arn", "Values": sorted(profile_arns)},
            ]
        )
        return [
            machine for page in pages for reservation in page["Reservations"] for machine in reservation["Instances"]
        ]


def find_failures(account: Account, profile_arns: frozenset[str]) -> dict[str, Counter[str]]:
    """Return how many machines of each annex ended by themselves lately, by the reason.

    Args:
        account: where.
        profile_arns: the instance profiles of the stack's machines.

    Raises:
        UserError: AWS refused.
    """
    failures: dict[str, Counter[str]] = {}
    for machine in describe_ended(account, profile_arns):
        annex_id, failure = annex_of_machine(machine, profile_arns), failure_of(machine)
        if annex_id is not None and failure is not None:
            failures.setdefault(annex_id, Counter())[": ".join(failure)] += 1
    return failures


def failure_lines(annex_id: str, failures: Mapping[str, int]) -> list[str]:
    """Return a sentence for each reason why machines of an annex ended by themselves.

    Args:
        annex_id: of the annex.
        failures: how many machines, by the reason.
    """
    return [
        f"{'1 machine' if count == 1 else f'{count} machines'} of {annex_id} ended in the last hour: {reason}"
        for reason, count in sorted(failures.items())
    ]
