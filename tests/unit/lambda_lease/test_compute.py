"""What EC2 is asked, page by page, what is kept of its answers, and how things are ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from lambda_lease import compute
from lambda_lease.compute import Fleet, Machine
from tests.unit.recorded import Answer, Recorded, RefusedError

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
OURS, OTHERS = (f"arn:aws:iam::123456789012:instance-profile/{name}" for name in ("ours", "others"))
PROFILES = frozenset({OURS})
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/s/1"
GONE = RefusedError("InvalidInstanceID.NotFound")


@pytest.fixture
def pool() -> Iterator[Executor]:
    """One thread, so that calls have an order."""
    with ThreadPoolExecutor(1) as made:
        yield made


def instance(name: str, state: str = "running", profile: str = OURS, **more: Any) -> dict[str, Any]:
    tags = [{"Key": "htcondor:AnnexName", "Value": "first"}]
    made = {"InstanceId": name, "State": {"Name": state}, "LaunchTime": AT, "InstanceType": "m7i.large", "Tags": tags}
    return made | {"IamInstanceProfile": {"Arn": profile, "Id": "AIPA"}} | more


def test_machines_are_selected_by_ec2_and_once_more_by_their_state() -> None:
    tags = [
        *({"Key": "aws:ec2:fleet-id", "Value": "fleet-1"}, {"Key": "aws:ec2spot:fleet-request-id", "Value": "sfr-1"}),
        {"Key": "Name", "Value": "x"},
    ]
    aws = Recorded(
        DescribeInstances=[
            {"Reservations": [{"Instances": [instance("i-1"), instance("i-2", "terminated")]}], "NextToken": "more"},
            {"Reservations": [{"Instances": [instance("i-3", Tags=tags, SpotInstanceRequestId="sir-1")]}, {}]},
            {},
        ]
    )
    filters: list[Any] = [{"Name": "tag:a", "Values": ["b"]}]
    found = list(compute.list_machines(aws.client("ec2"), filters, ("running", "pending"), PROFILES))
    makers = frozenset({"fleet-1", "sfr-1", "sir-1"})
    assert found == [
        Machine("i-1", "first", "running", AT.timestamp(), OURS, "m7i.large", frozenset()),
        Machine("i-3", None, "running", AT.timestamp(), OURS, "m7i.large", makers),
    ]
    asked = {"Filters": [*filters, {"Name": "instance-state-name", "Values": ["pending", "running"]}]}
    assert aws.of("DescribeInstances") == [
        asked | {"MaxResults": 200},
        asked | {"MaxResults": 200, "NextToken": "more"},
    ]


def test_filters_take_names_literally() -> None:
    assert compute.machines_of_annex(r"a*b?c\d") == (
        [{"Name": "tag:htcondor:AnnexName", "Values": [r"a\*b\?c\\d"]}],
        [{"Name": "client-token", "Values": [r"a\*b\?c\\d_*"]}],
    )
    assert compute.machines_with_profile({"b?", "a*"}) == [
        {"Name": "iam-instance-profile.arn", "Values": [r"a\*", r"b\?"]}
    ]


def spot_fleet(name: str, state: str, profile: str = OURS, **more: Any) -> dict[str, Any]:
    config = {"IamFleetRole": "r", "TargetCapacity": 1, "ClientToken": "first_0a1b"}
    config |= {"LaunchSpecifications": [{"IamInstanceProfile": {"Arn": profile}}]}
    return {"SpotFleetRequestId": name, "SpotFleetRequestState": state, "SpotFleetRequestConfig": config} | more


def test_fleets_that_may_start_machines_are_listed_with_whose_they_are() -> None:
    aws = Recorded(
        DescribeSpotFleetRequests=[
            {"SpotFleetRequestConfigs": [spot_fleet("sfr-1", "active", CreateTime=AT)], "NextToken": "more"},
            {
                "SpotFleetRequestConfigs": [
                    spot_fleet("sfr-2", "submitted", OTHERS),
                    spot_fleet("sfr-3", "modifying"),
                    spot_fleet("sfr-4", "cancelled_running"),
                ]
            },
        ]
    )
    assert list(compute.list_running_fleets(aws.client("ec2"), PROFILES)) == [
        Fleet("sfr-1", "first", AT.timestamp(), ours=True),
        Fleet("sfr-2", None, math.inf, ours=False),
        Fleet("sfr-3", "first", math.inf, ours=True),
    ]
    assert aws.of("DescribeSpotFleetRequests") == [{"MaxResults": 200}, {"MaxResults": 200, "NextToken": "more"}]


def test_ec2_fleets_are_the_stacks_by_their_tags() -> None:
    def fleet(name: str, state: str = "active", *, stack: str = STACK, annex: str = "first") -> dict[str, Any]:
        tags = [{"Key": "annex-bootstrap:stack", "Value": stack}, {"Key": "htcondor:AnnexName", "Value": annex}]
        return {"FleetId": name, "FleetState": state, "Tags": tags, "CreateTime": AT}

    listed = [fleet("fleet-1"), fleet("fleet-2", stack="other"), fleet("fleet-3", "deleted_running")]
    aws = Recorded(DescribeFleets={"Fleets": [*listed, fleet("fleet-4", annex="")]})
    assert list(compute.list_running_ec2_fleets(aws.client("ec2"), STACK)) == [
        Fleet("fleet-1", "first", AT.timestamp(), ours=True)
    ]
    assert aws.of("DescribeFleets") == [{"MaxResults": 200}]


def test_persistent_requests_are_known_by_their_latest_machine() -> None:
    requests = [
        {"SpotInstanceRequestId": "sir-1", "InstanceId": "i-1", "CreateTime": AT},
        {"SpotInstanceRequestId": "sir-2", "InstanceId": "i-2"},
        {"SpotInstanceRequestId": "sir-3"},
    ]
    machines = [instance("i-1", "terminated"), instance("i-2", profile=OTHERS), instance("i-9")]
    aws = Recorded(
        DescribeSpotInstanceRequests=[
            {"SpotInstanceRequests": requests, "NextToken": "more"},
            {"SpotInstanceRequests": requests[2:]},
        ],
        DescribeInstances={"Reservations": [{"Instances": machines}]},
    )
    assert list(compute.list_persistent_requests(aws.client("ec2"), PROFILES)) == [
        Fleet("sir-1", "first", AT.timestamp(), ours=True)
    ]
    filters = [
        {"Name": "type", "Values": ["persistent"]},
        {"Name": "state", "Values": ["open", "active", "disabled"]},
    ]
    asked = {"Filters": filters, "MaxResults": 100}
    assert aws.of("DescribeSpotInstanceRequests") == [asked, asked | {"NextToken": "more"}]
    states = ["pending", "running", "shutting-down", "stopped", "stopping", "terminated"]
    assert aws.of("DescribeInstances") == [
        {
            "Filters": [
                {"Name": "instance-id", "Values": ["i-1", "i-2"]},
                {"Name": "instance-state-name", "Values": states},
            ],
            "MaxResults": 200,
        }
    ]


def test_sizes_are_read_with_as_many_types_in_a_filter_as_it_takes() -> None:
    answers: list[Answer] = [
        {"InstanceTypes": [{"InstanceType": name, "VCpuInfo": {"DefaultVCpus": vcpus}}]}
        for name, vcpus in (("a000", 2), ("a200", 4))
    ]
    aws = Recorded(DescribeInstanceTypes=answers)
    names = [f"a{number:03}" for number in range(201)]
    assert compute.count_vcpus(aws.client("ec2"), reversed(names)) == {"a000": 2, "a200": 4}
    assert [asked["Filters"] for asked in aws.of("DescribeInstanceTypes")] == [
        [{"Name": "instance-type", "Values": names[:200]}],
        [{"Name": "instance-type", "Values": names[200:]}],
    ]
    assert compute.count_vcpus(Recorded().client("ec2"), []) == {}


def test_fleets_and_requests_are_cancelled_each_by_its_own_call_with_their_machines(pool: Executor) -> None:
    def refused(name: str, kind: str, code: str) -> dict[str, Any]:
        return {kind: name, "Error": {"Code": code, "Message": "because"}}

    aws = Recorded(
        CancelSpotFleetRequests={
            "UnsuccessfulFleetRequests": [
                refused("sfr-1", "SpotFleetRequestId", "fleetRequestIdDoesNotExist"),
                refused("sfr-2", "SpotFleetRequestId", "unexpectedError"),
            ]
        },
        DeleteFleets={
            "UnsuccessfulFleetDeletions": [
                refused("fleet-1", "FleetId", "fleetIdDoesNotExist"),
                refused("fleet-2", "FleetId", "fleetNotInDeletableState"),
            ]
        },
        CancelSpotInstanceRequests=[
            RefusedError("InvalidSpotInstanceRequestID.NotFound"),
            {},
            RefusedError("InvalidSpotInstanceRequestID.NotFound"),
        ],
    )
    done = compute.cancel_fleets(aws.client("ec2"), pool, ["sir-2", "sfr-2", "fleet-1", "sir-1", "fleet-2", "sfr-1"])
    assert done.done == {"sfr-1", "fleet-1", "sir-1", "sir-2"}
    assert {code: refusal.ids for code, refusal in done.refusals.items()} == {
        "unexpectedError": ["sfr-2"],
        "fleetNotInDeletableState": ["fleet-2"],
    }
    assert aws.calls == [
        ("CancelSpotFleetRequests", {"SpotFleetRequestIds": ["sfr-1", "sfr-2"], "TerminateInstances": True}),
        ("DeleteFleets", {"FleetIds": ["fleet-1", "fleet-2"], "TerminateInstances": True}),
        ("CancelSpotInstanceRequests", {"SpotInstanceRequestIds": ["sir-1", "sir-2"]}),
        ("CancelSpotInstanceRequests", {"SpotInstanceRequestIds": ["sir-1"]}),
        ("CancelSpotInstanceRequests", {"SpotInstanceRequestIds": ["sir-2"]}),
    ]


@pytest.mark.parametrize(
    ("count", "operation", "size"),
    [(101, "CancelSpotFleetRequests", 100), (501, "TerminateInstances", 500)],
)
def test_a_call_has_no_more_ids_than_it_takes(pool: Executor, count: int, operation: str, size: int) -> None:
    aws = Recorded(CancelSpotFleetRequests={}, TerminateInstances={})
    if operation == "TerminateInstances":
        compute.terminate_machines(aws.client("ec2"), pool, [f"i-{number}" for number in range(count)])
    else:
        compute.cancel_fleets(aws.client("ec2"), pool, [f"sfr-{number}" for number in range(count)])
    lists = [next(value for value in asked.values() if isinstance(value, list)) for asked in aws.of(operation)]
    assert [len(listed) for listed in lists] == [size, 1]


def test_protected_machines_are_unprotected_and_ended(pool: Executor) -> None:
    aws = Recorded(
        TerminateInstances=[RefusedError("OperationNotPermitted"), {}],
        ModifyInstanceAttribute=[{}, RefusedError("UnauthorizedOperation", status=403)],
    )
    done = compute.terminate_machines(aws.client("ec2"), pool, ["i-2", "i-1"])
    assert (done.done, done.refusals) == ({"i-1", "i-2"}, {})
    off = {"DisableApiTermination": {"Value": False}}
    assert aws.calls == [
        ("TerminateInstances", {"InstanceIds": ["i-1", "i-2"]}),
        ("ModifyInstanceAttribute", {"InstanceId": "i-1"} | off),
        ("ModifyInstanceAttribute", {"InstanceId": "i-2"} | off),
        ("TerminateInstances", {"InstanceIds": ["i-1", "i-2"]}),
    ]


def test_a_machine_that_cannot_be_unprotected_says_why_and_the_others_end(pool: Executor) -> None:
    def terminate(asked: dict[str, Any]) -> dict[str, Any]:
        if "i-1" in asked["InstanceIds"]:
            raise RefusedError("OperationNotPermitted")
        return {}

    aws = Recorded(
        TerminateInstances=terminate,
        ModifyInstanceAttribute=RefusedError("UnauthorizedOperation", status=403),
        DescribeInstances={"Reservations": [{"Instances": [instance("i-1")]}]},
    )
    done = compute.terminate_machines(aws.client("ec2"), pool, ["i-1", "i-2"])
    assert done.done == {"i-2"}
    assert {code: refusal.ids for code, refusal in done.refusals.items()} == {"UnauthorizedOperation": ["i-1"]}
    assert [asked["InstanceId"] for asked in aws.of("ModifyInstanceAttribute")] == ["i-1", "i-2"]


def test_many_protected_machines_are_unprotected_in_batches_of_sixteen_at_most(pool: Executor) -> None:
    aws = Recorded(
        TerminateInstances=[RefusedError("OperationNotPermitted"), {}, RefusedError("OperationNotPermitted"), {}],
        ModifyInstanceAttribute={},
    )
    names = [f"i-{number:02}" for number in range(17)]
    done = compute.terminate_machines(aws.client("ec2"), pool, names)
    assert done.done == set(names)
    assert [asked["InstanceIds"] for asked in aws.of("TerminateInstances")] == [names, names[:8], names[8:], names[8:]]
    assert [asked["InstanceId"] for asked in aws.of("ModifyInstanceAttribute")] == names[8:]


def test_a_machine_that_is_gone_counts_as_ended(pool: Executor) -> None:
    aws = Recorded(TerminateInstances=[GONE, GONE, {}])
    done = compute.terminate_machines(aws.client("ec2"), pool, ["i-1", "i-2"])
    assert (done.done, done.refusals) == ({"i-1", "i-2"}, {})


def denying(*denied: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return an EC2 whose answer is UnauthorizedOperation where one of these machines is named."""

    def terminate(asked: dict[str, Any]) -> dict[str, Any]:
        if set(denied).intersection(asked["InstanceIds"]):
            raise RefusedError("UnauthorizedOperation", status=403)
        return {}

    return terminate


