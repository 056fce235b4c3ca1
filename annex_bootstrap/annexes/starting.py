"""Starting machines for an annex: its tarball, then its lease, and only then the machines.

So nothing ever runs without a lease, whatever fails and whenever the client is killed; and a lease that nothing runs
for ends by itself. A request may be carried out again and again: its ID is the client token of its fleet.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from annex_bootstrap.annexes.joining import Pool
from annex_bootstrap.annexes.leases import Lease, Leases
from annex_bootstrap.annexes.requests import Annex, Request
from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.pool.machine_config import MachineConfig
from annex_contract import lease as contract
from annex_contract.stack import ANNEX_TAG, REQUEST_TAG, STARTED_BY_TAG, Output


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


def carry_out(account: Account, outputs: Mapping[str, str], request: Request, pool: Pool) -> Outcome:
    """Carry out a request, or what is left of it; its file is there from before the first change until all is known.

    Args:
        account: where.
        outputs: of the stack.
        request: what to start.
        pool: that the machines join.

    Raises:
        UncertainError: there was no answer to whether machines start; the request may be carried out again.
        UserError: AWS refused; nothing of this request runs.
    """
    request.save()
    try:
        outcome = _carry_out(account, outputs, request, pool)
    except UncertainError:
        raise
    except UserError:
        request.forget()
        raise
    request.forget()
    return outcome


def _carry_out(account: Account, outputs: Mapping[str, str], request: Request, pool: Pool) -> Outcome:
    annex, bucket = request.annex, outputs[Output.S3_BUCKET_NAME]
    config = MachineConfig(annex.name, pool.address, annex.owner, annex.idle, request.request_id)
    leases = Leases.of(account, outputs)
    before = find_lease(leases, annex.name)
    with explained(f"uploading the pool's configuration to {bucket}"):
        account.s3.put_object(
            Bucket=bucket, Key=contract.TARBALL_PATTERN.replace("*", annex.name), Body=config.pack(pool.token)
        )
    _put_lease(leases, annex, bucket, before)
    try:
        outcome = _launch(account, request)
    except UncertainError:
        raise
    except UserError:
        if before is None:
            _end(leases, annex.name)
        raise
    if outcome.count:
        _keep_lease(leases, annex, bucket)
    elif before is None:
        _end(leases, annex.name)
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


def _put_lease(leases: Leases, annex: Annex, bucket: str, before: Lease | None) -> None:
    """Let the lease end when the annex is to, or later where it already does."""
    expiration = max(annex.expiration, (before.expiration or 0) if before else 0)
    if before is None or before.expiration != expiration:
        leases.put(contract.Lease(annex.name, bucket, expiration))


def _keep_lease(leases: Leases, annex: Annex, bucket: str) -> None:
    """Put the lease again if it is gone: it had run out just before, and the lease function was ending it meanwhile."""
    try:
        _put_lease(leases, annex, bucket, find_lease(leases, annex.name))
    except UserError as error:
        raise UncertainError(
            f"the machines of {annex.name} started, but their lease could not be checked ({error}): run the same "
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
        return Outcome(started, {})
    try:
        with explained("starting machines"):
            answer = account.fleets.create_fleet(**request.fleet)
    except AwsError as error:
        if error.answered:
            raise
        raise UncertainError(
            f"AWS gave no answer to the request for machines ({error.reason}), so they may have started: "
            f"their lease is there; run the same command again to finish this request, "
            f"or annex-bootstrap leases end {request.annex.name} to end it"
        ) from error
    machines: Counter[str] = Counter()
    for launched in answer.get("Instances", []):
        machines[launched["InstanceType"]] += len(launched["InstanceIds"])
    shortfalls = {error["ErrorCode"]: error["ErrorMessage"] for error in answer.get("Errors", [])}
    return Outcome(machines, shortfalls)


def _started(account: Account, request_id: str) -> Counter[str]:
    """Return how many machines of a request there are, by type."""
    with explained("looking for machines of this request"):
        pages = account.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": f"tag:{REQUEST_TAG}", "Values": [request_id]}]
        )
        return Counter(
            machine["InstanceType"]
            for page in pages
            for reservation in page["Reservations"]
            for machine in reservation["Instances"]
        )
