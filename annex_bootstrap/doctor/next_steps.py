"""The end of a command points on: the lines that a newcomer pastes next."""

from __future__ import annotations

import shlex
from pathlib import Path

from annex_bootstrap.doctor.pool_checks import starts_with_htcondor
from annex_bootstrap.pool.htcondor import Version
from annex_contract.stack import DEFAULT_STACK_NAME


def our_command(name: str, stack_name: str, region: str | None, profile: str | None, config: Path | None) -> str:
    """Return a line that runs one of our commands on the same stack as the one that ends."""
    options = {
        "--stack-name": stack_name if stack_name != DEFAULT_STACK_NAME else None,
        "--region": region,
        "--profile": profile,
        "--config": str(config) if config is not None else None,
    }
    given = [word for option, value in options.items() if value for word in (option, value)]
    return shlex.join(["annex-bootstrap", name, *given])


def first_annex(version: Version | None) -> str:
    """Return the line that starts a first annex of one machine, as this version of HTCondor wants it."""
    if version is not None and starts_with_htcondor(version):
        return "htcondor annex create my-first-annex m7i.large@aws-ec2"
    return "condor_annex -count 1 -annex-name my-first-annex"
