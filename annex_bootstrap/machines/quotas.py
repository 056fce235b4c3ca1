"""The account's quotas of vCPUs of running standard machines: how large they are, what is left, how to get more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.instance_types import InstanceType, describe_types

QUOTAS = {False: "L-1216C47A", True: "L-34B43A08"}
"""The codes of the quotas on demand and on the spot market:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-quotas.html"""

COUNTED = ("pending", "running")
"""The states of machines that count for a quota."""


def read_quota(account: Account, *, spot: bool) -> int:
    """Return how many vCPUs may run at once in the account's region.

    Args:
        account: where.
        spot: whether on the spot market.

    Raises:
        DeniedError: the credentials may not read quotas.
        UserError: AWS refused for another reason.
    """
    with explained("reading the quota of vCPUs"):
        return int(account.quotas.get_service_quota(ServiceCode="ec2", QuotaCode=QUOTAS[spot])["Quota"]["Value"])


def increase_command(region: str, vcpus: int | str, *, spot: bool) -> str:
    """Return the command that asks AWS for a larger quota.

    Args:
        region: where.
        vcpus: how many, or a word for somebody to replace.
        spot: whether on the spot market.
    """
    return (
        f"aws service-quotas request-service-quota-increase --region {region} "
        f"--service-code ec2 --quota-code {QUOTAS[spot]} --desired-value {vcpus}"
    )


def check_quota(account: Account, machines: Sequence[InstanceType], vcpus: int, *, spot: bool) -> str:
    """Check that the account's quota of vCPUs has room for a request.

    Args:
        account: where.
        machines: the types that AWS may choose from.
        vcpus: that the request takes at most.
        spot: whether they are spot machines.

    Returns:
        What is known of the quota, as a short text; empty where nothing is.

    Raises:
        UserError: there is no room, or AWS refused to say what runs.
    """
    if not all(machine.is_standard for machine in machines):
        return ""
    try:
        limit = read_quota(account, spot=spot)
    except UserError:
        # Then EC2 has the last word.
        return ""
    used = vcpus_in_use(account, spot=spot)
    if used + vcpus > limit:
        raise UserError(_quota_problem(account.region, limit, used, vcpus, spot=spot))
    return f"{used} of {limit} vCPUs in use"


def _quota_problem(region: str, limit: int, used: int, vcpus: int, *, spot: bool) -> str:
    kind = "spot" if spot else "on-demand"
    return (
        f"the quota of {kind} vCPUs in {region} is {limit}, of which {used} are in use, and this would take {vcpus}: "
        f"ask for less, or ask AWS for more with {increase_command(region, used + vcpus, spot=spot)}"
    )


def vcpus_in_use(account: Account, *, spot: bool) -> int:
    """Return how many vCPUs of a quota run, or start, in the account's region.

    Args:
        account: where.
        spot: whether on the spot market.

    Raises:
        UserError: AWS refused.
    """
    counts: Counter[str] = Counter()
    with explained("counting the vCPUs in use"):
        for page in account.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": list(COUNTED)}]
        ):
            counts.update(
                machine["InstanceType"]
                for reservation in page["Reservations"]
                for machine in reservation["Instances"]
                if (machine.get("InstanceLifecycle") == "spot") is spot
            )
    return sum(
        machine.vcpus * counts[machine.name]
        for machine in describe_types(account, sorted(counts))
        if machine.is_standard
    )
