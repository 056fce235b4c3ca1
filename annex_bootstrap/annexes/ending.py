"""Ending annexes now: their leases end, and the lease function ends their machines; else the client does."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_bootstrap.annexes.leases import Lease, Leases
from annex_bootstrap.aws import Account, explained, physical_id
from annex_bootstrap.errors import AwsError, DeniedError, UserError
from annex_bootstrap.stack.read import Stack
from annex_contract.lease import FLEET_RUNNING, MACHINE_ENDED, MACHINE_RUNNING, annex_of_fleet, annex_of_machine
from annex_contract.outputs import profiles_of
from annex_contract.stack import ANNEX_TAG, LogicalId

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

TIMEOUT = 900.0
"""Seconds in which all machines of an annex must be gone."""

PAUSE = 3.0
"""Seconds between two runs of the lease function: machines take some to terminate."""

PROTECTED = "OperationNotPermitted"
"""What EC2 answers for a machine with termination protection:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""

HAS_ENDED = frozenset({"InvalidInstanceID.NotFound", "UnauthorizedOperation"})
"""What EC2 answers where one of several machines has ended, to those who may terminate machines with a profile: EC2
shows no profile of it then. Source: https://github.com/compdemocracy/polis/pull/2796."""

BATCH = 500
"""Machines that are terminated in one call: TerminateInstances takes 1,000, and EC2's guide advises fewer."""


def find_leases(account: Account, stack: Stack) -> list[Lease]:
    """Return the leases of the stack's annexes, also of a stack that is only partly created."""
    function_arn = _function_arn(account, stack)
    return Leases(account, function_arn).list() if function_arn else []


def _function_arn(account: Account, stack: Stack) -> str:
    # A creation that failed early has no such resource.
    name = physical_id(account, stack.stack_id, LogicalId.LEASE_FUNCTION)
    return f"arn:{account.partition}:lambda:{account.region}:{account.account_id}:function:{name}" if name else ""


@dataclass(frozen=True)
class Run:
    """What a run of the lease function did.

    Attributes:
        machines: how many it ended.
        problem: why it did not do its work; empty where it did.
        is_gone: whether there is no such function.
    """

    machines: int
    problem: str = ""
    is_gone: bool = False


def expire(leases: Leases, lease: Lease, now: int) -> Run:
    """End a lease now, and run the lease function once.

    Args:
        leases: of the stack.
        lease: to end.
        now: seconds since the epoch.

    Raises:
        UserError: the lease cannot be changed.
    """
    leases.extend(lease, now - 1)
    return _run(leases, lease, now)


def _run(leases: Leases, lease: Lease, now: int) -> Run:
    """Run the lease function once for a lease that ends now."""
    try:
        with explained("running the lease function"):
            answer = leases.account.lambda_.invoke(
                FunctionName=leases.function_arn, Payload=lease.ending_at(now - 1)["Input"].encode()
            )
            line = json.loads(answer["Payload"].read())
    except AwsError as error:
        return Run(0, str(error), is_gone=error.code == "ResourceNotFoundException")
    if "FunctionError" in answer:
        # It tries again at its next check.
        return Run(0, str(line.get("errorMessage", "the lease function failed")))
    return Run(int(line.get("machines_ended", 0)))


def end_now(leases: Leases, lease: Lease, now: int) -> str:
    """End an annex: by the lease function, or by this client where that does not do its work.

    Args:
        leases: of the stack, with its instance profile.
        lease: of the annex.
        now: seconds since the epoch.

    Returns:
        Why this client ended it; nothing where the lease function does.

    Raises:
        UserError: neither can end it.
    """
    problem = expire(leases, lease, now).problem
    if problem:
        try:
            terminate(leases, lease.annex_id)
        except UserError as error:
            raise UserError(
                f"{lease.annex_id} was not ended: {problem}; and its machines could not be terminated without the "
                f"lease function: {error}"
            ) from error
    return problem


