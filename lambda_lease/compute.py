"""Machines and spot fleets: listing them page by page, and ending them by their IDs."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from annex_contract.lease import (
    FLEET_RUNNING,
    MACHINE_ENDED,
    MACHINE_RUNNING,
    PERSISTENT_REQUESTS,
    annex_of_ec2_fleet,
    annex_of_fleet,
    annex_of_machine,
    runs_with,
)
from annex_contract.stack import ANNEX_TAG, EC2_FLEET_TAG, FLEET_TAG
from lambda_lease import batches
from lambda_lease.batches import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Executor
    from datetime import datetime

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef

PAGE_SIZE = 200
"""Items on a page. Pages of 1,000 instances take 30 MB more, measured, and leave too little of 128 MB."""

MACHINES_PER_CALL = 500
"""TerminateInstances takes 1,000 IDs at most and EC2's guide advises fewer."""

FLEETS_PER_CALL = 100
"""CancelSpotFleetRequests takes 100 IDs at most, and so does DeleteFleets."""

FILTER_VALUES = 200
"""Values that a filter takes at most: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html"""

DENIED = "UnauthorizedOperation"
"""What EC2 answers those who may not terminate a machine, and those who may by its profile once it has ended: EC2 shows
no profile of it then. Source: https://github.com/compdemocracy/polis/pull/2796. With tags it is the same:
https://github.com/aws/karpenter-provider-aws/issues/2100."""

PROTECTED = "OperationNotPermitted"
"""What EC2 answers for a machine with termination protection:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""

UNPROTECTED_AT_ONCE = 16
"""Machines of a batch that are all unprotected, because the answer need not name each one that is protected. Halving
further would make more calls where many are."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the function keeps of an instance.

    Attributes:
        id: the instance ID.
        annex_id: the annex it belongs to, if any.
        state: its state.
        started: when it was last started, in seconds since the epoch.
        profile_arn: its instance profile; empty where it has none.
        type: its instance type.
        makers: the IDs of the fleet or spot request that started it, by what EC2 itself says: nobody chooses it.
    """

    id: str
    annex_id: str | None
    state: str
    started: float
    profile_arn: str
    type: str
    makers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the function keeps of what may start machines: a spot fleet request, an EC2 fleet or a spot request.

    Attributes:
        id: its ID, which says what it is.
        annex_id: the annex it belongs to, if any.
        started: when it was requested, in seconds since the epoch; infinite where EC2 does not return it.
        ours: whether its machines are the stack's.
    """

    id: str
    annex_id: str | None
    started: float
    ours: bool


def machines_of_annex(annex_id: str) -> tuple[list[FilterTypeDef], list[FilterTypeDef]]:
    """Return the filters of two listings: together they show all machines of an annex, and maybe others.

    Returns:
        The filter by tag, and the filter by client token.
    """
    return (
        [{"Name": f"tag:{ANNEX_TAG}", "Values": [_literally(annex_id)]}],
        [{"Name": "client-token", "Values": [_literally(annex_id) + "_*"]}],
    )


def machines_with_profile(arns: Iterable[str]) -> list[FilterTypeDef]:
    """Return the filter of the listing that shows all machines that run with one of some instance profiles."""
    return [{"Name": "iam-instance-profile.arn", "Values": [_literally(arn) for arn in sorted(arns)]}]


def list_machines(
    ec2: EC2Client, filters: list[FilterTypeDef], states: Iterable[str], profile_arns: frozenset[str]
) -> Iterator[Machine]:
    """List machines page by page.

    Args:
        ec2: the client.
        filters: what EC2 selects by. A pre-selection only: anyone who acts on a machine compares exactly.
        states: the states that count.
        profile_arns: the stack's instance profiles.

    Yields:
        Each machine in one of the states.
    """
    wanted = frozenset(states)
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[*filters, {"Name": "instance-state-name", "Values": sorted(wanted)}],
        PaginationConfig={"PageSize": PAGE_SIZE},
    )
    for page in pages:
        for reservation in page.get("Reservations", []):
            for instance in reservation.get("Instances", []):
                machine = _machine(instance, profile_arns)
                if machine.state in wanted:
                    yield machine


