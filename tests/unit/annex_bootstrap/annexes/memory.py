"""An account in memory, as far as starting and ending annexes use it, that keeps each call."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from annex_bootstrap.annexes.joining import Pool
from annex_bootstrap.annexes.requests import Annex, Request
from annex_bootstrap.machines.capacity import Capacity
from annex_bootstrap.pool.collector import Address
from annex_bootstrap.stack.read import Stack
from annex_contract.stack import ANNEX_TAG, REQUEST_TAG, STACK_TAG, STARTED_BY_TAG, Output

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:pool-LeaseFunction-1"
PROFILE = "arn:aws:iam::123456789012:instance-profile/pool"
OUTPUTS: Mapping[str, str] = {
    Output.LEASE_FUNCTION_ARN: FUNCTION,
    Output.INSTANCE_CONFIGURATION_PROFILE: PROFILE,
    Output.S3_BUCKET_NAME: "pool-bucket",
    Output.START_ROLE_ID: "AROAEXAMPLE",
}
STACK = Stack("arn:stack", "pool", "CREATE_COMPLETE", "", {}, OUTPUTS, datetime(2026, 1, 1, tzinfo=UTC))
POOL = Pool((Address("pool.example.org", 9618),), "alice@pool", "made-up")
EXPIRATION = int(time.time()) + 7200
FLEET_TAGS = [
    {"Key": key, "Value": value}
    for key, value in {
        "cost-center": "42",
        "a,b": "c",
        "Name": "annex first",
        ANNEX_TAG: "first",
        REQUEST_TAG: "0" * 32,
        STARTED_BY_TAG: "AROA:alice,b",
        STACK_TAG: "arn:stack",
    }.items()
]
REQUEST = Request(
    "0" * 32,
    Annex("first", "alice", 900, EXPIRATION),
    Capacity(count=2),
    1,
    "123456789012",
    "us-east-1",
    "arn:stack",
    {"ClientToken": "0" * 32, "TagSpecifications": [{"ResourceType": "fleet", "Tags": FLEET_TAGS}]},
)
DENIED = ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "CreateFleet")
PROTECTED = ClientError(
    {"Error": {"Code": "OperationNotPermitted", "Message": "may not be terminated"}}, "TerminateInstances"
)
NO_RULE = ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "none"}}, "ListTargetsByRule")
RULE_ALLOWED = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "lambda:InvokeFunction"}


class Memory:
    """An account with EventBridge, EC2, S3 and Lambda, as far as a start uses them.

    Attributes:
        calls: what was called, in order.
        targets: the target of each rule.
        rules: as DescribeRule has them; one that has a target need not be here.
        machines: as DescribeInstances has them.
        objects: the keys in the bucket.
        ec2_fleets: as DescribeFleets has them.
        spot_requests: as DescribeSpotInstanceRequests has them.
        launch: what CreateFleet does.
        line: what the lease function answers.
        policy: of the lease function; None where it has none.
        protected: the IDs of machines with termination protection.
    """

    account_id, region, partition = "123456789012", "us-east-1", "aws"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.targets: dict[str, dict[str, Any]] = {}
        self.rules: dict[str, dict[str, Any]] = {}
        self.machines: list[dict[str, Any]] = []
        self.launch: Callable[[], dict[str, Any]] = lambda: self.launched(2)
        self.line: dict[str, Any] = {"decision": "wait"}
        self.fails = False
        self.protected: set[str] = set()
        self.policy: list[dict[str, Any]] | None = [RULE_ALLOWED]
        self.objects: set[str] = set()
        self.ec2_fleets: list[dict[str, Any]] = []
        self.spot_requests: list[dict[str, Any]] = []
        self.cloudformation = self.ec2 = self.events = self.s3 = self.lambda_ = self.fleets = self

    def launched(self, count: int, state: str = "running", **more: Any) -> dict[str, Any]:
        """Start machines, and return what CreateFleet answers."""
        tags = [{"Key": ANNEX_TAG, "Value": "first"}, {"Key": REQUEST_TAG, "Value": REQUEST.request_id}]
        first, ids = len(self.machines), []
        for number in range(first, first + count):
            ids.append(f"i-{number}")
            machine = {"InstanceId": f"i-{number}", "InstanceType": "m7i.large", "State": {"Name": state}, "Tags": tags}
            profile = {"IamInstanceProfile": {"Arn": PROFILE}}
            self.machines.append(machine | {"LaunchTime": None} | profile | more)
        return {"Instances": [{"InstanceType": "m7i.large", "InstanceIds": ids}], "Errors": []}

    def lease(self, name: str = "first") -> dict[str, Any]:
        """The content of a lease."""
        content: dict[str, Any] = json.loads(self.targets[name]["Input"])
        return content

    def hold(self, expiration: int, request_id: str = "other", arn: str = FUNCTION) -> None:
        """Let the annex have a lease."""
        content = {"AnnexID": "first", "S3BucketName": "pool-bucket", "LeaseExpiration": expiration}
        self.targets["first"] = {"Id": "first", "Arn": arn, "Input": json.dumps(content | {"Request": request_id})}

    def put_object(self, **arguments: Any) -> None:
        key = arguments["Key"]
        assert (arguments["Bucket"], arguments["IfNoneMatch"]) == ("pool-bucket", "*")
        self.calls.append(f"configuration {key}")
        if key in self.objects:
            raise ClientError({"Error": {"Code": "PreconditionFailed", "Message": "there"}}, "PutObject")
        self.objects.add(key)

    def put_rule(self, **arguments: Any) -> None:
        self.calls.append("rule")
        self.rules[arguments["Name"]] = arguments

    def describe_rule(self, **arguments: Any) -> dict[str, Any]:
        return self.rules[arguments["Name"]]

    def put_targets(self, **arguments: Any) -> dict[str, Any]:
        (target,) = arguments["Targets"]
        self.targets[arguments["Rule"]] = target
        ended = json.loads(target["Input"])["LeaseExpiration"] < time.time()
        self.calls.append("end" if ended else "lease")
        return {"FailedEntries": []}

    def create_fleet(self, **arguments: Any) -> dict[str, Any]:
        assert arguments == REQUEST.fleet
        self.calls.append("machines")
        return self.launch()

    def invoke(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(f"function {json.loads(arguments['Payload'])['AnnexID']}")
        failed = {"FunctionError": "Unhandled"} if self.fails else {}
        return {"Payload": io.BytesIO(json.dumps(self.line).encode()), **failed}

    def remove_targets(self, **arguments: Any) -> None:
        self.calls.append("remove")
        del self.targets[arguments["Rule"]]

    def delete_rule(self, **arguments: Any) -> None:
        self.calls.append("delete rule")
        self.rules.pop(arguments["Name"], None)

    def delete_fleets(self, **arguments: Any) -> None:
        self.calls.append(f"delete {' '.join(arguments['FleetIds'])}")

    def cancel_spot_instance_requests(self, **arguments: Any) -> None:
        self.calls.append(f"cancel {' '.join(arguments['SpotInstanceRequestIds'])}")

    def terminate_instances(self, **arguments: Any) -> None:
        ids = arguments["InstanceIds"]
        if self.protected.intersection(ids):
            raise PROTECTED
        self.calls.append(f"terminate {' '.join(ids)}")
        for machine in self.machines:
            if machine["InstanceId"] in ids:
                machine["State"] = {"Name": "shutting-down"}

    def modify_instance_attribute(self, **arguments: Any) -> None:
        assert arguments["DisableApiTermination"] == {"Value": False}
        self.calls.append(f"unprotect {arguments['InstanceId']}")
        self.protected.discard(arguments["InstanceId"])

    def describe_stack_resource(self, **_arguments: Any) -> dict[str, Any]:
        name = FUNCTION.rpartition(":")[2]
        return {"StackResourceDetail": {"ResourceStatus": "CREATE_COMPLETE", "PhysicalResourceId": name}}

    def get_policy(self, **_arguments: Any) -> dict[str, Any]:
        if self.policy is None:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "none"}}, "GetPolicy")
        return {"Policy": json.dumps({"Statement": self.policy})}

    def get_paginator(self, operation: str) -> Memory:
        self.operation = operation
        return self

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        match self.operation:
            case "list_targets_by_rule":
                rule = arguments["Rule"]
                if rule not in {**self.targets, **self.rules}:
                    raise ClientError(
                        {"Error": {"Code": "ResourceNotFoundException", "Message": "none"}}, "ListTargets"
                    )
                yield {"Targets": [target] if (target := self.targets.get(rule)) else []}
            case "list_rule_names_by_target":
                yield {"RuleNames": list(self.targets)}
            case "describe_spot_fleet_requests":
                yield {"SpotFleetRequestConfigs": []}
            case "describe_fleets":
                yield {"Fleets": self.ec2_fleets}
            case "describe_spot_instance_requests":
                yield {"SpotInstanceRequests": self.spot_requests}
            case "describe_instances":
                found = [m for m in self.machines if all(_matches(m, wanted) for wanted in arguments["Filters"])]
                yield {"Reservations": [{"Instances": found}]}


def _matches(machine: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    if wanted["Name"] == "instance-state-name":
        return machine["State"]["Name"] in wanted["Values"]
    if wanted["Name"] == "iam-instance-profile.arn":
        return machine["IamInstanceProfile"]["Arn"] in wanted["Values"]
    key = wanted["Name"].removeprefix("tag:")
    return any(tag["Key"] == key and tag["Value"] in wanted["Values"] for tag in machine["Tags"])


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a call that fails."""

    def call(**_arguments: Any) -> None:
        raise error

    return call
