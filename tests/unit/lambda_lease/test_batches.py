"""Calls that take many IDs at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from lambda_lease import batches
from lambda_lease.batches import RefusedError, error_code, run


@pytest.fixture
def pool() -> Iterator[Executor]:
    """One thread, so that calls have an order."""
    with ThreadPoolExecutor(1) as made:
        yield made


def refusal(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "End")  # type: ignore[typeddict-item]


class Calls:
    """A call that refuses batches with a bad ID, and lets another one be refused by itself."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.made: list[list[str]] = []

    def __call__(self, batch: Sequence[str]) -> dict[str, RefusedError]:
        self.made.append(list(batch))
        if "bad" in batch:
            raise self.error
        return {name: RefusedError("Protected", "because") for name in batch if name == "kept"}


def test_all_batches_of_a_size_are_served_before_the_halves_of_those_that_are_refused(pool: Executor) -> None:
    calls = Calls(refusal("NotFound"))
    done = run(pool, ["e", "d", "bad", "kept", "a", "b", "c"], 4, calls)
    assert calls.made == [["a", "b", "bad", "c"], ["d", "e", "kept"], ["a", "b"], ["bad", "c"], ["bad"], ["c"]]
    assert done.done == {"a", "b", "c", "d", "e"}
    assert {code: refused.ids for code, refused in done.refusals.items()} == {
        "Protected": ["kept"],
        "NotFound": ["bad"],
    }
    assert done.refusals["NotFound"].error is calls.error


@pytest.mark.parametrize(
    ("error", "halves"),
    [
        (refusal("NotFound"), True),
        (refusal("Oops", 499), True),
        (refusal("Unavailable", 500), False),
        (refusal("Odd", 399), False),
        (TimeoutError("no answer"), False),
    ],
)
def test_only_an_error_that_blames_the_ids_is_tried_with_fewer(pool: Executor, error: Exception, halves: bool) -> None:
    calls = Calls(error)
    done = run(pool, ["a", "bad"], 2, calls)
    assert calls.made == [["a", "bad"], *([["a"], ["bad"]] if halves else [])]
    assert done.done == ({"a"} if halves else set())
    assert done.refusals[error_code(error)].ids == (["bad"] if halves else ["a", "bad"])


def test_a_policy_that_refuses_everything_ends_after_about_as_many_calls_as_a_run_may_make(
    pool: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CALL_LIMIT", 3)
    made: list[Sequence[str]] = []

    def refuse(batch: Sequence[str]) -> dict[str, RefusedError]:
        made.append(batch)
        raise refusal("UnauthorizedOperation", 403)

    done = run(pool, map(str, range(8)), 8, refuse)
    assert [len(batch) for batch in made] == [8, 4, 4]
    assert done.refusals["UnauthorizedOperation"].ids == list(map(str, range(8)))


def test_an_error_is_known_by_the_code_of_aws_or_by_its_own_name() -> None:
    assert error_code(refusal("NotFound")) == "NotFound"
    assert error_code(RefusedError("Protected", "because")) == "Protected"
    assert error_code(TimeoutError()) == "TimeoutError"
    assert str(RefusedError("Protected", "because")) == "because"
