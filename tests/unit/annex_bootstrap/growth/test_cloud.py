"""What growth reads of AWS: the stack, its machines and leases, and what could start."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from annex_bootstrap.annexes.leases import Lease as Held
from annex_bootstrap.annexes.leases import Leases
from annex_bootstrap.annexes.planning import MachineImage
from annex_bootstrap.aws import Account
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.growth import cloud
from annex_bootstrap.growth.cloud import Instance, Place
from annex_bootstrap.growth.model import Lease, Offer, Room
from annex_bootstrap.machines.instance_types import InstanceType
from annex_bootstrap.machines.subnets import Subnet
from annex_bootstrap.pool.tokens import MARGIN
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, a_stack
from tests.unit.annex_bootstrap.growth.cases import NOW
from tests.unit.recorded import Recorded

IMAGE = MachineImage("ami-0a1b", "arm64", "23.9.6", 16)
PUBLIC, PRIVATE = Subnet("subnet-a", "us-east-1a", True, 9), Subnet("subnet-b", "us-east-1b", False, 9)
LARGE = InstanceType("m7g.large", 2, 8192)
GIB = 1024 * 1024


def place(aws: Recorded | None = None, **more: Any) -> Place:
    made = Place((aws or Recorded()).account(), a_stack(), IMAGE, [PUBLIC, PRIVATE])
    return replace(made, **more)


def test_a_machine_costs_its_disk_and_a_public_address() -> None:
    disk = Decimal("0.16") / 730
    assert place().extras == 16 * disk + Decimal("0.005")
    assert place(subnets=[PRIVATE]).extras == 16 * disk
    assert place(image=None, subnets=[PRIVATE]).extras == 100 * disk + Decimal("0.005")
    assert place().zones == {"subnet-a": "us-east-1a", "subnet-b": "us-east-1b"}


def test_the_stack_is_read_with_its_subnets_and_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    account, stack = Recorded().account(), a_stack(parameters={"SubnetIds": "subnet-a,subnet-b"})

    def find_stack(given: Account, name: str) -> Any:
        assert (given, name) == (account, "mine")
        return stack

    def find_subnets(given: Account, group: str, ids: Any) -> list[Subnet]:
        assert (given, group, list(ids)) == (account, "sg-0a1b", ["subnet-a", "subnet-b"])
        return [PUBLIC]

    def machine_image(given: Account, of: Any) -> MachineImage:
        assert (given, of) == (account, stack)
        return IMAGE

    for function in (find_stack, find_subnets, machine_image):
        monkeypatch.setattr(cloud, function.__name__, function)
    assert cloud.read_place(account, "mine") == Place(account, stack, IMAGE, [PUBLIC])

    def gone(*_: object) -> MachineImage:
        raise UserError("the image is gone")

    monkeypatch.setattr(cloud, "machine_image", gone)
    assert cloud.read_place(account, "mine") == Place(account, stack, None, problem="the image is gone")

    def refused(*_: object) -> Any:
        raise AwsError("no", code="AccessDenied", reason="no")

    monkeypatch.setattr(cloud, "find_stack", refused)
    with pytest.raises(AwsError):
        cloud.read_place(account, "mine")


def described(number: int, annex: str, state: str, profile: str) -> dict[str, Any]:
    return {
        "InstanceId": f"i-{number}",
        "InstanceType": "m7g.large",
        "LaunchTime": datetime.fromtimestamp(NOW, UTC),
        "State": {"Name": state},
        "StateReason": {"Code": "Client.UserInitiatedShutdown"},
        "IamInstanceProfile": {"Arn": profile},
        "Tags": [{"Key": "htcondor:AnnexName", "Value": annex}],
    }


def test_the_machines_of_the_stack_are_read_and_those_that_stop_do_not_run() -> None:
    profile = OUTPUTS["StartInstanceProfile"]
    states = ["pending", "running", "shutting-down", "terminated", "stopping", "stopped"]
    ours = [described(number, "first", state, profile) for number, state in enumerate(states)]
    theirs = described(9, "first", "running", "arn:aws:iam::123456789012:instance-profile/theirs")
    aws = Recorded(DescribeInstances={"Reservations": [{"Instances": ours[:1]}, {"Instances": [*ours[1:], theirs]}]})
    where = place(aws)
    found = cloud.read_instances(where.account, where.profiles)
    assert [(each.instance_id, each.annex, each.region, each.runs) for each in found] == [
        (f"i-{number}", "first", "us-east-1", state in ("pending", "running")) for number, state in enumerate(states)
    ]
    ended = "Client.UserInitiatedShutdown"
    assert [each.reason for each in found] == ["", "", ended, ended, ended, ended]
    profiles = sorted([OUTPUTS["InstanceConfigurationProfile"], profile])
    assert aws.of("DescribeInstances") == [{"Filters": [{"Name": "iam-instance-profile.arn", "Values": profiles}]}]


def test_a_lease_ends_with_the_first_token_of_its_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [Held("first", NOW + 60, {}), Held("second", NOW + 90, {})]
    monkeypatch.setattr(
        Leases, "list", lambda leases: held if leases.function_arn == OUTPUTS["LeaseFunctionARN"] else []
    )
    made = Instance("i-1", "first", "us-east-1", "m7g.large", False, NOW, True, "r1")
    instances = [
        made,
        replace(made, launched=NOW - 60),
        # None of these says when a token ends.
        replace(made, launched=NOW - 600, runs=False),
        replace(made, launched=NOW - 600, request=""),
        replace(made, launched=NOW - 600, annex="other"),
    ]
    assert cloud.read_leases(place(), instances) == [
        Lease("first", "us-east-1", NOW + 60, NOW - 60 + MARGIN),
        Lease("second", "us-east-1", NOW + 90, None),
    ]
    held.append(Held("third", None, {}))
    with pytest.raises(UserError, match="the lease of third cannot be read: run annex-bootstrap doctor"):
        cloud.read_leases(place(), instances)


def test_a_machine_has_rather_less_than_is_sold_until_one_of_its_type_has_joined() -> None:
    assert cloud.offered_memory(LARGE) == 8192 * 95 // 100 - 64
    assert cloud.room_of(LARGE, place(), {}) == Room(2, 7718, 12 * GIB, 0)
    assert cloud.room_of(LARGE, place(image=None), {}) == Room(2, 7718, 1 * GIB, 0)
    joined = Room(2, 7800, 11 * GIB, 1)
    assert cloud.room_of(LARGE, place(), {"m7g.large": joined}) == joined
    with_gpu = replace(LARGE, gpus=1)
    assert cloud.room_of(with_gpu, place(), {}).gpus == 0
    assert cloud.room_of(with_gpu, place(stack=a_stack(parameters={"ImageGpu": "yes"})), {}).gpus == 1


def types_asked(
    monkeypatch: pytest.MonkeyPatch, where: Place, needs: list[Room], cores: int
) -> tuple[list[Any], list[str]]:
    """Return what is asked for, and the names of the types that are taken."""
    asked: list[Any] = []

    def find_types(account: Account, requirements: Any, architecture: str) -> list[InstanceType]:
        assert account == where.account
        asked.append((requirements, architecture))
        return [LARGE, replace(LARGE, name="big", vcpus=64), replace(LARGE, name="burstable", special=True)]

    monkeypatch.setattr(cloud, "find_types", find_types)
    return asked, [machine.name for machine in cloud.find_machine_types(where, needs, cores)]


def test_types_are_asked_for_by_the_least_that_a_job_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = [Room(4, 2048), Room(2, 4096)]
    asked, taken = types_asked(monkeypatch, place(), needs, 16)
    requirements = {
        "VCpuCount": {"Min": 2, "Max": 16},
        "MemoryMiB": {"Min": 2048},
        "InstanceGenerations": ["current"],
        "AcceleratorCount": {"Max": 0},
    }
    assert (asked, taken) == ([(requirements, "arm64")], ["m7g.large"])
    asked, taken = types_asked(monkeypatch, place(image=None), needs, 1000)
    assert asked == [(requirements | {"VCpuCount": {"Min": 2, "Max": 192}}, "x86_64")]
    assert taken == ["m7g.large", "big"]
    assert types_asked(monkeypatch, place(), needs, 1) == ([], [])
    asked, _ = types_asked(monkeypatch, place(), [Room(1, 2048)], 1)
    assert asked[0][0]["VCpuCount"] == {"Min": 1, "Max": 2}


def test_types_that_the_stack_does_not_allow_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    where = place()
    limited = replace(where, stack=replace(where.stack, parameters={"InstanceTypes": "b*"}))
    _, taken = types_asked(monkeypatch, limited, [Room(1, 1024)], 192)
    assert taken == ["big"]


def test_types_with_gpus_are_asked_for_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, _ = types_asked(monkeypatch, place(), [Room(1, 1024), Room(4, 8192, gpus=2)], 16)
    plain, gpu = [requirements for requirements, _ in asked]
    assert (plain["MemoryMiB"], plain["AcceleratorCount"], "AcceleratorTypes" in plain) == (
        {"Min": 1024},
        {"Max": 0},
        False,
    )
    assert (gpu["MemoryMiB"], gpu["AcceleratorCount"], gpu["AcceleratorTypes"]) == ({"Min": 8192}, {"Min": 1}, ["gpu"])
    assert gpu["VCpuCount"] == {"Min": 4, "Max": 16}


def test_an_offer_costs_at_most_the_price_on_demand_with_disk_and_address() -> None:
    rare = InstanceType("rare.large", 2, 8192)
    room = Room(2, 7718, 12 * GIB)
    rooms, fits = {"m7g.large": room, "rare.large": Room(2, 1)}, {room: frozenset({"a"})}
    where = place()
    demand, spot = {"m7g.large": Decimal("0.08")}, {"m7g.large": Decimal("0.03")}
    extras, zones = where.extras, ("us-east-1a", "us-east-1b")
    most = Decimal("0.08") + extras
    first = Offer("m7g.large", "us-east-1", False, 2, room, most, most, frozenset({"a"}), zones, standard=True)
    unpriced = replace(first, type="rare.large", room=Room(2, 1), most=None, now=None, fits=frozenset())
    assert cloud.make_offers(where, [LARGE, rare], rooms, fits, demand, None) == [
        first,
        replace(unpriced, standard=rare.is_standard),
    ]
    assert cloud.make_offers(where, [LARGE], rooms, fits, demand, spot) == [
        first,
        replace(first, spot=True, now=Decimal("0.03") + extras),
    ]
