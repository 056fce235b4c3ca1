"""Whether the machines of annexes have joined the pool, and what can be known of those that have not."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from annex_bootstrap.annexes.leases import Leases
from annex_bootstrap.aws import Account, explained
from annex_bootstrap.doctor.check import Check, Finding, Level, Setup
from annex_bootstrap.doctor.pool_checks import written
from annex_bootstrap.machines.console import Console, console_command, read_console
from annex_bootstrap.pool.collector import ask_collector, parse_collectors
from annex_bootstrap.pool.htcondor import AP_COLLECTOR, COLLECTOR, Version, starts_with_htcondor
from annex_bootstrap.pool.refusals import PATTERN, last_refusal, log_path, read_refusals
from annex_bootstrap.stack.read import Stack
from annex_contract.knobs import DEFAULT_PORT
from annex_contract.lease import annex_of_machine
from annex_contract.stack import ANNEX_TAG, STACK_TAG

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

BOOT_SECONDS = 600
"""A machine that has not joined the pool after this time never will: booting takes a minute or two."""

SHOWN = 10
"""Of how many machines that have not joined the consoles are read, and the findings shown."""

RUNNING = "running"

ENDED = ("shutting-down", "terminated")
"""The states of a machine that gave up. AWS lists it for a while, and keeps its console for at least an hour:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html"""

SHUT_DOWN = "Client.InstanceInitiatedShutdown"
"""Why EC2 terminated a machine that shut itself down:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html"""


@dataclass(frozen=True)
class Machine:
    """A machine of an annex.

    Attributes:
        instance_id: its ID in AWS.
        annex_id: of its annex.
        seconds: since its start.
        running: False where it has shut itself down.
        addresses: from which the collector may see it.
        vpc_id: of its network.
        console: what its console shows; None where that was not read.
    """

    instance_id: str
    annex_id: str
    seconds: float
    running: bool = True
    addresses: tuple[str, ...] = ()
    vpc_id: str = ""
    console: Console | None = None

    @property
    def gave_up(self) -> str:
        """Why its boot script ended it; empty where it did not, or where its console does not say."""
        return self.console.gave_up if self.console else ""


@dataclass(frozen=True)
class Place:
    """Where to look, for the commands.

    Attributes:
        region: of the machines.
        stack_name: of their stack.
        port: on which the collector listens.
        log: the path of the collector's log; empty where no HTCondor says it.
    """

    region: str
    stack_name: str
    port: int = DEFAULT_PORT
    log: str = ""


@dataclass(frozen=True)
class Replacements(Check):
    """Fleets and persistent spot requests that start machines again belong to annexes that hold a lease.

    Attributes:
        found: how many of them each annex has.
        leases: the annexes that hold one.
    """

    id = "replacements"
    subject = "fleets and spot requests"

    found: Mapping[str, int]
    leases: Collection[str]

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        stack = setup.deployed
        if stack is None:
            return None
        leases = Leases.of(setup.account, stack)
        found = {annex_id: annex.fleets for annex_id, annex in leases.machines().items() if annex.fleets}
        # Few annexes have any.
        return cls(found, {lease.annex_id for lease in leases.list()}) if found else None

    def judge(self) -> Finding:
        endless = sorted(self.found.keys() - set(self.leases))
        if not endless:
            return self.ok(f"{sum(self.found.values())} may start machines, until the leases of their annexes end")
        return self.problem(
            f"machines start again without end for {', '.join(endless)}, which no lease ends",
            "cancel them on the page Spot Requests of the EC2 console, or deploy with --param EndOrphans=yes",
        )


@dataclass(frozen=True)
class Machines(Check):
    """The machines of annexes have joined the pool; else why not, as far as it can be known.

    Attributes:
        version: of HTCondor on this machine; None where there is none.
        machines: of all annexes in the region, with those that gave up lately.
        joined: the instance IDs that the collector knows; None where it does not answer.
        place: where to look.
        refusals: the lines of the collector's log that refuse somebody; None where it cannot be read here.
    """

    id = "machines"
    subject = "machines"

    version: Version | None
    machines: Sequence[Machine]
    joined: Sequence[str] | None
    place: Place
    refusals: Sequence[str] | None = None

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None:
            return None
        machines = list(_machines(setup.account, setup.deployed))
        joined = ask_collector(setup.collector, "EC2InstanceID") if machines else []
        missing = _missing(machines, joined or [])[:SHOWN]
        seen = {
            machine.instance_id: read_console(setup.account, machine.instance_id, running=machine.running)
            for machine in missing
        }
        machines = [replace(machine, console=seen.get(machine.instance_id)) for machine in machines]
        machines = [machine for machine in machines if machine.running or machine.gave_up]
        collectors = parse_collectors(setup.given_collector or setup.collector) if missing else []
        daemon = AP_COLLECTOR if setup.has_htcondor_annex else COLLECTOR
        log = log_path(daemon) if missing and setup.condor else ""
        place = Place(setup.account.region, setup.stack_name, collectors[0].port if collectors else DEFAULT_PORT, log)
        return cls(setup.condor, machines, joined, place, read_refusals(log) if log else None)

    def judge(self) -> Finding:
        if not self.machines:
            return self.ok("no annex has a machine running")
        missing = _missing(self.machines, self.joined or [])
        if self.version is None or self.joined is None:
            # Only those that gave up are known not to be there.
            missing = [machine for machine in missing if machine.gave_up]
            if not missing:
                running = f"{len(self.machines)} running; no collector says here whether they have joined the pool"
                return self.skipped(running, "run doctor on the machine with the schedd")
        if not missing:
            return self.ok(f"all {len(self.machines)} have joined the pool")
        is_problem = any(
            machine.seconds >= BOOT_SECONDS or machine.gave_up or self._refusal(machine) for machine in missing
        )
        shown = "; ".join(
            f"{machine.instance_id} of {machine.annex_id} {self._why(machine)}" for machine in missing[:SHOWN]
        )
        more = f"; and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        wait = "" if is_problem else f"give them {BOOT_SECONDS // 60} minutes; after that: "
        return Finding(
            self.id,
            self.subject,
            Level.PROBLEM if is_problem else Level.SKIPPED,
            f"not in the pool{'' if is_problem else ' yet'}: {shown}{more}",
            wait + "; ".join(self._advice(missing[:SHOWN])),
            tuple(self._commands(missing[:SHOWN])),
        )

    def _refusal(self, machine: Machine) -> str:
        return last_refusal(self.refusals or [], machine.addresses)

    def _why(self, machine: Machine) -> str:
        """Return what is known of a machine that has not joined: its console first, then the collector's log."""
        console = machine.console
        if machine.gave_up:
            return f"gave up: {machine.gave_up}"
        if refusal := self._refusal(machine):
            return f"was refused by the collector: {refusal.strip()}"
        if console is None:
            return "has a console that could not be read"
        if console.has_started:
            return "has found its annex and started HTCondor"
        if console.said:
            return f"is booting, and said last: {console.said[-1]}"
        if console.text.strip():
            return "says nothing of annexes on its console"
        return "shows nothing on its console"

    def _advice(self, missing: Sequence[Machine]) -> Iterator[str]:
        silent = [machine for machine in missing if not machine.gave_up and not self._refusal(machine)]
        consoles = [machine.console for machine in silent]
        if any(machine.gave_up for machine in missing):
            yield "remove the reason that a machine gives for giving up, and start its annex again"
        if any(self._refusal(machine) for machine in missing):
            yield "where the collector refuses machines, run annex-bootstrap pool-config on the central manager"
        if any(console is not None and console.has_started for console in consoles):
            yield (
                "machines that started HTCondor are refused or do not reach the collector: look at its log, the token,"
                " the port and the route, in this order"
            )
        if any(console is None for console in consoles):
            yield "annex-bootstrap policy operator prints the policy that lets you read consoles"
        if self.version and any(
            console is not None and console.text.strip() and not console.said for console in consoles
        ):
            side = "24.11 or later" if starts_with_htcondor(self.version) else "older than 24.11"
            yield (
                "machines that say nothing have another image than the stack's, or still boot: the HTCondor in their"
                f" image must be {side}, as {written(self.version)} is: the others look for an annex's configuration"
                " elsewhere"
            )
        if any(console is not None and not console.text.strip() for console in consoles):
            yield "AWS shows the console of some instance types only minutes later"

    def _commands(self, missing: Sequence[Machine]) -> Iterator[str]:
        """Yield one command for each place to look at, in order, for the first machine that says the least."""
        place = self.place
        unknown = next((each for each in missing if not each.gave_up), None)
        first = unknown or missing[0]
        yield f"{console_command(place.region, first.instance_id)}  # what the machine says"
        if unknown is None:
            return
        log = shlex.quote(place.log) if place.log else '"$(condor_config_val COLLECTOR_LOG)"'
        yield f"sudo grep -E '{PATTERN}' {log} | tail  # whom the collector refused, on its machine"
        options = f"--region {place.region} --stack-name {place.stack_name}"
        annex_id = shlex.quote(first.annex_id)
        yield f"annex-bootstrap start {annex_id} --count 1 --dry-run {options}  # whether it takes a token"
        yield f"ss -ltn 'sport = :{place.port}'  # whether the collector listens, on its machine"
        yield (
            f"aws ec2 describe-route-tables --region {place.region} --filters Name=vpc-id,Values={first.vpc_id} "
            "--query 'RouteTables[].[Associations[].SubnetId,Routes]'  # whether there is a route to it"
        )