def test_a_machine_that_has_ended_since_it_was_listed_has_no_profile_any_more_and_counts_as_ended(
    pool: Executor,
) -> None:
    held = [{"Instances": [instance("i-2"), instance("i-1", "terminated", IamInstanceProfile={})]}]
    aws = Recorded(TerminateInstances=denying("i-1", "i-2"), DescribeInstances={"Reservations": held})
    done = compute.terminate_machines(aws.client("ec2"), pool, ["i-1", "i-2", "i-3"])
    assert done.done == {"i-1", "i-3"}
    assert {code: refusal.ids for code, refusal in done.refusals.items()} == {"UnauthorizedOperation": ["i-2"]}
    assert aws.of("DescribeInstances") == [
        {
            "Filters": [
                {"Name": "instance-id", "Values": ["i-1", "i-2"]},
                {"Name": "instance-state-name", "Values": ["shutting-down", "terminated"]},
            ],
            "MaxResults": 200,
        }
    ]


def test_where_all_denied_machines_have_ended_nothing_is_refused(pool: Executor) -> None:
    held = [{"Instances": [instance("i-1", "shutting-down")]}]
    aws = Recorded(TerminateInstances=denying("i-1"), DescribeInstances={"Reservations": held})
    done = compute.terminate_machines(aws.client("ec2"), pool, ["i-1"])
    assert (done.done, done.refusals) == ({"i-1"}, {})


