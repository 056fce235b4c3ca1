"""Doing what was decided, with the functions of ``start``: there is no other way to start a machine."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from annex_bootstrap.annexes import starting
from annex_bootstrap.annexes.joining import Pool, check_reachable, find_pool
from annex_bootstrap.annexes.leases import Leases
from annex_bootstrap.annexes.money import check_extension
from annex_bootstrap.annexes.planning import make_plan
from annex_bootstrap.annexes.requests import Annex, find_requests
from annex_bootstrap.errors import AwsError, UnavailableError, UserError
from annex_bootstrap.growth.cloud import Instance, Place
from annex_bootstrap.growth.model import Extension, Rules, Start
from annex_bootstrap.growth.record import BACKOFF, Record
from annex_bootstrap.machines.capacity import Capacity

NAMESPACE = uuid.UUID("6c1f9f0e-3f62-5a0b-9a47-5f1f3c1d7d0e")
"""Of the IDs of requests. Random, once."""

OTHER_REQUEST = "IdempotentParameterMismatch"
"""AWS's code for a client token that was used with other arguments: somebody else has made this step.
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html"""

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


def request_id(start: Start, stack_id: str, instances: Sequence[Instance], lacking: Sequence[str], now: int) -> str:
    """Return the ID of the request for a step: the same for whoever makes the same step, whatever else they know.

    A step is known by what is there before it. EC2 forgets a machine after about an hour, so what is there may be the
    same again later: the time is in it, too.

    Args:
        start: what to start.
        stack_id: of the stack.
        instances: of the stack, also those that ended lately.
        lacking: the types that AWS did not have lately.
        now: seconds since the epoch.
    """
    there = sorted(each.instance_id for each in instances if (each.annex, each.region) == (start.annex, start.region))
    parts = [
        *(stack_id, start.annex, start.region, str(start.spot), str(now // BACKOFF)),
        *("keys", *start.keys, "there", *there, "lacking", *sorted(lacking)),
    ]
    return uuid.uuid5(NAMESPACE, "\n".join(parts)).hex


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
    """

    rules: Rules
    only: str
    idle: int
    collector: str
    check_pool: bool
    host: str
    record: Record

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
                # What it started is in EC2 and was counted; what it did not start is decided now.
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
        step = request_id(start, place.stack.stack_id, instances, lacking, now)
        expiration = int(time.time()) + self.rules.duration
        annex = Annex(start.annex, start.owner, self.idle, expiration, self.only)
        capacity = Capacity(count=start.count, types=start.types, spot=start.spot)
        try:
            made = make_plan(place.account, place.stack, annex, capacity, request_id=step)
        except UserError as error:
            return Done(start, 0, str(error))
        known = made.estimate.most
        if self.rules.budget is not None and (known is None or known > (start.most or 0) * start.count):
            return Done(start, 0, "the price has changed since it was decided")
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
        self.record.add(
            "outcome", request=step, region=start.region, spot=start.spot, count=count, lacks=lacks, problem=problem
        )
        return Done(start, count, problem)

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
