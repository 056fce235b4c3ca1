"""The same work in several regions at once, where one region's failure does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from annex_bootstrap.aws import Account, in_background
from annex_bootstrap.errors import UserError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """The outcome of the work in one region.

    Attributes:
        account: where.
        result: what the work returned, or None where it failed.
        error: why it failed, or None.
    """

    account: Account
    result: Result | None
    error: UserError | None


def run_all(accounts: Sequence[Account], work: Callable[[Account], Result]) -> list[Outcome[Result]]:
    """Do the work in every region, side by side.

    Args:
        accounts: one a region.
        work: what to do; what it raises besides `UserError` is raised here, after all regions are done. Ctrl-C ends the
            client at once: what CloudFormation does needs no client.

    Returns:
        The outcomes, in the order of the accounts.
    """

    def run(account: Account) -> Outcome[Result]:
        try:
            return Outcome(account, work(account), None)
        except UserError as error:
            return Outcome(account, None, error)

    running = [in_background(partial(run, account)) for account in accounts]
    wait(running)
    return [done.result() for done in running]
