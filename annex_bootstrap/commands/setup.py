"""``setup``: other commands, one after another, from an empty account to a pool that can rent machines."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from annex_bootstrap.annexes.overview import can_start, first_annex
from annex_bootstrap.annexes.rights import find_refusal
from annex_bootstrap.aws import Account, explained
from annex_bootstrap.commands.credentials import DIRECTORY, KEY_DIRECTORY, Credentials, credentials
from annex_bootstrap.commands.deploy import Deployment, deploy
from annex_bootstrap.commands.doctor import Diagnosis, doctor, show
from annex_bootstrap.commands.pool_config import (
    POOL_COLLECTOR,
    POOL_USERS,
    PoolConfiguration,
    check_users,
    lets_start,
    pool_config,
    users_so_far,
)
from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.doctor.account_checks import Quota
from annex_bootstrap.errors import AwsError, CommandLineError, DeniedError, UserError
from annex_bootstrap.local_user import user_name
from annex_bootstrap.options import BUDGET, CONFIG, ONE_REGION, PARAMETERS, STACK_TAGS, YES, boundary_option
from annex_bootstrap.policies.starters import Starter, commands, grant, is_for_administrators
from annex_bootstrap.pool.htcondor import version
from annex_bootstrap.pool.pool_config import find_pool_file
from annex_bootstrap.stack.read import Stack, find, find_deployed
from annex_bootstrap.target import Target
from annex_contract.image import IMAGE_YES
from annex_contract.stack import Output, Parameter

STEPS = ("AWS account", "Stack", "Who starts annexes", "Pool", "Check")

WITHOUT_USER = "--without-user"
STARTER = "--starter"

OPEN_PORTS = "--open-ports"
CLOSED = {Parameter.CONDOR_CIDRS.value: "", Parameter.SSH_CIDRS.value: ""}
"""Machines of ``start`` connect to the pool by themselves, so nobody has to reach them."""


@dataclass(frozen=True)
class Starting:
    """Who may start annexes with ``start``.

    Attributes:
        caller_may: whether the credentials of this command may; null where that is not known.
        granted: who got the stack's StartPolicy, such as ``user/alice``.
        commands: lines for an administrator, for those who did not.
    """

    caller_may: bool | None
    granted: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetupResult(Result):
    """What each step did, as far as it came.

    Attributes:
        account: the AWS account.
        region: where.
        complete: whether everything is done, and the check found no problem.
        deployment: what ``deploy`` did; null where it did not run, as below.
        starting: who may start annexes; null also where the stack has no machines for ``start``.
        credentials: what ``credentials`` did; null also where it was skipped.
        pool: what ``pool-config`` did.
        doctor: what ``doctor`` found.
    """

    account: str
    region: str
    complete: bool = False
    deployment: Deployment | None = None
    starting: Starting | None = None
    credentials: Credentials | None = None
    pool: PoolConfiguration | None = None
    doctor: Diagnosis | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is left to do."""
        return self.complete


