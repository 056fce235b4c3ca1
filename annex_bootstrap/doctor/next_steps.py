"""The end of a command points on: the lines that a newcomer pastes next."""

from __future__ import annotations

import shlex
from pathlib import Path

from annex_bootstrap.doctor.pool_checks import starts_with_htcondor
from annex_bootstrap.pool.htcondor import Version
from annex_bootstrap.pool.tokens import FIRST_TOKENS
from annex_bootstrap.stack.read import Stack
from annex_contract.stack import DEFAULT_STACK_NAME, Output


def our_command(name: str, stack_name: str, region: str | None, profile: str | None, config: Path | None) -> str:
    """Return a line that runs one of our commands, its arguments included, on the same stack as the one that ends."""
    options = {
        "--stack-name": stack_name if stack_name != DEFAULT_STACK_NAME else None,
        "--region": region,
        "--profile": profile,
        "--config": str(config) if config is not None else None,
    }
    given = [word for option, value in options.items() if value for word in (option, value)]
    return shlex.join(["annex-bootstrap", *name.split(), *given])


def first_annex(stack: Stack, region: str | None, profile: str | None, version: Version | None) -> dict[str, str]:
    """Return the line that starts a first annex of one machine, and what it does.

    Args:
        stack: whose machines. One that makes no image has no machines for ``start``.
        region: the region to name in the line, or None.
        profile: the AWS profile to name in the line, or None.
        version: of HTCondor here, or None where there is none.
    """
    if Output.START_POLICY_ARN in stack.outputs and (version is None or version >= FIRST_TOKENS):
        line = our_command("start my-first-annex --count 1", stack.name, region, profile, None)
        return {line: f"rents one machine; needs the policy that {Output.START_POLICY_ARN} names"}
    if version is not None and starts_with_htcondor(version):
        return {"htcondor annex create my-first-annex m7i.large@aws-ec2": "rents one machine"}
    return {"condor_annex -count 1 -annex-name my-first-annex": "rents one machine"}
