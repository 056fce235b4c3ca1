"""Ending the annexes of a stack that will be deleted, as condor_annex would."""

from __future__ import annotations

import json
import time

from annex_bootstrap.annexes.leases import Lease, Leases
from annex_bootstrap.aws import Account, explained, physical_id
from annex_bootstrap.errors import UserError
from annex_bootstrap.stack.read import Stack
from annex_contract.stack import LogicalId

TIMEOUT = 900.0
"""Seconds in which all machines of an annex must be gone."""

PAUSE = 3.0
"""Seconds between two runs of the lease function: machines take some to terminate."""


def find_leases(account: Account, stack: Stack) -> list[Lease]:
    """Return the leases of the stack's annexes, also of a stack that is only partly created."""
    function_arn = _function_arn(account, stack)
    return Leases(account, function_arn).list() if function_arn else []


def _function_arn(account: Account, stack: Stack) -> str:
    # A creation that failed early has no such resource.
    name = physical_id(account, stack.stack_id, LogicalId.LEASE_FUNCTION)
    return f"arn:{account.partition}:lambda:{account.region}:{account.account_id}:function:{name}" if name else ""


def end_annex(account: Account, stack: Stack, lease: Lease) -> int:
    """End an annex now: set its lease into the past, and run the lease function until nothing is left.

    The rule stays until then, so what is not ended when the client is killed is ended by the next check.

    Returns:
        How many machines were ended.

    Raises:
        UserError: the lease cannot be changed, or machines are left after 15 minutes.
    """
    function_arn, expiration = _function_arn(account, stack), int(time.time()) - 1
    leases = Leases(account, function_arn)
    leases.extend(lease, expiration)
    ended, give_up = 0, time.monotonic() + TIMEOUT
    while True:
        machines, problem = _run(account, function_arn, lease.ending_at(expiration)["Input"])
        ended += machines
        if lease.annex_id not in [other.annex_id for other in leases.list()]:
            return ended
        if time.monotonic() > give_up:
            raise UserError(
                f"the annex {lease.annex_id} is not ended after {TIMEOUT / 60:.0f} minutes: "
                f"{problem or 'machines are left'}; the lease function tries again every five minutes, "
                "or run the same command again"
            )
        time.sleep(PAUSE)


def _run(account: Account, function_arn: str, event: str) -> tuple[int, str]:
    with explained("running the lease function"):
        answer = account.lambda_.invoke(FunctionName=function_arn, Payload=event)
        outcome = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        # It tries again at its next check.
        return 0, str(outcome.get("errorMessage", "the lease function failed"))
    return int(outcome.get("machines_ended", 0)), ""
