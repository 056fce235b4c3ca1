"""Which stack a command is about, the command line that names it, and the same work in each of its regions."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from annex_bootstrap import PROGRAM
from annex_bootstrap.aws import Account, connect, in_background, open_session
from annex_bootstrap.errors import UserError
from annex_contract.stack import DEFAULT_STACK_NAME

if TYPE_CHECKING:
    import boto3

Answer = TypeVar("Answer")

STACK_NAME = r"[A-Za-z][A-Za-z0-9-]{0,127}"
"""What CloudFormation takes as a stack's name; a stack that somebody created elsewhere may have any of these. Source:
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html"""


@dataclass(frozen=True)
class Target:
    """The stack that a command is about, where it is, and the configuration file that names it.

    Attributes:
        stack_name: the stack's name.
        regions: the AWS regions that were given; empty for the one that the environment or the profile names.
        profile: the AWS profile; None for the environment's.
        config: the pool's configuration file; None for the one that HTCondor names.
    """

    stack_name: str = DEFAULT_STACK_NAME
    regions: tuple[str, ...] = ()
    profile: str | None = None
    config: Path | None = None

    @property
    def region(self) -> str | None:
        """The first region that was given, or None."""
        return self.regions[0] if self.regions else None

    @cached_property
    def _session(self) -> boto3.Session:
        """One for all regions and steps, so that an MFA code is asked for once."""
        return open_session(None, self.profile)

    def connect(self) -> Account:
        """Connect to the region.

        Raises:
            UserError: the profile, the region or the credentials do not exist or do not work.
        """
        return connect(self.region, self.profile, self._session)

    def connect_all(self) -> list[Account]:
        """Connect to every region.

        Raises:
            UserError: as for ``connect``, for any region, before anything is changed in another.
        """
        return [connect(region, self.profile, self._session) for region in dict.fromkeys(self.regions)] or [
            self.connect()
        ]

    def at(self, region: str) -> Target:
        """Return the same stack in one region."""
        return replace(self, regions=(region,))

    def command(self, words: str, *, config: bool = False) -> str:
        """Return the line that runs one of our commands on this stack.

        Args:
            words: the command with its arguments, such as ``leases end first``.
            config: whether the command takes ``--config``.
        """
        stack = ["--stack-name", self.stack_name] if self.stack_name != DEFAULT_STACK_NAME else []
        regions = [word for region in self.regions for word in ("--region", region)]
        profile = ["--profile", self.profile] if self.profile else []
        file = ["--config", str(self.config)] if config and self.config is not None else []
        return shlex.join([PROGRAM, *shlex.split(words), *stack, *regions, *profile, *file])


@dataclass(frozen=True)
class Outcome(Generic[Answer]):
    """The outcome of the work in one region.

    Attributes:
        account: where.
        result: what the work returned, or None where it failed.
        error: why it failed, or None.
    """

    account: Account
    result: Answer | None
    error: UserError | None


def in_each_region(accounts: Sequence[Account], work: Callable[[Account], Answer]) -> list[Outcome[Answer]]:
    """Do the work in every region, side by side; one region's failure does not stop the others.

    Args:
        accounts: one a region.
        work: what to do; what it raises besides `UserError` is raised here, after all regions are done. Ctrl-C ends the
            client at once: what CloudFormation does needs no client.

    Returns:
        The outcomes, in the order of the accounts.
    """

    def run(account: Account) -> Outcome[Answer]:
        try:
            return Outcome(account, work(account), None)
        except UserError as error:
            return Outcome(account, None, error)

    running = [in_background(partial(run, account)) for account in accounts]
    wait(running)
    return [done.result() for done in running]
