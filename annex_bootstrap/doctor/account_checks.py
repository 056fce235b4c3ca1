"""What can be wrong with the AWS account: its credentials, quotas and who may start annexes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from annex_bootstrap.annexes.rights import find_refusal
from annex_bootstrap.aws import Account
from annex_bootstrap.doctor.check import Check, Finding, Level, Setup
from annex_bootstrap.errors import AwsError, DeniedError, UserError
from annex_bootstrap.machines.quotas import increase_command, read_quota
from annex_bootstrap.policies.boundary import users_boundary
from annex_bootstrap.policies.starters import Starter, commands
from annex_bootstrap.stack.read import find_people, list_holders
from annex_contract.stack import ROLE_PATH, LogicalId, Output, Parameter

LEAST_VCPUS = 2
"""Of one machine of the stack's default type."""


AMPLE_VCPUS = 64
"""A quota below this, as of a new account, keeps annexes small."""


@dataclass(frozen=True)
class AwsCredentials(Check):
    """Which account and region it is about; that AWS takes the credentials is known before."""

    id = "aws-credentials"
    subject = "AWS credentials"
    for_starters = True

    account: str
    region: str

    @classmethod
    def read(cls, setup: Setup) -> Self:
        return cls(setup.account.account_id, setup.account.region)

    def judge(self) -> Finding:
        return self.ok(f"account {self.account}, region {self.region}")


@dataclass(frozen=True)
class Quota(Check):
    """The account may run machines; where it may run few, how to ask for more.

    Attributes:
        region: where.
        on_demand: vCPUs that may run at once on demand.
        spot: vCPUs that may run at once on the spot market.
        error: why the quotas cannot be read; None where they are.
    """

    id = "vcpu-quota"
    subject = "quota of vCPUs"
    for_starters = True

    region: str
    on_demand: int
    spot: int
    error: UserError | None = None

    @classmethod
    def read(cls, setup: Setup) -> Self:
        return cls.of(setup.account)

    @classmethod
    def of(cls, account: Account) -> Self:
        """Read both quotas of an account."""
        try:
            return cls(account.region, read_quota(account, spot=False), read_quota(account, spot=True))
        except UserError as error:
            return cls(account.region, 0, 0, error)

    def judge(self) -> Finding:
        if self.error is not None:
            policy = "ask your administrator for what `annex-bootstrap policy operator` prints"
            return self.skipped("it cannot be read", policy if isinstance(self.error, DeniedError) else str(self.error))
        commands = tuple(
            increase_command(self.region, AMPLE_VCPUS, spot=is_spot)
            for is_spot, limit in ((False, self.on_demand), (True, self.spot))
            if limit < AMPLE_VCPUS
        )
        enough = self.on_demand >= LEAST_VCPUS
        purpose = "for larger annexes" if enough else "before the first annex"
        advice = f"{purpose} ask AWS for more, which may take days:" if commands else ""
        detail = f"{self.on_demand} on demand, {self.spot} on the spot market"
        return Finding(self.id, self.subject, Level.OK if enough else Level.PROBLEM, detail, advice, commands)


@dataclass(frozen=True)
class PolicyHolders(Check):
    """Anyone who deploys the stack gains nothing by rewriting the policies that people hold.

    Attributes:
        path: under which deployers may write policies, as the beginning of an ARN.
        boundary: the ARN of the users' boundary.
        people: the boundary of everyone who holds one of the policies, by ``user name`` or ``role name``; None where
            that may not be read.
    """

    id = "policy-holders"
    subject = "holders of the stack's policies"

    path: str
    boundary: str
    people: Mapping[str, str] | None

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        stack, account = setup.deployed, setup.account
        # Without a boundary of its roles, the stack's deployer can do anything in any case.
        if stack is None or not stack.parameters.get(Parameter.PERMISSIONS_BOUNDARY_ARN):
            return None
        path = f"arn:{account.partition}:iam::{account.account_id}:policy{ROLE_PATH}"
        boundary = users_boundary(stack.parameters[Parameter.PERMISSIONS_BOUNDARY_ARN], stack.name)
        try:
            return cls(path, boundary, find_people(account, list_holders(account, stack)))
        except DeniedError:
            return cls(path, boundary, None)

    def judge(self) -> Finding:
        if self.people is None:
            return self.skipped("they cannot be read", "let an administrator run annex-bootstrap doctor")
        unbounded = sorted(name for name, boundary in self.people.items() if not self._limits(boundary))
        if not unbounded:
            return self.ok("all have a permissions boundary" if self.people else "nobody has one yet")
        detail = (
            f"{', '.join(unbounded)}: no permissions boundary of your own, so anyone who deploys the stack can give "
            "them any right"
        )
        advice = (
            "let an administrator set it, or grant what annex-bootstrap policy start or policy user prints in place of "
            "the stack's policy; roles of IAM Identity Center get it with their permission set:"
        )
        commands = tuple(
            f"aws iam put-{kind}-permissions-boundary --{kind}-name {name} --permissions-boundary {self.boundary}"
            for kind, _, name in (each.partition(" ") for each in unbounded)
        )
        return Finding(self.id, self.subject, Level.PROBLEM, detail, advice, commands)

    def _limits(self, boundary: str) -> bool:
        """Tell whether a boundary limits something: it is not one of AWS's policies, and no deployer can write it."""
        return bool(boundary) and ":iam::aws:" not in boundary and not boundary.startswith(self.path)


@dataclass(frozen=True)
class RightToStart(Check):
    """The credentials in use may start annexes with ``start``; EC2 is asked, and starts nothing.

    Attributes:
        refusal: why not; None where they may.
        commands: with which an administrator lets them.
        needed: whether this user does nothing but start annexes.
    """

    id = "right-to-start"
    subject = "right to start annexes"
    for_starters = True

    refusal: AwsError | None
    commands: tuple[str, ...]
    needed: bool = False

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        stack = setup.deployed
        if stack is None or Output.START_POLICY_ARN not in stack.outputs:
            return None
        caller = Starter.of_caller(setup.account)
        lines = tuple(commands(stack, caller)) if caller else ()
        return cls(find_refusal(setup.account, stack), lines, setup.only_starts)

    def judge(self) -> Finding:
        if self.refusal is None:
            return self.ok("these credentials have it")
        if not isinstance(self.refusal, DeniedError):
            return self.skipped("it cannot be checked", str(self.refusal))
        detail = "these credentials have no right to start machines of the stack"
        advice = f"those who start annexes need the stack's {LogicalId.START_POLICY}, from an administrator"
        advice += ":" if self.commands else ""
        level = Level.PROBLEM if self.needed else Level.SKIPPED
        return Finding(self.id, self.subject, level, detail, advice, self.commands)
