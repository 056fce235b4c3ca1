"""An AWS in memory, as much of it as the lease function uses.

The function talks to it through real boto3 clients: parameters are checked by botocore, errors are botocore's
own, and answers are checked against the service's model. Only the wire is missing.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
from botocore.validate import validate_parameters

from annex_contract.image import IMAGE_TAG
from annex_contract.stack import ANNEX_TAG, EC2_FLEET_TAG, FLEET_TAG, STACK_TAG
from lambda_lease import handler
from lambda_lease.clients import Clients
from lambda_lease.settings import Settings
from tests.lambda_context import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PROFILE = "arn:aws:iam::123456789012:instance-profile/annex-bootstrap/machines"
BUCKET = "annex-bucket"
UUID = "6e0c1b9a-7a35-4d7c-9f53-0d6f6f0a1c11"

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/a/12345678-1234-1234-1234-123456789012"
LEASE_FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:lease"
SETTINGS = Settings(BUCKET, "config-", ".tar.gz", frozenset({PROFILE}), STACK_ID, "lease", end_orphans=False)

Parameters = dict[str, Any]

VCPUS = {"m7i.large": 2, "c7i.xlarge": 4, "c7i.4xlarge": 16}
PRICES = {"m7i.large": "0.10", "c7i.xlarge": "0.18", "c7i.4xlarge": "0.72"}
"""Dollars an hour. What EC2 and the price list know of other types is nothing."""

STACK = {"StackName": "a", "StackStatus": "CREATE_COMPLETE", "CreationTime": datetime(2026, 1, 1, tzinfo=UTC)}
RESOURCE = {
    "LogicalResourceId": "MachineImage",
    "PhysicalResourceId": "in-use",
    "ResourceType": "Custom::Image",
    "LastUpdatedTimestamp": datetime(2026, 1, 1, tzinfo=UTC),
    "ResourceStatus": "CREATE_COMPLETE",
}
LEFT = [{"Key": STACK_TAG, "Value": STACK_ID}, {"Key": IMAGE_TAG, "Value": "of-nobody"}]
"""The tags of what belongs to an image that the stack does not own."""


@dataclass
class FakeMachine:
    """An instance."""

    id: str
    tags: dict[str, str]
    client_token: str
    state: str
    started: float
    profile: str
    fleet: str | None = None
    protected: bool = False
    visible: bool = True
    type: str = "m7i.large"
    request: str = ""


@dataclass
class FakeFleet:
    """A spot fleet request."""

    id: str
    specification_tags: list[dict[str, str]]
    client_token: str
    state: str
    started: float
    profiles: list[str]


@dataclass
class FakeReplacer:
    """An EC2 fleet or a persistent spot request: it starts a machine like its own where that has ended."""

    id: str
    tags: dict[str, str]
    machine: str
    state: str = "active"
    started: float = 0.0


@dataclass
class Fault:
    """A fault that answers calls instead of the service, for so many calls as it has left."""

    operation: str
    error: Exception | tuple[str, int]
    left: float
    when: Callable[[Parameters], bool]


class AwsError(Exception):
    """An error that the fake service answers with."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        """Keep what goes into the answer."""
        super().__init__(message)
        self.code, self.status = code, status


@dataclass
class FakeAws:
    """The state of the account.

    Attributes:
        now: seconds since the epoch, used where something is started.
        page_size: how many items a page holds at most; AWS may give fewer than were asked for.
        filters_work: whether DescribeInstances filters; some local AWSs return everything.
        calls: how often each operation was called.
        keeps_targets: whether RemoveTargets refuses each target inside an answer that is no error.
        ended: machines whose termination was accepted, in order.
        arns: what targets run, by their IDs; the lease function where one is not here.
        schedules: of rules; that of leases where one is not here.
        images: images that the stack made and does not own.
        snapshots: their snapshots.
    """

    now: float = 1_000_000.0
    page_size: int = 1_000
    filters_work: bool = True
    machines: dict[str, FakeMachine] = field(default_factory=dict)
    fleets: dict[str, FakeFleet] = field(default_factory=dict)
    replacers: dict[str, FakeReplacer] = field(default_factory=dict)
    rules: dict[str, dict[str, str | None]] = field(default_factory=dict)
    objects: set[str] = field(default_factory=set)
    buckets: set[str] = field(default_factory=lambda: {BUCKET})
    calls: Counter[str] = field(default_factory=Counter)
    ended: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    changes: dict[str, list[Callable[[], object]]] = field(default_factory=dict)
    keeps_targets: bool = False
    removed_rules: list[str] = field(default_factory=list)
    arns: dict[str, str] = field(default_factory=dict)
    schedules: dict[str, str] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)

    # What a user, condor_annex or time does.

    def put_lease(self, annex_id: str, expiration: int, bucket: str = BUCKET) -> dict[str, object]:
        """Put the rule and the target of an annex; return the event that it sends from then on."""
        event = {"AnnexID": annex_id, "S3BucketName": bucket, "LeaseExpiration": expiration}
        self.rules.setdefault(annex_id, {})[annex_id] = json.dumps(event)
        return event

    def start(
        self,
        annex_id: str | None = None,
        *,
        tag: str | None = None,
        token: str = "",
        state: str = "running",
        profile: str = PROFILE,
        fleet: str | None = None,
        protected: bool = False,
        visible: bool = True,
        kind: str = "m7i.large",
    ) -> str:
        """Start a machine: as condor_annex does for an annex ID, else with the tag and token given."""
        if annex_id is not None:
            tag, token = annex_id, f"{annex_id}_{UUID}"
        number = len(self.machines)
        tags = {"Name": "worker"} | ({} if tag is None else {ANNEX_TAG: tag})
        machine = FakeMachine(f"i-{number:017x}", tags, token, state, self.now, profile, fleet, protected, visible)
        machine.type = kind
        self.machines[machine.id] = machine
        return machine.id

    def request_fleet(
        self,
        annex_id: str | None = None,
        *,
        tags: Iterable[str | None] = (None,),
        token: str = "",
        state: str = "active",
        profile: str = PROFILE,
        last_profile: str = "",
    ) -> str:
        """Request a spot fleet: as condor_annex does for an annex ID, else with the tags and token given."""
        if annex_id is not None:
            tags, token = (annex_id, annex_id), f"{annex_id}_{UUID}"
        tags = list(tags)
        fleet = FakeFleet(
            f"sfr-{len(self.fleets):08x}-1111-4111-8111-111111111111",
            [{} if tag is None else {ANNEX_TAG: tag} for tag in tags],
            token,
            state,
            self.now,
            [profile] * len(tags),
        )
        if last_profile:
            fleet.profiles[-1] = last_profile
        self.fleets[fleet.id] = fleet
        return fleet.id

    def keep(self, kind: str, machine: str, **tags: str) -> str:
        """Keep a machine running, by a ``fleet`` with these tags or a persistent spot request (``sir``)."""
        made = FakeReplacer(f"{kind}-{len(self.replacers):08x}", tags, machine, started=self.now)
        self.replacers[made.id] = made
        self._mark(made)
        return made.id

    def _mark(self, made: FakeReplacer) -> None:
        """Note at a machine what started it, as EC2 does."""
        machine = self.machines[made.machine]
        if made.id.startswith("sir-"):
            machine.request = made.id
        else:
            machine.tags[EC2_FLEET_TAG] = made.id

    def settle(self) -> None:
        """Let time pass: what is shutting down is terminated, or replaced, and everything is visible."""
        for machine in self.machines.values():
            machine.visible = True
            if machine.state == "shutting-down":
                machine.state = "terminated"
        for replacer in self.replacers.values():
            ended = self.machines[replacer.machine]
            if replacer.state == "active" and ended.state == "terminated":
                replacer.machine = self.start(
                    tag=ended.tags.get(ANNEX_TAG), token=UUID, profile=ended.profile, kind=ended.type
                )
                self._mark(replacer)
        for fleet in self.fleets.values():
            if fleet.state == "cancelled_terminating":
                fleet.state = "cancelled"

    def fail(
        self,
        operation: str,
        error: Exception | tuple[str, int] = ("InternalError", 500),
        *,
        times: float = float("inf"),
        when: Callable[[Parameters], bool] = lambda _: True,
    ) -> None:
        """Let an operation fail with an AWS error code and HTTP status, or with an exception."""
        self.faults.append(Fault(operation, error, times, when))

    def during(self, operation: str, change: Callable[[], object]) -> None:
        """Let something happen in the account just before the next call of an operation is answered."""
        self.changes.setdefault(operation, []).append(change)

    def running(self) -> set[str]:
        """Return the machines that are neither terminated nor on the way there."""
        gone = ("shutting-down", "terminated")
        return {machine.id for machine in self.machines.values() if machine.state not in gone}

    def left_of(self, annex_id: str) -> list[object]:
        """Return what is left of an annex: its rule, its tarball, its machines, and its fleets."""
        left: list[object] = [rule for rule in self.rules if rule == annex_id]
        left += [key for key in self.objects if key == f"config-{annex_id}.tar.gz"]
        left += [
            machine
            for machine in self.machines.values()
            if machine.tags.get(ANNEX_TAG, machine.client_token.rpartition("_")[0]) == annex_id
            and machine.state != "terminated"
        ]
        left += [
            fleet
            for fleet in self.fleets.values()
            if {tags.get(ANNEX_TAG, fleet.client_token.rpartition("_")[0]) for tags in fleet.specification_tags}
            == {annex_id}
            and fleet.state in ("submitted", "active", "modifying")
        ]
        return left

    def clients(self) -> Clients:
        """Return clients that talk to this account, from now on and until another account's are asked for."""
        clients, wire = _connected()
        wire.aws = self
        return clients

    def tick(self, event: object, settings: Settings = SETTINGS) -> dict[str, object]:
        """Invoke the function; return the fields of its log line."""
        line: dict[str, object] = handler.run(event, CONTEXT, settings, self.now, self.clients)
        return line

    # What AWS answers.

    def answer(self, operation: str, parameters: Parameters) -> Parameters:
        """Answer one call."""
        self.calls[operation] += 1
        for change in self.changes.pop(operation, []):
            change()
        for fault in self.faults:
            if fault.operation == operation and fault.left > 0 and fault.when(parameters):
                fault.left -= 1
                if isinstance(fault.error, Exception):
                    raise fault.error
                raise AwsError(fault.error[0], "this call was made to fail", fault.error[1])
        operations: dict[str, Callable[[Parameters], Parameters]] = {
            "DescribeInstances": self._describe_instances,
            "DescribeInstanceTypes": self._describe_instance_types,
            "GetProducts": self._get_products,
            "DescribeImages": lambda _: {"Images": [{"ImageId": id_, "Tags": LEFT} for id_ in self.images]},
            "DescribeSnapshots": lambda _: {"Snapshots": [{"SnapshotId": id_, "Tags": LEFT} for id_ in self.snapshots]},
            "DeregisterImage": lambda given: self._delete(self.images, given["ImageId"]),
            "DeleteSnapshot": lambda given: self._delete(self.snapshots, given["SnapshotId"]),
            "DescribeStacks": lambda _: {"Stacks": [STACK]},
            "DescribeStackResource": lambda _: {"StackResourceDetail": RESOURCE},
            "TerminateInstances": self._terminate_instances,
            "ModifyInstanceAttribute": self._modify_instance_attribute,
            "DescribeSpotFleetRequests": self._describe_spot_fleet_requests,
            "CancelSpotFleetRequests": self._cancel_spot_fleet_requests,
            "DescribeFleets": self._describe_fleets,
            "DeleteFleets": self._delete_fleets,
            "DescribeSpotInstanceRequests": self._describe_spot_instance_requests,
            "CancelSpotInstanceRequests": self._cancel_spot_instance_requests,
            "ListTargetsByRule": self._list_targets_by_rule,
            "ListRules": self._list_rules,
            "RemoveTargets": self._remove_targets,
            "DeleteRule": self._delete_rule,
            "ListObjectsV2": self._list_objects,
            "DeleteObject": self._delete_object,
        }
        return operations[operation](parameters)

    def _page(self, items: list[Any], token: str | None, limit: int) -> tuple[list[Any], dict[str, str]]:
        start = int(token or 0)
        end = start + min(limit, self.page_size)
        return items[start:end], {"NextToken": str(end)} if end < len(items) else {}

    def _describe_instances(self, parameters: Parameters) -> Parameters:
        found = [
            machine
            for machine in self.machines.values()
            if machine.visible
            and (not self.filters_work or all(_selects(chosen, machine) for chosen in parameters["Filters"]))
        ]
        limit = parameters.get("MaxResults", 1_000)
        if not 5 <= limit <= 1_000:
            raise AwsError("InvalidParameterValue", "MaxResults is between 5 and 1000")
        page, more = self._page(found, parameters.get("NextToken"), limit)
        return {"Reservations": [{"Instances": [_instance(machine)]} for machine in page], **more}

    def _describe_instance_types(self, parameters: Parameters) -> Parameters:
        (chosen,) = parameters["Filters"]
        assert chosen["Name"] == "instance-type"
        known = [name for name in sorted(VCPUS) if name in chosen["Values"]]
        page, more = self._page(known, parameters.get("NextToken"), parameters.get("MaxResults", 100))
        return {
            "InstanceTypes": [{"InstanceType": name, "VCpuInfo": {"DefaultVCpus": VCPUS[name]}} for name in page],
            **more,
        }

    def _get_products(self, parameters: Parameters) -> Parameters:
        wanted = {each["Field"]: each["Value"] for each in parameters["Filters"]}
        assert wanted["regionCode"] == "us-east-1"
        return {
            "PriceList": [_product(name, price) for name, price in PRICES.items() if name == wanted["instanceType"]]
        }

    def _terminate_instances(self, parameters: Parameters) -> Parameters:
        ids = parameters["InstanceIds"]
        if len(ids) > 1_000:
            raise AwsError("InvalidParameterValue", "too many instances")
        unknown = [id_ for id_ in ids if id_ not in self.machines]
        if unknown:
            raise AwsError("InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(unknown)}' do not exist")
        for id_ in ids:
            if self.machines[id_].protected:
                raise AwsError("OperationNotPermitted", f"The instance '{id_}' may not be terminated")
        for id_ in ids:
            self.ended.append(id_)
            if self.machines[id_].state != "terminated":
                self.machines[id_].state = "shutting-down"
        return {"TerminatingInstances": [{"InstanceId": id_} for id_ in ids]}

    def _modify_instance_attribute(self, parameters: Parameters) -> Parameters:
        machine = self.machines[parameters["InstanceId"]]
        assert parameters["DisableApiTermination"] == {"Value": False}
        if machine.profile != PROFILE:
            raise AwsError("UnauthorizedOperation", "no identity-based policy allows it", 403)
        machine.protected = False
        return {}

    def _delete(self, held: list[str], id_: str) -> Parameters:
        held.remove(id_)
        return {}

    def _describe_spot_fleet_requests(self, parameters: Parameters) -> Parameters:
        page, more = self._page(
            list(self.fleets.values()), parameters.get("NextToken"), parameters.get("MaxResults", 1_000)
        )
        return {"SpotFleetRequestConfigs": [_fleet_request(fleet) for fleet in page], **more}

    def _cancel_spot_fleet_requests(self, parameters: Parameters) -> Parameters:
        ids = parameters["SpotFleetRequestIds"]
        if len(ids) > 100:
            raise AwsError("InvalidParameterValue", "too many fleets")
        refused = []
        for id_ in ids:
            fleet = self.fleets.get(id_)
            if fleet is None:
                refused.append((id_, "fleetRequestIdDoesNotExist"))
            elif fleet.state not in ("submitted", "active"):
                refused.append((id_, "fleetRequestNotInCancellableState"))
            else:
                fleet.state = "cancelled_terminating" if parameters["TerminateInstances"] else "cancelled_running"
                for machine in self.machines.values():
                    if machine.fleet == id_ and machine.state != "terminated" and parameters["TerminateInstances"]:
                        self.ended.append(machine.id)
                        machine.state = "shutting-down"
        return {
            "UnsuccessfulFleetRequests": [
                {"SpotFleetRequestId": id_, "Error": {"Code": code, "Message": "refused"}} for id_, code in refused
            ]
        }

    def _replacers(self, kind: str, parameters: Parameters) -> tuple[list[FakeReplacer], dict[str, str]]:
        found = [each for each in self.replacers.values() if each.id.startswith(kind)]
        return self._page(found, parameters.get("NextToken"), parameters.get("MaxResults", 1_000))

    def _describe_fleets(self, parameters: Parameters) -> Parameters:
        page, more = self._replacers("fleet-", parameters)
        fleets = [
            {
                "FleetId": each.id,
                "FleetState": each.state,
                "CreateTime": datetime.fromtimestamp(each.started, UTC),
                "Tags": _tag_list(each.tags),
            }
            for each in page
        ]
        return {"Fleets": fleets, **more}

    def _delete_fleets(self, parameters: Parameters) -> Parameters:
        refused = []
        for id_ in parameters["FleetIds"]:
            if id_ not in self.replacers:
                refused.append((id_, "fleetIdDoesNotExist"))
                continue
            self.replacers[id_].state = "deleted_terminating"
            if parameters["TerminateInstances"]:
                self._terminate_instances({"InstanceIds": [self.replacers[id_].machine]})
        return {
            "UnsuccessfulFleetDeletions": [
                {"FleetId": id_, "Error": {"Code": code, "Message": "refused"}} for id_, code in refused
            ]
        }

    def _describe_spot_instance_requests(self, parameters: Parameters) -> Parameters:
        page, more = self._replacers("sir-", parameters)
        asked = {chosen["Name"]: chosen["Values"] for chosen in parameters["Filters"]}
        requests = [
            {
                "SpotInstanceRequestId": each.id,
                "InstanceId": each.machine,
                "State": each.state,
                "CreateTime": datetime.fromtimestamp(each.started, UTC),
            }
            for each in page
            if each.state in asked["state"]
        ]
        return {"SpotInstanceRequests": requests, **more}

    def _cancel_spot_instance_requests(self, parameters: Parameters) -> Parameters:
        for id_ in parameters["SpotInstanceRequestIds"]:
            if id_ not in self.replacers:
                raise AwsError("InvalidSpotInstanceRequestID.NotFound", f"The request {id_} does not exist")
        for id_ in parameters["SpotInstanceRequestIds"]:
            self.replacers[id_].state = "cancelled"
        return {}

    def _targets(self, rule: str) -> dict[str, str | None]:
        if rule not in self.rules:
            raise AwsError("ResourceNotFoundException", f"Rule {rule} does not exist on EventBus default.")
        return self.rules[rule]

    def _list_targets_by_rule(self, parameters: Parameters) -> Parameters:
        targets = [
            {"Id": id_, "Arn": self.arns.get(id_, LEASE_FUNCTION)} | ({} if text is None else {"Input": text})
            for id_, text in self._targets(parameters["Rule"]).items()
        ]
        page, more = self._page(targets, parameters.get("NextToken"), parameters.get("Limit", 100))
        return ({"Targets": page} if page else {}) | more

    def _list_rules(self, parameters: Parameters) -> Parameters:
        rules = [
            {"Name": name, "ScheduleExpression": self.schedules.get(name, "rate(5 minutes)")}
            for name in sorted(self.rules)
            if name.startswith(parameters.get("NamePrefix", ""))
        ]
        page, more = self._page(rules, parameters.get("NextToken"), parameters.get("Limit", 100))
        return {"Rules": page, **more}

    def _remove_targets(self, parameters: Parameters) -> Parameters:
        targets = self._targets(parameters["Rule"])
        if self.keeps_targets:
            entry = {"TargetId": parameters["Ids"][0], "ErrorCode": "Busy", "ErrorMessage": "not now"}
            return {"FailedEntryCount": 1, "FailedEntries": [entry]}
        for id_ in parameters["Ids"]:
            del targets[id_]
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def _delete_rule(self, parameters: Parameters) -> Parameters:
        name = parameters["Name"]
        if self.rules.get(name):
            raise AwsError("ValidationException", "Rule can't be deleted since it has targets.")
        self.rules.pop(name, None)
        self.removed_rules.append(name)
        return {}

    def _list_objects(self, parameters: Parameters) -> Parameters:
        if parameters["Bucket"] not in self.buckets:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        keys = [key for key in sorted(self.objects) if key.startswith(parameters.get("Prefix", ""))]
        page, more = self._page(keys, parameters.get("ContinuationToken"), parameters.get("MaxKeys", 1_000))
        answer: Parameters = {"Contents": [{"Key": key} for key in page], "IsTruncated": bool(more)}
        return answer | ({"NextContinuationToken": more["NextToken"]} if more else {})

    def _delete_object(self, parameters: Parameters) -> Parameters:
        if parameters["Bucket"] not in self.buckets:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        self.objects.discard(parameters["Key"])
        return {}


