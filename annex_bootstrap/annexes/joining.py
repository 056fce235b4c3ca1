"""The pool that new machines join: where it is, what lets them join, and whether AWS reaches it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_bootstrap.aws import explained
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.collector import collector_address
from annex_bootstrap.pool.htcondor import IN_FORCE, version
from annex_bootstrap.pool.tokens import FIRST_TOKENS, MARGIN, make_token
from annex_bootstrap.stack.read import Stack
from annex_contract.knobs import Macro
from annex_contract.stack import Output

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

CONNECTIVITY_SECONDS = 5
"""Seconds that the connectivity function waits, as condor_annex has it."""


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


def find_pool(collector: str, owner: str, seconds: int, *, own: bool) -> Pool:
    """Return the pool of this machine, with a new token for machines.

    Args:
        collector: ``host`` or ``host:port``; empty to ask HTCondor.
        owner: whose machines they are.
        seconds: how long the lease lasts; the token lasts longer by ``MARGIN``.
        own: whether the owner is the user of this process.

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
    return Pool(host, port, identity, make_token(identity, seconds + MARGIN, own=own))


def check_reachable(functions: LambdaClient, stack: Stack, pool: Pool) -> None:
    """Let the connectivity function ask the pool's collector for an answer.

    Args:
        functions: the Lambda client, so that this may run beside the making of other clients.
        stack: whose function it is.
        pool: whom to ask.

    Raises:
        UserError: it gets none, or AWS refused.
    """
    event = {"timeout": CONNECTIVITY_SECONDS, "condor_host": pool.host, "condor_port": pool.port}
    with explained("asking AWS whether it reaches the pool"):
        answer = functions.invoke(
            FunctionName=stack.outputs[Output.CONNECTIVITY_FUNCTION_ARN], Payload=json.dumps(event).encode()
        )
        said = json.loads(answer["Payload"].read())
    if said.get("success") != "1":
        raise UserError(
            f"the pool's collector {pool.address} cannot be reached from {functions.meta.region_name}: "
            f"{said.get('description') or said.get('errorMessage', 'the function gives no reason')}; open that port to "
            "AWS, give --collector its public name, or give --skip-pool-check if only the machines reach it"
        )
