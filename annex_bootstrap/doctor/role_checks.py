"""What can be wrong with the stack's roles and instance profile."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from annex_bootstrap.advice import service_linked_role_command
from annex_bootstrap.aws import Account, explained
from annex_bootstrap.doctor.check import DEPLOY_AGAIN, Check, Finding, Level, Setup, unless_gone
from annex_bootstrap.errors import DeniedError
from annex_contract.stack import (
    SPOT_FLEET_SERVICE,
    SPOT_SERVICE_LINKED_ROLES,
    Output,
)


@dataclass(frozen=True)
class InstanceProfile(Check):
    """The instance profiles of condor_annex's machines and of those of ``start`` contain their role.

    Attributes:
        expected: the ARN or the ID of the role that must be in each profile, by the profile's ARN.
        roles: the ARNs and IDs of the roles in each; None where there is no such profile.
    """

    id = "instance-profile"
    subject = "instance profile"

    expected: Mapping[str, str]
    roles: Mapping[str, Sequence[str] | None]

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None:
            return None
        outputs, iam = setup.deployed.outputs, setup.account.iam
        expected = {
            outputs[profile]: outputs[role]
            for profile, role in (
                (Output.INSTANCE_CONFIGURATION_PROFILE, Output.INSTANCE_ROLE_ARN),
                # By its ID: a machine's configuration has it in its name, and a role made by hand has another one.
                (Output.START_INSTANCE_PROFILE, Output.START_ROLE_ID),
            )
            if profile in outputs and role in outputs
        }
        roles: dict[str, list[str] | None] = {}
        for arn in expected:
            with explained("checking the instance profile"):
                found = unless_gone(partial(iam.get_instance_profile, InstanceProfileName=arn.rpartition("/")[2]))
            held = found["InstanceProfile"]["Roles"] if found else None
            roles[arn] = None if held is None else [text for role in held for text in (role["Arn"], role["RoleId"])]
        return cls(expected, roles)

    def judge(self) -> Finding:
        for arn, role in self.expected.items():
            held = self.roles[arn]
            if held is None:
                return self.problem(f"{arn} is gone", DEPLOY_AGAIN)
            if role not in held:
                return self.problem(f"{arn} does not hold the role {role}", f"put the role back, or {DEPLOY_AGAIN}")
        return self.ok("holds the machines' role")


@dataclass(frozen=True)
class FleetRole(Check):
    """The fleet role exists and spot fleets may assume it, and AWS's own roles for spot machines exist.

    Attributes:
        arn: of the role.
        trusted: the services that may assume it; None where there is no such role.
        unlinked: the services without their service-linked role, as far as that may be read.
    """

    id = "fleet-role"
    subject = "fleet role"

    arn: str
    trusted: Sequence[str] | None
    unlinked: Sequence[str] = ()

    @classmethod
    def read(cls, setup: Setup) -> Self | None:
        if setup.deployed is None:
            return None
        iam, arn = setup.account.iam, setup.deployed.outputs[Output.IAM_FLEET_ROLE_ARN]
        with explained("checking the fleet role"):
            found = unless_gone(lambda: iam.get_role(RoleName=arn.rpartition("/")[2]))
        if found is None:
            return cls(arn, None)
        document: Any = found["Role"]["AssumeRolePolicyDocument"]
        return cls(arn, trusted_services(document), _unlinked(setup.account))

    def judge(self) -> Finding:
        if self.trusted is None:
            return self.problem(f"{self.arn} is gone", f"spot annexes need it: {DEPLOY_AGAIN}")
        if SPOT_FLEET_SERVICE not in self.trusted:
            advice = "add that service to its trust policy"
            return self.problem(f"{self.arn} does not trust {SPOT_FLEET_SERVICE}", advice)
        if self.unlinked:
            detail = f"AWS's own role for {' and '.join(self.unlinked)} is missing"
            advice = "machines on demand need none; for spot machines ask an administrator to run:"
            commands = tuple(map(service_linked_role_command, self.unlinked))
            return Finding(self.id, self.subject, Level.SKIPPED, detail, advice, commands)
        return self.ok("trusts spot fleets")


def _unlinked(account: Account) -> list[str]:
    unlinked = []
    for name, service in SPOT_SERVICE_LINKED_ROLES.items():
        with contextlib.suppress(DeniedError):
            if unless_gone(partial(account.iam.get_role, RoleName=name)) is None:
                unlinked.append(service)
    return unlinked


def trusted_services(document: Mapping[str, Any]) -> list[str]:
    """Return the services that a role's trust policy names."""
    statements = document["Statement"]
    services: list[str] = []
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", {})
        named = principal.get("Service", []) if isinstance(principal, dict) else []
        if statement.get("Effect") == "Allow":
            services += [named] if isinstance(named, str) else named
    return services
