"""Calls that take many IDs at once, made so that one bad ID does not protect the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor

CALL_LIMIT = 1_000
"""About how many calls one run may make: a policy that refuses everything must not throttle the whole account."""


class RefusedError(Exception):
    """AWS refused one item of a call that it accepted otherwise.

    Attributes:
        code: AWS's error code.
    """

    def __init__(self, code: str, message: str) -> None:
        """Keep AWS's code and message."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Refusal:
    """IDs that AWS refused for the same reason.

    Attributes:
        ids: the IDs.
        error: AWS's answer for the first of them.
    """

    ids: list[str]
    error: Exception


@dataclass(frozen=True)
class Outcome:
    """What became of the IDs.

    Attributes:
        done: those that AWS accepted.
        refusals: the others, by AWS's error code.
    """

    done: set[str] = field(default_factory=set)
    refusals: dict[str, Refusal] = field(default_factory=dict)

    def refuse(self, ids: Iterable[str], error: Exception) -> None:
        """Note that IDs were refused."""
        self.refusals.setdefault(error_code(error), Refusal([], error)).ids.extend(ids)


def error_code(error: Exception) -> str:
    """Return AWS's code for an error, or the error's own name where it does not come from AWS."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    return error.code if isinstance(error, RefusedError) else type(error).__name__


def run(
    pool: Executor,
    ids: Iterable[str],
    size: int,
    call: Callable[[Sequence[str]], Mapping[str, RefusedError]],
) -> Outcome:
    """Make a call for all IDs, side by side, halving the batches that AWS refuses.

    All batches of one size run before any half does, so the healthy majority is served first.

    Args:
        pool: where the calls run.
        ids: all IDs.
        size: IDs in one call at most.
        call: makes one call; returns the IDs that were refused one by one, or raises for the whole batch.

    Returns:
        Which IDs were accepted, and why the others were not.
    """
    outcome = Outcome()
    todo = sorted(ids)
    batches = [todo[at : at + size] for at in range(0, len(todo), size)]
    budget = CALL_LIMIT
    while batches:
        budget -= len(batches)
        halves: list[list[str]] = []
        for batch, answer in zip(batches, pool.map(lambda batch: _attempt(call, batch), batches), strict=True):
            if not isinstance(answer, Exception):
                outcome.done.update(set(batch) - answer.keys())
                for refused, error in answer.items():
                    outcome.refuse([refused], error)
            elif len(batch) > 1 and budget > 0 and _blames_the_ids(answer):
                middle = len(batch) // 2
                halves += [batch[:middle], batch[middle:]]
            else:
                outcome.refuse(batch, answer)
        batches = halves
    return outcome


def _attempt(
    call: Callable[[Sequence[str]], Mapping[str, RefusedError]], batch: Sequence[str]
) -> Mapping[str, RefusedError] | Exception:
    # Any exception: one failed batch must not protect the others.
    try:
        return call(batch)
    except Exception as error:
        return error


def _blames_the_ids(error: Exception) -> bool:
    # Throttling and outages come as 5xx from EC2; halving then would only add to the load.
    status = error.response["ResponseMetadata"]["HTTPStatusCode"] if isinstance(error, ClientError) else 500
    return 400 <= status < 500
