"""``annex-bootstrap status``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annex_bootstrap.cli.options import config_option, regions_options
from annex_bootstrap.cli.output import Screen, output_option

if TYPE_CHECKING:
    from annex_bootstrap.aws import Account


@click.command(name="status", short_help="Show the stack, its annexes and its configuration.")
@regions_options
@config_option
@output_option
def command(
    regions: tuple[str, ...], profile: str | None, stack_name: str, config: Path | None, screen: Screen
) -> None:
    """Show the stack, its outputs, the annexes that have a lease, and whether the configuration names it.

    Exits with 0 where the stack stands in every region, else with 1.
    """
    from annex_bootstrap.aws import connect_all
    from annex_bootstrap.stack.regions import run_all

    accounts = connect_all(regions, profile)
    found = run_all(accounts, lambda each: _read(each, stack_name, config))
    document = []
    for outcome in found:
        region = outcome.account.region
        if outcome.result is None:
            screen.fail(f"{region}: {outcome.error}" if len(accounts) > 1 else str(outcome.error))
        else:
            _show(screen, outcome.result)
        document.append(outcome.result or {"region": region, "stack": stack_name, "error": str(outcome.error)})
    screen.document({"regions": document})
    if not all(outcome.result is not None and outcome.result["stands"] for outcome in found):
        sys.exit(1)


def _read(account: Account, stack_name: str, config: Path | None) -> dict[str, Any]:
    from annex_bootstrap.annexes import ending
    from annex_bootstrap.aws import explained
    from annex_bootstrap.pool import blocks, config_file
    from annex_bootstrap.stack import plan, read

    with explained(f"reading the stack {stack_name}"):
        stack = read.find(account.cloudformation, stack_name)
    status = {"region": account.region, "stack": stack_name, "stands": False, "status": None, "error": None}
    if stack is None:
        return status
    path = config_file.find_file(config)
    section = blocks.read_block(config_file.preview(path, lambda block: block).old).find(account.region)
    named = section is not None and section.stack_name == stack_name
    return status | {
        "stands": stack.status in plan.UPDATABLE and bool(stack.version),
        "status": stack.status,
        "reason": stack.reason,
        "version": stack.version or None,
        "changed": stack.changed.isoformat(timespec="seconds"),
        "parameters": dict(stack.parameters),
        "outputs": dict(stack.outputs),
        "annexes": [each.annex_id for each in ending.find_leases(account, stack)],
        "config": {"path": str(path), "names_stack": named},
    }


def _show(screen: Screen, status: dict[str, Any]) -> None:
    if status["status"] is None:
        screen.say(f"There is no stack {status['stack']} in {status['region']}.")
        return
    screen.say(f"{status['stack']} in {status['region']}: ", bold=True, nl=False)
    screen.say(status["status"], fg="green" if status["stands"] else "red")
    if status["reason"]:
        screen.say(f"  {status['reason']}")
    screen.say(f"  version {status['version'] or 'unknown'}, last changed {status['changed']}")
    for name, value in sorted(status["outputs"].items()):
        screen.say(f"  {name:<29} {value}")
    annexes = ", ".join(status["annexes"]) or "none"
    screen.say(f"  annexes with a lease          {annexes}")
    where = status["config"]
    screen.say(f"  configuration                 {where['path']} {'names it' if where['names_stack'] else 'does not'}")
