"""The line that starts somebody's first annex, with which several commands end."""

from __future__ import annotations

from annex_bootstrap.pool.htcondor import Version, starts_with_htcondor
from annex_bootstrap.pool.tokens import FIRST_TOKENS
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import Target
from annex_contract.stack import Output


def first_annex(stack: Stack, target: Target, version: Version | None) -> dict[str, str]:
    """Return the line that starts a first annex of one machine, and what it does.

    Args:
        stack: whose machines. One that makes no image has no machines for ``start``.
        target: the stack as the line names it.
        version: of HTCondor here, or None where there is none.
    """
    if Output.START_POLICY_ARN in stack.outputs and (version is None or version >= FIRST_TOKENS):
        line = target.command("start my-first-annex --count 1")
        return {line: f"rents one machine; needs the policy that {Output.START_POLICY_ARN} names"}
    if version is not None and starts_with_htcondor(version):
        return {"htcondor annex create my-first-annex m7i.large@aws-ec2": "rents one machine"}
    return {"condor_annex -count 1 -annex-name my-first-annex": "rents one machine"}
