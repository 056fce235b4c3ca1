"""The same work in several regions at once, where one region's failure does not stop the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from annex_bootstrap.aws import Account
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
        work: what to do; what it raises besides `UserError` is raised here, after all regions are done.

    Returns:
        The outcomes, in the order of the accounts.
    """
    outcomes: dict[str, Outcome[Result]] = {}
    defects: list[BaseException] = []

    def run(account: Account) -> None:
        try:
            outcomes[account.region] = Outcome(account, work(account), None)
        except UserError as error:
            outcomes[account.region] = Outcome(account, None, error)
        except BaseException as error:
            defects.append(error)

    # Daemons, so that Ctrl-C ends the client at once: what CloudFormation does needs no client.
    threads = [threading.Thread(target=run, args=[account], daemon=True) for account in accounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if defects:
        raise defects[0]
    return [outcomes[account.region] for account in accounts]
