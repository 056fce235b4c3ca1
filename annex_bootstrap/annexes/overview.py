"""What AWS knows of the annexes of a stack, if it answers at once, and the line that starts the first one."""

from __future__ import annotations

from dataclasses import dataclass

from annex_bootstrap.annexes.leases import Lease, Leases
from annex_bootstrap.aws import connect, in_background, open_session
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.blocks import Section
from annex_bootstrap.pool.htcondor import Version, starts_with_htcondor
from annex_bootstrap.pool.tokens import FIRST_TOKENS
from annex_bootstrap.stack.read import Stack, find_deployed
from annex_bootstrap.target import Target
from annex_contract.stack import Output

PATIENCE = 1.0
"""Seconds that AWS has to answer; what is not known by then is not shown."""


@dataclass(frozen=True)
class Overview:
    """What AWS knows of the annexes of a stack.

    Attributes:
        stack: the stack; None where that is not known.
        leases: of its annexes; none of them where the stack is not known.
        error: why it is not known; empty where it is.
    """

    stack: Stack | None = None
    leases: tuple[Lease, ...] = ()
    error: str = ""


def ask_overview(section: Section) -> Overview:
    """Ask AWS for the leases of a stack's annexes, and do not wait for longer than ``PATIENCE``."""

    def ask() -> Overview:
        account = connect(section.region, None)
        stack = find_deployed(account, section.stack_name)
        return Overview(stack, tuple(Leases.of(account, stack).list()))

    try:
        # Loads the SDK, which may take its own second.
        open_session(section.region, None)
        return in_background(ask).result(PATIENCE)
    except UserError as error:
        return Overview(error=str(error))
    except TimeoutError:
        return Overview(error="AWS did not answer within a second")


def can_start(stack: Stack, version: Version | None) -> bool:
    """Tell whether ``start`` starts annexes of a stack, with the credentials of its user, without any key.

    Args:
        stack: whose machines. One that makes no image has no machines for ``start``.
        version: of HTCondor here, or None where there is none.
    """
    return Output.START_POLICY_ARN in stack.outputs and (version is None or version >= FIRST_TOKENS)


def first_annex(stack: Stack, target: Target, version: Version | None) -> dict[str, str]:
    """Return the line that starts a first annex of one machine, and what it does.

    Args:
        stack: whose machines.
        target: the stack as the line names it.
        version: of HTCondor here, or None where there is none.
    """
    if can_start(stack, version):
        line = target.command("start my-first-annex --count 1")
        return {line: f"rents one machine; needs the policy that {Output.START_POLICY_ARN} names"}
    if version is not None and starts_with_htcondor(version):
        return {"htcondor annex create my-first-annex m7i.large@aws-ec2": "rents one machine"}
    return {"condor_annex -count 1 -annex-name my-first-annex": "rents one machine"}
