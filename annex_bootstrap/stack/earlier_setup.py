"""The stacks of ``condor_annex -setup``, which may stand beside ours: they are named, and never touched."""

from __future__ import annotations

from collections.abc import Sequence

from annex_bootstrap.aws import Account, explained
from annex_bootstrap.errors import DeniedError
from annex_bootstrap.stack.read import find
from annex_contract.statuses import State

STACKS = tuple(
    f"HTCondorAnnex-{part}" for part in ("ConfigurationBucket", "LambdaFunctions", "InstanceProfile", "SecurityGroup")
)
"""The names that ``condor_annex -setup`` gives its stacks. Source:
https://github.com/htcondor/htcondor/blob/main/src/annex/annex-setup.cpp"""


def find_earlier_setup(account: Account) -> list[str]:
    """Return the names of those stacks that are there; none if they may not be looked at.

    Raises:
        UserError: AWS refused for another reason.
    """
    try:
        with explained("looking for stacks of condor_annex -setup"):
            stacks = [find(account.cloudformation, name) for name in STACKS]
    except DeniedError:
        return []
    return [stack.name for stack in stacks if stack is not None and stack.state is not State.ABSENT]


def describe(names: Sequence[str]) -> list[str]:
    """Return what to tell a person about those stacks: lines, none where there are no stacks.

    Args:
        names: of the stacks.
    """
    if not names:
        return []
    return [
        f"leaves alone what condor_annex -setup made: {', '.join(names)}",
        "  their annexes keep their leases; new annexes use this stack once the configuration names it",
    ]
