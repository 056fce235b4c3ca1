"""What ``annex-bootstrap demo`` shows: from an empty account to an annex that ends, on a local AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import boto3
import click

from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.policies.boundary import boundary, boundary_arn
from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_contract.boundaries import Holder, boundary_name
from annex_contract.stack import DEFAULT_STACK_NAME, Output
from local_aws.demo.annexes import AnnexUser
from local_aws.demo.inventory import Inventory, is_service_linked, take_inventory
from local_aws.launcher import Credentials, LocalAws, local_aws
from local_aws.rehearsal import pool

SPEED = 100
"""How many times faster than real time schedules run, so that five minutes pass in three seconds."""

TIMEOUT = 60.0
"""Seconds to wait for anything."""

FACILITATOR, RESEARCHER = "facilitator", "researcher"
"""The IAM users: who sets everything up, and who starts annexes."""

ANNEX = "blast"


def run() -> None:
    """Run the demo, and print what happens.

    Raises:
        UserError: something did not happen as it must.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="annex-demo-") as home, local_aws(SPEED) as local:
        _Walkthrough(local, Path(home)).run()
    click.echo(f"\nThe demo took {time.monotonic() - began:.0f} s.")


class _Walkthrough:
    """The demo, one step a method."""

    def __init__(self, local: LocalAws, home: Path) -> None:
        self.local = local
        self.home = home
        self.tools, self.no_tools = home / "htcondor", home / "none"
        self.screen = Screen()
        # From here on, the local AWS is all that boto3 sees in this process.
        foreign = ("AWS_", "_CONDOR_", "CONDOR_")
        self.inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        os.environ.clear()
        os.environ.update(self.inherited | local.environ(local.root))
        self.root = boto3.Session()

    def run(self) -> None:
        _heading("A local AWS", "on this machine, with IAM enforced. No account is touched.")
        facilitator = self._create_facilitator()
        before = take_inventory(self.root)
        self._set_up(facilitator)
        researcher = self._create_researcher()
        self._start(researcher)
        self._watch(researcher)
        self._delete(facilitator, before)

    def _account_id(self) -> str:
        return self.root.client("sts").get_caller_identity()["Account"]

    def _create_facilitator(self) -> Credentials:
        for holder in Holder:
            self.root.client("iam").create_policy(
                PolicyName=boundary_name(holder, DEFAULT_STACK_NAME),
                PolicyDocument=json.dumps(boundary("aws", self._account_id(), holder, DEFAULT_STACK_NAME)),
            )
        limits = [self._boundary(holder) for holder in (Holder.ROLES, Holder.USERS)]
        deployer = deployer_policy("aws", self._account_id(), DEFAULT_STACK_NAME, limits[0])
        operator = operator_policy("aws", self._account_id(), DEFAULT_STACK_NAME, limits[1])
        _heading("An administrator", "grants what annex-bootstrap policy prints, and no more.")
        return self._create_user(FACILITATOR, {"deployer": deployer, "operator": operator})

    def _boundary(self, holder: Holder) -> str:
        return boundary_arn("aws", self._account_id(), holder, DEFAULT_STACK_NAME)

    def _create_user(self, name: str, policies: dict[str, dict[str, object]]) -> Credentials:
        iam = self.root.client("iam")
        iam.create_user(UserName=name)
        for policy, document in policies.items():
            iam.put_user_policy(UserName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def _set_up(self, facilitator: Credentials) -> None:
        _heading("A facilitator", "sets everything up, as you would in your own account.")
        starter = ("--starter", f"user/{RESEARCHER}")
        bounded = f"PermissionsBoundaryArn={self._boundary(Holder.ROLES)}"
        self._run(facilitator, "setup", "--without-user", *starter, "--yes", "--param", bounded, shown=5)

    def _outputs(self) -> dict[str, str]:
        stack = self.root.client("cloudformation").describe_stacks(StackName=DEFAULT_STACK_NAME)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def _create_researcher(self) -> Credentials:
        _heading("An administrator", "lets a researcher start annexes, as setup said.")
        credentials = self._create_user(RESEARCHER, {})
        iam = self.root.client("iam")
        iam.put_user_permissions_boundary(UserName=RESEARCHER, PermissionsBoundary=self._boundary(Holder.USERS))
        iam.attach_user_policy(UserName=RESEARCHER, PolicyArn=self._outputs()[Output.START_POLICY_ARN])
        return credentials

    def _start(self, researcher: Credentials) -> None:
        _heading("The researcher", "starts an annex. The pool is made up: no job runs in this demo.")
        self.tools.mkdir()
        pool.install(self.tools)
        options = ("--count", "2", "--duration", "1h", "--owner", RESEARCHER, "--skip-pool-check", "--yes")
        self._run(researcher, "start", ANNEX, *options, shown=6)
        click.echo()
        self._run(researcher, "leases")

    def _watch(self, researcher: Credentials) -> None:
        _heading("The lease ends", "Nobody has to be there. The demo lets the hour pass at once.")
        session = boto3.Session(researcher.access_key_id, researcher.secret_access_key)
        user = AnnexUser(session, self._outputs())
        with self._open(researcher, "watch", ANNEX, "--interval", "1", shown=2, stdout=subprocess.PIPE) as watching:
            for number, line in enumerate(watching.stdout or ()):
                self.screen.say(line.rstrip())
                if number == 0:
                    user.set_lease(ANNEX, seconds=0)
        _wait(self._is_over, f"the lease of {ANNEX} to be deleted")
        click.echo()
        self._run(researcher, "leases")

    def _is_over(self) -> bool:
        return not self.root.client("events").list_rules(NamePrefix=ANNEX)["Rules"]

    def _delete(self, facilitator: Credentials, before: Inventory) -> None:
        _heading("The end", "The researcher's policy is detached, and the stack deleted.")
        self.root.client("iam").detach_user_policy(
            UserName=RESEARCHER, PolicyArn=self._outputs()[Output.START_POLICY_ARN]
        )
        self._run(facilitator, "delete", "--yes", shown=2)
        created = take_inventory(self.root) - before
        kept = {resource for resource in created if is_service_linked(resource)}
        made_here = {resource for resource in created if resource[1].rpartition("/")[2] == RESEARCHER}
        left = created - kept - made_here
        click.echo()
        for kind, name in sorted(left):
            click.secho(f"  left over: {kind} {name}", fg="red")
        click.secho(f"Resources left over: {len(left)}", fg="red" if left else "green", bold=True)
        click.echo(f"({len(kept)} service-linked roles remain: they belong to the account.)")
        if left:
            raise UserError("the demo left something behind, which is a defect: please report it")

    def _run(self, credentials: Credentials, *arguments: str, shown: int | None = None) -> None:
        """Run one of our commands to its end; the arguments are those of ``_open``."""
        with self._open(credentials, *arguments, shown=shown) as running:
            running.wait()
        if running.returncode != 0:
            raise UserError(f"annex-bootstrap {arguments[0]} failed in the demo: its own message is above")

    def _open(
        self, credentials: Credentials, *arguments: str, shown: int | None = None, stdout: int | None = None
    ) -> subprocess.Popen[str]:
        """Start one of our commands with these credentials, as a user would.

        Args:
            credentials: whose.
            arguments: of the command.
            shown: how many of them to name, without what only the demo needs; None for all.
            stdout: where it prints; None for the demo's own output.
        """
        click.secho(f"$ annex-bootstrap {' '.join(arguments[:shown])}", bold=True)
        sys.stdout.flush()
        # An HTCondor on this machine would answer for another pool.
        tools = self.tools if arguments[0] == "start" else self.no_tools
        environ = self.inherited | self.local.environ(credentials) | {"HOME": str(self.home), "PATH": str(tools)}
        command = [sys.executable, "-m", "annex_bootstrap", *arguments]
        return subprocess.Popen(command, env=environ, stdout=stdout, text=True)


def _heading(title: str, text: str) -> None:
    click.echo()
    click.secho(title, bold=True, nl=False)
    click.echo(f"  {text}")


def _wait(done: Callable[[], bool], waiting_for: str) -> None:
    give_up = time.monotonic() + TIMEOUT
    while not done():
        if time.monotonic() > give_up:
            raise UserError(f"the demo timed out after {TIMEOUT:.0f} s waiting for {waiting_for}: please report it")
        time.sleep(0.2)
