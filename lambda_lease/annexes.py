"""End an annex whose lease is over: its fleets, its machines, its tarball, and last its rule.

Nothing is remembered between ticks. A tick that finds anything at all keeps the rule, so the rule is removed only
when a later tick finds for itself that nothing is left: a machine that started a moment earlier may not be
visible yet.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from annex_contract.lease import MACHINE_ENDING, MACHINE_RUNNING, MACHINES_PREFIX, TICK_RATE, Lease, parse_input
from lambda_lease import compute
from lambda_lease.batches import Outcome, RefusedError, error_code
from lambda_lease.lease import Expire, decide, is_tarball, tarball_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef
    from mypy_boto3_events import EventBridgeClient

    from lambda_lease.clients import Clients
    from lambda_lease.settings import Settings

WORKERS = 4
"""Calls that run at the same time. More of them would only meet EC2's request limits earlier."""


@dataclass(frozen=True)
class Rule:
    """The rule of an annex.

    Attributes:
        lease: the lease in its own target, which runs this function; ``None`` where that target is gone.
        shared: whether it has other targets, which are somebody else's.
    """

    lease: Lease | None
    shared: bool


@dataclass(frozen=True)
class Failure:
    """One step that did not work.

    Attributes:
        step: what was tried.
        error: why it did not work.
    """

    step: str
    error: Exception

    def __str__(self) -> str:
        """Say what was tried, and last why it did not work."""
        reason = self.error.response["Error"]["Message"] if isinstance(self.error, ClientError) else self.error
        return f"{self.step}: {error_code(self.error)}: {reason}"


@dataclass(frozen=True)
class Ended:
    """What one tick did to an annex.

    Attributes:
        fleets: fleets and spot requests cancelled.
        machines: machines terminated.
        tarballs: tarballs deleted, also those that machines of ``start`` have not read.
        left: machines found besides: those that shut down already, and those that could not be terminated.
        rule_removed: whether nothing was found, so that the rule was removed.
        failures: the steps that did not work.
    """

    fleets: int
    machines: int
    tarballs: int
    left: int
    rule_removed: bool
    failures: tuple[Failure, ...]


class NotEndedError(RuntimeError):
    """Something could not be ended.

    Attributes:
        failures: the steps that did not work.
    """

    def __init__(self, what: str, failures: tuple[Failure, ...]) -> None:
        """Name every failure, with its cause last."""
        super().__init__(f"{what}: not ended yet, the next tick tries again: {'; '.join(map(str, failures))}")
        self.failures = failures


class _Failures(list[Failure]):
    @contextmanager
    def collected(self, step: str) -> Iterator[None]:
        # Any exception: whatever fails, the rest still has to run, and it is raised at the end.
        try:
            yield
        except Exception as error:
            self.append(Failure(step, error))


def failures_of(step: str, outcome: Outcome) -> list[Failure]:
    """Return a failure for each reason that AWS had to refuse IDs, naming the IDs."""
    return [Failure(f"{step} {', '.join(refusal.ids)}", refusal.error) for refusal in outcome.refusals.values()]


def read_rule(events: EventBridgeClient, annex_id: str, function_arn: str) -> Rule | None:
    """Read the rule of an annex.

    Args:
        events: the client.
        annex_id: the rule's name and the ID of its target.
        function_arn: this function, which the target runs.

    Returns:
        The rule, or ``None`` where there is none.

    Raises:
        UnreadableLeaseError: its target has no readable lease.
        ClientError: AWS refused.
    """
    lease, shared = None, False
    try:
        for page in events.get_paginator("list_targets_by_rule").paginate(Rule=annex_id):
            for target in page.get("Targets", []):
                if target["Id"] == annex_id and target["Arn"] == function_arn:
                    lease = parse_input(target.get("Input"), annex_id)
                else:
                    shared = True
    except events.exceptions.ResourceNotFoundException:
        return None
    return Rule(lease, shared)