def _missing(machines: Sequence[Machine], joined: Sequence[str]) -> list[Machine]:
    """Return the machines that are not in the pool, those that run first, then the newest.

    Those that ended count only where their annex has no machine in the pool.
    """
    there = {machine.annex_id for machine in machines if machine.instance_id in joined}
    missing = [
        machine
        for machine in machines
        if machine.instance_id not in joined and (machine.running or machine.annex_id not in there)
    ]
    return sorted(missing, key=lambda machine: (not machine.running, machine.seconds))


def _machines(account: Account, stack: Stack) -> Iterator[Machine]:
    leases, now = Leases.of(account, stack), datetime.now(UTC)
    names = {lease.annex_id for lease in leases.list()}
    with explained("listing the machines of annexes"):
        for page in account.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": [RUNNING, *ENDED]}]
        ):
            for machine in (found for reservation in page["Reservations"] for found in reservation["Instances"]):
                running = machine["State"]["Name"] == RUNNING
                if not running and machine.get("StateReason", {}).get("Code") != SHUT_DOWN:
                    continue
                annex_id = annex_here(machine, leases.profile_arns, stack.stack_id, names)
                if annex_id is not None:
                    yield Machine(
                        machine["InstanceId"],
                        annex_id,
                        (now - machine["LaunchTime"]).total_seconds(),
                        running,
                        tuple(_addresses(machine)),
                        machine.get("VpcId", ""),
                    )


def annex_here(
    machine: Mapping[str, Any], profile_arns: frozenset[str], stack_id: str, leases: Collection[str]
) -> str | None:
    """Return the annex of this stack that a machine belongs to, if any; other stacks and tools have annexes too.

    Args:
        machine: as DescribeInstances describes it; AWS need not show the profile of one that is terminated.
        profile_arns: the instance profiles of the stack's machines.
        stack_id: of the stack, which `start` tags its machines with.
        leases: the annexes that hold a lease of this stack, by which a machine without a profile counts.
    """
    if "IamInstanceProfile" in machine:
        return annex_of_machine(machine, profile_arns)
    tags = {tag["Key"]: tag["Value"] for tag in machine.get("Tags", [])}
    annex_id, owner = tags.get(ANNEX_TAG), tags.get(STACK_TAG)
    return annex_id if owner == stack_id or (owner is None and annex_id in leases) else None


def _addresses(machine: InstanceTypeDef) -> Iterator[str]:
    for address in (machine.get("PublicIpAddress"), machine.get("PrivateIpAddress"), machine.get("Ipv6Address")):
        if address:
            yield address
