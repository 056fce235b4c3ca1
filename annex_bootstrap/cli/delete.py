"""``annex-bootstrap delete``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annex_bootstrap.cli.options import config_option, regions_options, yes_option
from annex_bootstrap.cli.output import Screen, output_option

if TYPE_CHECKING:
    from annex_bootstrap.annexes.leases import Lease
    from annex_bootstrap.aws import Account
    from annex_bootstrap.stack.follow import Watcher
    from annex_bootstrap.stack.read import Stack


@click.command(name="delete", short_help="Delete the stack and its part of the configuration.")
@regions_options
@click.option("--end-annexes", is_flag=True, help="End the annexes that still run, and all their machines.")
@config_option
@yes_option
@output_option
def command(
    regions: tuple[str, ...],
    profile: str | None,
    stack_name: str,
    end_annexes: bool,
    config: Path | None,
    yes: bool,
    screen: Screen,
) -> None:
    """Delete the stack, the staging bucket, and the block in the pool's configuration.

    Refuses while annexes have a lease, since without the stack nothing would end them.
    """
    from annex_bootstrap.aws import connect_all
    from annex_bootstrap.cli.progress import progress
    from annex_bootstrap.pool import config_file
    from annex_bootstrap.stack.regions import run_all

    accounts = connect_all(regions, profile)
    names = [each.region for each in accounts]
    path = config_file.find_file(config)
    config_file.check(path)
    with progress(screen, names) as board:
        found = run_all(accounts, lambda each: _find(each, stack_name, board.watcher(each.region)))
    results: dict[str, dict[str, Any]] = {}
    for looked in found:
        region, leases = looked.account.region, looked.result[1] if looked.result else []
        error = str(looked.error) if looked.error else None if end_annexes or not leases else _refusal(leases)
        results[region] = {
            "region": region,
            "stack": stack_name,
            "deleted": False,
            "annexes": [each.annex_id for each in leases],
            "error": error,
        }
        if error is not None:
            screen.fail(f"{region}: {error}" if len(accounts) > 1 else error)
        elif looked.result is None:
            screen.say(f"There is no stack {stack_name} in {region}.")
        else:
            _show(screen, looked.account, *looked.result)
    agreed = [each for each in found if results[each.account.region]["error"] is None]
    there = {each.account.region: each.result for each in agreed if each.result is not None}
    if there and not (yes or screen.confirm("Go ahead?", default=False)):
        screen.say("Nothing was changed.")
        screen.document({"regions": list(results.values()), "config": None})
        return

    with progress(screen, names) as board:
        ended = run_all(
            [each.account for each in agreed],
            lambda each: _delete(screen, each, there.get(each.region), board.watcher(each.region)),
        )
    gone = [each.account.region for each in ended if each.error is None]
    for outcome in ended:
        region = outcome.account.region
        results[region] |= {
            "deleted": outcome.error is None and region in there,
            "error": str(outcome.error) if outcome.error else None,
        }
        if outcome.error is not None:
            screen.fail(f"{region}: {outcome.error}" if len(accounts) > 1 else str(outcome.error))
        elif region in there:
            screen.say(f"DELETE_COMPLETE: {stack_name} in {region}", fg="green")

    def forget(block: Any) -> Any:
        for region in gone:
            block = block.drop(region, stack_name)
        return block

    changed = config_file.update(path, forget)
    if changed:
        screen.say(f"{path} no longer names the stack.")
    screen.document({"regions": list(results.values()), "config": {"path": str(path), "changed": changed}})
    if len(gone) < len(accounts):
        sys.exit(1)


def _find(account: Account, stack_name: str, watcher: Watcher) -> tuple[Stack, list[Lease]] | None:
    from annex_bootstrap.annexes import ending
    from annex_bootstrap.stack.follow import settle

    stack, _ = settle(account, stack_name, watcher)
    return None if stack is None else (stack, ending.find_leases(account, stack))


def _refusal(leases: list[Lease]) -> str:
    return (
        f"these annexes still have a lease: {_names(leases)}; without the stack nothing would end them: "
        "wait for their leases, or give --end-annexes"
    )


def _names(leases: list[Lease]) -> str:
    return ", ".join(each.annex_id for each in leases)


def _show(screen: Screen, account: Account, stack: Stack, leases: list[Lease]) -> None:
    from annex_contract.stack import Output

    bucket, fleet_role = stack.outputs.get(Output.S3_BUCKET_NAME), stack.outputs.get(Output.IAM_FLEET_ROLE_ARN, "")
    adopted = [name for name in ("BucketName", "FleetRoleName") if stack.parameters.get(name)]
    screen.say(f"The stack {stack.name} in {account.region}, account {account.account_id}:")
    if leases:
        screen.say(f"  ends these annexes and all their machines: {_names(leases)}", bold=True)
    screen.say("  deletes its functions with their logs, roles, security group, policy, rule and alarm")
    if bucket:
        screen.say(f"  {'keeps' if 'BucketName' in adopted else 'deletes'} the bucket {bucket}{_unless(adopted)}")
    if "FleetRoleName" in adopted:
        screen.say(f"  keeps the role {fleet_role.rpartition('/')[2]}, unless the stack made it")
    screen.say("  deletes the staging bucket, and the stack's part of the pool's configuration")
    screen.say("  keeps the account's two service-linked roles for spot")


def _unless(adopted: list[str]) -> str:
    return ", unless the stack made it" if "BucketName" in adopted else ", unless it holds other things"


def _delete(screen: Screen, account: Account, found: tuple[Stack, list[Lease]] | None, watcher: Watcher) -> None:
    from annex_bootstrap.annexes import ending
    from annex_bootstrap.stack import staging
    from annex_bootstrap.stack.deletion import delete_stack

    if found is not None:
        stack, leases = found
        for lease in leases:
            machines = ending.end_annex(account, stack, lease)
            screen.say(f"  ended the annex {lease.annex_id} in {account.region}: {machines} machines")
        delete_stack(account, stack, watcher)
    staging.delete(account)
