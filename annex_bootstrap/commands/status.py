"""``status``: the stack in every region, its annexes, and whether the configuration names it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import click

from annex_bootstrap.annexes import ending
from annex_bootstrap.annexes.leases import NOTHING, Lease, Leases
from annex_bootstrap.aws import Account
from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import DeniedError, UserError
from annex_bootstrap.machines import prices
from annex_bootstrap.options import CONFIG, MANY_REGIONS
from annex_bootstrap.pool import blocks, config_file
from annex_bootstrap.stack import metrics, read
from annex_bootstrap.stack.image import StackImage, read_image
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import Target, in_each_region
from annex_contract.outputs import profiles_of
from annex_contract.stack import Output

Answer = TypeVar("Answer")

LABELS = {
    Output.S3_BUCKET_NAME: "bucket",
    Output.LEASE_FUNCTION_ARN: "lease function",
    Output.CONNECTIVITY_FUNCTION_ARN: "connectivity check",
    Output.INSTANCE_CONFIGURATION_PROFILE: "machines' profile",
    Output.IAM_FLEET_ROLE_ARN: "fleet role",
    Output.SECURITY_GROUP_ID: "security group",
    Output.ANNEX_USER_POLICY_ARN: "policy for users",
    Output.START_POLICY_ARN: "policy for start",
    Output.LAUNCH_TEMPLATE_ID: "launch template",
    Output.IMAGE_ID: "image",
    Output.INSTANCE_TYPE: "instance type",
    Output.KEY_PAIR_NAME: "key pair",
}
"""What a person calls what the outputs name."""

MAY_NOT_READ = "no right to read it (see annex-bootstrap policy operator)"
"""The operator's policy allows all that is shown, the deployer's all that a deployment needs."""


@dataclass(frozen=True)
class LastCall:
    """The last call of the lease function, which the hourly check makes at the latest.

    Attributes:
        at: the minute; None if it was not called in the last three hours.
        stack_is_new: whether the stack is younger than that.
    """

    at: datetime | None
    stack_is_new: bool


@dataclass(frozen=True)
class RegionStatus:
    """The stack in one region.

    Attributes:
        region: where.
        stack: the stack's name.
        deployed: whether it is complete and has its outputs.
        status: in CloudFormation; None where there is no stack.
        reason: why it has that status; often empty.
        version: of annex-bootstrap that made it; None where that is not known.
        last_changed: when it was made, or last updated.
        parameters: by name.
        outputs: by name.
        annexes: the IDs of those that hold a lease.
        dollars_per_hour: of the annexes, on demand; None where it is not known.
        last_call: of the lease function; None where it is not known.
        image: of the machines; None where the stack has none, or it is not known.
        alarms: their states by name; None where they are not known.
        denied: the names of those fields that the caller may not read.
        config: the pool's configuration file; None where there is no stack.
        config_names_stack: whether that file names the stack.
        error: why the stack could not be read; None where it could.
    """

    region: str
    stack: str
    deployed: bool = False
    status: str | None = None
    reason: str = ""
    version: str | None = None
    last_changed: datetime | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    annexes: tuple[str, ...] = ()
    dollars_per_hour: Decimal | None = None
    last_call: LastCall | None = None
    image: StackImage | None = None
    alarms: Mapping[str, str] | None = None
    denied: tuple[str, ...] = ()
    config: Path | None = None
    config_names_stack: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Status(Result):
    """The stack in every region.

    Attributes:
        regions: in the order in which they were given.
    """

    regions: tuple[RegionStatus, ...]

    @property
    def ok(self) -> bool:
        """Whether it is deployed in every region."""
        return all(region.deployed for region in self.regions)


def status(screen: Screen, target: Target, *, verbose: bool = False) -> Status:
    """Show the stack in every region.

    Args:
        screen: where to print.
        target: the stack.
        verbose: show the stack's outputs as they are, with whole ARNs.

    Raises:
        UserError: the AWS account cannot be used.
    """
    accounts = target.connect_all()
    regions = []
    for outcome in in_each_region(accounts, lambda account: _read(account, target)):
        region = outcome.account.region
        if outcome.result is None:
            screen.fail(f"{region}: {outcome.error}" if len(accounts) > 1 else str(outcome.error))
            regions.append(RegionStatus(region, target.stack_name, error=str(outcome.error)))
        else:
            _show(screen, outcome.result, verbose=verbose)
            regions.append(outcome.result)
    return Status(tuple(regions))


def _read(account: Account, target: Target) -> RegionStatus:
    stack = read.find(account.cloudformation, target.stack_name)
    if stack is None:
        return RegionStatus(account.region, target.stack_name)
    path = config_file.find_file(target.config)
    section = blocks.read_block(config_file.preview(path, lambda block: block).old).find(account.region)
    leases = ending.find_leases(account, stack)
    denied: list[str] = []

    def known(name: str, read: Callable[[], Answer]) -> Answer | None:
        """Return what AWS answers, or None where it refuses: the rest of the status does not need it."""
        try:
            return read()
        except DeniedError:
            denied.append(name)
        except UserError:
            pass
        return None

    return RegionStatus(
        region=account.region,
        stack=target.stack_name,
        deployed=stack.is_deployed,
        status=stack.status,
        reason=stack.reason,
        version=stack.version or None,
        last_changed=stack.changed,
        parameters=stack.parameters,
        outputs=stack.outputs,
        annexes=tuple(lease.annex_id for lease in leases),
        dollars_per_hour=known("dollars_per_hour", lambda: _cost(account, stack, leases)),
        last_call=known("last_call", lambda: _last_call(account, stack)),
        image=known("image", lambda: read_image(account, stack)),
        alarms=known("alarms", lambda: metrics.read_alarms(account, stack)),
        config=path,
        config_names_stack=section is not None and section.stack_name == target.stack_name,
        # Last: the calls above add to it.
        denied=tuple(denied),
    )


def _cost(account: Account, stack: Stack, leases: Sequence[Lease]) -> Decimal | None:
    """Return what the annexes cost an hour on demand; None if a price is missing."""
    running = {}
    if leases:
        # A stack that is being deleted may have no outputs any more.
        function_arn = stack.outputs.get(Output.LEASE_FUNCTION_ARN, "")
        running = Leases(account, function_arn, profiles_of(stack.outputs), stack.stack_id).machines()
    machines = [running.get(lease.annex_id, NOTHING) for lease in leases]
    known = prices.on_demand(account, {name for annex in machines for name in annex.types})
    costs = [annex.cost(known) for annex in machines]
    return None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))


def _last_call(account: Account, stack: Stack) -> LastCall:
    at = metrics.read_last_call(account, stack.outputs.get(Output.LEASE_FUNCTION_ARN, ""))
    return LastCall(at, datetime.now(UTC) - stack.changed < timedelta(hours=metrics.HOURS))


def _show(screen: Screen, status: RegionStatus, *, verbose: bool) -> None:
    if status.status is None:
        screen.say(f"There is no stack {status.stack} in {status.region}.")
        return
    screen.say(f"{status.stack} in {status.region}: ", bold=True, nl=False)
    screen.say(status.status, fg="green" if status.deployed else "red")
    if status.reason:
        screen.say(f"  {status.reason}")
    screen.say(f"  version {status.version or 'unknown'}, last changed {_when(status.last_changed)}")
    for line in describe(status, datetime.now(UTC), verbose=verbose):
        screen.say(f"  {line}")


def describe(status: RegionStatus, now: datetime, *, verbose: bool) -> list[str]:
    """Return a line for each annex, for each thing that the stack made, by its name, and for the configuration.

    Args:
        status: of a stack that exists.
        now: the time.
        verbose: also the outputs as they are, with whole ARNs.
    """

    def shown(name: str, value: Answer | None, text: Callable[[Answer], str]) -> str:
        if value is None:
            return MAY_NOT_READ if name in status.denied else "unknown"
        return text(value)

    rows = [("annex", annex) for annex in status.annexes] or [("annexes", "none")]
    rows.append(("cost", shown("dollars_per_hour", status.dollars_per_hour, "${:.4f}/hour on demand".format)))
    rows += [
        (label, _image(status.image, now) if output == Output.IMAGE_ID and status.image else _name(value))
        for output, label in LABELS.items()
        if (value := status.outputs.get(output))
    ]
    rows.append(("alarms", shown("alarms", status.alarms, _alarms)))
    rows.append(("lease function ran", shown("last_call", status.last_call, _ran)))
    rows.append(("configuration", f"{status.config} {'names it' if status.config_names_stack else 'does not name it'}"))
    lines = [f"{label:<18}  {value}" for label, value in rows]
    outputs = sorted(status.outputs.items()) if verbose else []
    return lines + [f"{name:<28}  {value}" for name, value in outputs]


def _image(image: StackImage, now: datetime) -> str:
    if image.created is None:
        return image.image_id
    days = image.days(now)
    content = f", HTCondor {image.htcondor}" if image.htcondor else ""
    return f"{image.image_id}, {'1 day' if days == 1 else f'{days} days'} old{content}"


def _alarms(states: Mapping[str, str]) -> str:
    raised = sorted(name for name, state in states.items() if state == "ALARM")
    return f"ALARM: {', '.join(raised)}; run annex-bootstrap doctor" if raised else "none raised"


def _ran(last_call: LastCall) -> str:
    if last_call.at is not None:
        return _when(last_call.at)
    return "not yet: the stack is new" if last_call.stack_is_new else f"not in the last {metrics.HOURS} hours"


def _when(time: datetime | None) -> str:
    return "unknown" if time is None else time.isoformat(timespec="seconds")


def _name(value: str) -> str:
    """Return the name at the end of an ARN; anything else as it is."""
    return re.split("[:/]", value)[-1] if value.startswith("arn:") else value


command = Command(
    "status",
    status,
    *MANY_REGIONS,
    CONFIG,
    click.Option(["--verbose"], is_flag=True, help="Show the stack's outputs as they are, with whole ARNs."),
    *OUTPUT,
    help="""Show the stack, what it made, the annexes that have a lease, their cost, and the configuration.

    It also shows when the lease function last ran, which it does at least every hour. Cost and that need the operator's
    policy.

    Exits with 0 if the stack is deployed in every region, else with 1.
    """,
)
