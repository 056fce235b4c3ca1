"""The pool that new machines join: where it is, what lets them join, and whether AWS reaches it."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.collector import collector_address
from annex_bootstrap.pool.htcondor import IN_FORCE, version
from annex_bootstrap.pool.tokens import FIRST_TOKENS, MARGIN, make_token
from annex_bootstrap.stack.connectivity import reach
from annex_bootstrap.stack.read import Stack
from annex_contract.knobs import Macro

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


@dataclass(frozen=True)
class Pool:
    """What is known of the pool that the machines join.

    Attributes:
        host: of its collector.
        port: of its collector.
        identity: the subject of the machines' token.
        token: that lets them join.
    """

    host: str
    port: int
    identity: str
    token: str

    @property
    def address(self) -> str:
        """Where its collector is, as HTCondor's tools take it."""
        return f"{self.host}:{self.port}"


def find_pool(collector: str, owner: str, seconds: int) -> Pool:
    """Return the pool of this machine, with a new token for machines.

    Args:
        collector: ``host`` or ``host:port``; empty to ask HTCondor.
        owner: whose machines they are.
        seconds: how long the lease lasts; the token lasts longer by ``MARGIN``.

    Raises:
        UserError: there is no HTCondor here that makes tokens, or it does not know its pool.
    """
    known = version()
    if known is None:
        raise UserError(
            "there is no HTCondor on this machine, which has to make the token by which machines join: run this on "
            "the pool's access point or its central manager"
        )
    if known < FIRST_TOKENS:
        raise UserError(
            f"HTCondor {'.'.join(map(str, known))} makes no tokens for machines: update the pool to 9.0 or later, or "
            "start the annex with condor_annex, which uses the pool password"
        )
    host, port, socket = collector_address(collector or IN_FORCE.ask(Macro.COLLECTOR_HOST))
    if not host or socket:
        raise UserError(
            "HTCondor on this machine does not say where the pool's collector is: give --collector HOST or HOST:PORT"
        )
    domain = IN_FORCE.ask(Macro.UID_DOMAIN)
    if not domain:
        raise UserError("HTCondor on this machine has no UID_DOMAIN: set it as the pool's access point has it")
    identity = f"{owner}@{domain}"
    return Pool(host, port, identity, make_token(identity, seconds + MARGIN, own=owner == getpass.getuser()))


def check_reachable(functions: LambdaClient, stack: Stack, pool: Pool) -> None:
    """Let the stack's connectivity function ask the pool's collector for an answer.

    Args:
        functions: the Lambda client, so that this may run beside the making of other clients.
        stack: whose function it is.
        pool: whom to ask.

    Raises:
        UserError: it gets none, or AWS refused.
    """
    problem = reach(functions, stack.outputs, pool.host, pool.port).problem
    if problem:
        raise UserError(
            f"the pool's collector {pool.address} cannot be reached from {functions.meta.region_name}: "
            f"{problem}; open that port to AWS, give --collector its public name, or give --skip-pool-check if only "
            "the machines reach it"
        )
