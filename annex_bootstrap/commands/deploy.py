"""``deploy``: preview, ask, execute in every region, then write the pool's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annex_bootstrap.aws import SHORT_PATIENCE, Account, connect_all, place, within
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines import prices
from annex_bootstrap.pool import config_file
from annex_bootstrap.pool.htcondor import version
from annex_bootstrap.pool.pull import pull
from annex_bootstrap.stack import budget, deployment, earlier_setup, first_creation, plan
from annex_bootstrap.stack.artefact import built_template
from annex_bootstrap.stack.deployment import DeployRequest, Proposal
from annex_bootstrap.stack.parameters import check_parameters, describe_parameters, effective_parameters
from annex_bootstrap.stack.plan import Step
from annex_bootstrap.stack.read import Stack, find_deployed
from annex_bootstrap.stack.regions import Outcome, run_all
from annex_bootstrap.target import first_annex, our_command
from annex_contract.stack import partition_problem, stack_name_problem


@dataclass(frozen=True)
class DeployOptions:
    """The options of ``deploy``.

    Attributes:
        stack_name: the stack's name.
        parameters: the stack's parameters that were given, by name.
        regions: where; empty for the one that the environment or the profile names.
        profile: the AWS profile, or None for the environment's.
        config: the pool's configuration file, or None for the one that HTCondor names.
        dry_run: only show what would change.
        verbose: name every resource that changes.
        allow_downgrade: whether an older version may replace a newer one.
        pull: whether to write the pool's configuration afterwards.
        yes: whether to go ahead without asking.
        monthly_budget: mails when the account's cost grows towards this; None leaves what there is.
    """

    stack_name: str
    parameters: Mapping[str, str]
    regions: Sequence[str] = ()
    profile: str | None = None
    config: Path | None = None
    dry_run: bool = False
    verbose: bool = False
    allow_downgrade: bool = False
    pull: bool = True
    yes: bool = False
    monthly_budget: budget.Budget | None = None


def deploy(options: DeployOptions, screen: Screen) -> bool:
    """Create or update the stack in every region.

    Args:
        options: what was asked for.
        screen: where to print, and whom to ask.

    Returns:
        Whether it succeeded in every region; also where the answer was no.

    Raises:
        UserError: a parameter, the configuration file or the AWS account cannot be used; nothing was changed.
    """
    request = DeployRequest(options.stack_name, built_template(), options.parameters, options.allow_downgrade)
    check_parameters(request.template, options.parameters)
    if problem := stack_name_problem(options.stack_name):
        raise UserError(problem)
    pulls = options.pull and not options.dry_run
    if pulls:
        config_file.check(config_file.find_file(options.config))
    accounts = connect_all(options.regions, options.profile)
    for account in accounts:
        if problem := partition_problem(account.partition):
            raise UserError(problem)
        if options.monthly_budget is not None:
            budget.check_partition(account)
    regions = [account.region for account in accounts]
    with screen.progress(regions) as board:
        prepared = run_all(
            accounts, lambda account: deployment.prepare(account, request, board.watcher(account.region))
        )
    if options.monthly_budget is not None:
        _preview_budget(screen, options.monthly_budget)
    for outcome in prepared:
        _show(screen, request, outcome, several=len(accounts) > 1, verbose=options.verbose)
    proposals = {outcome.account.region: outcome.result for outcome in prepared if outcome.result is not None}
    changing = [
        outcome.account for outcome in prepared if outcome.result is not None and not outcome.result.changes_nothing
    ]
    results = {outcome.account.region: _result(request, outcome) for outcome in prepared}

    if options.dry_run:
        _discard(changing, proposals)
        screen.say("Nothing was changed.")
    elif changing:
        if not _agreed(options, screen, changing, proposals):
            screen.say("Nothing was changed.")
            screen.document({"regions": list(results.values()), "config": None})
            return True
        with screen.progress(regions, _totals(proposals)) as board:
            executed = run_all(
                changing,
                lambda account: deployment.execute(
                    account, request, proposals[account.region], board.watcher(account.region)
                ),
            )
        for ended in executed:
            _report(screen, request, ended, several=len(accounts) > 1)
            results[ended.account.region] |= _ended(ended)

    complete = [account for account in accounts if results[account.region]["error"] is None]
    if options.monthly_budget is not None and not options.dry_run:
        for account in complete:
            _set_budget(options, screen, account, options.monthly_budget)
    pulled = None
    if complete and pulls:
        pulled = pull(complete, options.stack_name, options.config)
        screen.say(str(pulled))
        for warning in pulled.warnings:
            screen.fail(f"warning: {warning}")
    if pulled and changing:
        _point_on(options, screen, complete[0])
    screen.document({"regions": list(results.values()), "config": pulled.document() if pulled else None})
    return len(complete) == len(accounts)


def _preview_budget(screen: Screen, asked: budget.Budget) -> None:
    screen.say(f"The budget of {asked.monthly:f} US dollars a month, mailed to {asked.mail}:")
    screen.say("  mails at 50, 80 and 100% of the actual cost, and when 100% is forecast")
    screen.say("  counts the whole account, whatever it is spent on, and lags by hours; it stops nothing")


def _set_budget(options: DeployOptions, screen: Screen, account: Account, asked: budget.Budget) -> None:
    stack_id = find_deployed(account, options.stack_name).stack_id
    name = budget.budget_name(account, options.stack_name)
    changed = budget.set_budget(account, options.stack_name, stack_id, asked)
    screen.say(f"The budget {name} {'is set' if changed else 'is as it should be'}.")


def _point_on(options: DeployOptions, screen: Screen, account: Account) -> None:
    steps: dict[str, str] = {}
    for name, purpose in (("credentials", "keys that can run annexes only"), ("doctor", "checks that all is ready")):
        for region in options.regions or [""]:
            line = our_command(name, options.stack_name, region, options.profile, options.config)
            steps[line] = purpose
    stack = find_deployed(account, options.stack_name)
    named = account.region if options.regions else None
    screen.next_steps(steps | first_annex(stack, named, options.profile, version()))


def _agreed(
    options: DeployOptions, screen: Screen, changing: Sequence[Account], proposals: Mapping[str, Proposal]
) -> bool:
    """Ask whether to go ahead; discard the proposals unless the answer is yes, also on Ctrl-C."""
    go_ahead = False
    try:
        go_ahead = options.yes or screen.confirm(f"Go ahead in {place(changing)}?", default=True)
    finally:
        if not go_ahead:
            _discard(changing, proposals)
    return go_ahead


def _totals(proposals: Mapping[str, Proposal]) -> dict[str, int]:
    return {
        region: len(proposal.change_set.changes)
        for region, proposal in proposals.items()
        if proposal.change_set is not None
    }


def _discard(accounts: Sequence[Account], proposals: Mapping[str, Proposal]) -> None:
    for outcome in run_all(accounts, lambda account: deployment.discard(account, proposals[account.region])):
        if outcome.error is not None:
            raise outcome.error


def _show(screen: Screen, request: DeployRequest, outcome: Outcome[Proposal], several: bool, verbose: bool) -> None:
    proposal, account = outcome.result, outcome.account
    if proposal is None:
        screen.fail(f"{account.region}: {outcome.error}" if several else str(outcome.error))
        return
    if proposal.joined:
        screen.say(
            f"The operation in progress on {request.stack_name} in {account.region} has finished: {proposal.joined}"
        )
    if proposal.changes_nothing:
        screen.say(f"The stack {request.stack_name} in {account.region} is up to date.")
        return
    screen.say(f"The stack {request.stack_name} in {account.region}, account {account.account_id}:")
    for line in _lines(request, proposal, account):
        screen.say(f"  {line}")
    if verbose and proposal.change_set is not None:
        for change in proposal.change_set.changes:
            screen.say(f"    {change.action:<6}  {change.resource}  {change.resource_type}")
    for line in describe_parameters(request.template, proposal.stack, request.given):
        screen.say(f"  {line}")
    for line in earlier_setup.describe(proposal.beside):
        screen.say(f"  {line}")


def _lines(request: DeployRequest, proposal: Proposal, account: Account) -> list[str]:
    if proposal.change_set is not None:
        if proposal.step is Step.CREATE:
            parameters = effective_parameters(request.template, proposal.stack, request.given)
            machine = first_creation.machine_type(parameters)
            known = within(SHORT_PATIENCE, lambda: prices.on_demand(account, [machine])) if machine else None
            return first_creation.describe(proposal.change_set.changes, parameters, (known or {}).get(machine))
        return plan.describe(proposal.change_set.changes)
    status = proposal.stack.status if proposal.stack is not None else ""
    return [f"deletes what the failed creation left ({status})", "creates everything again"]


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
                "action": change.action,
                "resource": change.resource,
                "type": change.resource_type,
                "replaces": change.replaces,
                "properties": list(change.properties),
            }
            for change in changes
        ],
        "outputs": dict(stack.outputs) if stack is not None else {},
        "error": str(outcome.error) if outcome.error is not None else None,
    }


def _ended(outcome: Outcome[Stack]) -> dict[str, Any]:
    if outcome.result is None:
        return {"error": str(outcome.error)}
    return {"status": outcome.result.status, "outputs": dict(outcome.result.outputs)}
