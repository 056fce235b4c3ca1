"""Doing what was decided, with the functions of ``start``: there is no other way to start a machine."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annex_bootstrap.annexes import starting
from annex_bootstrap.annexes.joining import Pool, check_reachable, find_pool
from annex_bootstrap.annexes.leases import Leases
from annex_bootstrap.annexes.money import check_extension
from annex_bootstrap.annexes.planning import make_plan
from annex_bootstrap.annexes.requests import Annex, Request, find_requests
from annex_bootstrap.errors import AwsError, UnavailableError, UserError
from annex_bootstrap.growth.cloud import Instance, Place
from annex_bootstrap.growth.model import BOOT_SECONDS, Extension, Rules, Start
from annex_bootstrap.growth.plan import PACE
from annex_bootstrap.growth.record import BACKOFF, Event, Record
from annex_bootstrap.machines.capacity import Capacity

NAMESPACE = uuid.UUID("6c1f9f0e-3f62-5a0b-9a47-5f1f3c1d7d0e")
"""Of the IDs of requests. Random, once."""

OTHER_REQUEST = "IdempotentParameterMismatch"
"""AWS's code for a client token that was used with other arguments: somebody else has made this step.
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html"""

PERIOD = 3600
"""Seconds after which what is there may be the same again: EC2 forgets a machine about an hour after its end."""

QUIET = 120
"""The last seconds of a period, in which nobody decides, so that the ID of a step does not change under way."""

LATEST = 30
"""Seconds before the end of a period at which a request begins at the latest: in that time EC2 shows its machines."""

MEMORY = 1800
"""Seconds for which EC2 shows every machine of a request, even one that ended at once: about half of the time."""

NO_CAPACITY = (
    "InsufficientInstanceCapacity",
    "MaxSpotInstanceCountExceeded",
    "SpotMaxPriceTooLow",
    "VcpuLimitExceeded",
)
"""AWS's codes for capacity that may be there later; a type that a zone does not have, ``Unsupported``, never is."""


@dataclass(frozen=True)
class Done:
    """What came of a step.

    Attributes:
        start: what was to start.
        count: how many machines started.
        problem: why not more; empty where all did.
    """

    start: Start
    count: int
    problem: str = ""


