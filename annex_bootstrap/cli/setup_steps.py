"""The steps of ``setup``: other commands, one after another, from an empty account to a pool that can rent machines."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.aws import connect
from annex_bootstrap.commands.credentials import Action, CredentialsOptions, credentials
from annex_bootstrap.commands.deploy import DeployOptions, deploy
from annex_bootstrap.commands.doctor import DoctorOptions, doctor, show
from annex_bootstrap.commands.pool_config import NOT_SET, PoolOptions, lets_start, look, pool_config
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.doctor.doctor_run import check_quotas
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.htcondor import version
from annex_bootstrap.pool.pool_config import find_pool_file
from annex_bootstrap.stack.budget import Budget
from annex_bootstrap.stack.read import find_deployed
from annex_bootstrap.target import first_annex, our_command
from annex_contract.knobs import DEFAULT_PORT
from annex_contract.stack import Parameter

LONGEST_LEASE = 86400
"""Seconds: what ``pool-config`` takes by default."""


@dataclass(frozen=True)
class SetupOptions:
    """The options of ``setup``.

    Attributes:
        stack_name: the stack's name.
        region: where; None for the one that the environment or the profile names.
        profile: the AWS profile, or None for the environment's.
        parameters: the stack's parameters that were given, by name.
        config: the user's configuration file, or None for the one that HTCondor names.
        roles_boundary: the ARN of the boundary of the stack's roles; empty for none, or to leave the one that it has.
        users_boundary: the ARN of the boundary of the user that runs annexes; empty as above.
        collector: the public name of the pool's collector; empty leaves that as it is.
        directory: where the key files go.
        yes: whether to go ahead without asking.
        monthly_budget: mails when the account's cost grows towards this; None for none.
    """

    stack_name: str
    region: str | None
    profile: str | None
    parameters: Mapping[str, str]
    config: Path | None
    roles_boundary: str
    users_boundary: str
    collector: str
    directory: Path
    yes: bool
    monthly_budget: Budget | None


@dataclass(frozen=True)
class _Setup:
    options: SetupOptions
    screen: Screen
    documents: dict[str, object]

    def part(self, name: str) -> Part:
        """Return the screen of one step: it points to no next command, and its document becomes a part of ours."""
        return Part(self.screen, lambda document: self.documents.update({name: document}))

    def account(self) -> bool:
        account = connect(self.options.region, self.options.profile)
        self.screen.say(f"Account {account.label}, region {account.region}.")
        self.documents["account"] = {"account": account.account_id, "region": account.region}
        # Before all else, because AWS may take days to grant more.
        show(check_quotas(account), self.screen)
        return True

    def stack(self) -> bool:
        asked = self.options
        parameters = dict(asked.parameters)
        if asked.roles_boundary:
            parameters[Parameter.PERMISSIONS_BOUNDARY_ARN] = asked.roles_boundary
        options = DeployOptions(
            asked.stack_name,
            parameters,
            [asked.region] if asked.region else [],
            asked.profile,
            asked.config,
            yes=asked.yes,
            monthly_budget=asked.monthly_budget,
        )
        screen = self.part("stack")
        return deploy(options, screen) and not screen.refused

    def credentials(self) -> bool:
        asked = self.options
        options = CredentialsOptions(
            asked.stack_name,
            asked.region,
            asked.profile,
            asked.config,
            Action.SET_UP,
            None,
            asked.directory,
            asked.users_boundary,
        )
        credentials(options, self.part("credentials"))
        return True

    def pool(self) -> bool:
        reason = _pool_is_elsewhere()
        collector = ["--collector", self.options.collector] if self.options.collector else []
        if reason and version() is not None and lets_start(getpass.getuser()):
            self.screen.say("The pool's configuration on this machine already lets you start annexes.")
            return True
        if reason:
            self.screen.say(f"Skipped: {reason}.")
            # Elsewhere, the same person may have another name.
            user = ["--user", getpass.getuser()] if version() is not None else []
            line = shlex.join(["annex-bootstrap", "pool-config", *collector, *user])
            self.screen.say("On the central manager and on every access point, once, as root:")
            self.screen.say(f"  {line} --print  # shows what it changes", wrap=False)
            self.screen.say(f"  {line}", wrap=False)
            return True
        options = PoolOptions(None, None, None, DEFAULT_PORT, self.options.collector, LONGEST_LEASE, print_only=False)
        ahead = look(options)
        if ahead.is_done:
            self.screen.say(f"{ahead.path} already lets annexes join.")
            return True
        if not self.options.yes:
            self.screen.say(f"In {ahead.path}:")
            for change in ahead.effect.changes:
                self.screen.say(f"  {change.knob}: {change.old or NOT_SET} -> {change.new or NOT_SET}")
            if not self.screen.confirm("Change the pool's configuration?", default=True):
                self.screen.say("Nothing was changed.")
                return False
        # The check would find the pool as it was before.
        return not pool_config(options, self.part("pool"))


def setup(options: SetupOptions, screen: Screen) -> bool:
    """Do everything that comes before the first annex. What is done already is left as it is.

    Args:
        options: what was asked for.
        screen: where to print, and whom to ask.

    Returns:
        Whether everything is done and ``doctor`` finds no problem.

    Raises:
        UserError: a step failed; the same command goes on from there.
    """
    documents: dict[str, object] = {}
    run = _Setup(options, screen, documents)
    steps: list[tuple[str, Callable[[], bool]]] = [
        ("AWS account", run.account),
        ("Stack", run.stack),
        ("Keys for running annexes", run.credentials),
        ("Pool", run.pool),
    ]
    count = len(steps) + 1
    line = our_command("setup", options.stack_name, options.region, options.profile, options.config)
    if options.collector:
        line += f" {shlex.join(['--collector', options.collector])}"
    for number, (title, step) in enumerate(steps, 1):
        screen.say(f"Step {number} of {count}: {title}", bold=True)
        try:
            done = step()
        except UserError as error:
            raise UserError(f"step {number} of {count} ({title}): {error}; then run {line} again") from error
        if not done:
            screen.say(f"Stopped. {line} goes on from here.")
            screen.document({"steps": documents, "complete": False})
            return False
        screen.say()
    screen.say(f"Step {count} of {count}: Check", bold=True)
    check = DoctorOptions(options.stack_name, options.region, options.profile, options.config)
    healthy = doctor(check, run.part("doctor"))
    if healthy:
        stack = find_deployed(connect(options.region, options.profile), options.stack_name)
        screen.next_steps(first_annex(stack, options.region, options.profile, version()))
    else:
        screen.say(f"Solve the problems above, then run {line} again.")
    screen.document({"steps": documents, "complete": healthy})
    return healthy


def _pool_is_elsewhere() -> str:
    """Return why the pool cannot be configured here; nothing where it can."""
    if version() is None:
        return "there is no HTCondor on this machine"
    path = find_pool_file(None)
    place = path if path.exists() else path.parent
    return "" if os.access(place, os.W_OK) else f"{place} belongs to somebody else"