def list_running_fleets(ec2: EC2Client, profile_arns: frozenset[str]) -> Iterator[Fleet]:
    """List the spot fleet requests that may still start machines, page by page. EC2 has no filter for them.

    Args:
        ec2: the client.
        profile_arns: the stack's instance profiles.

    Yields:
        Each request that is neither cancelled nor failed.
    """
    pages = ec2.get_paginator("describe_spot_fleet_requests").paginate(PaginationConfig={"PageSize": PAGE_SIZE})
    for page in pages:
        for request in page.get("SpotFleetRequestConfigs", []):
            if request["SpotFleetRequestState"] in FLEET_RUNNING:
                config = request["SpotFleetRequestConfig"]
                yield Fleet(
                    request["SpotFleetRequestId"],
                    annex_of_fleet(config, profile_arns),
                    # Not every EC2 returns it, and ending an annex does not need it.
                    _seconds(request.get("CreateTime")),
                    runs_with(config, profile_arns),
                )


def list_running_ec2_fleets(ec2: EC2Client, stack_id: str) -> Iterator[Fleet]:
    """List the stack's EC2 fleets that may still start machines, page by page; EC2 lists no instant ones.

    Args:
        ec2: the client.
        stack_id: the stack's ARN.

    Yields:
        Each fleet of an annex that is neither deleted nor failed.
    """
    pages = ec2.get_paginator("describe_fleets").paginate(PaginationConfig={"PageSize": PAGE_SIZE})
    for page in pages:
        for fleet in page.get("Fleets", []):
            annex_id = annex_of_ec2_fleet(fleet, stack_id)
            if annex_id and fleet["FleetState"] in FLEET_RUNNING:
                yield Fleet(fleet["FleetId"], annex_id, _seconds(fleet.get("CreateTime")), ours=True)


def list_persistent_requests(ec2: EC2Client, profile_arns: frozenset[str]) -> Iterator[Fleet]:
    """List the spot requests that start another machine where one has ended, page by page.

    Args:
        ec2: the client.
        profile_arns: the stack's instance profiles.

    Yields:
        Each whose latest machine, also one that has ended, has one of the profiles.
    """
    filters: list[FilterTypeDef] = [
        {"Name": name, "Values": list(values)} for name, values in PERSISTENT_REQUESTS.items()
    ]
    for page in ec2.get_paginator("describe_spot_instance_requests").paginate(
        Filters=filters, PaginationConfig={"PageSize": FLEETS_PER_CALL}
    ):
        requests = {each["InstanceId"]: each for each in page["SpotInstanceRequests"] if "InstanceId" in each}
        named: list[FilterTypeDef] = [{"Name": "instance-id", "Values": sorted(requests)}]
        states = (*MACHINE_RUNNING, *MACHINE_ENDED)
        for machine in list_machines(ec2, named, states, profile_arns) if requests else ():
            if machine.profile_arn in profile_arns and machine.id in requests:
                request = requests[machine.id]
                yield Fleet(
                    request["SpotInstanceRequestId"], machine.annex_id, _seconds(request.get("CreateTime")), ours=True
                )


def count_vcpus(ec2: EC2Client, types: Iterable[str]) -> dict[str, int]:
    """Return how many vCPUs a machine of each type has; those that EC2 does not know are missing."""
    names = sorted(types)
    vcpus = dict[str, int]()
    for first in range(0, len(names), FILTER_VALUES):
        # By a filter: asked by name for a type that is gone, EC2 describes none at all.
        chosen: list[FilterTypeDef] = [{"Name": "instance-type", "Values": names[first : first + FILTER_VALUES]}]
        for page in ec2.get_paginator("describe_instance_types").paginate(Filters=chosen):
            vcpus |= {each["InstanceType"]: each["VCpuInfo"]["DefaultVCpus"] for each in page["InstanceTypes"]}
    return vcpus