def test_a_denied_machine_that_is_not_shown_as_ended_may_run(pool: Executor) -> None:
    aws = Recorded(TerminateInstances=denying("i-1"), DescribeInstances={"Reservations": []})
    done = compute.terminate_machines(aws.client("ec2"), pool, ["i-1"])
    assert (done.done, list(done.refusals)) == (set(), ["UnauthorizedOperation"])


def test_who_may_not_see_machines_does_not_count_them_as_ended(pool: Executor) -> None:
    denied = RefusedError("UnauthorizedOperation", status=403)
    aws = Recorded(TerminateInstances=denied, DescribeInstances=denied)
    done = compute.terminate_machines(aws.client("ec2"), pool, ["i-1", "i-2"])
    assert done.done == set()
    assert {code: refusal.ids for code, refusal in done.refusals.items()} == {"UnauthorizedOperation": ["i-1", "i-2"]}


def test_denied_machines_are_looked_at_with_as_many_in_a_filter_as_it_takes(pool: Executor) -> None:
    names = [f"i-{number:03}" for number in range(201)]
    held = [{"Instances": [instance(name, "terminated") for name in names]}]
    aws = Recorded(TerminateInstances=denying(*names), DescribeInstances={"Reservations": held})
    assert compute.terminate_machines(aws.client("ec2"), pool, names).done == set(names)
    assert [asked["Filters"][0]["Values"] for asked in aws.of("DescribeInstances")] == [names[:200], names[200:]]
