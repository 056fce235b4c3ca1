"""What AWS knows of the annexes of a stack, if it answers at once."""

from __future__ import annotations

from dataclasses import dataclass

from annex_bootstrap.annexes.leases import Lease, Leases
from annex_bootstrap.aws import connect, in_background
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.blocks import Section
from annex_bootstrap.stack.read import Stack, find_deployed

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
        return Overview(stack, tuple(Leases.of(account, stack.outputs).list()))

    try:
        return in_background(ask).result(PATIENCE)
    except UserError as error:
        return Overview(error=str(error))
    except TimeoutError:
        return Overview(error="AWS did not answer within a second")
