"""Starting machines for an annex: its lease first, then the machines, and then the configuration of each of them.

So nothing ever runs without a lease, whatever fails and whenever the client is killed; a lease that nothing runs for
ends by itself, and so does a machine whose configuration never comes. A request may be carried out again and again: its
ID is the client token of its fleet.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from annex_bootstrap.advice import read_reason
from annex_bootstrap.annexes.ending import expire, terminate_machines
from annex_bootstrap.annexes.failures import failure_of
from annex_bootstrap.annexes.joining import Pool
from annex_bootstrap.annexes.leases import NOTHING, Lease, Leases
from annex_bootstrap.annexes.money import read_balance
from annex_bootstrap.annexes.requests import Annex, Request
from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import AwsError, DeniedError, UnavailableError, UserError
from annex_bootstrap.machines.money import Allowance, lasts_until
from annex_bootstrap.pool.machine_config import MachineConfig
from annex_bootstrap.stack.read import Stack
from annex_contract import lease as contract
from annex_contract.stack import ANNEX_TAG, REQUEST_TAG, STARTED_BY_TAG, Output

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

LOOKS = 10
"""How often to look whether machines that were started do start: with a key that its starter may not use, or a snapshot
that is gone, a machine ends some seconds after AWS has taken it."""

LOOK_PAUSE = 1.0
"""Seconds between two looks."""

THROTTLED = ("RequestLimitExceeded", "Throttling", "ThrottlingException")
"""AWS's error codes for too many calls: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html"""

