"""The lease function's settings, from its environment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_contract.lease import TARBALL_PATTERN
from annex_contract.limits import NO_LIMITS, Limits, UnreadableLimitsError

if TYPE_CHECKING:
    from collections.abc import Mapping

BUCKET_NAME = "BUCKET_NAME"
"""The stack's bucket. After an extension the event names none, so the function must know it by itself."""

CONFIG_KEY_PATTERN = "CONFIG_KEY_PATTERN"
"""The key of an annex's tarball, with one ``*`` where the annex's whole name stands."""

INSTANCE_PROFILE_ARN = "INSTANCE_PROFILE_ARN"
"""The instance profile that the stack made for machines of condor_annex. The sweeper judges only what runs with one of
the stack's."""

START_PROFILE_ARN = "START_PROFILE_ARN"
"""The one that it makes for machines of ``start``, if it makes an image."""

STACK_ID = "STACK_ID"
"""The stack's own ID: with it are tagged the builders, images and snapshots whose leftovers the sweeper deletes."""

FUNCTION_NAME = "AWS_LAMBDA_FUNCTION_NAME"
"""The function's own name. Lambda sets it: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""

END_ORPHANS = "END_ORPHANS"
"""``yes``: the sweeper ends orphans. Anything else: it only reports them."""

MAX_LEASE_HOURS = "MAX_LEASE_HOURS"
"""How many hours a machine may run, whatever its lease says. Empty: as long as the lease says."""


class SettingsError(ValueError):
    """The function's environment is not what the template sets."""


@dataclass(frozen=True)
class Settings:
    """The environment, read.

    Attributes:
        bucket: the stack's bucket.
        key_prefix: what stands before an annex's name in the key of its tarball.
        key_suffix: what stands after it.
        profile_arns: the instance profiles of the stack's machines.
        stack_id: the ARN of the stack.
        function_name: the function's own.
        end_orphans: whether the sweeper ends what it finds.
        max_seconds: how long a machine may run; infinite where only its lease limits it.
        limits: on all machines of the stack together; their variables are named as the parameters.
    """

    bucket: str
    key_prefix: str
    key_suffix: str
    profile_arns: frozenset[str]
    stack_id: str
    function_name: str
    end_orphans: bool
    max_seconds: float = math.inf
    limits: Limits = NO_LIMITS

    @property
    def account(self) -> str:
        """The ID of the stack's account."""
        return self.stack_id.split(":")[4]

    @property
    def region(self) -> str:
        """The region of the stack."""
        return self.stack_id.split(":")[3]

    @property
    def partition(self) -> str:
        """The partition of the stack, such as ``aws``."""
        return self.stack_id.split(":")[1]

    @property
    def function_arn(self) -> str:
        """The function's own ARN, by which a target that is a lease is known."""
        arn, partition, _, region, account, _ = self.stack_id.split(":", 5)
        return f"{arn}:{partition}:lambda:{region}:{account}:function:{self.function_name}"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings.

        Args:
            environ: the environment, as ``os.environ`` has it.

        Returns:
            The settings.

        Raises:
            SettingsError: a variable is missing or empty, the pattern has not exactly one ``*``, the hours are no
                number, or a limit cannot be read.
        """
        pattern = environ.get(CONFIG_KEY_PATTERN) or TARBALL_PATTERN
        prefix, star, suffix = pattern.partition("*")
        if not star or "*" in suffix:
            raise SettingsError(f"{CONFIG_KEY_PATTERN} needs exactly one '*', but is {pattern!r}")
        try:
            limits = Limits.read(environ)
        except UnreadableLimitsError as error:
            raise SettingsError(f"a limit cannot be read: {error}") from error
        return cls(
            bucket=_required(environ, BUCKET_NAME),
            key_prefix=prefix,
            key_suffix=suffix,
            profile_arns=frozenset(
                filter(None, (_required(environ, INSTANCE_PROFILE_ARN), environ.get(START_PROFILE_ARN)))
            ),
            stack_id=_required(environ, STACK_ID),
            function_name=_required(environ, FUNCTION_NAME),
            end_orphans=environ.get(END_ORPHANS) == "yes",
            max_seconds=_hours(environ.get(MAX_LEASE_HOURS, "")),
            limits=limits,
        )


def _hours(text: str) -> float:
    if not text:
        return math.inf
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise SettingsError(f"{MAX_LEASE_HOURS} must be hours, but is {text!r}")
    return int(text) * 3600


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(f"the function's environment lacks {name}")
    return value
