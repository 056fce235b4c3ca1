"""What the client shows for an annex is what the lease function would end with it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from annex_bootstrap.annexes.leases import Leases
from annex_contract.lease import MACHINE_RUNNING
from lambda_lease import compute

IDS = st.sampled_from(["test", "other", "a_b", ""])
TAGS = st.lists(
    st.builds(lambda key, value: {"Key": key, "Value": value}, st.sampled_from(["htcondor:AnnexName", "Name"]), IDS),
    max_size=2,
)
TOKENS = st.sampled_from(["", "_", "_uuid", "test_uuid", "a_b_uuid", "test"])
PROFILE = "arn:aws:iam::123456789012:instance-profile/annex-bootstrap/a"
PROFILES_OF_STACK = frozenset({PROFILE})
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/a/1"
PROFILES = st.sampled_from([{"Arn": PROFILE}, {"Arn": PROFILE + "b"}])
INSTANCES = st.fixed_dictionaries(
    {
        "InstanceType": st.just("c7i.large"),
        "State": st.sampled_from(
            [{"Name": name} for name in ("pending", "running", "shutting-down", "stopping", "stopped", "terminated")]
        ),
    },
    optional={"Tags": TAGS, "ClientToken": TOKENS, "IamInstanceProfile": PROFILES},
)
SPECIFICATIONS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "TagSpecifications": st.lists(st.fixed_dictionaries({}, optional={"Tags": TAGS}), max_size=2),
            "IamInstanceProfile": PROFILES,
        },
    ),
    max_size=3,
)
FLEETS = st.fixed_dictionaries(
    {
        "SpotFleetRequestState": st.sampled_from(
            [
                *("submitted", "active", "modifying", "failed"),
                *("cancelled", "cancelled_running", "cancelled_terminating"),
            ]
        ),
        "SpotFleetRequestConfig": st.fixed_dictionaries(
            {"LaunchSpecifications": SPECIFICATIONS}, optional={"ClientToken": TOKENS}
        ),
    }
)


class DescribedEc2:
    """An EC2 that describes machines and fleets, on one page each; it filters by state, as EC2 does."""

    def __init__(self, instances: list[dict[str, Any]], fleets: list[dict[str, Any]]) -> None:
        """Keep them."""
        now = datetime.now(UTC)
        self.instances = [
            {"InstanceId": f"i-{number}", "LaunchTime": now, **instance} for number, instance in enumerate(instances)
        ]
        owner = [{"Key": "annex-bootstrap:stack", "Value": STACK}]
        self.ec2_fleets = [
            {
                "FleetId": f"fleet-{number}",
                "FleetState": "active" if number % 2 else "deleted_running",
                "Tags": [*instance.get("Tags", []), *(owner if number % 3 else [])],
            }
            for number, instance in enumerate(instances)
        ]
        # Of machines that run: the function also knows those that have just ended.
        self.requests = [
            {"SpotInstanceRequestId": f"sir-{each['InstanceId']}", "InstanceId": each["InstanceId"]}
            for each in self.instances
            if each["State"]["Name"] in MACHINE_RUNNING
        ]
        self.fleets = [{"SpotFleetRequestId": f"sfr-{number}", **fleet} for number, fleet in enumerate(fleets)]

    def get_paginator(self, operation: str) -> SimpleNamespace:
        """Return what boto3 would."""
        return SimpleNamespace(paginate=getattr(self, operation))

    def describe_instances(self, Filters: list[dict[str, Any]], **_: object) -> list[dict[str, Any]]:  # noqa: N803 (boto3's name)
        """Describe the instances in the states that the filter names."""
        (states,) = [by["Values"] for by in Filters if by["Name"] == "instance-state-name"]
        found = [instance for instance in self.instances if instance["State"]["Name"] in states]
        return [{"Reservations": [{"Instances": found}]}]

    def describe_fleets(self, **_: object) -> list[dict[str, Any]]:
        """Describe EC2 fleets with the tags that instances have."""
        return [{"Fleets": self.ec2_fleets}]

    def describe_spot_instance_requests(self, **_: object) -> list[dict[str, Any]]:
        """Describe a persistent request for each instance that runs."""
        return [{"SpotInstanceRequests": self.requests}]

    def describe_spot_fleet_requests(self, **_: object) -> list[dict[str, Any]]:
        """Describe all fleets: EC2 has no filter for them."""
        return [{"SpotFleetRequestConfigs": self.fleets}]


def _tagged(*annex_ids: str) -> dict[str, Any]:
    return {
        "SpotFleetRequestState": "active",
        "SpotFleetRequestConfig": {
            "LaunchSpecifications": [
                {"TagSpecifications": [{"Tags": [{"Key": "htcondor:AnnexName", "Value": annex_id}]}]}
                for annex_id in annex_ids
            ],
            "ClientToken": "test_uuid",
        },
    }


@given(st.lists(INSTANCES, max_size=4), st.lists(FLEETS, max_size=4))
@example([], [_tagged("test", "other")])
@example([], [_tagged("test", "test")])
def test_the_client_counts_for_an_annex_exactly_what_the_function_ends_with_it(
    instances: list[dict[str, Any]], fleets: list[dict[str, Any]]
) -> None:
    ec2: Any = DescribedEc2(instances, fleets)
    account: Any = SimpleNamespace(ec2=ec2, region="us-east-1")
    shown = Leases(account, "arn", PROFILES_OF_STACK, STACK).machines()
    machines = Counter(
        machine.annex_id
        for machine in compute.list_machines(ec2, [], MACHINE_RUNNING, PROFILES_OF_STACK)
        if machine.annex_id
    )
    requests = Counter(
        fleet.annex_id
        for fleet in (
            *compute.list_running_fleets(ec2, PROFILES_OF_STACK),
            *compute.list_running_ec2_fleets(ec2, STACK),
            *compute.list_persistent_requests(ec2, PROFILES_OF_STACK),
        )
        if fleet.annex_id
    )
    assert {annex_id: annex.count for annex_id, annex in shown.items() if annex.count} == machines
    assert {annex_id: annex.fleets for annex_id, annex in shown.items() if annex.fleets} == requests
