"""``status``: the stack in every region, its annexes, and whether the configuration names it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from annex_bootstrap.annexes import ending
from annex_bootstrap.annexes.leases import NOTHING, Lease, Leases
from annex_bootstrap.aws import Account, connect_all, explained
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import DeniedError, UserError
from annex_bootstrap.machines import prices
from annex_bootstrap.pool import blocks, config_file
from annex_bootstrap.stack import metrics, read
from annex_bootstrap.stack.alarms import read_alarms
from annex_bootstrap.stack.image import read_image
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.stack.regions import run_all
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
class StatusOptions:
    """The options of ``status``.

    Attributes:
        stack_name: the stack's name.
        regions: where; empty for the one that the environment or the profile names.
        profile: the AWS profile, or None for the environment's.
        config: the pool's configuration file, or None for the one that HTCondor names.
        verbose: show the stack's outputs as they are, with whole ARNs.
    """

    stack_name: str
    regions: Sequence[str] = ()
    profile: str | None = None
    config: Path | None = None
    verbose: bool = False


def status(options: StatusOptions, screen: Screen) -> bool:
    """Show the stack in every region.

    Returns:
        Whether it is deployed in every region.

    Raises:
        UserError: the AWS account cannot be used.
    """
    accounts = connect_all(options.regions, options.profile)
    outcomes = run_all(accounts, lambda account: _read(account, options))
    document = []
    for outcome in outcomes:
        region = outcome.account.region
        if outcome.result is None:
            screen.fail(f"{region}: {outcome.error}" if len(accounts) > 1 else str(outcome.error))
        else:
            _show(screen, outcome.result, verbose=options.verbose)
        document.append(outcome.result or {"region": region, "stack": options.stack_name, "error": str(outcome.error)})
    screen.document({"regions": document})
    return all(outcome.result is not None and outcome.result["stands"] for outcome in outcomes)


def _read(account: Account, options: StatusOptions) -> dict[str, Any]:
    stack_name = options.stack_name
    with explained(f"reading the stack {stack_name}"):
        stack = read.find(account.cloudformation, stack_name)
    status = {"region": account.region, "stack": stack_name, "stands": False, "status": None, "error": None}
    if stack is None:
        return status
    path = config_file.find_file(options.config)
    section = blocks.read_block(config_file.preview(path, lambda block: block).old).find(account.region)
    named = section is not None and section.stack_name == stack_name
    held = ending.find_leases(account, stack)
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

    return status | {
        "stands": stack.is_deployed,
        "status": stack.status,
        "reason": stack.reason,
        "version": stack.version or None,
        "changed": stack.changed.isoformat(timespec="seconds"),
        "parameters": dict(stack.parameters),
        "outputs": dict(stack.outputs),
        "annexes": [lease.annex_id for lease in held],
        "dollars_an_hour": known("dollars_an_hour", lambda: _cost(account, stack, held)),
        "sweep": known("sweep", lambda: _sweep(account, stack)),
        "config": {"path": str(path), "names_stack": named},
        "image": known("image", lambda: _image(account, stack)),
        "alarms": known("alarms", lambda: dict(read_alarms(account, stack))),
        "denied": denied,
    }


def _cost(account: Account, stack: Stack, held: Sequence[Lease]) -> str | None:
    """Return what the annexes cost an hour on demand; None if a price is missing."""
    running = {}
    if held:
        # A stack that is being deleted may have no outputs any more.
        function_arn, profile_arn = (
            stack.outputs.get(output, "")
            for output in (Output.LEASE_FUNCTION_ARN, Output.INSTANCE_CONFIGURATION_PROFILE)
        )
        running = Leases(account, function_arn, profile_arn).machines()
    machines = [running.get(lease.annex_id, NOTHING) for lease in held]
    known = prices.on_demand(account, {name for annex in machines for name in annex.types})
    costs = [annex.cost(known) for annex in machines]
    return None if None in costs else f"{sum(cost for cost in costs if cost is not None):.4f}"


def _sweep(account: Account, stack: Stack) -> dict[str, Any]:
    last = metrics.read_last_call(account, stack.outputs.get(Output.LEASE_FUNCTION_ARN, ""))
    return {
        "last_call": None if last is None else last.isoformat(timespec="seconds"),
        "new": datetime.now(UTC) - stack.changed < timedelta(hours=metrics.HOURS),
    }


def _image(account: Account, stack: Stack) -> dict[str, Any]:
    image = read_image(account, stack)
    if image is None:
        return {}
    return {
        "image_id": image.image_id,
        "state": image.state or None,
        "days": image.days(datetime.now(UTC)) if image.created is not None else None,
        "htcondor": image.condor or None,
    }


def _show(screen: Screen, status: dict[str, Any], *, verbose: bool) -> None:
    if status["status"] is None:
        screen.say(f"There is no stack {status['stack']} in {status['region']}.")
        return
    screen.say(f"{status['stack']} in {status['region']}: ", bold=True, nl=False)
    screen.say(status["status"], fg="green" if status["stands"] else "red")
    if status["reason"]:
        screen.say(f"  {status['reason']}")
    screen.say(f"  version {status['version'] or 'unknown'}, last changed {status['changed']}")
    for line in describe(status, verbose=verbose):
        screen.say(f"  {line}")


def describe(status: Mapping[str, Any], *, verbose: bool) -> list[str]:
    """Return a line for each annex, for each thing that the stack made, by its name, and for the configuration.

    Args:
        status: of a stack, as in the JSON document.
        verbose: also the outputs as they are, with whole ARNs.
    """

    def shown(name: str, text: Callable[[Any], str]) -> str:
        value = status[name]
        if value is None:
            return MAY_NOT_READ if name in status["denied"] else "unknown"
        return text(value)

    rows = [("annex", annex) for annex in status["annexes"]] or [("annexes", "none")]
    rows.append(("cost", shown("dollars_an_hour", "{} $/hour on demand".format)))
    rows += [
        (label, _name(status["outputs"][output])) for output, label in LABELS.items() if output in status["outputs"]
    ]
    if status["image"] and status["image"]["days"] is not None:
        image, (place,) = status["image"], [number for number, row in enumerate(rows) if row[0] == "image"]
        age = "1 day old" if image["days"] == 1 else f"{image['days']} days old"
        content = f", HTCondor {image['htcondor']}" if image["htcondor"] else ""
        rows[place] = ("image", f"{image['image_id']}, {age}{content}")
    rows.append(("alarms", shown("alarms", _alarms)))
    rows.append(("lease function ran", shown("sweep", _last_call)))
    where = status["config"]
    rows.append(("configuration", f"{where['path']} {'names it' if where['names_stack'] else 'does not name it'}"))
    lines = [f"{label:<18}  {value}" for label, value in rows]
    outputs = sorted(status["outputs"].items()) if verbose else []
    return lines + [f"{name:<28}  {value}" for name, value in outputs]


def _alarms(states: Mapping[str, str]) -> str:
    raised = sorted(name for name, state in states.items() if state == "ALARM")
    return f"ALARM: {', '.join(raised)}; run annex-bootstrap doctor" if raised else "none raised"


def _last_call(sweep_state: Mapping[str, Any]) -> str:
    if sweep_state["last_call"]:
        return str(sweep_state["last_call"])
    return "not yet: the stack is new" if sweep_state["new"] else f"not in the last {metrics.HOURS} hours"


def _name(value: str) -> str:
    """Return the name at the end of an ARN; anything else as it is."""
    return re.split("[:/]", value)[-1] if value.startswith("arn:") else value