def _selects(chosen: Parameters, machine: FakeMachine) -> bool:
    values = {
        "client-token": machine.client_token,
        "instance-id": machine.id,
        "instance-state-name": machine.state,
        "iam-instance-profile.arn": machine.profile,
    } | {f"tag:{key}": value for key, value in machine.tags.items()}
    value = values.get(chosen["Name"])
    return value is not None and any(_pattern(wanted).fullmatch(value) for wanted in chosen["Values"])


@cache
def _pattern(wanted: str) -> re.Pattern[str]:
    # EC2: * is any text, ? is any one character, and \ takes the meaning from the character after it.
    meaning = {"*": ".*", "?": "."}
    parts = re.findall(r"\\.|.", wanted, re.DOTALL)
    return re.compile(
        "".join(re.escape(part[1]) if len(part) == 2 else meaning.get(part, re.escape(part)) for part in parts),
        re.DOTALL,
    )


def _tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _product(name: str, price: str) -> str:
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": price}}
    terms = {"OnDemand": {"term": {"priceDimensions": {"dimension": dimension}}}}
    return json.dumps({"product": {"attributes": {"instanceType": name}}, "terms": terms})


def _instance(machine: FakeMachine) -> Parameters:
    spot_fleet = {} if machine.fleet is None else {FLEET_TAG: machine.fleet}
    return {
        "InstanceId": machine.id,
        "InstanceType": machine.type,
        "State": {"Name": machine.state},
        "Tags": _tag_list(machine.tags | spot_fleet),
        "LaunchTime": datetime.fromtimestamp(machine.started, UTC),
        **({"SpotInstanceRequestId": machine.request} if machine.request else {}),
        **({"ClientToken": machine.client_token} if machine.client_token else {}),
        **({"IamInstanceProfile": {"Arn": machine.profile}} if machine.profile else {}),
    }