UNWRITABLE = ("KMS.DisabledException", "KMS.NotFoundException", "NoSuchBucket")
"""Error codes of a bucket that takes no object, whoever puts it, until somebody has mended it:
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""

SCHEDULER = "events.amazonaws.com"
"""EventBridge as a principal, whose rules run the lease function."""

WRITERS = 10
"""Configurations that are put at the same time: as many as botocore keeps connections."""

HARMLESS = 86400
"""Seconds from now at which the lease ends that the lease function is asked about: it waits, and touches nothing."""


class UncertainError(UserError):
    """AWS gave no answer, so machines may have started or not."""


@dataclass(frozen=True)
class Outcome:
    """What came of a request.

    Attributes:
        machines: how many started, by type.
        shortfalls: why no more came: AWS's error codes, each with one of its messages.
        lacks: the instance type, the subnet and the error code of what AWS did not have.
        ids: of the machines that started, each with its type.
        is_new: whether this try asked for them, and no earlier one.
    """

    machines: Mapping[str, int]
    shortfalls: Mapping[str, str]
    lacks: tuple[tuple[str, str, str], ...] = ()
    ids: Mapping[str, str] = field(default_factory=dict, compare=False)
    is_new: bool = field(default=False, compare=False)

    @property
    def count(self) -> int:
        """How many machines started."""
        return sum(self.machines.values())


def tags_of(request_id: str, annex_id: str, caller: str) -> dict[str, str]:
    """Return the tags of the machines of a request.

    Args:
        request_id: of the request.
        annex_id: of the annex.
        caller: who asks for them, as the stack's policy demands.
    """
    # A session's name may have a comma, and EC2 allows any character in a tag's value:
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
    return {
        ANNEX_TAG: annex_id,
        REQUEST_TAG: request_id,
        STARTED_BY_TAG: caller,
        "Name": f"annex {annex_id}",
    }


def check_lease_function(account: Account, outputs: Mapping[str, str], annex_id: str) -> None:
    """Check that something would end the machines: that the lease function runs, and EventBridge may run it.

    Args:
        account: where.
        outputs: of the stack.
        annex_id: of the annex; the function is asked about a lease that ends much later.

    Raises:
        UnavailableError: it does not, so nothing may start.
    """
    arn = outputs[Output.LEASE_FUNCTION_ARN]
    event = contract.Lease(annex_id, outputs[Output.S3_BUCKET_NAME], int(time.time()) + HARMLESS).event()
    problem = ""
    try:
        with explained("asking the lease function"):
            answer = account.lambda_.invoke(FunctionName=arn, Payload=json.dumps(event).encode())
            if "FunctionError" in answer:
                problem = f"it fails: {answer['Payload'].read().decode(errors='replace')[:200]}"
    except AwsError as error:
        problem = "it is gone" if error.code == "ResourceNotFoundException" else str(error)
    if not problem and not may_be_scheduled(account, arn):
        problem = "EventBridge may not run it"
    if problem:
        raise UnavailableError(
            f"the lease function in {account.region} would not end the machines, so none is started: {problem}; "
            "run annex-bootstrap doctor"
        )


def may_be_scheduled(account: Account, arn: str) -> bool:
    """Return whether the lease function's own policy lets EventBridge run it; also where that cannot be read.

    Raises:
        UserError: AWS refused for another reason than want of a right.
    """
    try:
        with explained("reading the policy of the lease function"):
            policy = json.loads(account.lambda_.get_policy(FunctionName=arn)["Policy"])
    except DeniedError:
        return True
    except AwsError as error:
        if error.code == "ResourceNotFoundException":
            return False
        raise
    return any(
        statement["Effect"] == "Allow" and statement["Principal"] in ({"Service": SCHEDULER}, {"Service": [SCHEDULER]})
        for statement in policy["Statement"]
    )


def carry_out(account: Account, stack: Stack, request: Request, pool: Pool) -> Outcome:
    """Carry out a request, or what is left of it; its file is there from before the first change until all is known.

    Args:
        account: where.
        stack: whose machines they are.
        request: what to start.
        pool: that the machines join.

    Raises:
        UncertainError: there was no answer to whether machines start, or some have no configuration; the request may be
            carried out again.
        UserError: AWS refused; nothing of this request runs.
    """
    leases = Leases.of(account, stack, request.given_tags)
    with request.under_way():
        try:
            lease = _make_lease(leases, stack.outputs[Output.S3_BUCKET_NAME], request.annex, request.request_id)
            outcome = _launch(leases, lease, request)
            if outcome.count:
                lease = _keep_lease(leases, lease, request, outcome)
                try:
                    # Beside each other: to describe many machines takes as long as to configure them.
                    with ThreadPoolExecutor(1) as beside:
                        looking = beside.submit(_look, account, request.request_id, outcome)
                        _configure(account, stack.outputs, request, pool, outcome)
                except UncertainError:
                    raise
                except UserError:
                    _end_unused(leases, lease)
                    raise
                outcome = looking.result()
                if not outcome.count:
                    _end_unused(leases, lease)
        except UncertainError:
            raise
        except UserError:
            request.forget()
            raise
        # Last: killed before, the same command finishes this request, and starts nothing twice.
        request.forget()
    return outcome


@dataclass(frozen=True)
class _OwnLease:
    """The lease that a request put.

    Attributes:
        annex: of which it is.
        bucket: that it names.
        content: the input of the rule's target, as this request put it.
        is_new: whether the annex had none before.
    """

    annex: Annex
    bucket: str
    content: str
    is_new: bool


def _configure(account: Account, outputs: Mapping[str, str], request: Request, pool: Pool, outcome: Outcome) -> None:
    """Put the configuration of each machine where it alone may read it, unless it is there already.

    Raises:
        UncertainError: some could not be put.
        UserError: AWS refuses all of them, and the machines, which are new, are terminated.
    """
    ids, is_new = list(outcome.ids), outcome.is_new
    # Made before, since making clients is not safe in threads.
    s3 = account.s3
    annex, bucket, role_id = request.annex, outputs[Output.S3_BUCKET_NAME], outputs[Output.START_ROLE_ID]
    body = MachineConfig(annex.name, pool.address, annex.owner, annex.idle, request.request_id, annex.only).pack(
        pool.token
    )

    def put(instance_id: str) -> UserError | None:
        key = contract.machine_key(annex.name, role_id, instance_id)
        try:
            with explained(f"putting the configuration of {instance_id} into {bucket}"):
                s3.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")
        except UserError as error:
            there = isinstance(error, AwsError) and error.code == "PreconditionFailed"
            return None if there else error
        return None

    with ThreadPoolExecutor(WRITERS) as writers:
        problems = [problem for problem in writers.map(put, ids) if problem is not None]
    # Of an earlier try, some may have had theirs and run jobs.
    if is_new and len(problems) == len(ids) and all(map(_is_final, problems)) and _terminated(account, ids):
        raise UserError(
            f"none of the {len(ids)} machines of {annex.name} could get a configuration, so they were terminated: "
            f"{problems[0]}"
        )
    for problem in problems:
        raise UncertainError(
            f"{len(problems)} of {len(ids)} machines of {annex.name} have no configuration and shut down without it "
            f"after five minutes ({problem}): run the same command again before"
        )


def _is_final(problem: UserError) -> bool:
    """Tell whether a configuration that could not be put cannot be put by another try either."""
    return isinstance(problem, DeniedError) or (isinstance(problem, AwsError) and problem.code in UNWRITABLE)


def _terminated(account: Account, ids: Sequence[str]) -> bool:
    """Terminate machines, and tell whether AWS did. Where it does not, they shut down by themselves."""
    try:
        terminate_machines(account.ec2, ids)
    except UserError:
        return False
    return True


def _make_lease(leases: Leases, bucket: str, annex: Annex, request_id: str) -> _OwnLease:
    before = find_lease(leases, annex.name)
    return _OwnLease(annex, bucket, _put_lease(leases, annex, bucket, before, request_id), before is None)


def _put_lease(leases: Leases, annex: Annex, bucket: str, before: Lease | None, request_id: str) -> str:
    """Let the lease end when the annex is to, or later where it already does.

    It is put also where its end stays: so that the one who put it before knows that others count on it. With money, it
    ends when the plan said.

    Raises:
        UserError: AWS refused, or the annex's money was spent on other machines since the plan was made.
    """
    now = int(time.time())
    live = before if before is not None and (before.expiration or 0) > now else None
    held, money = None if live is None else live.allowance, annex.money
    ours = live is not None and json.loads(live.target["Input"]).get("Request") == request_id
    if held is not None and not ours and (money is None or held.since > int(money["Since"])):
        raise UserError(
            f"somebody else has started machines of {annex.name} meanwhile, and its money is counted: run the same "
            "command again"
        )
    if live is None and money is not None and not Decimal(money["Spent"]):
        # Nothing ran while somebody thought about the plan.
        money = {**money, "Since": str(now)}
    later = (before.expiration or 0) if before is not None and money is None else 0
    return leases.put(contract.Lease(annex.name, bucket, max(annex.expiration, later)), request_id, money)


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


def _launch(leases: Leases, lease: _OwnLease, request: Request) -> Outcome:
    try:
        outcome = _create_fleet(leases.account, request)
    except UncertainError:
        raise
    except UserError:
        _end_unused(leases, lease)
        raise
    if not outcome.count:
        _end_unused(leases, lease)
    return outcome


def _create_fleet(account: Account, request: Request) -> Outcome:
    if earlier := _machines(account, request.request_id):
        # An earlier try got so far.
        alive = _running(earlier)
        if not alive:
            raise UserError(
                f"the machines of the interrupted start of {request.annex.name} have ended: run the same command again "
                "to start others"
            )
        ids = dict[str, str]((machine["InstanceId"], machine["InstanceType"]) for machine in alive)
        return Outcome(Counter(machine["InstanceType"] for machine in alive), {}, ids=ids)
    started, ids = Counter[str](), dict[str, str]()
    try:
        with explained("starting machines"):
            answer = account.fleets.create_fleet(**request.fleet)
    except AwsError as error:
        # A throttle comes as a server's error, but nothing started, unless an earlier try of the call got through.
        if error.answered or (error.code in THROTTLED and not _machines(account, request.request_id)):
            raise
        raise UncertainError(
            f"AWS gave no answer to the request for machines ({error.reason}), so they may have started: "
            f"their lease is there; run the same command again to finish this request, "
            f"or annex-bootstrap leases end {request.annex.name} to end it"
        ) from error
    for launched in answer.get("Instances", []):
        started[launched["InstanceType"]] += len(launched["InstanceIds"])
        ids |= dict.fromkeys(launched["InstanceIds"], launched["InstanceType"])
    errors = answer.get("Errors", [])
    return Outcome(
        started,
        {error["ErrorCode"]: read_reason(error["ErrorMessage"]) for error in errors},
        tuple(
            (override["InstanceType"], override.get("SubnetId", ""), error["ErrorCode"])
            for error in errors
            for override in [error.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})]
            if "InstanceType" in override
        ),
        ids,
        is_new=True,
    )


def find_running(account: Account, request_id: str) -> list[str]:
    """Return the IDs of the machines of a request that run or start.

    Raises:
        UserError: AWS refused.
    """
    return [machine["InstanceId"] for machine in _running(_machines(account, request_id))]


def _running(machines: Sequence[InstanceTypeDef]) -> list[InstanceTypeDef]:
    return [machine for machine in machines if machine["State"]["Name"] in contract.MACHINE_RUNNING]


def _machines(account: Account, request_id: str) -> list[InstanceTypeDef]:
    """Return the machines of a request as AWS describes them, ended ones too."""
    with explained("looking for machines of this request"):
        pages = account.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": f"tag:{REQUEST_TAG}", "Values": [request_id]}]
        )
        return [
            machine for page in pages for reservation in page["Reservations"] for machine in reservation["Instances"]
        ]


def _keep_lease(leases: Leases, lease: _OwnLease, request: Request, outcome: Outcome) -> _OwnLease:
    """Put the lease again if it is gone, shorter, or does not know what its money is spent on; return what it is then.

    It had run out just before and the lease function was ending it, or another start put its own meanwhile.
    """
    annex = lease.annex
    try:
        now = find_lease(leases, annex.name)
        if annex.money is not None:
            return replace(lease, content=_settle(leases, lease, now, request, outcome))
        if now is None or (now.expiration or 0) < annex.expiration:
            _put_lease(leases, annex, lease.bucket, now, request.request_id)
    except UserError as error:
        raise UncertainError(
            f"the machines of {annex.name} started, but their lease could not be checked ({error}): run the same "
            "command again"
        ) from error
    return lease


def _settle(leases: Leases, lease: _OwnLease, now: Lease | None, request: Request, outcome: Outcome) -> str:
    """Count what runs now, whoever started it meanwhile, and let the lease end before the money is spent on that."""
    annex, clock = lease.annex, int(time.time())
    allowances = [Allowance.parse(annex.money or {})]
    if now is not None and now.allowance is not None:
        allowances.append(now.allowance)
    held = max(allowances, key=lambda allowance: allowance.since)
    found = read_balance(leases, annex.name, held, held.extras, clock)
    # EC2 may not show yet what has just started.
    hidden = max(outcome.count - len(_machines(leases.account, request.request_id)), 0)
    per_hour = found.per_hour + hidden * held.most
    counted = replace(
        held,
        spent=found.spent,
        since=clock,
        machines=len(found.running) + hidden,
        most=max([held.most, *found.running]),
    )
    wanted = max(annex.expiration, (now.expiration or 0) if now is not None else 0)
    end = min(wanted, lasts_until(held.dollars - found.spent, per_hour, clock)) if per_hour else wanted
    return leases.put(contract.Lease(annex.name, lease.bucket, end), request.request_id, counted.content())


def _end_unused(leases: Leases, lease: _OwnLease) -> None:
    """End a new lease that nothing runs for and nobody else has put since; any other ends when it says."""
    if not lease.is_new:
        return
    with contextlib.suppress(UserError):
        running = leases.machines().get(lease.annex.name, NOTHING)
        now = leases.get(lease.annex.name)
        if not (running.count or running.fleets) and now is not None and now.target.get("Input") == lease.content:
            expire(leases, now, int(time.time()))


def _look(account: Account, request_id: str, outcome: Outcome) -> Outcome:
    """Return the outcome without the machines that ended as soon as they had started, and why they did."""
    with contextlib.suppress(UserError):
        for _ in range(LOOKS):
            machines = _machines(account, request_id)
            failures = [failure for machine in machines if (failure := failure_of(machine)) is not None]
            alive = {each["InstanceId"]: each["InstanceType"] for each in machines if failure_of(each) is None}
            starting = any(machine["State"]["Name"] == "pending" for machine in machines)
            if len(machines) >= outcome.count and not starting:
                break
            time.sleep(LOOK_PAUSE)
        if failures:
            return Outcome(Counter(alive.values()), {**outcome.shortfalls, **dict(failures)}, outcome.lacks, alive)
    return outcome