def setup(
    screen: Screen,
    target: Target,
    parameters: Mapping[str, str],
    *,
    tags: tuple[str, ...] = (),
    monthly_budget: str | None = None,
    mail: str | None = None,
    roles_boundary: str = "",
    users_boundary: str = "",
    collector: str = "",
    users: Sequence[str] = (),
    directory: Path = DIRECTORY,
    without_user: bool = False,
    starters: Sequence[Starter] = (),
    open_ports: bool = False,
    yes: bool = False,
) -> SetupResult:
    """Do everything that comes before the first annex. What is done already is left as it is.

    Args:
        screen: where to print, and whom to ask.
        target: the stack, in one region.
        parameters: of the stack, by name.
        tags: as for ``deploy``.
        monthly_budget: as for ``deploy``.
        mail: as for ``deploy``.
        roles_boundary: the ARN of the boundary of the stack's roles; empty for none, or to leave the one that it has.
        users_boundary: the ARN of the boundary of the user that runs annexes; empty as above.
        collector: where machines on AWS reach the pool's collector; empty where that is COLLECTOR_HOST.
        users: who may start annexes; empty for the user who runs this, also through sudo.
        directory: where the key files go.
        without_user: whether to make no IAM user: ``start`` needs none.
        starters: who is to start annexes with ``start``; empty to ask.
        open_ports: whether a new stack opens the ports of machines, as condor_annex needs and the parameters say.
        yes: whether to go ahead without asking.

    Raises:
        UserError: a step failed; the same command goes on from there.
    """
    given = [
        *(["--collector", collector] if collector else []),
        *(word for user in users for word in ("--user", user)),
        *([WITHOUT_USER] if without_user else []),
        *(word for starter in starters for word in (STARTER, str(starter))),
        *([OPEN_PORTS] if open_ports else []),
    ]
    line = target.command(shlex.join(["setup", *given]), config=True)
    boundary = {Parameter.PERMISSIONS_BOUNDARY_ARN.value: roles_boundary} if roles_boundary else {}

    with _step(screen, 1, line):
        account = target.connect()
        done = SetupResult(account.account_id, account.region)
        screen.say(f"Account {account.label}, region {account.region}.")
        # Before all else, because AWS may take days to grant more.
        show(screen, Quota.of(account).judge())
    with _step(screen, 2, line):
        with explained("looking for the stack"):
            is_new = find(account.cloudformation, target.stack_name) is None
        # Without an image there is no start, only condor_annex.
        closes = is_new and not open_ports and parameters.get(Parameter.IMAGE, IMAGE_YES) == IMAGE_YES
        chosen = {**(CLOSED if closes else {}), **parameters, **boundary}
        stack = deploy(screen, target, chosen, tags=tags, monthly_budget=monthly_budget, mail=mail, yes=yes)
        done = replace(done, deployment=stack)
    if stack.declined or not stack.ok:
        return _stopped(screen, done, line)
    with _step(screen, 3, line):
        found = find_deployed(account, target.stack_name)
        if can_start(found, version()):
            done = replace(done, starting=_let_start(screen, account, found, starters, ask=not yes))
        if without_user:
            screen.say("Skipped: annex-bootstrap start uses the AWS credentials of the person who runs it.")
        else:
            done = replace(done, credentials=_make_keys(screen, target, directory, users_boundary))
    with _step(screen, 4, line):
        pool = _set_up_pool(screen, collector, users, yes=yes)
        done = replace(done, pool=pool)
    # After a change the check would find the pool as it was before.
    if pool is not None and (pool.changed or not pool.complete):
        return _stopped(screen, done, line)
    with _step(screen, 5, line):
        diagnosis = doctor(screen, target)
        done = replace(done, doctor=diagnosis, complete=diagnosis.ok)
    if done.complete:
        screen.next_steps(first_annex(find_deployed(account, target.stack_name), target, version()))
    else:
        screen.say(f"Solve the problems above, then run {line} again.")
    return done


@contextmanager
def _step(screen: Screen, number: int, line: str) -> Iterator[None]:
    """Name a step, on a screen that points to no next command, and name it in its error."""
    where = f"{number} of {len(STEPS)}"
    title = STEPS[number - 1]
    screen.say(f"Step {where}: {title}", bold=True)
    quiet, screen.quiet = screen.quiet, True
    try:
        yield
    except UserError as error:
        kind = CommandLineError if isinstance(error, CommandLineError) else UserError
        raise kind(f"step {where} ({title}): {error}; then run {line} again") from error
    finally:
        screen.quiet = quiet
    if number < len(STEPS):
        screen.say()


def _let_start(screen: Screen, account: Account, stack: Stack, given: Sequence[Starter], *, ask: bool) -> Starting:
    """Let people start annexes where that can be done here; elsewhere say what an administrator runs."""
    refusal, caller = find_refusal(account, stack), Starter.of_caller(account)
    is_denied = isinstance(refusal, DeniedError)
    if refusal is None:
        screen.say("Your AWS credentials may start annexes.")
    elif is_denied:
        screen.say("Your AWS credentials may not start annexes yet.")
    else:
        screen.say(f"Whether your AWS credentials may start annexes is not known: {refusal}.")
    chosen = given or ([caller] if is_denied and caller else [])
    if ask and not given:
        who = "Who else" if refusal is None else "Who starts annexes"
        question = f"{who}? user/NAME, role/NAME or group/NAME{'' if chosen else '; Enter for nobody'}"
        chosen = screen.ask(question, " ".join(map(str, chosen)), _read_starters, STARTER)
    granted, for_others = list[str](), dict[str, list[str]]()
    for starter in chosen:
        if not is_for_administrators(stack, starter):
            try:
                grant(account, stack, starter)
            except DeniedError:
                pass
            else:
                screen.say(f"{starter} has the policy {stack.outputs[Output.START_POLICY_ARN].rpartition('/')[2]}.")
                granted.append(str(starter))
                continue
        for_others[str(starter)] = commands(stack, starter)
    lines = tuple(line for each in for_others.values() for line in each)
    if lines:
        screen.say(f"So that {' and '.join(for_others)} may start annexes, an administrator runs:")
    for line in lines:
        screen.say(f"  {line}", wrap=False)
    return Starting(True if refusal is None else False if is_denied else None, tuple(granted), lines)


