"""What a live test is told, and what it says before it costs anything. Pure: data in, text out."""

from __future__ import annotations

import argparse
import getpass
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from annex_bootstrap.policies.boundary import boundary_arn
from annex_bootstrap.policies.operator import operator_policy
from annex_contract.boundaries import Holder, boundary_name
from annex_contract.iam import allow, document
from annex_contract.stack import ROLE_PATH, STACK_TAG, LogicalId
from local_aws.demo.annexes import InstanceType

STACK = "annex-bootstrap-live"
"""The stack's name. The printed policies are for one name, so it is always the same."""

STARTER = f"{STACK}-starter"
"""The IAM user who gets StartPolicy and nothing else."""

ANNEX_PREFIX = "live-"
"""With this the names of all annexes begin."""

INSTANCE_TYPE: InstanceType = "t3.micro"
"""Where no other is asked for: the smallest type that nearly every zone offers, and an account on the free plan."""

CORES = 4
"""Of the annex whose types AWS chooses: a new account may have 5."""

LEASE_SECONDS = 180

ENDING = 600
"""Seconds after its lease until an annex has surely ended: ticks come every five minutes, and a rule goes with a later
tick than its machines."""

IDLE_MINUTES = 10
"""How long a machine waits for a job."""

MINUTES, IMAGE_MINUTES = 150, 8
"""How long a run takes at most without images to delete, and how much longer with each two of these."""

CENTS = 40
"""What a run costs at most in US cents: a builder, some ten machines of small types for less than an hour each, their
disks and public addresses, and snapshots. https://aws.amazon.com/ec2/pricing/"""

IMAGES = 10
"""How often an image is made to be deleted."""

AUDITOR_POLICY = "ReadOnlyAccess"
"""The policy of AWS's that lets somebody read everything, validate policies and simulate them:
https://docs.aws.amazon.com/aws-managed-policy/latest/reference/ReadOnlyAccess.html"""

HELPER_STATEMENTS = ("FindNoUser", "ManageUsers", "CreateUsers", "KeepBoundary")
"""What the helper needs as the operator does."""


