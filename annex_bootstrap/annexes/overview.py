"""What AWS says of the annexes of a stack, if it answers at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from annex_bootstrap.annexes.leases import Lease, Leases
from annex_bootstrap.aws import connect
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.blocks import Section
from annex_bootstrap.stack.read import Stack, find_deployed

PATIENCE = 1.0
"""Seconds that AWS has to answer; what is not known by then is not shown."""


@dataclass
class Answer:
    """What AWS said about the annexes of a stack.

    Attributes:
        stack: the stack; None where that is not known.
        leases: of its annexes; None where that is not known.
        error: why it is not known.
    """

    stack: Stack | None = None
    leases: list[Lease] | None = None
    error: str = "AWS did not answer within a second"


def ask_leases(section: Section) -> Answer:
    """Ask AWS for the leases of a stack's annexes, and do not wait for longer than ``PATIENCE``."""
    answer = Answer()

    def ask() -> None:
        try:
            account = connect(section.region, None)
            answer.stack = find_deployed(account, section.stack_name)
            answer.leases = Leases.of(account, answer.stack.outputs).list()
        except UserError as error:
            answer.error = str(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return answer