def cancel_fleets(ec2: EC2Client, pool: Executor, ids: Iterable[str]) -> batches.Outcome:
    """Cancel fleets with their machines, and spot requests. What is gone counts as cancelled."""

    def cancel(batch: Sequence[str]) -> dict[str, RefusedError]:
        answer = ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=batch, TerminateInstances=True)
        return {
            item["SpotFleetRequestId"]: RefusedError(item["Error"]["Code"], item["Error"]["Message"])
            for item in answer.get("UnsuccessfulFleetRequests", [])
            if item["Error"]["Code"] != "fleetRequestIdDoesNotExist"
        }

    def delete(batch: Sequence[str]) -> dict[str, RefusedError]:
        answer = ec2.delete_fleets(FleetIds=batch, TerminateInstances=True)
        return {
            item["FleetId"]: RefusedError(item["Error"]["Code"], item["Error"]["Message"])
            for item in answer.get("UnsuccessfulFleetDeletions", [])
            if item["Error"]["Code"] != "fleetIdDoesNotExist"
        }

    def end(batch: Sequence[str]) -> dict[str, RefusedError]:
        try:
            ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=batch)
        except ClientError as error:
            if len(batch) > 1 or batches.error_code(error) != "InvalidSpotInstanceRequestID.NotFound":
                raise
        return {}

    outcome, wanted = batches.Outcome(), sorted(ids)
    for prefix, call in (("sfr-", cancel), ("fleet-", delete), ("sir-", end)):
        part = batches.run(pool, [each for each in wanted if each.startswith(prefix)], FLEETS_PER_CALL, call)
        outcome.done.update(part.done)
        for refusal in part.refusals.values():
            outcome.refuse(refusal.ids, refusal.error)
    return outcome


def terminate_machines(ec2: EC2Client, pool: Executor, ids: Iterable[str]) -> batches.Outcome:
    """Terminate machines, also protected ones. One that has ended or is gone counts as terminated."""
    # Why each could not be unprotected; None where it was.
    tried = dict[str, ClientError | None]()

    def terminate(batch: Sequence[str]) -> dict[str, RefusedError]:
        try:
            ec2.terminate_instances(InstanceIds=batch)
        except ClientError as error:
            code, untried = batches.error_code(error), [id_ for id_ in batch if id_ not in tried]
            if code == PROTECTED and untried and len(batch) <= UNPROTECTED_AT_ONCE:
                tried.update({id_: _unprotect(ec2, id_) for id_ in untried})
                return terminate(batch)
            if len(batch) > 1 or code != "InvalidInstanceID.NotFound":
                if len(batch) == 1 and code == PROTECTED:
                    raise tried.get(batch[0]) or error from error
                raise
        return {}

    outcome = batches.run(pool, ids, MACHINES_PER_CALL, terminate)
    if denied := outcome.refusals.pop(DENIED, None):
        outcome.done.update(ended := _ended(ec2, sorted(denied.ids)))
        if left := [id_ for id_ in denied.ids if id_ not in ended]:
            outcome.refuse(left, denied.error)
    return outcome


def _ended(ec2: EC2Client, ids: Sequence[str]) -> set[str]:
    """Return which machines EC2 shows as ended."""
    ended = set[str]()
    with suppress(ClientError):
        for first in range(0, len(ids), FILTER_VALUES):
            asked = ids[first : first + FILTER_VALUES]
            named: list[FilterTypeDef] = [{"Name": "instance-id", "Values": asked}]
            ended.update(machine.id for machine in list_machines(ec2, named, MACHINE_ENDED, frozenset()))
    return ended


def _unprotect(ec2: EC2Client, id_: str) -> ClientError | None:
    # Somebody protected it against mistakes, but its lease is over.
    try:
        ec2.modify_instance_attribute(InstanceId=id_, DisableApiTermination={"Value": False})
    except ClientError as error:
        return error
    return None


def _literally(text: str) -> str:
    # In a filter's value EC2 reads * and ? as wildcards and \ as their escape.
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")


def _machine(instance: InstanceTypeDef, profile_arns: frozenset[str]) -> Machine:
    return Machine(
        id=instance["InstanceId"],
        annex_id=annex_of_machine(instance, profile_arns),
        state=instance["State"]["Name"],
        started=instance["LaunchTime"].timestamp(),
        profile_arn=instance.get("IamInstanceProfile", {}).get("Arn", ""),
        type=instance["InstanceType"],
        makers=frozenset(
            [
                *([instance["SpotInstanceRequestId"]] if "SpotInstanceRequestId" in instance else []),
                *(tag["Value"] for tag in instance.get("Tags", []) if tag["Key"] in (EC2_FLEET_TAG, FLEET_TAG)),
            ]
        ),
    )


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment else math.inf