@dataclass(frozen=True)
class Options:
    """What a live test is told.

    Attributes:
        region: where.
        deployer: the AWS profile with what ``policy deployer`` prints, and nothing else; None for the environment's.
        operator: the profile with what ``policy operator`` prints.
        auditor: the profile that may read everything.
        helper: the profile that makes the user with StartPolicy, and images to delete.
        agreed: whether it may cost money.
        clean_up: only delete what an earlier run left.
        report: where the report goes.
        pool: whether the machines join the pool of this machine; else there is none for them.
        collector: of that pool, as AWS reaches it; empty for what HTCondor says.
        owner: whose jobs the machines run.
        instance_type: of the machines.
        images: how many images are made to be deleted.
        isolated_subnet: a subnet without a way out; empty for none.
        default_key: whether the account has a default key of its own for volumes.
        lease_seconds: the length of a lease.
        poll_seconds: between two looks at something that takes a while.
    """

    region: str | None
    deployer: str | None
    operator: str | None
    auditor: str | None
    helper: str | None
    agreed: bool
    clean_up: bool
    report: Path
    pool: bool = True
    collector: str = ""
    owner: str = ""
    instance_type: InstanceType = INSTANCE_TYPE
    images: int = IMAGES
    isolated_subnet: str = ""
    default_key: bool = False
    lease_seconds: int = LEASE_SECONDS
    poll_seconds: float = 10.0

    @property
    def minutes(self) -> int:
        """How long a run may take."""
        return MINUTES + IMAGE_MINUTES * (self.images // 2)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser("python -m tests.live", description=__doc__, allow_abbrev=False)
    made.add_argument("--region", help="AWS region; default: the deployer's")
    for role, needs in (
        ("deployer", "has what annex-bootstrap policy deployer prints, and nothing else"),
        ("operator", "has what annex-bootstrap policy operator prints, and nothing else"),
        ("auditor", f"has AWS's policy {AUDITOR_POLICY}"),
        ("helper", "has what --helper-policy prints"),
    ):
        made.add_argument(f"--{role}", metavar="PROFILE", help=f"AWS profile that {needs}")
    made.add_argument("--helper-policy", action="store_true", help="print the helper's policy, and do nothing")
    made.add_argument("--yes-this-costs-money", action="store_true", help="go ahead")
    made.add_argument("--clean-up", action="store_true", help="only delete what an earlier run left")
    made.add_argument("--report", type=Path, default=Path("live-report.md"), help="default: %(default)s")
    made.add_argument("--collector", default="", metavar="HOST[:PORT]", help="the pool's collector, as AWS reaches it")
    made.add_argument("--owner", default=getpass.getuser(), metavar="USER", help="whose jobs run; default: %(default)s")
    made.add_argument("--without-pool", action="store_true", help="there is no pool that AWS reaches: no machine joins")
    types = get_args(InstanceType)
    made.add_argument("--type", default=INSTANCE_TYPE, choices=types, help="of the machines; default: %(default)s")
    made.add_argument("--images", type=int, default=IMAGES, help="images made to be deleted; default: %(default)s")
    made.add_argument("--isolated-subnet", default="", metavar="ID", help="also try a subnet without a way out")
    made.add_argument("--default-key", action="store_true", help="the account has a default key of its own for volumes")
    made.add_argument("--lease-seconds", type=int, default=LEASE_SECONDS, help="default: %(default)s")
    made.add_argument("--poll-seconds", type=float, default=10.0, help="default: %(default)s")
    return made


def read(given: argparse.Namespace) -> Options:
    """Return the options of a command line."""
    return Options(
        region=given.region,
        deployer=given.deployer,
        operator=given.operator,
        auditor=given.auditor,
        helper=given.helper,
        agreed=given.yes_this_costs_money,
        clean_up=given.clean_up,
        report=given.report,
        pool=not given.without_pool,
        collector=given.collector,
        owner=given.owner,
        instance_type=given.type,
        images=given.images,
        isolated_subnet=given.isolated_subnet,
        default_key=given.default_key,
        lease_seconds=given.lease_seconds,
        poll_seconds=given.poll_seconds,
    )


def helper_policy(partition: str, account: str) -> dict[str, Any]:
    """Return the policy of anyone who makes the user with StartPolicy, and images of a machine of the test.

    Args:
        partition: such as ``aws``.
        account: the account ID.
    """
    users = operator_policy(partition, account, STACK, boundary_arn(partition, account, Holder.USERS, STACK))[
        "Statement"
    ]
    start = f"arn:{partition}:iam::{account}:policy{ROLE_PATH}{STACK}-{LogicalId.START_POLICY}-*"
    attach = next(each for each in users if each["Sid"] == "AttachPolicy")
    attach = {**attach, "Condition": {**attach["Condition"], "ArnLike": {"iam:PolicyARN": start}}}
    stack = f"arn:{partition}:cloudformation:*:{account}:stack/{STACK}/*"
    ours, tagged = ({"StringLike": {f"aws:{kind}Tag/{STACK_TAG}": stack}} for kind in ("Resource", "Request"))
    images = [f"arn:{partition}:ec2:*::{kind}/*" for kind in ("image", "snapshot")]
    return document(
        [
            *(each for each in users if each["Sid"] in HELPER_STATEMENTS),
            attach,
            # A lease whose maker was interrupted before it had a target is nobody's.
            allow(
                "DeleteEmptyRules",
                "events: DeleteRule ListTargetsByRule",
                f"arn:{partition}:events:*:{account}:rule/{ANNEX_PREFIX}*",
            ),
            allow("FindImages", "ec2: DescribeImages DescribeSnapshots", "*"),
            allow("ImageMachines", "ec2: CreateImage", f"arn:{partition}:ec2:*:{account}:instance/*", ours),
            allow("MakeImages", "ec2: CreateImage", images, tagged),
            allow("TagImages", "ec2: CreateTags", images, {"StringEquals": {"ec2:CreateAction": "CreateImage"}}),
            allow("DeleteImages", "ec2: DeregisterImage", images[0], ours),
            allow("DeleteSnapshots", "ec2: DeleteSnapshot", images[1], ours),
        ]
    )


def announcement(options: Options, partition: str, account: str, region: str) -> str:
    """Return what a person should know before a run.

    Args:
        options: of the run.
        partition: such as ``aws``.
        account: its ID.
        region: where.
    """
    roles, users = (boundary_arn(partition, account, holder, STACK) for holder in (Holder.ROLES, Holder.USERS))
    pool = (
        f"Machines join the pool of this machine, for jobs of {options.owner}."
        if options.pool
        else "There is no pool: no machine joins, and the report says so."
    )
    return f"""\
This deploys the stack {STACK} in {region}, account {account}, uses it with annex-bootstrap start and as condor_annex
does, and deletes it.

It costs at most {CENTS} US cents (machines of the smallest types, each for less than an hour).
It takes at most {options.minutes} minutes. {options.images} images are made and deleted: fewer --images take less time.
It stops at the first doubt, and then deletes everything.
{pool}

An annex ends up to {ENDING // 60} minutes after its lease, so its machines run a while longer than that.

An administrator must have made two boundaries, as managed policies of these names:
  {boundary_name(Holder.ROLES, STACK)}  annex-bootstrap policy boundary --stack-name {STACK} --for roles --condor-annex
  {boundary_name(Holder.USERS, STACK)}  annex-bootstrap policy boundary --stack-name {STACK} --for users
and have granted this to four AWS profiles, and nothing else:
  --deployer  annex-bootstrap policy deployer --stack-name {STACK} --boundary {roles}
  --operator  annex-bootstrap policy operator --stack-name {STACK} --boundary {users}
  --auditor   AWS's managed policy {AUDITOR_POLICY}, to look for leftovers
  --helper    python -m tests.live --helper-policy: it makes the user {STARTER} and images

Ctrl-C deletes what there is so far. After a crash, --clean-up does.
"""
