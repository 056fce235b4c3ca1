"""Ending annexes: by the lease function, and without it where it does not work."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from annex_bootstrap.annexes import ending
from annex_bootstrap.annexes.ending import end_annex, end_now
from annex_bootstrap.annexes.leases import Leases
from annex_bootstrap.errors import UserError
from annex_contract.stack import ANNEX_TAG, STACK_TAG
from tests.unit.annex_bootstrap.annexes.memory import EXPIRATION, STACK, Memory, raising

GONE = ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "none"}}, "Invoke")
DENIED = ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "TerminateInstances")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setattr(ending, "PAUSE", 0)
    memory = Memory()
    memory.hold(EXPIRATION)
    memory.launched(2)
    return memory


def end(memory: Memory) -> str:
    leases = Leases.of(memory, STACK)  # type: ignore[arg-type]  # has what ending uses
    lease = leases.get("first")
    assert lease is not None
    return end_now(leases, lease, int(time.time()))


def end_of_stack(memory: Memory) -> int:
    leases = Leases.of(memory, STACK)  # type: ignore[arg-type]  # has what ending uses
    lease = leases.get("first")
    assert lease is not None
    return end_annex(memory, STACK, lease)  # type: ignore[arg-type]  # has what ending uses


def test_without_a_lease_function_the_client_ends_what_replaces_machines_first(memory: Memory) -> None:
    tags = [{"Key": ANNEX_TAG, "Value": "first"}, {"Key": STACK_TAG, "Value": STACK.stack_id}]
    memory.ec2_fleets = [
        {"FleetId": "fleet-1", "FleetState": "active", "Tags": tags},
        {"FleetId": "fleet-2", "FleetState": "active", "Tags": tags[:1]},
        {"FleetId": "fleet-3", "FleetState": "deleted", "Tags": tags},
    ]
    memory.spot_requests = [
        {"SpotInstanceRequestId": "sir-1", "InstanceId": "i-1"},
        {"SpotInstanceRequestId": "sir-2", "InstanceId": "i-2"},
        {"SpotInstanceRequestId": "sir-3"},
    ]
    memory.invoke = raising(GONE)  # type: ignore[method-assign]  # a function that is gone
    assert Leases.of(memory, STACK).machines()["first"].fleets == 2  # type: ignore[arg-type]  # has what it uses
    end(memory)
    assert memory.calls == ["end", "delete fleet-1", "cancel sir-1", "terminate i-0 i-1"]


def test_the_lease_function_ends_the_machines_where_it_works(memory: Memory) -> None:
    assert end(memory) == ""
    assert memory.calls == ["end", "function first"]


def test_without_a_lease_function_the_client_ends_the_machines_of_this_annex(memory: Memory) -> None:
    other: dict[str, Any] = memory.machines[0] | {"InstanceId": "i-other", "Tags": []}
    # Another stack's, from an annex that had the name before.
    profile = {"Arn": "arn:aws:iam::123456789012:instance-profile/annex-bootstrap/annex-bootstrap-instance-2"}
    foreign: dict[str, Any] = memory.machines[0] | {"InstanceId": "i-foreign", "IamInstanceProfile": profile}
    memory.machines += [other, foreign]
    memory.invoke = raising(GONE)  # type: ignore[method-assign]  # a function that is gone
    assert "ResourceNotFoundException" in end(memory)
    assert memory.calls == ["end", "terminate i-0 i-1"]


def test_a_lease_function_that_fails_is_as_good_as_none(memory: Memory) -> None:
    memory.fails, memory.line = True, {"errorMessage": "no module"}
    assert end(memory) == "no module"
    assert memory.calls == ["end", "function first", "terminate i-0 i-1"]


def test_the_client_ends_protected_machines_too(memory: Memory) -> None:
    memory.invoke = raising(GONE)  # type: ignore[method-assign]  # a function that is gone
    memory.protected.add("i-1")
    assert "ResourceNotFoundException" in end(memory)
    ended = [call for call in memory.calls if call.startswith(("terminate", "unprotect"))]
    assert ended == ["unprotect i-0", "unprotect i-1", "terminate i-0", "terminate i-1"]


def test_a_machine_whose_protection_stays_does_not_save_the_others(memory: Memory) -> None:
    memory.invoke = raising(GONE)  # type: ignore[method-assign]  # a function that is gone
    memory.protected.add("i-0")
    memory.modify_instance_attribute = raising(DENIED)  # type: ignore[method-assign]  # an earlier stack's policy
    with pytest.raises(
        UserError, match=r"terminating i-0 failed: .*OperationNotPermitted.*aws ec2 modify-instance-attribute"
    ):
        end(memory)
    assert memory.calls == ["end", "terminate i-1"]


@pytest.mark.parametrize("code", ["InvalidInstanceID.NotFound", "UnauthorizedOperation"])
def test_a_machine_that_ends_before_it_is_terminated_does_not_save_the_others(memory: Memory, code: str) -> None:
    """EC2 shows no profile of it then, by which it might be terminated, or does not know it."""
    memory.invoke = raising(GONE)  # type: ignore[method-assign]  # a function that is gone
    terminate = memory.terminate_instances

    def refuse(**arguments: Any) -> None:
        if "i-0" in arguments["InstanceIds"]:
            memory.machines[0]["State"] = {"Name": "terminated"}
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "TerminateInstances")
        terminate(**arguments)

    memory.terminate_instances = refuse  # type: ignore[method-assign]  # a machine that ends by itself
    assert "ResourceNotFoundException" in end(memory)
    assert memory.calls == ["end", "terminate i-1"]


def test_machines_that_have_all_ended_need_no_second_call(memory: Memory) -> None:
    memory.invoke = raising(GONE)  # type: ignore[method-assign]  # a function that is gone

    def refuse(**_arguments: Any) -> None:
        for machine in memory.machines:
            machine["State"] = {"Name": "shutting-down"}
        raise DENIED

    memory.terminate_instances = refuse  # type: ignore[method-assign]  # machines that end by themselves
    assert "ResourceNotFoundException" in end(memory)
    assert memory.calls == ["end"]


def test_a_machine_that_ec2_does_not_know_yet_is_not_taken_for_one_that_ended(memory: Memory) -> None:
    memory.invoke = raising(GONE)  # type: ignore[method-assign]  # a function that is gone
    unknown = ClientError({"Error": {"Code": "InvalidInstanceID.NotFound", "Message": "no"}}, "TerminateInstances")
    memory.terminate_instances = raising(unknown)  # type: ignore[method-assign]  # machines that have just started
    with pytest.raises(UserError, match="terminating 2 machines failed: AWS said InvalidInstanceID"):
        end(memory)


def test_those_who_may_not_terminate_machines_learn_both_reasons(memory: Memory) -> None:
    memory.invoke = raising(GONE)  # type: ignore[method-assign]  # a function that is gone
    memory.terminate_instances = raising(DENIED)  # type: ignore[method-assign]  # the policy of an earlier stack
    with pytest.raises(UserError, match=r"first was not ended: .*ResourceNotFoundException.*UnauthorizedOperation"):
        end(memory)


def test_a_stack_without_its_lease_function_loses_its_annexes_all_the_same(memory: Memory) -> None:
    memory.invoke = raising(GONE)  # type: ignore[method-assign]  # a function that is gone
    assert end_of_stack(memory) == 2
    assert memory.calls == ["end", "terminate i-0 i-1", "remove", "delete rule"]
    assert memory.targets == {}


def test_without_a_lease_function_the_rule_stays_until_no_machine_is_left(memory: Memory) -> None:
    memory.invoke = raising(GONE)  # type: ignore[method-assign]  # a function that is gone
    terminate = memory.terminate_instances

    def end_one(**arguments: Any) -> None:
        terminate(InstanceIds=arguments["InstanceIds"][:1])

    memory.terminate_instances = end_one  # type: ignore[method-assign]  # machines that take a while to end
    assert end_of_stack(memory) == 3
    assert memory.calls == ["end", "terminate i-0", "terminate i-1", "remove", "delete rule"]


def test_a_rule_that_goes_while_its_machines_end_is_not_put_again(memory: Memory) -> None:
    def tick(**_arguments: Any) -> dict[str, Any]:
        memory.calls.append("tick")
        if memory.calls.count("tick") == 2:
            memory.targets.clear()
        return {"Payload": io.BytesIO(b'{"machines_ended": 1}')}

    memory.invoke = tick  # type: ignore[method-assign]  # a lease function that takes two runs
    assert end_of_stack(memory) == 2
    assert memory.calls == ["end", "tick", "tick"]


def test_those_who_may_not_end_annexes_of_a_stack_without_its_lease_function_learn_what_to_do(memory: Memory) -> None:
    memory.invoke = raising(GONE)  # type: ignore[method-assign]  # a function that is gone
    memory.terminate_instances = raising(DENIED)  # type: ignore[method-assign]  # the policy of an earlier stack
    with pytest.raises(UserError, match="aws events remove-targets --rule first --ids first"):
        end_of_stack(memory)
