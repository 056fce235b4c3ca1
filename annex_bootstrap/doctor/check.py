"""What a check of the doctor is, and what all of them read from.

A check is a dataclass: its fields are the facts that it judges. ``read`` gets them; ``judge`` is a pure function of
them, except where it looks at the mode of a file.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self, TypeVar

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.pool.blocks import local_name, read_block
from annex_bootstrap.pool.file_knobs import evaluate, needs_htcondor, read_knob
from annex_bootstrap.pool.files import read_private
from annex_bootstrap.pool.htcondor import IN_FORCE, Version, starts_with_htcondor, version
from annex_bootstrap.pool.shared import shared_sections
from annex_bootstrap.stack import read
from annex_contract.knobs import FLEET_KNOBS, Macro

GONE = {
    "404",
    "InvalidGroup.NotFound",
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateId.NotFoundException",
    "NoSuchEntity",
    "NotFoundException",
    "ResourceNotFoundException",
}
"""Error codes that mean that something does not exist."""

DEPLOY_AGAIN = "run annex-bootstrap delete --end-annexes, then annex-bootstrap deploy"
"""The advice where something is gone that an update does not make again."""

Answer = TypeVar("Answer")


class Level(StrEnum):
    """The result of a check."""

    OK = "OK"
    PROBLEM = "PROBLEM"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        id: of the check; the same in every version.
        subject: what was checked.
        level: the result.
        detail: what was seen.
        advice: what to do; empty if all is well.
        commands: lines to paste, for the advice.
    """

    id: str
    subject: str
    level: Level
    detail: str
    advice: str = ""
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setup:
    """What is checked. Each fact is read once, when a check first asks for it.

    Attributes:
        account: where the stack is.
        stack_name: of the stack.
        config: the user's configuration file.
        given_collector: ``host`` or ``host:port``; empty to ask HTCondor.
    """

    account: Account
    stack_name: str
    config: Path
    given_collector: str = ""

    @cached_property
    def stack(self) -> read.Stack | None:
        """The stack; None where there is none.

        Raises:
            UserError: AWS refused.
        """
        with explained(f"reading the stack {self.stack_name}"):
            return read.find(self.account.cloudformation, self.stack_name)

    @cached_property
    def deployed(self) -> read.Stack | None:
        """The stack, if it can be read and has its outputs, all of them its own."""
        with contextlib.suppress(UserError):
            stack = self.stack
            return stack if stack is not None and stack.version and not self.wrong_output else None
        return None

    @cached_property
    def wrong_output(self) -> str:
        """The name of an output that is not the stack's own; empty where there is none, or no stack.

        Those who only start annexes may not read more than the outputs.

        Raises:
            UserError: AWS refused.
        """
        if self.stack is not None and self.only_starts:
            return self.stack.wrong_output
        return "" if self.stack is None else read.find_wrong_output_of(self.account, self.stack)

    @cached_property
    def content(self) -> bytes:
        """The content of the user's configuration file; empty where there is none.

        Raises:
            UserError: it cannot be read.
        """
        return read_private(self.config) or b""

    @cached_property
    def only_starts(self) -> bool:
        """Whether this user has set up nothing: the machine's configuration names the stack, and theirs does not."""
        try:
            own = read_block(self.content).find(self.account.region)
        except UserError:
            # It cannot be read, and so there is one; a check of its own says why.
            return False
        here = (self.stack_name, self.account.region)
        shared = [(section.stack_name, section.region) for section in shared_sections()]
        return here in shared and (own is None or own.stack_name != self.stack_name)

    @cached_property
    def _values(self) -> dict[str, str] | None:
        return evaluate(self.config, self.content, self.account.region)

    def knob(self, name: str) -> str:
        """Return a knob of the user's configuration for the region; nothing where it is not defined.

        Raises:
            UserError: HTCondor cannot read the configuration.
        """
        if self._values is None:
            return read_knob(self.content, self.account.region, name)
        key = name.upper()
        return self._values.get(f"{local_name(self.account.region).upper()}.{key}", self._values.get(key, ""))

    @property
    def unevaluated(self) -> str:
        """What to add to what the configuration seems to say; nothing where it says it."""
        if self._values is None and needs_htcondor(self.content):
            return " (not evaluated: that needs HTCondor, which is not on this machine)"
        return ""

    @cached_property
    def condor(self) -> Version | None:
        """The version of HTCondor on this machine; None where there is none."""
        return version()

    @property
    def has_htcondor_annex(self) -> bool:
        """Whether people start annexes here with ``htcondor annex``."""
        return self.condor is not None and starts_with_htcondor(self.condor)

    @cached_property
    def collector(self) -> str:
        """The collector that machines of annexes join; empty where it is not known."""
        own = IN_FORCE.ask(Macro.ANNEX_COLLECTOR) if self.has_htcondor_annex else ""
        public = IN_FORCE.ask(Macro.ANNEX_BOOTSTRAP_COLLECTOR)
        return own or public or IN_FORCE.ask(Macro.COLLECTOR_HOST)

    @cached_property
    def fleet_file(self) -> str:
        """The path of the spot fleet file; empty where the configuration names none."""
        return self.knob(FLEET_KNOBS[0])

    @cached_property
    def fleet_text(self) -> str | None:
        """The content of the spot fleet file; None where it cannot be read."""
        try:
            return Path(self.fleet_file).read_text() if self.fleet_file else None
        except (OSError, UnicodeDecodeError):
            return None


class Check(ABC):
    """One thing that can be wrong.

    Attributes:
        id: its name in JSON documents and in docs/doctor.md; never changes.
        subject: what it checks, in words.
        for_starters: whether it concerns also those who start annexes and have set up nothing.
    """

    id: ClassVar[str]
    subject: ClassVar[str]
    for_starters: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def read(cls, setup: Setup) -> Self | None:
        """Get the facts to judge.

        Returns:
            None where this check has nothing to say about such a setup.

        Raises:
            UserError: they cannot be read, which is a problem.
        """

    @abstractmethod
    def judge(self) -> Finding:
        """Tell whether all is well, and what to do where it is not."""

    @classmethod
    def ok(cls, detail: str) -> Finding:
        """Return the finding that all is well."""
        return Finding(cls.id, cls.subject, Level.OK, detail)

    @classmethod
    def problem(cls, detail: str, advice: str) -> Finding:
        """Return the finding that something is wrong."""
        return Finding(cls.id, cls.subject, Level.PROBLEM, detail, advice)

    @classmethod
    def skipped(cls, detail: str, advice: str) -> Finding:
        """Return the finding that something was not asked for, or cannot be checked from here."""
        return Finding(cls.id, cls.subject, Level.SKIPPED, detail, advice)


def unless_gone(call: Callable[[], Answer]) -> Answer | None:
    """Return what a call to AWS answers; None if what it asks about does not exist."""
    try:
        with explained("looking for a resource"):
            return call()
    except AwsError as error:
        if error.code in GONE:
            return None
        raise
