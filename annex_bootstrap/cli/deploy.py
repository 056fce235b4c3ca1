"""``annex-bootstrap deploy``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annex_bootstrap.cli.options import config_option, parameters_option, regions_options, yes_option
from annex_bootstrap.cli.output import Screen, output_option

if TYPE_CHECKING:
    from annex_bootstrap.stack.deployment import DeployRequest, Proposal
    from annex_bootstrap.stack.read import Stack
    from annex_bootstrap.stack.regions import Outcome


@click.command(name="deploy", short_help="Create or update the stack, then write the configuration.")
@regions_options
@parameters_option
@click.option("--dry-run", is_flag=True, help="Show what would change, and stop there.")
@click.option("--allow-downgrade", is_flag=True, help="Let this version replace what a newer one made.")
@click.option("--no-pull", is_flag=True, help="Do not write the pool's configuration afterwards.")
@config_option
@yes_option
@output_option
def command(
    regions: tuple[str, ...],
    profile: str | None,
    stack_name: str,
    parameters: dict[str, str],
    dry_run: bool,
    allow_downgrade: bool,
    no_pull: bool,
    config: Path | None,
    yes: bool,
    screen: Screen,
) -> None:
    """Create or update the stack, then write its outputs into the pool's configuration.

    Shows what would change and asks first. An operation that is going on already, such as that of a client that was
    stopped, is followed to its end. Parameters that are not given keep their earlier values.
    """
    from annex_bootstrap.aws import connect_all
    from annex_bootstrap.cli.progress import progress
    from annex_bootstrap.cli.pull_config import pull
    from annex_bootstrap.pool import config_file
    from annex_bootstrap.stack import deployment
    from annex_bootstrap.stack.artefact import built_template
    from annex_bootstrap.stack.parameters import check_parameters
    from annex_bootstrap.stack.regions import run_all

    request = deployment.DeployRequest(stack_name, built_template(), parameters, allow_downgrade)
    check_parameters(request.template, parameters)
    if not (no_pull or dry_run):
        config_file.check(config_file.find_file(config))
    accounts = connect_all(regions, profile)
    names = [account.region for account in accounts]
    with progress(screen, names) as board:
        prepared = run_all(accounts, lambda each: deployment.prepare(each, request, board.watcher(each.region)))
    for outcome in prepared:
        _show(screen, request, outcome, several=len(accounts) > 1)
    proposals = {each.account.region: each.result for each in prepared if each.result is not None}
    changing = [each.account for each in prepared if each.result is not None and not each.result.changes_nothing]
    results = {each.account.region: _result(request, each) for each in prepared}

    if changing and not dry_run:
        go_ahead = False
        try:
            go_ahead = yes or screen.confirm("Go ahead?", default=True)
        finally:
            if not go_ahead:
                _discard(changing, proposals)
        if not go_ahead:
            screen.say("Nothing was changed.")
            screen.document({"regions": list(results.values()), "config": None})
            return
        with progress(screen, names, _totals(proposals)) as board:
            done = run_all(
                changing,
                lambda each: deployment.execute(each, request, proposals[each.region], board.watcher(each.region)),
            )
        for ended in done:
            _report(screen, request, ended, several=len(accounts) > 1)
            results[ended.account.region] |= _ended(ended)
    elif dry_run:
        _discard(changing, proposals)
        screen.say("Nothing was changed.")

    complete = [each for each in accounts if results[each.region]["error"] is None]
    pulled = None
    if complete and not (no_pull or dry_run):
        pulled = pull(screen, complete, stack_name, config)
    screen.document({"regions": list(results.values()), "config": pulled})
    if len(complete) < len(accounts):
        sys.exit(1)


def _totals(proposals: dict[str, Proposal]) -> dict[str, int]:
    return {region: len(each.change_set.changes) for region, each in proposals.items() if each.change_set is not None}


def _discard(accounts: list[Any], proposals: dict[str, Proposal]) -> None:
    from annex_bootstrap.stack import deployment
    from annex_bootstrap.stack.regions import run_all

    for outcome in run_all(accounts, lambda each: deployment.discard(each, proposals[each.region])):
        if outcome.error is not None:
            raise outcome.error


def _show(screen: Screen, request: DeployRequest, outcome: Outcome[Proposal], several: bool) -> None:
    from annex_bootstrap.stack.parameters import describe_parameters

    proposal, account = outcome.result, outcome.account
    if proposal is None:
        screen.fail(f"{account.region}: {outcome.error}" if several else str(outcome.error))
        return
    if proposal.joined:
        screen.say(f"What was going on with {request.stack_name} in {account.region} is over: {proposal.joined}")
    if proposal.changes_nothing:
        screen.say(f"The stack {request.stack_name} in {account.region} is up to date.")
        return
    screen.say(f"The stack {request.stack_name} in {account.region}, account {account.account_id}:")
    for line in _lines(proposal):
        screen.say(f"  {line}")
    for line in describe_parameters(request.template, proposal.stack, request.given):
        screen.say(f"  {line}")


def _lines(proposal: Proposal) -> list[str]:
    from annex_bootstrap.stack import plan

    if proposal.change_set is not None:
        return plan.describe(proposal.change_set.changes)
    status = proposal.stack.status if proposal.stack is not None else ""
    return [f"deletes what the failed creation left ({status})", "creates everything anew"]


def _report(screen: Screen, request: DeployRequest, outcome: Outcome[Stack], several: bool) -> None:
    if outcome.result is None:
        screen.fail(f"{outcome.account.region}: {outcome.error}" if several else str(outcome.error))
    else:
        screen.say(f"{outcome.result.status}: {request.stack_name} in {outcome.account.region}", fg="green")


def _result(request: DeployRequest, outcome: Outcome[Proposal]) -> dict[str, Any]:
    proposal = outcome.result
    stack = proposal.stack if proposal is not None else None
    changes = proposal.change_set.changes if proposal is not None and proposal.change_set is not None else ()
    return {
        "region": outcome.account.region,
        "stack": request.stack_name,
        "status": stack.status if stack is not None else None,
        "step": proposal.step.value if proposal is not None and not proposal.changes_nothing else None,
        "changes": [
            {
                "action": each.action,
                "resource": each.resource,
                "type": each.resource_type,
                "replaces": each.replaces,
                "properties": list(each.properties),
            }
            for each in changes
        ],
        "outputs": dict(stack.outputs) if stack is not None else {},
        "error": str(outcome.error) if outcome.error is not None else None,
    }


def _ended(outcome: Outcome[Stack]) -> dict[str, Any]:
    if outcome.result is None:
        return {"error": str(outcome.error)}
    return {"status": outcome.result.status, "outputs": dict(outcome.result.outputs)}
