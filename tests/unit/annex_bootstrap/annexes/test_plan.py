"""What a start asks AWS, and the plan and the request for machines that come of it, value by value."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from annex_bootstrap.annexes.planning import MachineImage, find_stack, make_plan
from annex_bootstrap.annexes.requests import Annex, Request
from annex_bootstrap.errors import UnavailableError, UserError
from annex_bootstrap.machines.capacity import Capacity, Estimate
from annex_bootstrap.machines.instance_types import InstanceType
from annex_bootstrap.machines.money import Allowance
from annex_bootstrap.machines.prices import ADDRESS, DISK, LATE
from annex_bootstrap.machines.quotas import Quota
from annex_bootstrap.machines.subnets import Subnet
from tests.unit.annex_bootstrap.answers import described_type
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, STACK_ID, a_stack, described
from tests.unit.recorded import Recorded, RefusedError

NOW = 2_000_000_000
ANNEX = Annex("first", "alice", 900, NOW + 3600)
FUNCTION = OUTPUTS["LeaseFunctionARN"]
PROFILE = {"Arn": OUTPUTS["InstanceConfigurationProfile"]}
LARGE = InstanceType("m7i.large", 2, 8192)
TOKEN = "0" * 32


def product(name: str, price: str) -> str:
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": price}}
    return json.dumps(
        {
            "product": {"attributes": {"instanceType": name}},
            "terms": {"OnDemand": {"term": {"priceDimensions": {"dimension": dimension}}}},
        }
    )


def answers(**changed: Any) -> dict[str, Any]:
    """Return the answers of an account with a stack, its image, two subnets, room for 16 vCPUs, and no annex."""
    image = {
        "ImageId": "ami-0a1b",
        "State": "available",
        "Architecture": "x86_64",
        "Tags": [
            {"Key": key, "Value": value}
            for key, value in (
                ("annex-bootstrap:stack", STACK_ID),
                ("annex-bootstrap:image", "pool"),
                ("annex-bootstrap:htcondor", "23.9.6"),
            )
        ],
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 16}}],
    }
    return {
        "ListTargetsByRule": RefusedError("ResourceNotFoundException"),
        "DescribeImages": {"Images": [image]},
        "DescribeSecurityGroups": {"SecurityGroups": [{"GroupId": "sg-0a1b", "VpcId": "vpc-1"}]},
        "DescribeSubnets": {
            "Subnets": [
                {"SubnetId": "subnet-a", "AvailabilityZone": "us-east-1a", "MapPublicIpOnLaunch": True},
                {"SubnetId": "subnet-b", "AvailabilityZone": "us-east-1b", "MapPublicIpOnLaunch": False},
            ]
        },
        "DescribeRouteTables": RefusedError("UnauthorizedOperation"),
        "GetServiceQuota": {"Quota": {"Value": 16.0}},
        "DescribeInstances": {"Reservations": []},
        "DescribeInstanceTypes": {"InstanceTypes": [described_type("m7i.large", 2, 8192)]},
        "GetProducts": {"PriceList": [product("m7i.large", "0.10")]},
        "DescribeSpotFleetRequests": {"SpotFleetRequestConfigs": []},
        "DescribeFleets": {"Fleets": []},
        "DescribeSpotInstanceRequests": {"SpotInstanceRequests": []},
    } | changed


@pytest.fixture(autouse=True)
def _fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW + 0.9)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=0))


def fleet(overrides: list[dict[str, Any]], target: int, **more: Any) -> dict[str, Any]:
    tags = [
        {"Key": "htcondor:AnnexName", "Value": "first"},
        {"Key": "annex-bootstrap:request", "Value": TOKEN},
        {"Key": "annex-bootstrap:started-by", "Value": "alice"},
        {"Key": "Name", "Value": "annex first"},
    ]
    return {
        "Type": "instant",
        "ClientToken": TOKEN,
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": {"LaunchTemplateId": "lt-0a1b", "Version": "3"},
                "Overrides": overrides,
            }
        ],
        "TargetCapacitySpecification": {"TotalTargetCapacity": target, "DefaultTargetCapacityType": "on-demand"},
        "OnDemandOptions": {"AllocationStrategy": "lowest-price"},
        "TagSpecifications": [
            {"ResourceType": "fleet", "Tags": [*tags, {"Key": "annex-bootstrap:stack", "Value": STACK_ID}]},
            {"ResourceType": "instance", "Tags": tags},
            {"ResourceType": "volume", "Tags": [*tags, {"Key": "annex-bootstrap:stack", "Value": STACK_ID}]},
            {"ResourceType": "network-interface", "Tags": [*tags, {"Key": "annex-bootstrap:stack", "Value": STACK_ID}]},
        ],
    } | more


def test_a_plan_of_machines_has_the_stacks_own_type_and_says_what_they_cost_at_most() -> None:
    aws = Recorded(**answers())
    plan = make_plan(aws.account(), a_stack(), ANNEX, Capacity(count=3))
    assert plan.image == MachineImage("ami-0a1b", "x86_64", "23.9.6", 16)
    assert plan.subnets == [Subnet("subnet-a", "us-east-1a", True, 0), Subnet("subnet-b", "us-east-1b", False, 0)]
    assert plan.machines == [LARGE]
    assert (plan.quota, plan.unpriced, plan.lease, plan.running) == (Quota(16, 0), "", None, 0)
    # A disk of 16 GB, and an address, since one of the subnets is public.
    hourly = (Decimal("0.10") + 16 * Decimal("0.16") / 730 + Decimal("0.005")) * 3
    assert plan.estimate == Estimate((3, 3), 6, Decimal("0.30"), Decimal("0.30"), hourly)
    assert (plan.expiration, plan.most) == (NOW + 3600, hourly * (1 + LATE))
    capacity = Capacity(count=3, types=("m7i.large",))
    overrides = [{"SubnetId": subnet, "InstanceType": "m7i.large"} for subnet in ("subnet-a", "subnet-b")]
    assert plan.request == Request(
        TOKEN, ANNEX, capacity, 1, "123456789012", "us-east-1", STACK_ID, fleet(overrides, 3)
    )
    assert aws.of("DescribeInstanceTypes")[-1] == {"InstanceTypes": ["m7i.large"]}
    assert aws.of("GetServiceQuota") == [{"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}]
    assert aws.of("GetProducts") == [
        {
            "ServiceCode": "AmazonEC2",
            "Filters": [
                {"Type": "TERM_MATCH", "Field": field, "Value": value}
                for field, value in (
                    ("operatingSystem", "Linux"),
                    ("tenancy", "Shared"),
                    ("preInstalledSw", "NA"),
                    ("capacitystatus", "Used"),
                    ("marketoption", "OnDemand"),
                    ("regionCode", "us-east-1"),
                    ("instanceType", "m7i.large"),
                )
            ],
        }
    ]


def test_spot_machines_have_the_spot_quota_spot_prices_and_the_price_on_demand_as_their_cap() -> None:
    history = [
        {"InstanceType": "m7i.large", "SpotPrice": price, "Timestamp": datetime(2026, 1, 1, tzinfo=UTC)}
        for price in ("0.03", "0.04", "0.02")
    ]
    aws = Recorded(**answers(DescribeSpotPriceHistory={"SpotPriceHistory": history}))
    plan = make_plan(aws.account(), a_stack(), ANNEX, Capacity(count=1, spot=True), ["subnet-b"])
    assert aws.of("GetServiceQuota") == [{"ServiceCode": "ec2", "QuotaCode": "L-34B43A08"}]
    (asked,) = aws.of("DescribeSpotPriceHistory")
    assert asked.pop("StartTime") == asked.pop("EndTime")
    assert asked == {"InstanceTypes": ["m7i.large"], "ProductDescriptions": ["Linux/UNIX"]}
    # Without a public subnet there is no address to pay for.
    hourly = Decimal("0.10") + 16 * Decimal("0.16") / 730
    assert plan.estimate == Estimate((1, 1), 2, Decimal("0.04"), Decimal("0.04"), hourly)
    assert plan.request.fleet["LaunchTemplateConfigs"][0]["Overrides"] == [
        {"SubnetId": "subnet-b", "InstanceType": "m7i.large", "MaxPrice": "0.10000"}
    ]


def test_cores_are_of_types_that_fit_them_and_each_machine_weighs_its_cores() -> None:
    types = [described_type("m7i.large", 2, 8192), described_type("m7i.48xlarge", 192, 786432)]
    aws = Recorded(
        **answers(
            GetInstanceTypesFromInstanceRequirements={
                "InstanceTypes": [{"InstanceType": "m7i.large"}, {"InstanceType": "m7i.48xlarge"}]
            },
            DescribeInstanceTypes={"InstanceTypes": types},
            GetProducts={"PriceList": [product("m7i.large", "0.10"), product("m7i.48xlarge", "9.6")]},
        )
    )
    plan = make_plan(aws.account(), a_stack(), ANNEX, Capacity(cores=7, memory_per_core=3072))
    assert aws.of("GetInstanceTypesFromInstanceRequirements") == [
        {
            "ArchitectureTypes": ["x86_64"],
            "VirtualizationTypes": ["hvm"],
            "InstanceRequirements": {
                "VCpuCount": {"Min": 1, "Max": 7},
                "MemoryMiB": {"Min": 3072},
                "MemoryGiBPerVCpu": {"Min": 3.0},
                "InstanceGenerations": ["current"],
                "AcceleratorCount": {"Max": 0},
            },
        }
    ]
    assert (plan.machines, plan.estimate.machines, plan.request.weight) == ([LARGE], (4, 4), 2)
    overrides = [
        {"SubnetId": subnet, "InstanceType": "m7i.large", "WeightedCapacity": 2.0}
        for subnet in ("subnet-a", "subnet-b")
    ]
    assert plan.request.fleet == fleet(overrides, 7)


def test_cores_for_arm_are_asked_for_as_such() -> None:
    arm = answers()["DescribeImages"]["Images"][0] | {"Architecture": "arm64"}
    aws = Recorded(
        **answers(DescribeImages={"Images": [arm]}, GetInstanceTypesFromInstanceRequirements={"InstanceTypes": []})
    )
    with pytest.raises(UnavailableError, match="no arm64 instance type in us-east-1 has 2048 MiB for each core"):
        make_plan(aws.account(), a_stack(), ANNEX, Capacity(cores=4))
    assert aws.of("GetInstanceTypesFromInstanceRequirements")[0]["ArchitectureTypes"] == ["arm64"]


def test_a_type_of_another_architecture_is_refused() -> None:
    arm = described_type("m7g.large", 2, 8192, "arm64")
    aws = Recorded(**answers(DescribeInstanceTypes={"InstanceTypes": [arm]}))
    with pytest.raises(UnavailableError, match=r"m7g\.large is for arm64, and the stack's image for x86_64"):
        make_plan(aws.account(), a_stack(), ANNEX, Capacity(count=1, types=("m7g.large",)))


def test_the_subnets_of_the_stack_are_taken_where_none_are_given() -> None:
    stack = a_stack(parameters={"SubnetIds": "subnet-b, "})
    account = Recorded(**answers()).account()
    assert [each.subnet_id for each in make_plan(account, stack, ANNEX, Capacity(count=1)).subnets] == ["subnet-b"]
    given = make_plan(account, stack, ANNEX, Capacity(count=1), ["subnet-a"])
    assert [each.subnet_id for each in given.subnets] == ["subnet-a"]


def held(expiration: int, arn: str = FUNCTION) -> dict[str, Any]:
    lease = {"AnnexID": "first", "S3BucketName": "b", "LeaseExpiration": expiration}
    return {"Targets": [{"Id": "first", "Arn": arn, "Input": json.dumps(lease)}]}


def test_a_plan_for_an_annex_that_runs_counts_its_machines_and_never_shortens_its_lease() -> None:
    machines = [
        {
            "InstanceId": f"i-{number}",
            "InstanceType": "m7i.large",
            "State": {"Name": "running"},
            "LaunchTime": datetime(2026, 1, 1, tzinfo=UTC),
            "IamInstanceProfile": PROFILE,
            "Tags": [{"Key": "htcondor:AnnexName", "Value": annex}],
        }
        for number, annex in enumerate(("first", "first", "other"))
    ]
    aws = Recorded(
        **answers(ListTargetsByRule=held(NOW + 7200), DescribeInstances={"Reservations": [{"Instances": machines}]})
    )
    plan = make_plan(aws.account(), a_stack(), ANNEX, Capacity(count=5))
    assert (plan.running, plan.quota, plan.expiration) == (2, Quota(16, 6), NOW + 7200)
    assert plan.lease is not None
    assert plan.lease.expiration == NOW + 7200
    assert plan.most is not None
    assert plan.estimate.most is not None
    assert plan.most == plan.estimate.most * (2 + LATE)
    # What it asks for stays its own end: the lease is put with the later one.
    assert plan.request.annex == ANNEX
    shorter = Recorded(**answers(ListTargetsByRule=held(NOW + 60)))
    assert make_plan(shorter.account(), a_stack(), ANNEX, Capacity(count=1)).expiration == NOW + 3600


@pytest.mark.parametrize("hours", ["", "1", "24"])
def test_a_lease_may_be_as_long_as_the_stack_lets_machines_run(hours: str) -> None:
    stack = a_stack(parameters={"MaxLeaseHours": hours})
    assert make_plan(Recorded(**answers()).account(), stack, ANNEX, Capacity(count=1)).expiration == NOW + 3600


def test_a_longer_lease_than_the_stack_lets_machines_run_is_refused() -> None:
    aws, annex = Recorded(**answers()), replace(ANNEX, expiration=NOW + 3601)
    text = r"the stack in us-east-1 lets a machine run 1 hours \(MaxLeaseHours\): give --duration 1h or less"
    with pytest.raises(UnavailableError, match=text):
        make_plan(aws.account(), a_stack(parameters={"MaxLeaseHours": "1"}), annex, Capacity(count=1))
    assert aws.names == []


def used(*machines: tuple[str, dict[str, str]]) -> dict[str, Any]:
    """Return what DescribeInstances says of machines of the stack, each with its type and tags."""
    shown = [
        {
            "InstanceId": f"i-{number}",
            "InstanceType": kind,
            "State": {"Name": "running"},
            "LaunchTime": datetime.fromtimestamp(NOW - 60, UTC),
            "IamInstanceProfile": PROFILE,
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
        for number, (kind, tags) in enumerate(machines)
    ]
    return {"Reservations": [{"Instances": shown}]}


@pytest.mark.parametrize("tags", [{}, {"htcondor:AnnexName": ""}, {"htcondor:AnnexName": "other"}])
def test_nothing_starts_with_which_the_stack_would_have_more_cores_than_it_may_whatever_tags_say(
    tags: dict[str, str],
) -> None:
    stack = a_stack(parameters={"MaxCores": "6"})
    account = Recorded(**answers(DescribeInstances=used(("m7i.large", tags)))).account()
    assert make_plan(account, stack, ANNEX, Capacity(count=2)).estimate.vcpus == 4
    text = (
        r"the stack in us-east-1 may have 6 cores in all \(MaxCores\), of which 2 are in use, and this would take 6: "
        "ask for less, or end an annex with annex-bootstrap leases end"
    )
    with pytest.raises(UnavailableError, match=text):
        make_plan(account, stack, ANNEX, Capacity(count=3))


@pytest.mark.parametrize("spot", [False, True])
def test_nothing_starts_with_which_the_stack_would_cost_more_an_hour_than_it_may(spot: bool) -> None:
    stack = a_stack(parameters={"MaxDollarsPerHour": "0.30"})
    spots = {"SpotPriceHistory": [{"InstanceType": "m7i.large", "SpotPrice": "0.01"}]}
    account = Recorded(**answers(DescribeInstances=used(("m7i.large", {})), DescribeSpotPriceHistory=spots)).account()
    make_plan(account, stack, ANNEX, Capacity(count=2, spot=spot))
    text = (
        r"the machines of the stack in us-east-1 may cost \$0\.30 an hour in all \(MaxDollarsPerHour\), of which "
        r"\$0\.1000 are in use, and this would take \$0\.3000"
    )
    with pytest.raises(UnavailableError, match=text):
        make_plan(account, stack, ANNEX, Capacity(count=3, spot=spot))


@pytest.mark.parametrize(
    ("running", "text"),
    [([], "names no price of m7i.large: give --type another type"), ([("x9.large", {})], "names no price of one that")],
)
def test_where_dollars_are_limited_an_unknown_price_starts_nothing(running: list[Any], text: str) -> None:
    aws = Recorded(
        **answers(
            DescribeInstances=used(*running),
            GetProducts={"PriceList": [product("m7i.large", "0.10")] if running else []},
        )
    )
    with pytest.raises(UnavailableError, match=rf"limits what its machines cost an hour \(MaxDollarsPerHour\).*{text}"):
        make_plan(aws.account(), a_stack(parameters={"MaxDollarsPerHour": "9"}), ANNEX, Capacity(count=1))


def test_a_type_that_the_stack_does_not_allow_is_refused() -> None:
    stack = a_stack(parameters={"InstanceTypes": "c7i.*,m?g.large"})
    text = (
        r"the stack in us-east-1 allows no m7i\.large, only c7i\.\*, m\?g\.large \(InstanceTypes\): give --type one of "
        "these"
    )
    with pytest.raises(UnavailableError, match=text):
        make_plan(Recorded(**answers()).account(), stack, ANNEX, Capacity(count=1))
    allowing = a_stack(parameters={"InstanceTypes": "c7i.*,m?i.large"})
    assert make_plan(Recorded(**answers()).account(), allowing, ANNEX, Capacity(count=1)).machines == [LARGE]


def test_cores_are_of_types_that_the_stack_allows_alone() -> None:
    kinds = [described_type("m7i.large", 2, 8192), described_type("c7i.large", 2, 4096)]
    aws = Recorded(
        **answers(
            DescribeInstanceTypes={"InstanceTypes": kinds},
            GetInstanceTypesFromInstanceRequirements={
                "InstanceTypes": [{"InstanceType": "m7i.large"}, {"InstanceType": "c7i.large"}]
            },
            GetProducts={"PriceList": [product("m7i.large", "0.10"), product("c7i.large", "0.09")]},
        )
    )
    stack = a_stack(parameters={"InstanceTypes": "m*"})
    assert [each.name for each in make_plan(aws.account(), stack, ANNEX, Capacity(cores=4)).machines] == ["m7i.large"]
    none = a_stack(parameters={"InstanceTypes": "r7i.*"})
    with pytest.raises(UnavailableError, match=r"none of the instance types in us-east-1 that fit is one of r7i\.\*"):
        make_plan(aws.account(), none, ANNEX, Capacity(cores=4))


def test_tags_are_on_the_fleet_its_machines_and_their_disks_and_change_none_of_the_annexes() -> None:
    given = {"cost-center": "42", "htcondor:AnnexName": "other"}
    plan = make_plan(Recorded(**answers()).account(), a_stack(), ANNEX, Capacity(count=1), tags=given)
    for each in plan.request.fleet["TagSpecifications"]:
        tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
        assert (tags["cost-center"], tags["htcondor:AnnexName"]) == ("42", "first")


def test_tags_of_the_stack_are_on_the_fleet_its_machines_and_their_disks_too() -> None:
    stack = a_stack(parameters={"Tag1": "cost-center=42", "Tag2": "", "Tag3": "project=a"})
    plan = make_plan(Recorded(**answers()).account(), stack, ANNEX, Capacity(count=1), tags={"project": "b"})
    for each in plan.request.fleet["TagSpecifications"]:
        tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
        assert (tags["cost-center"], tags["project"], tags["htcondor:AnnexName"]) == ("42", "b", "first")


HOURLY = Decimal("0.10") + 16 * DISK + ADDRESS
"""Dollars an hour of a machine, at most."""


def test_money_gives_the_lease_an_end_before_which_it_cannot_be_spent() -> None:
    annex = replace(ANNEX, expiration=NOW + 86400)
    plan = make_plan(Recorded(**answers()).account(), a_stack(), annex, Capacity(count=3), dollars=Decimal(2))
    end = NOW + int(Decimal(2) * 3600 / (3 * HOURLY)) - 360
    assert (plan.expiration, plan.money_end) == (end, end)
    assert plan.most is not None
    assert Decimal("1.99") < plan.most <= 2
    assert plan.limit == Allowance(Decimal(2), Decimal(0), NOW, 3, HOURLY, 16 * DISK + ADDRESS)
    assert plan.request.annex == replace(annex, expiration=end, money=plan.limit.content())
    # A shorter duration wins.
    shorter = make_plan(Recorded(**answers()).account(), a_stack(), ANNEX, Capacity(count=3), dollars=Decimal(2))
    assert (shorter.expiration, shorter.money_end) == (NOW + 3600, end)


def limited(expiration: int, **changed: str) -> dict[str, Any]:
    """Return the lease of an annex that had two machines an hour ago, and ten dollars."""
    allowance = Allowance(Decimal(10), Decimal(1), NOW - 3600, 2, Decimal("0.50"), Decimal("0.02")).content() | changed
    lease = {"AnnexID": "first", "S3BucketName": "b", "LeaseExpiration": expiration, "Money": allowance}
    return {"Targets": [{"Id": "first", "Arn": FUNCTION, "Input": json.dumps(lease)}]}


ONE = {
    "InstanceId": "i-0",
    "InstanceType": "m7i.large",
    "State": {"Name": "running"},
    "LaunchTime": datetime.fromtimestamp(NOW - 3600, UTC),
    "IamInstanceProfile": PROFILE,
    "Tags": [{"Key": "htcondor:AnnexName", "Value": "first"}],
}


def running(arguments: dict[str, Any]) -> dict[str, Any]:
    ended = any("terminated" in each["Values"] for each in arguments["Filters"])
    return {"Reservations": [] if ended else [{"Instances": [ONE]}]}


def test_machines_that_are_added_shorten_what_the_money_of_the_lease_lasts() -> None:
    aws = Recorded(**answers(ListTargetsByRule=limited(NOW + 7 * 86400), DescribeInstances=running))
    plan = make_plan(aws.account(), a_stack(), ANNEX, Capacity(count=1))
    # One runs at its price, and one that nobody sees counts as the dearest.
    spent = Decimal(1) + (Decimal("0.10") + Decimal("0.02")) + Decimal("0.50")
    assert plan.limit is not None
    assert (plan.limit.dollars, plan.limit.spent, plan.limit.machines) == (Decimal(10), spent, 2)
    assert plan.expiration == NOW + int((10 - spent) * 3600 / (Decimal("0.12") + HOURLY)) - 360
    assert plan.expiration < NOW + 7 * 86400
    # A sum that is given is that of the whole annex.
    more = make_plan(
        aws.account(), a_stack(), replace(ANNEX, expiration=NOW + 86400), Capacity(count=1), dollars=Decimal(4)
    )
    assert more.limit is not None
    assert (more.limit.dollars, more.limit.spent) == (Decimal(4), spent)


def test_an_annex_whose_lease_has_run_out_begins_with_all_its_money() -> None:
    aws = Recorded(**answers(ListTargetsByRule=limited(NOW - 60)))
    plan = make_plan(aws.account(), a_stack(), ANNEX, Capacity(count=1), dollars=Decimal(5))
    assert plan.limit is not None
    assert (plan.limit.dollars, plan.limit.spent) == (Decimal(5), Decimal(0))
    assert make_plan(aws.account(), a_stack(), ANNEX, Capacity(count=1)).limit is None


def test_machines_that_run_before_the_money_is_limited_count_from_their_start() -> None:
    aws = Recorded(**answers(ListTargetsByRule=held(NOW + 7200), DescribeInstances=running))
    plan = make_plan(aws.account(), a_stack(), ANNEX, Capacity(count=1), dollars=Decimal(5))
    assert plan.limit is not None
    assert (plan.limit.spent, plan.limit.machines) == (HOURLY, 2)


@pytest.mark.parametrize(
    ("dollars", "changed", "text"),
    [
        ("0.10", {}, r"\$0.10 may not last an hour: the machines in us-east-1 cost at most \$0.11/hour"),
        ("1.70", {"ListTargetsByRule": limited(NOW + 86400)}, r"\$1.70, of which at most \$2.00 are spent, may not"),
        (
            "200",
            {"GetProducts": {"PriceList": []}},
            r"a price is not known in us-east-1, so nobody can say how long \$200",
        ),
        (
            "200",
            {"ListTargetsByRule": limited(NOW + 86400, Spent="nan")},
            "the sum of money in the lease of first cannot",
        ),
        (
            "200",
            {
                "DescribeFleets": {
                    "Fleets": [
                        {
                            "FleetId": "fleet-1",
                            "FleetState": "active",
                            "Tags": [
                                {"Key": "htcondor:AnnexName", "Value": "first"},
                                {"Key": "annex-bootstrap:stack", "Value": STACK_ID},
                            ],
                        }
                    ]
                }
            },
            "a fleet or spot request of first may start more machines at any time",
        ),
    ],
)
def test_money_that_bounds_nothing_starts_nothing(dollars: str, changed: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        make_plan(
            Recorded(**answers(**changed)).account(), a_stack(), ANNEX, Capacity(count=1), dollars=Decimal(dollars)
        )


def test_a_rule_of_somebody_else_keeps_its_name() -> None:
    other = FUNCTION.replace("annex-bootstrap-", "other-")
    aws = Recorded(**answers(ListTargetsByRule=held(NOW + 7200, other)))
    with pytest.raises(UserError, match="the EventBridge rule first in us-east-1 is not the lease of an annex of this"):
        make_plan(aws.account(), a_stack(), ANNEX, Capacity(count=1))
    assert aws.names == ["ListTargetsByRule"]


def test_what_exceeds_the_quota_is_refused_and_what_is_unknown_is_left_to_ec2() -> None:
    with pytest.raises(UnavailableError, match="the quota of on-demand vCPUs in us-east-1 is 16"):
        make_plan(Recorded(**answers()).account(), a_stack(), ANNEX, Capacity(count=9))
    aws = Recorded(**answers(GetServiceQuota=RefusedError("AccessDeniedException")))
    assert make_plan(aws.account(), a_stack(), ANNEX, Capacity(count=9)).quota is None


def test_without_prices_the_most_is_unknown_and_the_plan_says_why() -> None:
    aws = Recorded(**answers(GetProducts=RefusedError("AccessDeniedException", "no prices for you")))
    plan = make_plan(aws.account(), a_stack(), ANNEX, Capacity(count=1))
    assert plan.estimate == Estimate((1, 1), 2, None, None, None)
    assert plan.most is None
    assert "no prices for you" in plan.unpriced


def test_a_stack_that_makes_no_image_is_refused_with_the_way_to_one() -> None:
    aws = Recorded(DescribeStacks=described(a_stack()))
    assert find_stack(aws.account(), "annex-bootstrap") == a_stack()
    bare = a_stack()
    bare = replace(bare, outputs={name: value for name, value in bare.outputs.items() if not name.startswith("Launch")})
    with pytest.raises(UserError, match=r"makes no image of its own.*deploy --region us-east-1 --param Image=yes"):
        find_stack(Recorded(DescribeStacks=described(bare)).account(), "annex-bootstrap")
