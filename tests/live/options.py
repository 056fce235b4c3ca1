"""What a live test is told, and what it says before it costs anything. Pure: data in, text out."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.policies.boundary import Holder, boundary_arn, boundary_name
from local_aws.demo.annexes import InstanceType

STACK = "annex-bootstrap-live"
"""The stack's name. The printed policies are for one name, so it is always the same."""

INSTANCE_TYPE: InstanceType = "t3.micro"
"""The smallest type that nearly every zone of every region offers, and an account on the free plan may start."""

LEASE_SECONDS = 180

ENDING = 600
"""Seconds after its lease until an annex has surely ended: ticks come every five minutes, and a rule goes with a later
tick than its machines."""

MINUTES, IMAGE_MINUTES = 60, 20
"""How long a run takes at most, and how much longer with an image."""

CENTS, IMAGE_CENTS = 10, 10
"""What a run costs at most in US cents, and how much more with an image: two machines of the smallest type, their disks
and public addresses for an hour, and a builder with its snapshot. https://aws.amazon.com/ec2/pricing/"""

AUDITOR_POLICY = "ReadOnlyAccess"
"""The policy of AWS's that lets somebody read everything."""


@dataclass(frozen=True)
class Options:
    """What a live test is told.

    Attributes:
        region: where.
        deployer: the AWS profile with what ``policy deployer`` prints, and nothing else; None for the environment's.
        operator: the profile with what ``policy operator`` prints.
        auditor: the profile that may read everything.
        image: whether the stack makes an image, from which the machines then start.
        agreed: whether it may cost money.
        clean_up: only delete what an earlier run left.
        report: where the report goes.
        lease_seconds: the length of a lease.
        poll_seconds: between two looks at something that takes a while.
    """

    region: str | None
    deployer: str | None
    operator: str | None
    auditor: str | None
    image: bool
    agreed: bool
    clean_up: bool
    report: Path
    lease_seconds: int = LEASE_SECONDS
    poll_seconds: float = 10.0

    @property
    def minutes(self) -> int:
        """How long a run may take."""
        return MINUTES + (IMAGE_MINUTES if self.image else 0)


def parse(arguments: list[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m tests.live", description=__doc__, allow_abbrev=False)
    parser.add_argument("--region", help="AWS region; default: the deployer's")
    for role, needs in (
        ("deployer", "has what annex-bootstrap policy deployer prints, and nothing else"),
        ("operator", "has what annex-bootstrap policy operator prints, and nothing else"),
        ("auditor", f"has AWS's policy {AUDITOR_POLICY}"),
    ):
        parser.add_argument(f"--{role}", metavar="PROFILE", help=f"AWS profile that {needs}")
    parser.add_argument("--image", action="store_true", help="have the stack build its image")
    parser.add_argument("--yes-this-costs-money", action="store_true", help="go ahead")
    parser.add_argument("--clean-up", action="store_true", help="only delete what an earlier run left")
    parser.add_argument("--report", type=Path, default=Path("live-report.md"), help="default: %(default)s")
    parser.add_argument("--lease-seconds", type=int, default=LEASE_SECONDS, help="default: %(default)s")
    parser.add_argument("--poll-seconds", type=float, default=10.0, help="default: %(default)s")
    given = parser.parse_args(arguments)
    return Options(
        region=given.region,
        deployer=given.deployer,
        operator=given.operator,
        auditor=given.auditor,
        image=given.image,
        agreed=given.yes_this_costs_money,
        clean_up=given.clean_up,
        report=given.report,
        lease_seconds=given.lease_seconds,
        poll_seconds=given.poll_seconds,
    )


def announcement(options: Options, partition: str, account: str, region: str) -> str:
    """Return what a person should know before a run.

    Args:
        options: of the run.
        partition: such as ``aws``.
        account: its ID.
        region: where.
    """
    cents = CENTS + (IMAGE_CENTS if options.image else 0)
    roles, users = (boundary_arn(partition, account, holder) for holder in (Holder.ROLES, Holder.USERS))
    return f"""\
This deploys the stack {STACK} in {region}, account {account}, uses it as condor_annex does, and deletes it.

It costs at most {cents} US cents (two {INSTANCE_TYPE} machines for less than an hour).
It takes at most {options.minutes} minutes.
With --image it takes {IMAGE_MINUTES} minutes and {IMAGE_CENTS} cents more: the stack builds its image first.

An annex ends up to {ENDING // 60} minutes after its lease, so its machines run a while longer than that.

An administrator must have made two boundaries, as managed policies of these names:
  {boundary_name(Holder.ROLES)}  annex-bootstrap policy boundary --for roles
  {boundary_name(Holder.USERS)}  annex-bootstrap policy boundary --for users
and have granted this to three AWS profiles, and nothing else:
  --deployer  annex-bootstrap policy deployer --stack-name {STACK} --boundary {roles}
  --operator  annex-bootstrap policy operator --stack-name {STACK} --boundary {users}
  --auditor   AWS's managed policy {AUDITOR_POLICY}, to look for leftovers

Ctrl-C deletes what there is so far. After a crash, --clean-up does.
"""