def end_annex(clients: Clients, lease: Lease, settings: Settings, now: float) -> Ended:
    """End an annex whose lease is over, as far as AWS lets it.

    Args:
        clients: the AWS clients.
        lease: the lease that is over.
        settings: the bucket, and how a tarball is named there.
        now: seconds since the epoch.

    Returns:
        What was done, with every failure; none is raised.
    """
    ec2, annex_id = clients.ec2, lease.annex_id
    failures = _Failures()
    profile_arns = settings.profile_arns
    find = partial(_find_machines, ec2, annex_id, profile_arns, failures)
    by_tag, by_token = compute.machines_of_annex(annex_id)
    everything = (*MACHINE_RUNNING, MACHINE_ENDING)
    with ThreadPoolExecutor(WORKERS) as pool:
        # Runs while the fleets are listed.
        listing = pool.submit(find, by_tag, everything)
        fleets = list[str]()
        for step, listed in (
            ("list spot fleets", compute.list_running_fleets(ec2, profile_arns)),
            ("list EC2 fleets", compute.list_running_ec2_fleets(ec2, settings.stack_id)),
            ("list spot requests", compute.list_persistent_requests(ec2, profile_arns)),
        ):
            with failures.collected(step):
                fleets.extend(fleet.id for fleet in listed if fleet.annex_id == annex_id)
        cancelled = compute.cancel_fleets(ec2, pool, fleets)
        failures += failures_of("cancel", cancelled)
        machines = listing.result()
        if fleets:
            # They started machines until they were cancelled, and terminated some.
            machines = find(by_tag, everything)
        terminated = compute.terminate_machines(ec2, pool, _running(machines))
        failures += failures_of("terminate", terminated)
        # Most machines have the tag and the token, and EC2 takes long to describe many, so it is asked by token only
        # now that those are ending. Where nothing was found, machines that are ending count here too.
        listing = pool.submit(find, by_token, MACHINE_RUNNING if fleets or machines else everything)
        tarballs = _delete_tarballs(clients, annex_id, settings, failures)
        untagged = listing.result()
        terminated_later = compute.terminate_machines(ec2, pool, _running(untagged) - machines.keys())
        failures += failures_of("terminate", terminated_later)
        machines |= untagged
    done = terminated.done | terminated_later.done
    rule_removed = False
    if not (fleets or machines or tarballs or failures):
        with failures.collected(f"remove rule {annex_id}"):
            rule_removed = _remove_rule(clients.events, lease, settings.function_arn, now)
    return Ended(
        fleets=len(cancelled.done),
        machines=len(done),
        tarballs=tarballs,
        left=len(machines.keys() - done),
        rule_removed=rule_removed,
        failures=tuple(failures),
    )


def _running(machines: Mapping[str, str]) -> set[str]:
    return {id_ for id_, state in machines.items() if state != MACHINE_ENDING}


def _find_machines(
    ec2: EC2Client,
    annex_id: str,
    profile_arns: frozenset[str],
    failures: _Failures,
    filters: list[FilterTypeDef],
    states: Iterable[str],
) -> dict[str, str]:
    # IDs and states. What was seen before a page failed still counts.
    found = dict[str, str]()
    with failures.collected("list machines"):
        for machine in compute.list_machines(ec2, filters, states, profile_arns):
            if machine.annex_id == annex_id:
                found[machine.id] = machine.state
    return found


def _delete_tarballs(clients: Clients, annex_id: str, settings: Settings, failures: _Failures) -> int:
    deleted = 0
    keys = list[str]()
    with failures.collected(f"list the tarballs in bucket {settings.bucket}"):
        s3 = clients.s3
        machines = f"{MACHINES_PREFIX}{annex_id}/"
        try:
            for prefix in (tarball_prefix(annex_id, settings), machines):
                for page in s3.get_paginator("list_objects_v2").paginate(
                    Bucket=settings.bucket, ExpectedBucketOwner=settings.account, Prefix=prefix
                ):
                    keys += [
                        item["Key"]
                        for item in page.get("Contents", [])
                        if prefix == machines or is_tarball(item["Key"], annex_id, settings)
                    ]
        except s3.exceptions.NoSuchBucket:
            return 0
    for key in keys:
        with failures.collected(f"delete s3://{settings.bucket}/{key}"):
            clients.s3.delete_object(Bucket=settings.bucket, ExpectedBucketOwner=settings.account, Key=key)
            deleted += 1
    return deleted


def _remove_rule(events: EventBridgeClient, lease: Lease, function_arn: str, now: float) -> bool:
    annex_id = lease.annex_id
    # Read once more: the lease may have been extended while the tick looked for machines.
    rule = read_rule(events, annex_id, function_arn)
    if rule is None or not isinstance(decide(lease, rule.lease, now), Expire):
        return False
    if rule.lease is not None:
        answer = events.remove_targets(Rule=annex_id, Ids=[annex_id])
        for entry in answer["FailedEntries"]:
            raise RefusedError(entry.get("ErrorCode", ""), entry.get("ErrorMessage", ""))
    if rule.shared or not _is_of_lease(events, annex_id):
        return rule.lease is not None
    events.delete_rule(Name=annex_id)
    return True


def _is_of_lease(events: EventBridgeClient, name: str) -> bool:
    """Return whether a rule was made for a lease: anyone who may only invoke this function can name any rule."""
    pages = events.get_paginator("list_rules").paginate(NamePrefix=name)
    schedules = {rule["Name"]: rule.get("ScheduleExpression") for page in pages for rule in page["Rules"]}
    return schedules.get(name) == TICK_RATE
