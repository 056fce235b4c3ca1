"""Starting machines for an annex: its tarball, then its lease, and only then the machines.

So nothing ever runs without a lease, whatever fails and whenever the client is killed; and a lease that nothing runs
for ends by itself. A request may be carried out again and again: its ID is the client token of its fleet.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_bootstrap.annexes.leases import Lease, Leases
from annex_bootstrap.annexes.requests import Request
from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import AwsError, UserError
from annex_contract import lease as contract
from annex_contract.stack import ANNEX_TAG, REQUEST_TAG, STARTED_BY_TAG, Output

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef


class UncertainError(UserError):
    """AWS gave no answer, so machines may have started or not."""


@dataclass(frozen=True)
class Outcome:
    """What came of a request.

    Attributes:
        machines: how many started, by type.
        shortfalls: why no more came: AWS's error codes, each with one of its messages.
    """

    machines: Mapping[str, int]
    shortfalls: Mapping[str, str]

    @property
    def count(self) -> int:
        """How many machines started."""
        return sum(self.machines.values())


def tags_of(request_id: str, annex_id: str, caller: str) -> dict[str, str]:
    """Return the tags of the machines of a request.

    Args:
        request_id: of the request.
        annex_id: of the annex.
        caller: the user or session that asks for them.
    """
    # A session's name may have a comma or an equals sign, a tag's value no comma.
    return {
        ANNEX_TAG: annex_id,
        REQUEST_TAG: request_id,
        STARTED_BY_TAG: caller.replace(",", "-"),
        "Name": f"annex {annex_id}",
    }


def carry_out(account: Account, outputs: Mapping[str, str], request: Request, tarball: bytes) -> Outcome:
    """Carry out a request, or what is left of it.

    Args:
        account: where.
        outputs: of the stack.
        request: saved before.
        tarball: what the machines are told.

    Raises:
        UncertainError: there was no answer to whether machines start; the request may be carried out again.
        UserError: AWS refused; nothing of this request runs.
    """
    bucket = outputs[Output.S3_BUCKET_NAME]
    key = contract.TARBALL_PATTERN.replace("*", request.annex_id)
    leases = Leases.of(account, outputs)
    held = find_lease(leases, request.annex_id)
    with explained(f"uploading the pool's configuration to {bucket}"):
        account.s3.put_object(Bucket=bucket, Key=key, Body=tarball)
    _put_lease(leases, request, bucket, held)
    try:
        outcome = _launch(account, request)
    except UncertainError:
        raise
    except UserError:
        if held is None:
            _end(leases, request.annex_id)
        raise
    if outcome.count:
        _keep_lease(leases, request, bucket)
    elif held is None:
        _end(leases, request.annex_id)
    return outcome


def find_lease(leases: Leases, annex_id: str) -> Lease | None:
    """Return the lease of an annex, or None.

    Raises:
        UserError: AWS refused, or the lease cannot be read, so that nobody knows when it ends.
    """
    lease = leases.get(annex_id)
    if lease is not None and lease.expiration is None:
        raise UserError(
            f"the lease of {annex_id} cannot be read, so nothing was started: end it with "
            f"annex-bootstrap leases end {annex_id}, or give another name"
        )
    return lease


def _put_lease(leases: Leases, request: Request, bucket: str, held: Lease | None) -> None:
    """Let the lease end when the request says, or later where it already does."""
    expiration = max(request.expiration, (held.expiration or 0) if held else 0)
    if held is not None and held.expiration == expiration:
        return
    wire = contract.Lease(request.annex_id, bucket, expiration)
    leases.put(wire)


def _keep_lease(leases: Leases, request: Request, bucket: str) -> None:
    """Put the lease again if it is gone: it had run out just before, and the lease function was ending it meanwhile."""
    try:
        _put_lease(leases, request, bucket, find_lease(leases, request.annex_id))
    except UserError as error:
        raise UncertainError(
            f"the machines of {request.annex_id} started, but their lease could not be checked ({error}): run the same "
            "command again"
        ) from error


def _end(leases: Leases, annex_id: str) -> None:
    """End a lease that nothing runs for; where that fails, it ends when it says."""
    with contextlib.suppress(UserError):
        lease = find_lease(leases, annex_id)
        if lease is not None:
            leases.end(lease, int(time.time()))


def _launch(account: Account, request: Request) -> Outcome:
    started = _started(account, request.request_id)
    if started:
        # An earlier try got so far.
        return Outcome(_count(started), {})
    try:
        with explained("starting machines"):
            answer = account.fleets.create_fleet(**request.fleet)
    except AwsError as error:
        if error.answered:
            raise
        raise _uncertain(request, error.reason) from error
    machines: Counter[str] = Counter()
    for launched in answer.get("Instances", []):
        machines[launched["InstanceType"]] += len(launched["InstanceIds"])
    shortfalls = {error["ErrorCode"]: error["ErrorMessage"] for error in answer.get("Errors", [])}
    return Outcome(dict(machines), shortfalls)


def _uncertain(request: Request, why: str) -> UncertainError:
    return UncertainError(
        f"AWS gave no answer to the request for machines ({why}), so they may have started: "
        f"their lease is there; run the same command again to finish this request, "
        f"or annex-bootstrap leases end {request.annex_id} to end it"
    )


def _started(account: Account, request_id: str) -> Sequence[InstanceTypeDef]:
    with explained("looking for machines of this request"):
        pages = account.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": f"tag:{REQUEST_TAG}", "Values": [request_id]}]
        )
        return [machine for page in pages for held in page["Reservations"] for machine in held["Instances"]]


def _count(machines: Sequence[InstanceTypeDef]) -> Mapping[str, int]:
    return Counter(machine["InstanceType"] for machine in machines)
