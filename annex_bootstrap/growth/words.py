"""Why jobs wait, in the words of those who submitted them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from annex_bootstrap.growth.cloud import Instance
from annex_bootstrap.growth.model import Decision, Group, Readings, Reason, Rules, Verdict
from annex_bootstrap.growth.plan import MOST_LOST
from annex_bootstrap.machines.quotas import increase_command

ENDS = {
    "Server.SpotInstanceTermination": "AWS took the spot machine back",
    "Server.SpotInstanceShutdown": "AWS took the spot machine back",
    "Server.InsufficientInstanceCapacity": "AWS had no capacity left for the machine",
    "Client.UserInitiatedShutdown": "its annex's lease ended, or somebody ended the machine",
    "Client.InstanceInitiatedShutdown": "the machine shut itself down: it had no job for too long, or could not join",
}
"""What AWS's codes mean: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html"""


def minutes(seconds: int) -> str:
    """Return a time as people say it, in minutes, rounded up."""
    count = max(-(-seconds // 60), 1)
    return "1 minute" if count == 1 else f"{count} minutes"


def needs_of(group: Group) -> str:
    """Return what a job of a group asks for."""
    needs = group.needs
    gpus = f", {needs.gpus} GPU{'s' if needs.gpus > 1 else ''}" if needs.gpus else ""
    cpus = "1 core" if needs.cpus == 1 else f"{needs.cpus} cores"
    return f"{cpus}, {needs.memory} MiB{gpus}"


def why(
    verdict: Verdict,
    group: Group,
    readings: Readings,
    decision: Decision,
    rules: Rules,
    now: int,
    unmet: Sequence[str] = (),
    *,
    would: bool = False,
) -> str:
    """Return why jobs of a group wait, without a full stop.

    Args:
        verdict: about the group.
        group: the jobs.
        readings: of which it was decided.
        decision: the whole of it.
        rules: what is wanted.
        now: when it was decided, in seconds since the epoch.
        unmet: conditions of the jobs' requirements that no machine meets.
        would: whether nothing is done of what was decided.
    """
    one = verdict.jobs == 1
    until = "" if verdict.until is None else f" until {datetime.fromtimestamp(verdict.until).astimezone():%H:%M}"
    match verdict.reason:
        case Reason.DOUBT:
            return f"not known, so nothing starts: {'; '.join(decision.doubts)}"
        case Reason.PROTECTED:
            return (
                f"the last {decision.lost} machines never joined the pool, so nothing starts since {MOST_LOST}: run "
                "annex-bootstrap doctor; growth goes on when a machine has joined, such as that of "
                "annex-bootstrap start test --count 1"
            )
        case Reason.HOME:
            suited = "it" if one else "all of them"
            return (
                f"free slots of the pool suit {suited}: HTCondor's next negotiation gives them out, unless a limit of "
                "the pool forbids it"
            )
        case Reason.BOOTING:
            return "a machine for it is booting" if one else f"machines for {verdict.booting} of them are booting"
        case Reason.WAIT:
            left = minutes((verdict.until or now) - now)
            return f"{'it waits' if one else 'they wait'} at home for {minutes(rules.wait)} first: {left} to go"
        case Reason.NAME:
            return (
                f"jobs of several owners name the annex {group.annex}, and an annex has one: give others another name"
            )
        case Reason.NO_TYPE:
            return _no_type(group, readings, unmet)
        case Reason.CAPACITY:
            return f"AWS has no capacity in {_lacking(readings, now)}: asked for again{until.replace('until', 'at')}"
        case Reason.QUOTA:
            region, spot = next(iter(readings.quotas), (rules.regions[0] if rules.regions else "REGION", False))
            more = increase_command(region, "NUMBER", spot=spot)
            return (
                "the quota of vCPUs, or what the stack's MaxCores allows, is used up: see annex-bootstrap leases, or "
                f"ask AWS for more with {more}"
            )
        case Reason.CORES:
            return f"--max-cores is {rules.cores}, and {decision.cores} run already"
        case Reason.MONEY:
            spent = rules.budget.spent(readings.charges, now) if rules.budget else 0
            return f"--max-dollars is {rules.budget}, of which ${spent:.2f} are spent or promised to machines that run"
        case Reason.PRICE:
            return "AWS names no price of the machines that suit them, and --max-dollars needs one"
        case Reason.PACE:
            return f"machines start half by half, a step a minute; the next one comes{until.replace('until', 'at')}"
        case Reason.STARTED:
            if would:
                return "a machine would start for it" if one else f"machines would start for {verdict.missing} of them"
            return "a machine for it is starting" if one else f"machines for {verdict.missing} of them are starting"


def _no_type(group: Group, readings: Readings, unmet: Sequence[str]) -> str:
    gpus = "; machines have GPUs where the stack's ImageGpu is yes" if group.needs.gpus else ""
    denied = gpus + "".join(f"; {region} is left out: {problem}" for region, problem in readings.denied.items())
    if unmet:
        return f"no machine satisfies {' && '.join(unmet)}{denied}"
    return f"no instance type has {needs_of(group)} and meets their requirements{denied}"


def _lacking(readings: Readings, now: int) -> str:
    names = {
        " ".join(filter(None, (lack.type, "in", lack.zone or lack.region)))
        for lack in readings.history.lacks
        if lack.until > now
    }
    return ", ".join(sorted(names)).removeprefix("in ")


def came_back(host: str, instances: Sequence[Instance]) -> str:
    """Return why a job that ran on a machine came back; nothing where nobody knows.

    Args:
        host: LastRemoteHost of the job.
        instances: of the stack, also those that ended lately.
    """
    for instance in instances:
        if instance.instance_id in host and not instance.runs:
            end = ENDS.get(instance.reason, instance.reason)
            return f"it ran on {instance.instance_id} ({instance.type}) before: {end}"
    return ""
