"""The annexes that hold a lease: what condor_annex wrote about them, and what runs for them."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Self

from annex_bootstrap.annexes.failures import describe_ended
from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import AwsError, DeniedError, UnavailableError, UserError
from annex_bootstrap.machines.money import Allowance
from annex_bootstrap.pool.tokens import MARGIN
from annex_bootstrap.stack.read import Stack, find_deployed
from annex_bootstrap.target import Target
from annex_contract import lease as contract
from annex_contract.lease import (
    FLEET_RUNNING,
    MACHINE_RUNNING,
    UnreadableLeaseError,
    annex_id_of,
    annex_of_ec2_fleet,
    annex_of_fleet,
    annex_of_machine,
    input_ending_at,
    parse_input,
)
from annex_contract.outputs import profiles_of
from annex_contract.stack import ANNEX_TAG, STACK_TAG, STARTED_BY_TAG, Output

PAGE_SIZE = 1000
"""Machines that EC2 describes in one call, at most:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html"""

READERS = 2
"""Leases that are read at the same time: EventBridge takes 50 calls a second, and answers one in some 20 to 50 ms:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html"""

MONEY = "Money"
"""Where a lease has what its annex may spend, which the lease function leaves alone."""

_ENDED_AT = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) GMT\)")


@dataclass(frozen=True)
class Lease:
    """The lease of one annex.

    Attributes:
        annex_id: its ID; the name of its rule and target.
        expiration: when it ends, in seconds since the epoch; None where the lease function could not read it either.
        target: the rule's target as it is, so that only the time in it is ever changed.
    """

    annex_id: str
    expiration: int | None
    target: Mapping[str, Any] = field(compare=False)

    @property
    def allowance(self) -> Allowance | None:
        """What the annex may spend; None where that is not limited, or the lease cannot be read.

        Raises:
            UserError: the limit cannot be read.
        """
        found = None if self.expiration is None else json.loads(self.target.get("Input", "{}")).get(MONEY)
        try:
            return None if found is None else Allowance.parse(found)
        except ValueError as error:
            raise UserError(
                f"the sum of money in the lease of {self.annex_id} cannot be read, so nobody knows what is left: end "
                f"it with annex-bootstrap leases end {self.annex_id}"
            ) from error

    def ending_at(self, expiration: int) -> dict[str, Any]:
        """Return the target with another end, in seconds since the epoch."""
        return {**self.target, "Input": input_ending_at(self.target["Input"], expiration)}


@dataclass(frozen=True)
class Machines:
    """What runs for one annex.

    Attributes:
        types: how many machines of each instance type.
        spot: how many of them are spot instances.
        fleets: fleets and persistent spot requests that may start more.
        pending: how many of them are still starting.
        starters: the users or sessions that started them, as far as their tags say.
        since: the type of each, and when it started.
    """

    types: Mapping[str, int]
    spot: int
    fleets: int
    pending: int = 0
    starters: frozenset[str] = frozenset()
    since: Sequence[tuple[str, datetime]] = ()

    @property
    def count(self) -> int:
        """How many machines there are."""
        return sum(self.types.values())

    @property
    def earliest_token_end(self) -> int | None:
        """When the token of a machine that `start` started ends at the earliest, since the epoch; None without such."""
        if not self.starters:
            return None
        return min(int(begun.timestamp()) for _, begun in self.since) + MARGIN

    @property
    def kind(self) -> str:
        """``spot``, ``on demand`` or ``mixed``; ``-`` where nothing runs."""
        if not self.count:
            return "spot" if self.fleets else "-"
        return {0: "on demand", self.count: "spot"}.get(self.spot, "mixed")

    def cost(self, prices: Mapping[str, Decimal]) -> Decimal | None:
        """Return dollars an hour on demand, the default limit of spot prices; None if a price is missing."""
        if any(name not in prices for name in self.types):
            return None
        return sum((prices[name] * count for name, count in self.types.items()), Decimal(0))

    def spent(self, prices: Mapping[str, Decimal], now: datetime) -> Decimal | None:
        """Return the dollars that what runs now has cost, as ``cost`` counts; None if a price is missing."""
        if any(name not in prices for name in self.types):
            return None
        hours = ((prices[name], Decimal((now - begun).total_seconds()) / 3600) for name, begun in self.since)
        return sum((price * time for price, time in hours), Decimal(0))


NOTHING = Machines({}, 0, 0)


def ended_at(machine: Mapping[str, Any]) -> int | None:
    """Return when a machine ended, in seconds since the epoch; None where nobody knows.

    Args:
        machine: as DescribeInstances describes it; its StateTransitionReason may have the time:
            https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Instance.html
    """
    when = _ENDED_AT.search(machine.get("StateTransitionReason", ""))
    return int(datetime.strptime(when[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()) if when else None


def starter(caller: str) -> str:
    """Return whom a tag with a caller means, for people: a user's name, or a session's, which its user may choose."""
    role_id, _, session = caller.rpartition(":")
    return f"{session} (session)" if role_id else caller


def parse_target(rule: str, targets: Iterable[Mapping[str, Any]], function_arn: str) -> Lease | None:
    """Read the lease from a rule's targets.

    Args:
        rule: its name.
        targets: as ListTargetsByRule returns them.
        function_arn: the lease function; a target that runs another one is somebody else's.

    Returns:
        The lease, or None where the rule holds none, as our own sweep rule.
    """
    target = next((target for target in targets if target["Id"] == rule and target["Arn"] == function_arn), None)
    if target is None:
        return None
    try:
        return Lease(rule, parse_input(target.get("Input"), rule).expiration, target)
    except UnreadableLeaseError:
        return Lease(rule, None, target)


@dataclass(frozen=True)
class Leases:
    """The leases of one account and region.

    Attributes:
        account: where.
        function_arn: the lease function; rules that name it are leases.
        profile_arns: the instance profiles of the stack's machines; only ``machines`` needs them.
        stack_id: the stack's ARN, which its EC2 fleets and rules are tagged with; only for ``machines`` and ``put``.
        max_seconds: how long a machine may run; None where only its lease says that.
        tags: that people give, of the rules that ``put`` makes.
    """

    account: Account
    function_arn: str
    profile_arns: frozenset[str] = frozenset()
    stack_id: str = ""
    max_seconds: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, account: Account, stack: Stack, tags: Mapping[str, str] | None = None) -> Self:
        """Return the leases of a stack, of which those to come have these tags."""
        return cls(
            account,
            stack.outputs[Output.LEASE_FUNCTION_ARN],
            profiles_of(stack.outputs),
            stack.stack_id,
            stack.max_seconds,
            tags or {},
        )

    @classmethod
    def of_target(cls, target: Target) -> Self:
        """Return the leases of a stack.

        Raises:
            UserError: there are no credentials, AWS refused, or there is no such stack.
        """
        account = target.connect()
        return cls.of(account, find_deployed(account, target.stack_name))

    def list(self) -> list[Lease]:
        """Return all leases, the one that ends first at the top.

        Raises:
            UserError: AWS refused.
        """
        with explained("listing the leases"):
            pages = self.account.events.get_paginator("list_rule_names_by_target").paginate(TargetArn=self.function_arn)
            names = [name for page in pages for name in page["RuleNames"]]
            with ThreadPoolExecutor(READERS) as readers:
                # The lease function may delete a rule meanwhile.
                targets = list(readers.map(self._targets_if_any, names))
        found = (parse_target(name, held or (), self.function_arn) for name, held in zip(names, targets, strict=True))
        return sorted(filter(None, found), key=lambda lease: (lease.expiration or 0, lease.annex_id))

    def get(self, annex_id: str) -> Lease | None:
        """Return the lease of an annex, or None; one call, however many leases there are.

        Raises:
            UserError: AWS refused.
        """
        return parse_target(annex_id, self._targets_if_any(annex_id) or (), self.function_arn)

    def find(self, name: str) -> Lease:
        """Return the lease of an annex.

        Raises:
            UserError: AWS refused, or there is none.
        """
        leases = {lease.annex_id: lease for lease in self.list()}
        annex_id = annex_id_of(name)
        if annex_id not in leases:
            known = ", ".join(leases) or "none"
            raise UserError(f"no annex {name} holds a lease in {self.account.region}; there are: {known}")
        return leases[annex_id]

    def machines(self) -> dict[str, Machines]:
        """Return what runs for each annex, by annex ID.

        Raises:
            UserError: AWS refused.
        """
        types: dict[str, Counter[str]] = {}
        spot: Counter[str] = Counter()
        fleets: Counter[str] = Counter()
        pending: Counter[str] = Counter()
        starters: dict[str, set[str]] = {}
        since: dict[str, list[tuple[str, datetime]]] = {}
        annexes: dict[str, str] = {}
        with explained("listing the machines"):
            for page in self.account.ec2.get_paginator("describe_instances").paginate(
                Filters=[{"Name": "instance-state-name", "Values": list(MACHINE_RUNNING)}],
                PaginationConfig={"PageSize": PAGE_SIZE},
            ):
                for machine in (
                    machine for reservation in page["Reservations"] for machine in reservation["Instances"]
                ):
                    annex_id = annex_of_machine(machine, self.profile_arns)
                    if annex_id is None:
                        continue
                    annexes[machine["InstanceId"]] = annex_id
                    types.setdefault(annex_id, Counter())[machine["InstanceType"]] += 1
                    spot[annex_id] += machine.get("InstanceLifecycle") == "spot"
                    pending[annex_id] += machine["State"]["Name"] == "pending"
                    since.setdefault(annex_id, []).append((machine["InstanceType"], machine["LaunchTime"]))
                    starters.setdefault(annex_id, set()).update(
                        starter(tag["Value"]) for tag in machine.get("Tags", []) if tag["Key"] == STARTED_BY_TAG
                    )
            for requests in self.account.ec2.get_paginator("describe_spot_fleet_requests").paginate():
                for request in requests["SpotFleetRequestConfigs"]:
                    fleet_annex = annex_of_fleet(request["SpotFleetRequestConfig"], self.profile_arns)
                    if fleet_annex is not None and request["SpotFleetRequestState"] in FLEET_RUNNING:
                        fleets[fleet_annex] += 1
        fleets.update(annex_id for _, annex_id in self.replacing(annexes))
        return {
            annex_id: Machines(
                types.get(annex_id, {}),
                spot[annex_id],
                fleets[annex_id],
                pending[annex_id],
                frozenset(starters.get(annex_id, ())),
                since.get(annex_id, ()),
            )
            for annex_id in types.keys() | fleets.keys()
        }

    def replacing(self, annexes: Mapping[str, str]) -> Sequence[tuple[str, str]]:
        """Return what starts another machine where one has ended: EC2 fleets and spot requests, each with its annex.

        None where the policy that an earlier version gave does not let it be seen.

        Args:
            annexes: of the machines with one of the stack's profiles, by their IDs.

        Raises:
            UserError: AWS refused otherwise.
        """
        ec2, filters = self.account.ec2, [{"Name": n, "Values": [*v]} for n, v in contract.PERSISTENT_REQUESTS.items()]
        with contextlib.suppress(DeniedError), explained("listing what replaces machines"):
            found = [
                (fleet["FleetId"], annex_id)
                for page in ec2.get_paginator("describe_fleets").paginate()
                for fleet in page["Fleets"]
                if (annex_id := annex_of_ec2_fleet(fleet, self.stack_id)) and fleet["FleetState"] in FLEET_RUNNING
            ]
            pages = ec2.get_paginator("describe_spot_instance_requests").paginate(Filters=filters)  # type: ignore[arg-type]  # a list of filters
            return found + [
                (request["SpotInstanceRequestId"], annexes[request["InstanceId"]])
                for page in pages
                for request in page["SpotInstanceRequests"]
                if request.get("InstanceId") in annexes
            ]
        return []

    def ended(self, annex_id: str) -> Sequence[tuple[str, int, int]]:
        """Return type, launch and end of an annex's machines that ended lately, in seconds since the epoch.

        Those of which nobody knows when they ended are missing.

        Raises:
            UserError: AWS refused.
        """
        return [
            (machine["InstanceType"], int(machine["LaunchTime"].timestamp()), end)
            for machine in describe_ended(self.account, self.profile_arns)
            if annex_of_machine(machine, self.profile_arns) == annex_id and (end := ended_at(machine)) is not None
        ]

    def put(self, lease: contract.Lease, request_id: str, money: Mapping[str, str] | None = None) -> str:
        """Make a lease, or give it another end: a rule that runs the lease function, and its target.

        Args:
            lease: what the rule's target says.
            request_id: of the request that wants it: the lease tells who put it last.
            money: what the annex may spend, as ``Allowance.content`` returns it; None where that is not limited.

        Returns:
            The target's input.

        Raises:
            UserError: AWS refused, or the rule of that name is not the lease of an annex of this stack.
        """
        self.check_name(lease.annex_id)
        try:
            self._put_rule(lease.annex_id)
        except AwsError as error:
            if error.code != "LimitExceededException":
                raise
            raise UnavailableError(
                f"EventBridge has no room in {self.account.region} for another rule, and each annex needs one: end "
                "annexes, delete rules that nobody needs, or ask AWS's Service Quotas for more Rules of EventBridge"
            ) from error
        limit = {} if money is None else {MONEY: money}
        content = json.dumps(lease.event() | {"Request": request_id} | limit)
        target = {"Id": lease.annex_id, "Arn": self.function_arn, "Input": content}
        try:
            self._put_target(lease.annex_id, target)
        except UserError:
            # Without a target nothing would ever delete it. One that has a target, EventBridge keeps.
            with contextlib.suppress(UserError), explained("deleting the rule"):
                self.account.events.delete_rule(Name=lease.annex_id)
            raise
        return content

    def _put_rule(self, annex_id: str) -> None:
        """Make the rule, with the tags by which a boundary knows whose it is; one that exists keeps those that it has.

        A policy of an earlier version lets nobody tag it; then it has none, as it had there.
        """
        tags = {**self.tags, ANNEX_TAG: annex_id, STACK_TAG: self.stack_id}
        put = partial(
            self.account.events.put_rule, Name=annex_id, ScheduleExpression=contract.TICK_RATE, State="ENABLED"
        )
        try:
            with explained(f"making the lease of {annex_id}"):
                put(Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
        except DeniedError:
            with explained(f"making the lease of {annex_id}"):
                put()

    def extend(self, lease: Lease, expiration: int) -> None:
        """Set another end, in seconds since the epoch.

        Raises:
            UserError: AWS refused, or the lease cannot be read.
        """
        if lease.expiration is None:
            raise UserError(
                f"the lease of {lease.annex_id} cannot be read, so it is unchanged: set it again with "
                f"condor_annex -annex-name {lease.annex_id} -duration HOURS"
            )
        self._put_target(lease.annex_id, lease.ending_at(expiration))

    def remove(self, lease: Lease) -> None:
        """Delete the rule of a lease that has ended, where no lease function is left to do it.

        Raises:
            UserError: AWS refused.
        """
        with explained(f"deleting the lease of {lease.annex_id}"):
            self.account.events.remove_targets(Rule=lease.annex_id, Ids=[lease.annex_id])
            self.account.events.delete_rule(Name=lease.annex_id)

    def check_name(self, name: str) -> None:
        """Refuse to make a lease of a rule that is somebody else's, such as of another stack's annex.

        Raises:
            UserError: it is; or AWS refused.
        """
        targets = self._targets_if_any(name)
        if targets is None:
            return
        if any(target["Arn"] != self.function_arn for target in targets) or not (targets or self._is_unfinished(name)):
            raise UserError(
                f"the EventBridge rule {name} in {self.account.region} is not the lease of an annex of this stack: "
                "give the annex another name"
            )

    def _is_unfinished(self, name: str) -> bool:
        """Return whether a rule without targets is what an interrupted start has left, or is gone meanwhile."""
        try:
            with explained(f"reading the rule {name}"):
                rule = self.account.events.describe_rule(Name=name)
        except AwsError as error:
            if error.code == "ResourceNotFoundException":
                return True
            raise
        return rule.get("ScheduleExpression") == contract.TICK_RATE and not rule.get("EventPattern")

    def _put_target(self, annex_id: str, target: Mapping[str, Any]) -> None:
        with explained(f"setting the lease of {annex_id}"):
            answer = self.account.events.put_targets(Rule=annex_id, Targets=[target])  # type: ignore[list-item]  # as ListTargetsByRule gives them
        for failed in answer["FailedEntries"]:
            raise UserError(f"EventBridge did not take the lease of {annex_id}: {failed.get('ErrorMessage')}")

    def _targets_if_any(self, rule: str) -> Sequence[Mapping[str, Any]] | None:
        """Return the targets of a rule; None where there is no such rule."""
        try:
            with explained(f"looking for a rule {rule}"):
                pages = self.account.events.get_paginator("list_targets_by_rule").paginate(Rule=rule)
                return [target for page in pages for target in page["Targets"]]
        except AwsError as error:
            if error.code == "ResourceNotFoundException":
                return None
            raise