def terminate(leases: Leases, annex_id: str) -> int:
    """Cancel an annex's fleets and persistent spot requests, and terminate its machines.

    Args:
        leases: of the stack, with its instance profile.
        annex_id: of the annex.

    Returns:
        How many machines.

    Raises:
        UserError: AWS refused.
    """
    ec2, profiles = leases.account.ec2, leases.profile_arns
    with explained(f"ending the machines of {annex_id}"):
        fleets = [
            request["SpotFleetRequestId"]
            for page in ec2.get_paginator("describe_spot_fleet_requests").paginate()
            for request in page["SpotFleetRequestConfigs"]
            if request["SpotFleetRequestState"] in FLEET_RUNNING
            and annex_of_fleet(request["SpotFleetRequestConfig"], profiles) == annex_id
        ]
        if fleets:
            ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=fleets, TerminateInstances=True)
        pages = ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": list(MACHINE_RUNNING)}]
        )
        machines = [
            machine["InstanceId"]
            for page in pages
            for reservation in page["Reservations"]
            for machine in reservation["Instances"]
            if annex_of_machine(machine, profiles) == annex_id
        ]
        replacing = [id_ for id_, owner in leases.replacing(dict.fromkeys(machines, annex_id)) if owner == annex_id]
        if ec2_fleets := [id_ for id_ in replacing if id_.startswith("fleet-")]:
            ec2.delete_fleets(FleetIds=ec2_fleets, TerminateInstances=True)
        if requests := [id_ for id_ in replacing if id_.startswith("sir-")]:
            ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=requests)
        terminate_machines(ec2, machines)
    return len(machines)


def terminate_machines(ec2: EC2Client, ids: Sequence[str]) -> None:
    """Terminate machines, also protected ones. One that has ended does not save the others.

    Args:
        ec2: the client.
        ids: theirs.

    Raises:
        AwsError: AWS refused.
    """
    for first in range(0, len(ids), BATCH):
        _terminate(ec2, ids[first : first + BATCH])


def _terminate(ec2: EC2Client, ids: Sequence[str]) -> None:
    """Terminate machines, also protected ones; one whose protection stays does not save the others."""
    try:
        with explained(f"terminating {len(ids)} machines"):
            ec2.terminate_instances(InstanceIds=ids)
    except AwsError as error:
        if error.code in HAS_ENDED and (ended := _ended(ec2, ids)):
            if left := [id_ for id_ in ids if id_ not in ended]:
                _terminate(ec2, left)
            return
        if error.code != PROTECTED:
            raise
        for id_ in ids:
            with suppress(AwsError), explained(f"unprotecting {id_}"):
                ec2.modify_instance_attribute(InstanceId=id_, DisableApiTermination={"Value": False})
        kept = []
        for id_ in ids:
            try:
                with explained(f"terminating {id_}"):
                    ec2.terminate_instances(InstanceIds=[id_])
            except AwsError as refusal:
                kept.append(refusal)
        if kept:
            raise kept[0] from error


def _ended(ec2: EC2Client, ids: Sequence[str]) -> set[str]:
    """Return which machines EC2 shows as ended."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": list(MACHINE_ENDED)}]
    )
    with explained("listing machines that have ended"):
        found = {
            machine["InstanceId"] for page in pages for held in page["Reservations"] for machine in held["Instances"]
        }
    return found.intersection(ids)


def end_annex(account: Account, stack: Stack, lease: Lease) -> int:
    """End an annex now: set its lease into the past, and run the lease function until nothing is left.

    The rule stays until then, so what is not ended when the client is killed is ended by the next check. Where the
    lease function is gone, this client ends the machines and deletes the rule.

    Returns:
        How many machines were ended.

    Raises:
        UserError: the lease cannot be changed, or machines are left after 15 minutes.
    """
    leases = Leases(account, _function_arn(account, stack), profiles_of(stack.outputs), stack.stack_id)
    now = int(time.time())
    # Once: the rule may be gone before the next run.
    leases.extend(lease, now - 1)
    ended, give_up = 0, time.monotonic() + TIMEOUT
    while True:
        run = _run(leases, lease, now)
        ended += run.machines
        if run.is_gone:
            ended += _end_without_function(leases, lease)
        if lease.annex_id not in [other.annex_id for other in leases.list()]:
            return ended
        if time.monotonic() > give_up:
            raise UserError(
                f"the annex {lease.annex_id} is not ended after {TIMEOUT / 60:.0f} minutes: "
                f"{run.problem or 'machines are left'}; the lease function tries again every five minutes, "
                "or run the same command again"
            )
        time.sleep(PAUSE)


def _end_without_function(leases: Leases, lease: Lease) -> int:
    """Terminate an annex's machines, and once there are none delete its rule; return how many there were."""
    try:
        machines = terminate(leases, lease.annex_id)
        if not machines:
            leases.remove(lease)
    except DeniedError as error:
        raise UserError(
            f"the lease function is gone, and the annex {lease.annex_id} cannot be ended without it: {error}. "
            "Ask a user who may to run aws ec2 terminate-instances for the machines with the tag "
            f"{ANNEX_TAG}={lease.annex_id}, then aws events remove-targets --rule {lease.annex_id} "
            f"--ids {lease.annex_id} and "
            f"aws events delete-rule --name {lease.annex_id}, with --region {leases.account.region}"
        ) from error
    return machines
