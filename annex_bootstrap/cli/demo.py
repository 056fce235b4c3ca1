"""``annex-bootstrap demo``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from annex_bootstrap.errors import UserError
from annex_contract.stack import DEFAULT_STACK_NAME, Output

if TYPE_CHECKING:
    import boto3

    from local_aws.demo.annexes import Annex, AnnexUser
    from local_aws.launcher import Credentials, LocalAws

SPEED = 100
"""How many times faster than the clock schedules run, so that five minutes pass in three seconds."""

PATIENCE = 60.0
"""Seconds until something that must happen counts as missing."""


@click.command(name="demo", short_help="Tell the whole story on a local AWS.")
def command() -> None:
    """Tell the whole story on a local AWS: deploy, two annexes, a lease that runs out, delete.

    Needs no account and touches none. Every AWS call is made for real, over TLS and with IAM enforced, against a
    server that is started for the demo and ends with it.
    """
    from local_aws.launcher import local_aws

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="annex-bootstrap-demo-") as home, local_aws(SPEED) as local:
        _Story(local, Path(home)).tell()
    click.echo(f"\nThe whole story took {time.monotonic() - began:.0f} s.")


class _Story:
    """The demo, one chapter a method."""

    def __init__(self, local: LocalAws, home: Path) -> None:
        import boto3

        self.local = local
        self.home = home
        self.config = home / ".condor" / "user_config"
        # The local AWS is all that boto3 sees in this process from here on.
        os.environ.update(local.environ(local.root))
        self.root = boto3.Session()

    def tell(self) -> None:
        """Tell it all.

        Raises:
            UserError: something did not happen as it must.
        """
        from local_aws.demo.inventory import take_inventory

        _chapter("A local AWS", "MiniStack on loopback, with TLS and with IAM enforced. No account is touched.")
        click.echo(f"  {self.local.endpoint}, account {self._account_id()}")
        deployer = self._make_deployer()
        before = take_inventory(self.root)
        self._deploy(deployer)
        user = self._annex_user(deployer)
        blast, blast2 = self._start_annexes(user)
        self._lease_runs_out(user, blast, blast2)
        self._end_early(user, blast2)
        self._delete(deployer, before)

    def _account_id(self) -> str:
        return self.root.client("sts").get_caller_identity()["Account"]

    def _make_deployer(self) -> Credentials:
        from annex_bootstrap.policies.deployer import deployer_policy

        policy = deployer_policy("aws", self._account_id(), DEFAULT_STACK_NAME)
        actions = {action for statement in policy["Statement"] for action in statement["Action"]}
        _chapter("The administrator", "grants a deployer what `annex-bootstrap policy deployer` prints, and no more.")
        click.echo(f"  {len(actions)} actions, each on names of ours where AWS allows that; no *:* anywhere")
        return self._make_user("deployer", policy)

    def _make_user(self, name: str, policy: dict[str, object] | None = None, policy_arn: str = "") -> Credentials:
        from local_aws.launcher import Credentials

        iam = self.root.client("iam")
        iam.create_user(UserName=name)
        if policy is not None:
            iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
        if policy_arn:
            iam.attach_user_policy(UserName=name, PolicyArn=policy_arn)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def _deploy(self, deployer: Credentials) -> None:
        _chapter("The deployer", "makes the stack. This is the command for your own account too.")
        self._run(deployer, "deploy", "--yes", "--config", str(self.config))
        click.echo()
        click.echo(f"  {self.config}:")
        for line in self.config.read_text().splitlines():
            click.secho(f"    {line}", dim=line.startswith("#"))

    def _annex_user(self, deployer: Credentials) -> AnnexUser:
        from local_aws.demo.annexes import AnnexUser

        session = self._session(deployer)
        stack = session.client("cloudformation").describe_stacks(StackName=DEFAULT_STACK_NAME)["Stacks"][0]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        credentials = self._make_user("annex-user", policy_arn=outputs[Output.ANNEX_USER_POLICY_ARN])
        return AnnexUser(self._session(credentials), outputs)

    def _start_annexes(self, user: AnnexUser) -> tuple[Annex, Annex]:
        _chapter("A scientist", "starts two annexes as condor_annex does: tarball, rule, target, tagged machines.")
        image_id = self.root.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        blast = user.start("blast", count=2, seconds=4, image_id=image_id)
        blast2 = user.start("blast2", count=3, seconds=3600, image_id=image_id)
        for annex, lease in ((blast, "4 s"), (blast2, "1 h")):
            click.echo(
                f"  {annex.name:8} {user.running(annex)} machines, lease {lease}: {', '.join(annex.instance_ids)}"
            )
        click.echo("  HTCondor's own lease function matches names by prefix: it would end blast2 with blast.")
        return blast, blast2

    def _lease_runs_out(self, user: AnnexUser, blast: Annex, blast2: Annex) -> None:
        _chapter("The lease of blast runs out", f"Schedules run {SPEED} times faster here: rate(5 minutes) is 3 s.")
        self._wait_for_end(user, blast)
        if user.running(blast2) != len(blast2.instance_ids):
            raise UserError("the lease function ended machines of blast2, which is a defect: please report it")
        click.secho(f"  blast2   {user.running(blast2)} machines run on, as they must", fg="green")

    def _end_early(self, user: AnnexUser, blast2: Annex) -> None:
        _chapter("blast2 is ended early", "by setting its lease to now, with no bucket named, as condor_annex does.")
        user.set_lease(blast2.annex_id, seconds=-1)
        self._wait_for_end(user, blast2)

    def _wait_for_end(self, user: AnnexUser, annex: Annex) -> None:
        began = time.monotonic()
        _wait(lambda: user.running(annex) == 0, f"the machines of {annex.name} to be ended")
        click.echo(f"  {annex.name:8} 0 machines, {time.monotonic() - began:.0f} s later")
        rules = self.root.client("events")
        _wait(lambda: not rules.list_rules(NamePrefix=annex.annex_id)["Rules"] or not self._has_rule(annex), "its rule")
        keys = self.root.client("s3").list_objects_v2(Bucket=user.outputs[Output.S3_BUCKET_NAME]).get("Contents", [])
        if annex.tarball in [each["Key"] for each in keys]:
            raise UserError(f"{annex.tarball} was not deleted, which is a defect: please report it")
        click.secho(f"  {annex.name:8} rule, target and tarball are gone too", fg="green")

    def _has_rule(self, annex: Annex) -> bool:
        rules = self.root.client("events").list_rules(NamePrefix=annex.annex_id)["Rules"]
        return annex.annex_id in [each["Name"] for each in rules]

    def _delete(self, deployer: Credentials, before: frozenset[tuple[str, str]]) -> None:
        from local_aws.demo.inventory import is_service_linked, take_inventory

        _chapter("The deployer", "takes it all away again.")
        self._run(deployer, "delete", "--yes", "--config", str(self.config))
        left = take_inventory(self.root) - before
        stays = {entry for entry in left if is_service_linked(entry)}
        click.echo()
        for kind, name in sorted(left - stays):
            click.secho(f"  left over: {kind} {name}", fg="red")
        click.secho(f"  Left of us: {len(left - stays)}", fg="red" if left - stays else "green", bold=True)
        click.echo(
            f"  ({len(stays)} service-linked roles stay: they are the account's, and every spot fleet needs them.)"
        )
        if left - stays:
            raise UserError("the demo left something behind, which is a defect: please report it")

    def _session(self, credentials: Credentials) -> boto3.Session:
        import boto3

        return boto3.Session(credentials.access_key_id, credentials.secret_access_key)

    def _run(self, credentials: Credentials, *arguments: str) -> None:
        """Run one of our commands as that principal, as a person would."""
        click.secho(f"  $ annex-bootstrap {' '.join(arguments[:2])}", bold=True)
        sys.stdout.flush()
        environ = os.environ | self.local.environ(credentials) | {"HOME": str(self.home)}
        done = subprocess.run([sys.executable, "-m", "annex_bootstrap", *arguments], env=environ, check=False)
        if done.returncode != 0:
            raise UserError(f"annex-bootstrap {arguments[0]} failed in the demo: its own message is above")


def _chapter(title: str, text: str) -> None:
    click.echo()
    click.secho(title, bold=True, nl=False)
    click.echo(f"  {text}")


def _wait(done: Callable[[], bool], waiting_for: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > give_up:
            raise UserError(f"the demo waited {PATIENCE:.0f} s in vain for {waiting_for}: please report it")
        time.sleep(0.2)