def quiet_until(now: float) -> int | None:
    """Return until when nobody decides, in seconds since the epoch; None where one may decide now."""
    end = (int(now) // PERIOD + 1) * PERIOD
    return end if end - now <= QUIET else None


def request_id(
    start: Start,
    stack_id: str,
    instances: Sequence[Instance],
    lacking: Sequence[str],
    over: Collection[str],
    now: int,
) -> str:
    """Return the ID of the request for a step: the same for anyone who makes the same step, whatever else they know.

    A step is known by what is there before it, and not by its jobs: they get a number when the negotiator sees them, so
    that of two who read at the same time one may see another group. EC2 forgets a machine after about an hour, so what
    is there may be the same again later: the hour is in it, too. A step that is over and left everything as it was gets
    the next ID.

    Args:
        start: what to start.
        stack_id: of the stack.
        instances: of the stack, also those that ended lately.
        lacking: the types that AWS did not have lately.
        over: IDs of requests whose machines EC2 shows by now, if any came.
        now: when it was decided, in seconds since the epoch; see ``quiet_until``.
    """
    there = sorted(each.instance_id for each in instances if (each.annex, each.region) == (start.annex, start.region))
    parts = [
        *(stack_id, start.annex, start.region, str(start.spot), str(now // PERIOD)),
        *("number", str(start.number), "there", *there, "lacking", *sorted(lacking)),
    ]
    tries = (uuid.uuid5(NAMESPACE, "\n".join([*parts, "try", str(number)])).hex for number in itertools.count())
    return next(name for name in tries if name not in over)


@dataclass
class Actor:
    """Carries out decisions.

    Attributes:
        rules: what is wanted.
        only: which jobs machines run besides those that opted in, an expression; empty for none.
        idle: seconds without a job after which a machine shuts down.
        collector: of the pool, as AWS reaches it; empty to ask HTCondor.
        check_pool: whether AWS must reach the pool.
        host: in whose name machines join that run everybody's jobs.
        record: of what was done.
        tags: of the machines, their disks, network interfaces and fleets, besides those of the stack.
    """

    rules: Rules
    only: str
    idle: int
    collector: str
    check_pool: bool
    host: str
    record: Record
    tags: Mapping[str, str] = field(default_factory=dict)

    def start(self, start: Start, place: Place, instances: Sequence[Instance], now: int) -> Done:
        """Start machines.

        Args:
            start: what.
            place: where.
            instances: of the stack, also those that ended lately.
            now: when it was decided, in seconds since the epoch.

        Raises:
            UserError: the record cannot be written.
        """
        try:
            for earlier in find_requests(place.account.account_id, place.region, start.annex):
                if earlier.is_alive():
                    return Done(start, 0, "another command is starting machines of this annex")
                if starting.find_running(place.account, earlier.request_id):
                    return Done(start, 0, "machines of an interrupted start of this annex lack their configuration")
                # What it did not start is decided now.
                earlier.forget()
            pool = find_pool(self.collector, start.owner or self.host, self.rules.duration)
            if self.check_pool:
                check_reachable(place.account.lambda_, place.stack, pool)
            starting.check_lease_function(place.account, place.stack.outputs, start.annex)
        except UserError as error:
            return Done(start, 0, str(error))
        return self._carry_out(start, place, instances, pool, now)

    def _carry_out(self, start: Start, place: Place, instances: Sequence[Instance], pool: Pool, now: int) -> Done:
        lacking = [
            kind for line in self.record.of("outcome") if line["at"] + BACKOFF > now for kind, _, _ in line["lacks"]
        ]
        over = {line["request"] for line in self.record.of("outcome") if line["at"] + PACE <= now}
        step = request_id(start, place.stack.stack_id, instances, lacking, over, now)
        expiration = int(time.time()) + self.rules.duration
        annex = Annex(start.annex, start.owner, self.idle, expiration, self.only)
        capacity = Capacity(count=start.count, types=start.types, spot=start.spot)
        try:
            made = make_plan(place.account, place.stack, annex, capacity, request_id=step, tags=self.tags)
        except UserError as error:
            return Done(start, 0, str(error))
        known = made.estimate.most
        if self.rules.budget is not None and (known is None or known > (start.most or 0) * start.count):
            return Done(start, 0, "the price has changed since it was decided")
        if time.time() >= (now // PERIOD + 1) * PERIOD - LATEST:
            return Done(start, 0, "it took too long since it was decided: it is decided again")
        self.record.add(
            "step",
            annex=start.annex,
            owner=start.owner,
            region=start.region,
            request=step,
            types=start.types,
            count=start.count,
            vcpus=start.vcpus,
            spot=start.spot,
            most=None if start.most is None else str(start.most),
            expiration=made.expiration,
            groups=start.keys,
        )
        problem, count, lacks = "", 0, list[tuple[str, str, str]]()
        try:
            outcome = starting.carry_out(place.account, place.stack, made.request, pool)
            count = outcome.count
            lacks = [
                (kind, place.zones.get(subnet, ""), code) for kind, subnet, code in outcome.lacks if code in NO_CAPACITY
            ]
            if count < start.count:
                problem = "; ".join(f"{code}: {message}" for code, message in outcome.shortfalls.items()) or "no reason"
        except starting.UncertainError as error:
            # They may run: the step stands in the record without an outcome, and counts in full.
            return Done(start, 0, str(error))
        except AwsError as error:
            problem = str(error)
            if error.code == OTHER_REQUEST:
                problem = "somebody else starts machines of this annex at the same time"
            elif error.code in NO_CAPACITY:
                lacks = [(kind, "", error.code) for kind in start.types]
        except UnavailableError as error:
            problem = str(error)
        except UserError as error:
            problem = str(error)
        self._note(step, start.region, count, spot=start.spot, lacks=lacks, problem=problem)
        return Done(start, count, problem)

    def _note(self, request: str, region: str, count: int, *, spot: bool, lacks: Sequence[Any], problem: str) -> None:
        """Write into the record what came of a step."""
        self.record.add("outcome", request=request, region=region, spot=spot, count=count, lacks=lacks, problem=problem)

    def finish(self, place: Place, instances: Sequence[Instance], now: int) -> list[str]:
        """Finish the steps in a region that were interrupted, and return what came of them, a sentence each.

        Machines that run get what they lack. Nothing else starts: whether it is still wanted is decided now.

        Args:
            place: where.
            instances: of the stack, also those that ended lately.
            now: seconds since the epoch.

        Raises:
            UserError: the record cannot be written, or a request cannot be read.
        """
        known, said = {line["request"] for line in self.record.of("outcome")}, list[str]()
        for step in self.record.of("step"):
            if step["request"] in known or step["region"] != place.region or step["at"] <= now - MEMORY:
                continue
            known.add(step["request"])
            count = self._finish(step, place, instances, now, said)
            if count is not None:
                self._note(step["request"], place.region, count, spot=step["spot"], lacks=[], problem="interrupted")
                said.append(f"an interrupted start of {step['annex']} has brought {count} of {step['count']} machines")
        return said

    def _finish(
        self, step: Event, place: Place, instances: Sequence[Instance], now: int, said: list[str]
    ) -> int | None:
        """Finish a step, and return how many machines came of it; None where that is not known yet."""
        for request in find_requests(place.account.account_id, place.region, step["annex"]):
            if request.request_id != step["request"]:
                continue
            if request.is_alive():
                return None
            try:
                if request.annex.expiration > now and starting.find_running(place.account, request.request_id):
                    return starting.carry_out(place.account, place.stack, request, self._pool_of(request, now)).count
            except UserError as error:
                said.append(f"an interrupted start of {step['annex']} is not finished: {error}")
                return None
            request.forget()
        count = sum(each.request == step["request"] for each in instances)
        # EC2 may not show yet what has just started.
        return count if count or now - step["at"] > BOOT_SECONDS else None

    def _pool_of(self, request: Request, now: int) -> Pool:
        return find_pool(self.collector, request.annex.owner or self.host, request.annex.expiration - now)

    def extend(self, extension: Extension, place: Place) -> str:
        """Let a lease end later, and return why it could not; nothing if it could.

        Raises:
            UserError: the record cannot be written.
        """
        leases = Leases.of(place.account, place.stack)
        try:
            lease = leases.get(extension.annex)
            # Somebody ended or extended it meanwhile.
            if lease is None or lease.expiration is None or lease.expiration >= extension.expiration:
                return ""
            check_extension(leases, lease, extension.expiration, int(time.time()))
            leases.extend(lease, extension.expiration)
        except UserError as error:
            return str(error)
        self.record.add("extension", annex=extension.annex, region=extension.region, expiration=extension.expiration)
        return ""