def _read_starters(text: str) -> list[Starter]:
    return [Starter.parse(word) for word in text.replace(",", " ").split()]


def _parse_starters(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> list[Starter]:
    try:
        return [starter for value in values for starter in _read_starters(value)]
    except CommandLineError as error:
        raise click.BadParameter(str(error)) from error


def _read_users(text: str) -> tuple[str, ...]:
    return check_users(text.replace(",", " ").split())


def _make_keys(screen: Screen, target: Target, directory: Path, boundary: str) -> Credentials:
    try:
        return credentials(screen, target, directory=directory, boundary=boundary)
    except AwsError as error:
        raise UserError(f"{error}; where no IAM user may be made or is wanted, add {WITHOUT_USER}") from error


def _stopped(screen: Screen, done: SetupResult, line: str) -> SetupResult:
    screen.say(f"Stopped. {line} goes on from here.")
    return done


def _set_up_pool(screen: Screen, collector: str, users: Sequence[str], *, yes: bool) -> PoolConfiguration | None:
    """Configure the pool where that can be done here; elsewhere say what to run there, and return None."""
    reason = _pool_is_elsewhere()
    if not reason:
        if not (users or yes or users_so_far(find_pool_file(None))):
            # Real root starts no annexes, and nobody else is known.
            users = screen.ask(
                "Which users of this pool start annexes? NAME; Enter for nobody", "", _read_users, "--user"
            )
        return pool_config(screen, collector=collector, users=users, ask=not yes)
    if version() is not None and lets_start(user_name()):
        screen.say("The pool's configuration on this machine already lets you start annexes.")
        return None
    screen.say(f"Skipped: {reason}.")
    # Elsewhere, the same person may have another name.
    named = users or ([user_name()] if version() is not None else [])
    options = [
        *(["--collector", collector] if collector else []),
        *(word for user in named for word in ("--user", user)),
    ]
    line = shlex.join(["annex-bootstrap", "pool-config", *options])
    screen.say("On the central manager and on every access point, once, as root:")
    screen.say(f"  {line} --print  # shows what it changes", wrap=False)
    screen.say(f"  {line}", wrap=False)
    return None


def _pool_is_elsewhere() -> str:
    """Return why the pool cannot be configured here; nothing where it can."""
    if version() is None:
        return "there is no HTCondor on this machine"
    path = find_pool_file(None)
    place = path if path.exists() else path.parent
    return "" if os.access(place, os.W_OK) else f"{place} belongs to somebody else"


command = Command(
    "setup",
    setup,
    *ONE_REGION,
    PARAMETERS,
    STACK_TAGS,
    *BUDGET,
    CONFIG,
    boundary_option("--roles-boundary", "The permissions boundary of the stack's roles."),
    boundary_option("--users-boundary", "The permissions boundary of the user that runs annexes."),
    POOL_COLLECTOR,
    POOL_USERS,
    KEY_DIRECTORY,
    click.Option(
        [WITHOUT_USER],
        is_flag=True,
        help="Make no IAM user and no keys: annex-bootstrap start uses your own credentials.",
    ),
    click.Option(
        [STARTER, "starters"],
        metavar="WHO",
        multiple=True,
        callback=_parse_starters,
        help="Who starts annexes with annex-bootstrap start: user/NAME, role/NAME or group/NAME of IAM; repeatable. "
        "Default: it asks; with --yes, the caller.",
    ),
    click.Option(
        [OPEN_PORTS],
        is_flag=True,
        help="Let a new stack open the machines' ports, which condor_annex needs and start does not.",
    ),
    YES,
    *OUTPUT,
    help="""Do everything that comes before the first annex: stack, rights, keys, pool, and a check of it all.

    The same as deploy, credentials, pool-config and doctor, one after another; before the keys, it asks who starts
    annexes. Each step shows what it does and asks before it changes anything; one that is done is left as it is. If a
    step fails or is interrupted, run the same command again. After a change of the pool's configuration it stops,
    because HTCondor has to be restarted before the check. Exits with 1 if something is left to do.
    """,
)
