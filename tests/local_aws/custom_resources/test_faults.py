"""The fault sweep: every AWS call of every request of every custom resource fails once in every way.

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
    # A killed function's request is sent again, or CloudFormation gives up on it.
    *(("kill", True), ("kill", False)),
)

NEEDED_WHILE_IN_USE = {
    ("SecurityGroup", "ec2.DescribeInstances"),
    ("SecurityGroup", "ec2.DescribeNetworkInterfaces"),
    ("ImageBuilder", "ec2.DescribeNetworkInterfaces"),
}
"""The calls that say who still uses a group. Once nobody does, a Delete succeeds without them."""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_fault_in_any_call_ends_complete_or_clean(
    provider: Provider,
    account: Account,
    vpc: str,
    scenario: Scenario,
    record_property: Callable[[str, object], None],
) -> None:
    before = account.resources()
    adopted = scenario.adopted and account.details(scenario.resource, scenario.adopted)
    outcome, calls = Stack(provider, account, scenario, vpc).run(None, -1, False)
    assert outcome is not None
    assert outcome.status == "SUCCESS", outcome
    problems, cases = [], 0
    for at in range(len(calls)):
        for fault, repeat in FAULTS:
            # The answer is no call of AWS; a function can only be killed before it.
            if calls[at] == "answer" and fault != "kill":
                continue
            cases += 1
            case = f"{scenario}: {fault}{' and repeat' if repeat else ''} at {calls[at]} ({at})"
            try:
                outcome, _ = Stack(provider, account, scenario, vpc).run(fault, at, repeat)
                _check_answer(scenario, fault, calls[at], outcome)
                left = account.resources() - before
                assert not left, f"left over: {sorted(left)}"
                if scenario.adopted:
                    assert account.details(scenario.resource, scenario.adopted) == adopted, "the adopted one changed"
            except AssertionError as error:
                problems.append(f"{case}: {error}")
                if account.resources() != before:
                    # Later cases would fail because of this one.
                    break
    record_property("fault cases", cases)
    record_property("fault cases survived", cases - len(problems))
    assert not problems, "\n".join(problems)


def _check_answer(scenario: Scenario, fault: FaultKind, call: str, outcome: Answer | None) -> None:
    if fault == "kill":
        assert outcome is None
        return
    assert outcome is not None
    if fault == "denied" and (scenario.resource, call) in NEEDED_WHILE_IN_USE and scenario.request == "Delete":
        return
    # A fault that is gone on the next attempt is not a failure.
    assert outcome.status == ("SUCCESS" if fault in ("throttle", "lost") else "FAILED"), outcome
    if outcome.status == "FAILED":
        assert outcome.reason.startswith(f"{scenario.resource}: "), outcome
