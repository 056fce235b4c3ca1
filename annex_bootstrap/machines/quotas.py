"""The account's quotas of vCPUs of running standard machines: how large they are, what is left, how to get more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import UnavailableError, UserError
from annex_bootstrap.machines.capacity import Capacity
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


@dataclass(frozen=True)
class Quota:
    """The quota of vCPUs of standard machines.

    Attributes:
        limit: how many may run at once.
        used: how many run or start.
    """

    limit: int
    used: int

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"{self.used} of {self.limit} vCPUs in use"

    @property
    def room(self) -> int:
        """How many more may start."""
        return max(self.limit - self.used, 0)


def find_quota(account: Account, *, spot: bool) -> Quota | None:
    """Return the quota, and what of it is used; None where the credentials may not read it.

    Args:
        account: where.
        spot: whether on the spot market.

    Raises:
        UserError: AWS refused to say what runs.
    """
    try:
        limit = read_quota(account, spot=spot)
    except UserError:
        # Then EC2 has the last word.
        return None
    return Quota(limit, vcpus_in_use(account, spot=spot))


def check_room(region: str, quota: Quota | None, capacity: Capacity, machines: Sequence[InstanceType]) -> None:
    """Check that the quota has room for a request, whichever of its types AWS chooses.

    Args:
        region: where.
        quota: of standard machines; None where it is unknown.
        capacity: what to start.
        machines: the types that AWS may choose from. Those that count for other quotas are left to EC2.

    Raises:
        UnavailableError: there is no room.
    """
    vcpus = max((capacity.machines(each) * each.vcpus for each in machines if each.is_standard), default=0)
    if quota is None or vcpus <= quota.room:
        return
    kind = "spot" if capacity.spot else "on-demand"
    more = increase_command(region, quota.used + vcpus, spot=capacity.spot)
    raise UnavailableError(
        f"the quota of {kind} vCPUs in {region} is {quota.limit}, of which {quota.used} are in use, and this would "
        f"take {vcpus}: ask for less, or ask AWS for more with {more}"
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
