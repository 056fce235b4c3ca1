"""What ``annex-bootstrap demo`` shows: our commands and the life of two annexes, on a local AWS."""

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

from annex_bootstrap.errors import UserError
from annex_bootstrap.policies.boundary import Holder, boundary, boundary_arn, boundary_name
from annex_bootstrap.policies.deployer import deployer_policy
from annex_contract.stack import DEFAULT_STACK_NAME, Output
from local_aws.demo.annexes import Annex, AnnexUser
from local_aws.demo.inventory import Inventory, is_service_linked, take_inventory
from local_aws.launcher import Credentials, LocalAws, local_aws

SPEED = 100
"""How many times faster than real time schedules run, so that five minutes pass in three seconds."""

TIMEOUT = 60.0
"""Seconds to wait for anything."""

SCIENTIST = "annex-user"
"""The IAM user who starts annexes."""


def run() -> None:
    """Run the demo, and print what happens.

    Raises:
        UserError: something did not happen as it must.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="annex-bootstrap-demo-") as home, local_aws(SPEED) as local:
        _Walkthrough(local, Path(home)).run()
    click.echo(f"\nThe demo took {time.monotonic() - began:.0f} s.")


class _Walkthrough:
    """The demo, one step a method."""

    def __init__(self, local: LocalAws, home: Path) -> None:
        self.local = local
        self.home = home
        self.config = home / ".condor" / "user_config"
        # From here on, the local AWS is all that boto3 sees in this process.
        os.environ.update(local.environ(local.root))
        self.root = boto3.Session()

    def run(self) -> None:
        _heading("A local AWS", "MiniStack on loopback, with TLS and with IAM enforced. No account is touched.")
        click.echo(f"  {self.local.endpoint}, account {self._account_id()}")
        deployer = self._create_deployer()
        before = take_inventory(self.root)
        self._deploy(deployer)
        user = self._create_annex_user(deployer)
        blast, blast2 = self._start_annexes(user)
        self._let_lease_expire(user, blast, blast2)
        self._end_early(user, blast2)
        self._take_policy_back(user)
        self._delete(deployer, before)

    def _account_id(self) -> str:
        return self.root.client("sts").get_caller_identity()["Account"]

    def _create_deployer(self) -> Credentials:
        for holder in Holder:
            self.root.client("iam").create_policy(
                PolicyName=boundary_name(holder),
                PolicyDocument=json.dumps(boundary("aws", self._account_id(), holder)),
            )
        policy = deployer_policy("aws", self._account_id(), DEFAULT_STACK_NAME, self._boundary(Holder.ROLES))
        allowed = [statement["Action"] for statement in policy["Statement"] if statement["Effect"] == "Allow"]
        actions = {action for several in allowed for action in several}
        _heading("The administrator", "grants the deployer what `annex-bootstrap policy deployer` prints, and no more.")
        click.echo(f"  {len(actions)} actions, scoped to our resource names where AWS allows it; no *:* anywhere")
        click.echo("  every role and user gets a permissions boundary from `annex-bootstrap policy boundary`")
        return self._create_user("deployer", policy)

    def _boundary(self, holder: Holder) -> str:
        return boundary_arn("aws", self._account_id(), holder)

    def _create_user(self, name: str, policy: dict[str, object] | None = None, policy_arn: str = "") -> Credentials:
        iam = self.root.client("iam")
        iam.create_user(UserName=name)
        if policy is not None:
            iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
        if policy_arn:
            iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=self._boundary(Holder.USERS))
            iam.attach_user_policy(UserName=name, PolicyArn=policy_arn)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def _deploy(self, deployer: Credentials) -> None:
        _heading("The deployer", "creates the stack, with the command that you would use in your own account.")
        bounded = f"PermissionsBoundaryArn={self._boundary(Holder.ROLES)}"
        self._run(deployer, "deploy", "--yes", "--param", bounded, "--config", str(self.config))
        click.echo()
        click.echo(f"  {self.config}:")
        for line in self.config.read_text().splitlines():
            click.secho(f"    {line}", dim=line.startswith("#"))

    def _create_annex_user(self, deployer: Credentials) -> AnnexUser:
        session = self._session(deployer)
        stack = session.client("cloudformation").describe_stacks(StackName=DEFAULT_STACK_NAME)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        credentials = self._create_user(SCIENTIST, policy_arn=outputs[Output.ANNEX_USER_POLICY_ARN])
        return AnnexUser(self._session(credentials), outputs)

    def _start_annexes(self, user: AnnexUser) -> tuple[Annex, Annex]:
        _heading("A scientist", "starts two annexes as condor_annex does: tarball, rule, target, tagged machines.")
        image_id = self.root.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        blast = user.start("blast", count=2, seconds=4, image_id=image_id)
        blast2 = user.start("blast2", count=3, seconds=3600, image_id=image_id)
        for annex, lease in ((blast, "4 s"), (blast2, "1 h")):
            click.echo(
                f"  {annex.name:8} {user.running(annex)} machines, lease {lease}: {', '.join(annex.instance_ids)}"
            )
        click.echo("  HTCondor's own lease function matches names by prefix: it would end blast2 with blast.")
        return blast, blast2

    def _let_lease_expire(self, user: AnnexUser, blast: Annex, blast2: Annex) -> None:
        _heading("The lease of blast expires", f"Schedules run {SPEED} times faster here: rate(5 minutes) is 3 s.")
        self._wait_for_end(user, blast)
        if user.running(blast2) != len(blast2.instance_ids):
            raise UserError("the lease function ended machines of blast2, which is a defect: please report it")
        click.secho(f"  blast2   {user.running(blast2)} machines are still running, as they should be", fg="green")

    def _end_early(self, user: AnnexUser, blast2: Annex) -> None:
        _heading("blast2 is ended early", "by setting its lease to now, with no bucket named, as condor_annex does.")
        user.set_lease(blast2.annex_id, seconds=-1)
        self._wait_for_end(user, blast2)

    def _wait_for_end(self, user: AnnexUser, annex: Annex) -> None:
        began = time.monotonic()
        _wait(lambda: user.running(annex) == 0, f"the machines of {annex.name} to end")
        click.echo(f"  {annex.name:8} 0 machines, {time.monotonic() - began:.0f} s later")
        _wait(lambda: not self._has_rule(annex), f"the rule of {annex.name} to be deleted")
        objects = self.root.client("s3").list_objects_v2(Bucket=user.outputs[Output.S3_BUCKET_NAME])
        if annex.tarball in [entry["Key"] for entry in objects.get("Contents", [])]:
            raise UserError(f"{annex.tarball} was not deleted, which is a defect: please report it")
        click.secho(f"  {annex.name:8} rule, target and tarball are deleted too", fg="green")

    def _has_rule(self, annex: Annex) -> bool:
        rules = self.root.client("events").list_rules(NamePrefix=annex.annex_id)["Rules"]
        return annex.annex_id in [rule["Name"] for rule in rules]

    def _take_policy_back(self, user: AnnexUser) -> None:
        _heading("An administrator", "takes the policy from the scientist, as AWS deletes none that somebody holds.")
        policy_arn = user.outputs[Output.ANNEX_USER_POLICY_ARN]
        self.root.client("iam").detach_user_policy(UserName=SCIENTIST, PolicyArn=policy_arn)

    def _delete(self, deployer: Credentials, before: Inventory) -> None:
        _heading("The deployer", "deletes everything.")
        self._run(deployer, "delete", "--yes", "--config", str(self.config))
        created = take_inventory(self.root) - before
        kept = {resource for resource in created if is_service_linked(resource)}
        left = created - kept
        click.echo()
        for kind, name in sorted(left):
            click.secho(f"  left over: {kind} {name}", fg="red")
        click.secho(f"  Resources left over: {len(left)}", fg="red" if left else "green", bold=True)
        click.echo(
            f"  ({len(kept)} service-linked roles remain: they belong to the account; every spot fleet needs them.)"
        )
        if left:
            raise UserError("the demo left something behind, which is a defect: please report it")

    def _session(self, credentials: Credentials) -> boto3.Session:
        return boto3.Session(credentials.access_key_id, credentials.secret_access_key)

    def _run(self, credentials: Credentials, *arguments: str) -> None:
        """Run one of our commands with these credentials, as a user would."""
        click.secho(f"  $ annex-bootstrap {' '.join(arguments[:2])}", bold=True)
        sys.stdout.flush()
        environ = os.environ | self.local.environ(credentials) | {"HOME": str(self.home)}
        done = subprocess.run([sys.executable, "-m", "annex_bootstrap", *arguments], env=environ, check=False)
        if done.returncode != 0:
            raise UserError(f"annex-bootstrap {arguments[0]} failed in the demo: its own message is above")


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
