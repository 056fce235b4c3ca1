"""The fault sweep: every AWS call of every request of every custom resource goes wrong once in every way.

What follows each fault is what CloudFormation does: it repeats, rolls back, or deletes. However it ends, it must end
complete or clean: nothing of ours is left, and nothing that was adopted has changed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.local_aws.custom_resources.account import Account
from tests.local_aws.custom_resources.lifecycle import SCENARIOS, Scenario, Stack
from tests.local_aws.custom_resources.provider import Answer, FaultKind, Provider

pytestmark = pytest.mark.slow

FAULTS: tuple[tuple[FaultKind, bool], ...] = (
    *(("throttle", False), ("error", False), ("denied", False), ("lost", False)),
    # A killed function's request comes again, or CloudFormation gives up on it.
    *(("kill", True), ("kill", False)),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_fault_in_any_call_ends_complete_or_clean(
    provider: Provider,
    account: Account,
    vpc: str,
    scenario: Scenario,
    record_property: Callable[[str, object], None],
) -> None:
    before = account.things()
    adopted = scenario.adopted and account.details(scenario.resource, scenario.adopted)
    told, calls = Stack(provider, account, scenario, vpc).run(None, -1, False)
    assert told is not None
    assert told.status == "SUCCESS", told
    problems, cases = [], 0
    for at in range(len(calls)):
        for fault, repeat in FAULTS:
            # The answer is no call of AWS; a function can only be killed before it.
            if calls[at] == "answer" and fault != "kill":
                continue
            cases += 1
            case = f"{scenario}: {fault}{' and repeat' if repeat else ''} at {calls[at]} ({at})"
            try:
                told, _ = Stack(provider, account, scenario, vpc).run(fault, at, repeat)
                _check_answer(scenario, fault, told)
                left = account.things() - before
                assert not left, f"left over: {sorted(left)}"
                if scenario.adopted:
                    assert account.details(scenario.resource, scenario.adopted) == adopted, "the adopted one changed"
            except AssertionError as error:
                problems.append(f"{case}: {error}")
                if account.things() != before:
                    # Nothing after this would tell about its own fault.
                    break
    record_property("fault cases", cases)
    record_property("fault cases survived", cases - len(problems))
    assert problems == []


def _check_answer(scenario: Scenario, fault: FaultKind, told: Answer | None) -> None:
    if fault == "kill":
        assert told is None
        return
    assert told is not None
    # What passes by itself is no failure.
    assert told.status == ("SUCCESS" if fault in ("throttle", "lost") else "FAILED"), told
    if told.status == "FAILED":
        assert told.reason.startswith(f"{scenario.resource}: "), told
