"""The pool that new machines join: where it is, what lets them join, and whether AWS reaches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_bootstrap.errors import UnavailableError, UserError
from annex_bootstrap.local_user import user_name
from annex_bootstrap.pool.collector import Address, parse_collectors
from annex_bootstrap.pool.htcondor import IN_FORCE, version
from annex_bootstrap.pool.tokens import FIRST_TOKENS, MARGIN, make_token
from annex_bootstrap.stack.connectivity import reach
from annex_bootstrap.stack.read import Stack
from annex_contract.knobs import DEFAULT_PORT, Macro

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


@dataclass(frozen=True)
class Pool:
    """What is known of the pool that the machines join.

    Attributes:
        collectors: where its collectors are, as machines reach them.
        identity: the subject of the machines' token.
        token: that lets them join.
    """

    collectors: tuple[Address, ...]
    identity: str
    token: str

    @property
    def address(self) -> str:
        """Where its collectors are, as HTCondor's tools and COLLECTOR_HOST take it."""
        return ", ".join(map(str, self.collectors))


NO_POOL = Pool((), "", "")
"""Of a machine without HTCondor."""


def find_pool(collector: str, owner: str, seconds: int) -> Pool:
    """Return the pool of this machine, with a new token for machines.

    Args:
        collector: as COLLECTOR_HOST names them; empty to ask HTCondor.
        owner: whose machines they are.
        seconds: how long the lease lasts; the token lasts longer by ``MARGIN``.

    Raises:
        UserError: there is no HTCondor here that makes tokens, it does not know its pool, or the collector refuses
            machines with such a token.
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
    local = parse_collectors(IN_FORCE.ask(Macro.COLLECTOR_HOST))
    given = collector or IN_FORCE.ask(Macro.ANNEX_BOOTSTRAP_COLLECTOR)
    collectors = parse_collectors(given, local[0].port if local else DEFAULT_PORT) if given else local
    if not collectors or not all(address.host for address in collectors):
        raise UserError(
            "HTCondor on this machine does not say where the pool's collector is: give --collector HOST or HOST:PORT"
        )
    domain = IN_FORCE.ask(Macro.UID_DOMAIN)
    if not domain:
        raise UserError("HTCondor on this machine has no UID_DOMAIN: set it as the pool's access point has it")
    identity = f"{owner}@{domain}"
    # Asked at the address that this machine uses: the one for AWS may lead nowhere from here.
    asked = [str(address) for address in local or collectors]
    token = make_token(identity, seconds, seconds + MARGIN, asked, own=owner == user_name())
    return Pool(tuple(collectors), identity, token)


def check_reachable(functions: LambdaClient, stack: Stack, pool: Pool) -> None:
    """Let the stack's connectivity function ask the pool's collectors, until one answers.

    Args:
        functions: the Lambda client, so that this may run beside the making of other clients.
        stack: whose function it is.
        pool: whom to ask.

    Raises:
        UnavailableError: it gets none, or AWS refused.
    """
    problems = []
    for address in pool.collectors:
        problem = reach(functions, stack.outputs, address.host, address.port, address.socket_name).problem
        if not problem:
            return
        problems.append(
            f"the pool's collector {address} cannot be reached from {functions.meta.region_name}: "
            f"{problem.removesuffix('.')}"
        )
    raise UnavailableError(
        f"{'; '.join(problems)}; open that port to AWS, give --collector its public name, or give --skip-pool-check if "
        "only the machines reach it"
    )
