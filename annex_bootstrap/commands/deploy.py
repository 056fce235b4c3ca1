"""``deploy``: preview, ask, execute in every region, then write the pool's configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from annex_bootstrap.annexes.overview import first_annex
from annex_bootstrap.aws import SHORT_PATIENCE, Account, place, within
from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines import prices
from annex_bootstrap.machines.tags import tag_parameters
from annex_bootstrap.options import BUDGET, CONFIG, MANY_REGIONS, PARAMETERS, STACK_TAGS, YES
from annex_bootstrap.policies.limits import check_boundary
from annex_bootstrap.pool import config_file
from annex_bootstrap.pool.htcondor import version
from annex_bootstrap.pool.pull import Pulled, pull
from annex_bootstrap.pool.shared import share
from annex_bootstrap.stack import budget, deployment
from annex_bootstrap.stack.budget import Budget
from annex_bootstrap.stack.change_set import discard_change_set
from annex_bootstrap.stack.deployment import DeployRequest, Preview
from annex_bootstrap.stack.plan import Change, Step
from annex_bootstrap.stack.preview import describe, machine_type, opens_to_everyone
from annex_bootstrap.stack.read import Stack, check_deployed
from annex_bootstrap.target import Target, in_each_region
from annex_contract.stack import Parameter, partition_problem

TITLES = {
    Step.CREATE: "Creates",
    Step.UPDATE: "Updates",
    Step.REPLACE_FAILED: "Creates again, after a creation that failed,",
}
"""How a preview begins."""


@dataclass(frozen=True)
class RegionDeployment:
    """What became of the stack in one region.

    Attributes:
        region: where.
        stack: the stack's name.
        status: in CloudFormation; None where there is no stack.
        step: what had to be done; None where nothing had to, or that is not known.
        changes: what the change set does.
        outputs: of the stack, by name.
        error: why it failed; None where it did not.
    """

    region: str
    stack: str
    status: str | None = None
    step: Step | None = None
    changes: tuple[Change, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Deployment(Result):
    """What became of the stack in every region.

    Attributes:
        regions: in the order in which they were given.
        configuration: what became of the pool's configuration; None where it was left alone.
        declined: whether the answer was no, so that nothing was changed.
    """

    regions: tuple[RegionDeployment, ...]
    configuration: Pulled | None = None
    declined: bool = False

    @property
    def ok(self) -> bool:
        """Whether it succeeded in every region, also where the answer was no."""
        return all(region.error is None for region in self.regions)


def deploy(
    screen: Screen,
    target: Target,
    parameters: Mapping[str, str],
    *,
    tags: tuple[str, ...] = (),
    monthly_budget: str | None = None,
    mail: str | None = None,
    dry_run: bool = False,
    verbose: bool = False,
    allow_downgrade: bool = False,
    no_pull: bool = False,
    yes: bool = False,
) -> Deployment:
    """Create or update the stack in every region, then write its outputs into the pool's configuration.

    Args:
        screen: where to print, and whom to ask.
        target: the stack.
        parameters: of the stack, by name; others keep their earlier values.
        tags: ``KEY=VALUE``, of all that the stack and its functions make; none to keep those that it has.
        monthly_budget: US dollars, with ``mail``: a budget to set; None leaves what there is.
        mail: where its mail is sent.
        dry_run: only show what would change.
        verbose: name every resource that changes.
        allow_downgrade: whether an older version may replace a newer one.
        no_pull: leave the pool's configuration alone.
        yes: whether to go ahead without asking.

    Raises:
        UserError: a parameter, the configuration file or the AWS account cannot be used; nothing was changed.
    """
    wanted_budget = budget.read_budget(monthly_budget, mail)
    parameters = {**parameters, **tag_parameters(tags)}
    request = DeployRequest.of(target.stack_name, parameters, allow_downgrade=allow_downgrade)
    path = config_file.find_file(target.config)
    if not (no_pull or dry_run):
        config_file.check(path)
    accounts = _connect(target, parameters, wanted_budget)
    with _discarding_change_sets(accounts, request) as pending:
        done, previews = _preview(screen, request, accounts)
        changing = [account for account in accounts if account.region in previews and done[account.region].step]
        pending[:] = [account for account in changing if previews[account.region].change_set is not None]
        _show(screen, accounts, previews, wanted_budget, verbose=verbose)
        agreed = dry_run or yes or not changing or _ask(screen, changing, previews)
        if agreed and not dry_run:
            pending.clear()
    if dry_run or not agreed:
        screen.say("Nothing was changed.")
        return Deployment(tuple(done.values()), declined=not agreed)

    stacks = {region: preview.stack for region, preview in previews.items() if preview.changes_nothing}
    if changing:
        stacks |= _execute(screen, request, changing, previews, done)
    complete = {
        account.region: check_deployed(stacks[account.region], request.stack_name, account.region)
        for account in accounts
        if account.region in stacks
    }
    for account in accounts:
        if wanted_budget is not None and account.region in complete:
            _set_budget(screen, account, complete[account.region], wanted_budget)
    if not complete or no_pull:
        return Deployment(tuple(done.values()))
    pulled = _pull(screen, request, complete, path)
    if shared := share(target.config):
        screen.say(f"{shared} says so to all users of this machine.")
    if changing:
        _point_on(screen, target, complete)
    return Deployment(tuple(done.values()), pulled)


def _connect(target: Target, parameters: Mapping[str, str], wanted_budget: Budget | None) -> list[Account]:
    """Connect to every region, and check there what needs no stack."""
    accounts = target.connect_all()
    for account in accounts:
        if problem := partition_problem(account.partition):
            raise UserError(problem)
        check_boundary(account, parameters.get(Parameter.PERMISSIONS_BOUNDARY_ARN, ""))
        if wanted_budget is not None:
            budget.check_partition(account)
    return accounts


@contextmanager
def _discarding_change_sets(accounts: Sequence[Account], request: DeployRequest) -> Iterator[list[Account]]:
    """Delete the change sets of a request at the end, also after Ctrl-C, a closed terminal or a closed pipe.

    Yields:
        Where there may be one; the block takes out of it where it shall stay.
    """
    pending = [*accounts]
    try:
        yield pending
    finally:
        for outcome in in_each_region(
            pending, lambda account: discard_change_set(account, request.stack_name, request.change_set)
        ):
            if outcome.error is not None:
                raise outcome.error


def _preview(
    screen: Screen, request: DeployRequest, accounts: Sequence[Account]
) -> tuple[dict[str, RegionDeployment], dict[str, Preview]]:
    """Return what is known of every region, and what would be done in those where that could be found out."""
    with screen.progress([account.region for account in accounts]) as board:
        outcomes = in_each_region(
            accounts, lambda account: deployment.preview(account, request, board.watcher(account.region))
        )
    done = {}
    for outcome in outcomes:
        region = RegionDeployment(outcome.account.region, request.stack_name)
        if outcome.result is not None:
            done[region.region] = _known(region, outcome.result)
        else:
            done[region.region] = _failed(screen, region, outcome.error, several=len(accounts) > 1)
    return done, {outcome.account.region: outcome.result for outcome in outcomes if outcome.result is not None}


def _known(region: RegionDeployment, preview: Preview) -> RegionDeployment:
    return replace(
        region,
        status=preview.stack.status if preview.stack is not None else None,
        step=None if preview.changes_nothing else preview.step,
        changes=preview.changes,
        outputs=preview.stack.outputs if preview.stack is not None else {},
    )


def _failed(screen: Screen, region: RegionDeployment, error: UserError | None, *, several: bool) -> RegionDeployment:
    screen.fail(f"{region.region}: {error}" if several else str(error))
    return replace(region, error=str(error))


def _show(
    screen: Screen,
    accounts: Sequence[Account],
    previews: Mapping[str, Preview],
    wanted_budget: Budget | None,
    *,
    verbose: bool,
) -> None:
    """Print what would be done in every region, and the budget; where it would be comes last."""
    for account in accounts:
        if account.region in previews:
            _show_region(screen, account, previews[account.region], verbose=verbose)
    if wanted_budget is not None:
        mails = f"mail to {wanted_budget.mail} at 50, 80 and 100% of the actual cost, and when 100% is forecast"
        counts = "counts the whole account, whatever it is spent on, and lags by hours; it stops nothing"
        screen.item("Budget", [f"{wanted_budget.monthly:f} US dollars a month: {mails}", counts])


def _show_region(screen: Screen, account: Account, preview: Preview, *, verbose: bool) -> None:
    where = f"{preview.stack_name} in {account.region}"
    if preview.joined:
        screen.say(f"The operation in progress on {where} has finished: {preview.joined}")
    if preview.changes_nothing:
        screen.say(f"The stack {where} is up to date.")
        return
    machine = machine_type(preview.values) if preview.step is Step.CREATE else ""
    prices_now = within(SHORT_PATIENCE, lambda: prices.on_demand(account, [machine])) if machine else None
    screen.say(f"{TITLES[preview.step]} the stack {preview.stack_name}:")
    for head, lines in describe(preview, (prices_now or {}).get(machine), verbose=verbose):
        screen.item(head, lines)
    screen.item("Where", [place([account])])


def _ask(screen: Screen, changing: Sequence[Account], previews: Mapping[str, Preview]) -> bool:
    """Ask whether to go ahead; where a port opens to everyone, the answer is no unless somebody says yes."""
    opens = any(opens_to_everyone(previews[account.region]) for account in changing)
    return screen.confirm(f"Go ahead in {place(changing)}?", default=not opens)


def _execute(
    screen: Screen,
    request: DeployRequest,
    changing: Sequence[Account],
    previews: Mapping[str, Preview],
    done: dict[str, RegionDeployment],
) -> dict[str, Stack]:
    """Do what was previewed, note in ``done`` what became of it, and return the stacks where it succeeded."""
    regions = [account.region for account in changing]
    totals = {region: len(previews[region].changes) for region in regions if previews[region].change_set is not None}
    with screen.progress([*done], totals) as board:
        outcomes = in_each_region(
            changing,
            lambda account: deployment.execute(
                account, request, previews[account.region], board.watcher(account.region)
            ),
        )
    stacks = {}
    for outcome in outcomes:
        region = outcome.account.region
        if outcome.result is None:
            done[region] = _failed(screen, done[region], outcome.error, several=len(done) > 1)
        else:
            stacks[region] = outcome.result
            done[region] = replace(done[region], status=outcome.result.status, outputs=outcome.result.outputs)
            screen.say(f"{outcome.result.status}: {request.stack_name} in {region}", fg="green")
    return stacks


def _set_budget(screen: Screen, account: Account, stack: Stack, wanted: Budget) -> None:
    changed = budget.set_budget(account, stack, wanted)
    screen.say(f"The budget {budget.budget_name(account, stack)} {'is set' if changed else 'is up to date'}.")


def _pull(screen: Screen, request: DeployRequest, complete: Mapping[str, Stack], path: Path) -> Pulled:
    pulled = pull(complete, path)
    names = "now names" if pulled.changed else "already names"
    screen.say(f"{path} {names} the stack {request.stack_name} in {' and '.join(complete)}.")
    for warning in pulled.warnings:
        screen.fail(f"warning: {warning}")
    return pulled


def _point_on(screen: Screen, target: Target, complete: Mapping[str, Stack]) -> None:
    steps: dict[str, str] = {}
    named = [target.at(region) for region in target.regions] or [target]
    for name, purpose in (("credentials", "keys that can run annexes only"), ("doctor", "checks that all is ready")):
        steps |= {one.command(name, config=True): purpose for one in named}
    first = next(iter(complete))
    screen.next_steps(steps | first_annex(complete[first], target.at(first) if target.regions else target, version()))


command = Command(
    "deploy",
    deploy,
    *MANY_REGIONS,
    PARAMETERS,
    STACK_TAGS,
    *BUDGET,
    click.Option(["--dry-run"], is_flag=True, help="Show what would change; leave only the staging bucket."),
    click.Option(["--verbose"], is_flag=True, help="Show every resource, right and cost."),
    click.Option(["--allow-downgrade"], is_flag=True, help="Allow this version to replace a newer one."),
    click.Option(["--no-pull"], is_flag=True, help="Do not write the pool's configuration afterwards."),
    CONFIG,
    YES,
    *OUTPUT,
    help="""Create or update the stack, then write its outputs into the pool's configuration.

    Shows what would change and asks first. An operation that is already in progress, such as that of an
    interrupted client, is followed to its end. Parameters that are not given keep their earlier values.
    """,
)