def _fleet_request(fleet: FakeFleet) -> Parameters:
    return {
        "SpotFleetRequestId": fleet.id,
        "SpotFleetRequestState": fleet.state,
        "CreateTime": datetime.fromtimestamp(fleet.started, UTC),
        "SpotFleetRequestConfig": {
            "IamFleetRole": "arn:aws:iam::123456789012:role/fleet",
            "TargetCapacity": 1,
            **({"ClientToken": fleet.client_token} if fleet.client_token else {}),
            "LaunchSpecifications": [
                {
                    "IamInstanceProfile": {"Arn": profile},
                    **({"TagSpecifications": [{"ResourceType": "instance", "Tags": _tag_list(tags)}]} if tags else {}),
                }
                for tags, profile in zip(fleet.specification_tags, fleet.profiles, strict=True)
            ],
        },
    }


class _Wire:
    """Takes a call between botocore's checks and the network, and lets the account answer it."""

    def __init__(self) -> None:
        self.aws = FakeAws()
        self._lock = threading.Lock()

    def attach(self, client: Any) -> None:
        client.meta.events.register_last("before-parameter-build", self._keep)
        client.meta.events.register_last("before-call", self._answer)

    def _keep(self, params: Parameters, context: Parameters, **_: object) -> None:
        context["fake_aws_parameters"] = dict(params)

    def _answer(self, model: Any, context: Parameters, **_: object) -> tuple[SimpleNamespace, Parameters]:
        try:
            with self._lock:
                answer = self.aws.answer(model.name, context["fake_aws_parameters"])
        except AwsError as error:
            parsed = {
                "Error": {"Code": error.code, "Message": str(error)},
                "ResponseMetadata": {"HTTPStatusCode": error.status},
            }
            return SimpleNamespace(status_code=error.status), parsed
        if model.output_shape is not None:
            validate_parameters(answer, model.output_shape)
        return SimpleNamespace(status_code=200), answer


@cache
def _connected() -> tuple[Clients, _Wire]:
    # Made once: loading EC2's model takes longer than most tests.
    wire, clients = _Wire(), Clients()
    session = boto3.Session("testing", "testing", region_name="us-east-1")
    clients.ec2 = session.client("ec2")
    clients.events = session.client("events")
    clients.s3 = session.client("s3")
    clients.cloudformation = session.client("cloudformation")
    pricing = session.client("pricing")
    clients.pricing = lambda region: pricing  # type: ignore[method-assign]  # noqa: ARG005 (of any endpoint)
    for client in (clients.cloudformation, clients.ec2, clients.events, clients.s3, pricing):
        wire.attach(client)
    return clients, wire
