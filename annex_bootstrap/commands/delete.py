"""``delete``: check for annexes, ask, then delete the stack in every region and its part of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annex_bootstrap.annexes import ending
from annex_bootstrap.annexes.leases import Lease
from annex_bootstrap.aws import Account, connect_all, place
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.pool import config_file
from annex_bootstrap.pool.blocks import Block
from annex_bootstrap.stack import budget, staging
from annex_bootstrap.stack.deletion import delete_stack
from annex_bootstrap.stack.follow import Watcher, settle
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.stack.regions import Outcome, run_all
from annex_contract.image import IMAGE_YES
from annex_contract.stack import Output, Parameter


@dataclass(frozen=True)
class DeleteOptions:
    """The options of ``delete``.

    Attributes:
        stack_name: the stack's name.
        regions: where; empty for the one that the environment or the profile names.
        profile: the AWS profile, or None for the environment's.
        end_annexes: whether to end annexes that still run.
        config: the pool's configuration file, or None for the one that HTCondor names.
        yes: whether to go ahead without asking.
    """

    stack_name: str
    regions: Sequence[str] = ()
    profile: str | None = None
    end_annexes: bool = False
    config: Path | None = None
    yes: bool = False


@dataclass(frozen=True)
class Found:
    """A stack that is to be deleted.

    Attributes:
        stack: the stack.
        leases: of its annexes.
    """

    stack: Stack
    leases: Sequence[Lease]


def delete(options: DeleteOptions, screen: Screen) -> bool:
    """Delete the stack in every region, the staging buckets, and the stack's part of the pool's configuration.

    Args:
        options: what was asked for.
        screen: where to print, and whom to ask.

    Returns:
        Whether it succeeded in every region; also where the answer was no.

    Raises:
        UserError: the configuration file or the AWS account cannot be used; nothing was changed.
    """
    path = config_file.find_file(options.config)
    config_file.check(path)
    accounts = connect_all(options.regions, options.profile)
    several, regions = len(accounts) > 1, [account.region for account in accounts]
    with screen.progress(regions) as board:
        checked = run_all(accounts, lambda account: _find(account, options.stack_name, board.watcher(account.region)))
    results: dict[str, dict[str, Any]] = {}
    for outcome in checked:
        results[outcome.account.region] = _preview(options, screen, outcome, several=several)
    agreed = [outcome for outcome in checked if results[outcome.account.region]["error"] is None]
    found = {outcome.account.region: outcome.result for outcome in agreed if outcome.result is not None}
    where = [account for account in accounts if account.region in found]
    if where and not (options.yes or screen.confirm(f"Go ahead in {place(where)}?", default=False)):
        screen.say("Nothing was changed.")
        screen.document({"regions": list(results.values()), "config": None})
        return True

    with screen.progress(regions) as board:
        ended = run_all(
            [outcome.account for outcome in agreed],
            lambda account: _delete(screen, account, found.get(account.region), board.watcher(account.region)),
        )
    for done in ended:
        _report(options, screen, done, found, results[done.account.region], several=several)
    gone = [outcome.account.region for outcome in ended if outcome.error is None]

    def forget(block: Block) -> Block:
        for region in gone:
            block = block.drop(region, options.stack_name)
        return block

    changed = config_file.update(path, forget)
    if changed:
        screen.say(f"{path} no longer names the stack.")
    screen.document({"regions": list(results.values()), "config": {"path": str(path), "changed": changed}})
    return len(gone) == len(accounts)


def _find(account: Account, stack_name: str, watcher: Watcher) -> Found | None:
    stack, _ = settle(account, stack_name, watcher)
    return None if stack is None else Found(stack, ending.find_leases(account, stack))


def _preview(options: DeleteOptions, screen: Screen, outcome: Outcome[Found | None], several: bool) -> dict[str, Any]:
    """Say what would be deleted in a region, or why nothing can be; return the region's part of the document."""
    region, found = outcome.account.region, outcome.result
    leases = found.leases if found is not None else ()
    error = str(outcome.error) if outcome.error else None
    if leases and not options.end_annexes:
        error = (
            f"these annexes still have a lease: {_names(leases)}; without the stack nothing would end them: "
            "wait for their leases to end, or give --end-annexes"
        )
    if error is not None:
        screen.fail(f"{region}: {error}" if several else error)
    elif found is None:
        screen.say(f"There is no stack {options.stack_name} in {region}.")
    else:
        _show(screen, outcome.account, found)
    return {
        "region": region,
        "stack": options.stack_name,
        "deleted": False,
        "annexes": [lease.annex_id for lease in leases],
        "error": error,
    }


def _names(leases: Sequence[Lease]) -> str:
    return ", ".join(lease.annex_id for lease in leases)


def _show(screen: Screen, account: Account, found: Found) -> None:
    stack = found.stack
    bucket, fleet_role = stack.outputs.get(Output.S3_BUCKET_NAME), stack.outputs.get(Output.IAM_FLEET_ROLE_ARN, "")
    screen.say(f"The stack {stack.name} in {account.region}, account {account.account_id}:")
    if found.leases:
        screen.say(f"  ends these annexes and all their machines: {_names(found.leases)}", bold=True)
    screen.say("  deletes its functions with their logs, roles, security group, policies, rule and alarms")
    image = stack.outputs.get(Output.IMAGE_ID)
    if image and stack.parameters.get(Parameter.IMAGE) == IMAGE_YES:
        screen.say(f"  deletes the machine image {image} with its snapshots")
    if bucket and stack.parameters.get(Parameter.BUCKET_NAME):
        screen.say(f"  keeps the bucket {bucket}, unless the stack made it")
    elif bucket:
        screen.say(f"  deletes the bucket {bucket}, unless it holds other things")
    if stack.parameters.get(Parameter.FLEET_ROLE_NAME):
        screen.say(f"  keeps the role {fleet_role.rpartition('/')[2]}, unless the stack made it")
    screen.say("  deletes the staging bucket, and the stack's part of the pool's configuration")
    screen.say("  keeps the account's two service-linked roles for spot")


def _delete(screen: Screen, account: Account, found: Found | None, watcher: Watcher) -> None:
    if found is not None:
        for lease in found.leases:
            machines = ending.end_annex(account, found.stack, lease)
            screen.say(f"  ended the annex {lease.annex_id} in {account.region}: {machines} machines")
        delete_stack(account, found.stack, watcher)
    staging.delete(account)
    if found is not None and budget.delete_budget(account, found.stack.name, found.stack.stack_id):
        screen.say(f"  deleted the budget {budget.budget_name(account, found.stack.name)}")


def _report(
    options: DeleteOptions,
    screen: Screen,
    outcome: Outcome[None],
    found: Mapping[str, Found],
    result: dict[str, Any],
    several: bool,
) -> None:
    region = outcome.account.region
    result["deleted"] = outcome.error is None and region in found
    result["error"] = str(outcome.error) if outcome.error else None
    if outcome.error is not None:
        screen.fail(f"{region}: {outcome.error}" if several else str(outcome.error))
    elif region in found:
        screen.say(f"DELETE_COMPLETE: {options.stack_name} in {region}", fg="green")
