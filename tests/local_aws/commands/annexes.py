"""What tests of ``start`` ask AWS about annexes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3

from annex_contract.lease import MACHINE_RUNNING
from annex_contract.stack import ANNEX_TAG, Output
from tests.local_aws.stack import DeployedStack

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

NAME = "starter"
"""The stack's name."""

REGION, OTHER = "us-east-1", "eu-west-1"

COUNT = ("--count", "2", "--owner", "alice", "--skip-pool-check", "--yes")


def end_all(root: boto3.Session, region: str, made: DeployedStack) -> None:
    """End every machine and lease in a region."""
    ec2, events = root.client("ec2", region_name=region), root.client("events", region_name=region)
    if running := [machine["InstanceId"] for machine in machines_of(root, region)]:
        ec2.terminate_instances(InstanceIds=running)
    for rule in leases_of(root, region, made):
        events.remove_targets(Rule=rule, Ids=[rule])
        events.delete_rule(Name=rule)


def machines_of(root: boto3.Session, region: str = REGION) -> list[InstanceTypeDef]:
    """Every machine that runs for an annex."""
    filters: Any = [
        {"Name": "tag-key", "Values": [ANNEX_TAG]},
        {"Name": "instance-state-name", "Values": list(MACHINE_RUNNING)},
    ]
    reservations = root.client("ec2", region_name=region).describe_instances(Filters=filters)["Reservations"]
    return [machine for held in reservations for machine in held["Instances"]]


def leases_of(root: boto3.Session, region: str, made: DeployedStack) -> dict[str, int]:
    """Every lease, with its end."""
    events = root.client("events", region_name=region)
    function = made.outputs[Output.LEASE_FUNCTION_ARN]
    found = {}
    for rule in events.list_rule_names_by_target(TargetArn=function)["RuleNames"]:
        # None where the lease function has just ended it.
        for target in events.list_targets_by_rule(Rule=rule)["Targets"]:
            if target["Id"] == rule:
                found[rule] = json.loads(target["Input"])["LeaseExpiration"]
    return found
