"""Spot requests of single machines: a persistent one starts another machine where its own has ended.

MiniStack makes none for RunInstances. Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import AccountRegionScopedDict
from ministack.services import ec2

from local_aws.server import wire
from local_aws.server.ec2 import instances
from local_aws.server.ec2.instances import Instance
from local_aws.server.wire import Params, RefusalError, Response


@dataclass
class SpotRequest:
    """One request.

    Attributes:
        request_id: its ID.
        launch: the RunInstances request that its machines are started by.
        created: when.
        instance_id: its latest machine.
        cancelled: whether it starts none any more.
    """

    request_id: str
    launch: dict[str, Any]
    created: datetime
    instance_id: str
    cancelled: bool = False

    @property
    def type(self) -> str:
        """``persistent`` or ``one-time``."""
        options = self.launch.get("InstanceMarketOptions", {}).get("SpotOptions", {})
        return str(options.get("SpotInstanceType", "one-time"))

    @property
    def state(self) -> str:
        """A SpotInstanceState."""
        if self.cancelled:
            return "cancelled"
        return "active" if instances.is_live(self.instance_id) else "closed"


_requests = AccountRegionScopedDict()


def install() -> None:
    """Extend MiniStack's EC2."""
    instances.REPLACING.append(replace_ended)
    wire.install(
        {
            "CancelSpotInstanceRequests": cancel_spot_instance_requests,
            "DescribeSpotInstanceRequests": describe_spot_instance_requests,
        }
    )


def describe_spot_instance_requests(params: Params) -> Response:
    """DescribeSpotInstanceRequests, in pages."""
    request = wire.read("DescribeSpotInstanceRequests", params)
    _note_new()
    asked = {each["Name"]: each.get("Values", []) for each in request.get("Filters", [])}
    if unknown := sorted(asked.keys() - {"state", "type"}):
        raise RefusalError("InvalidParameterValue", f"The filter '{unknown[0]}' is invalid")
    named = [_find(request_id) for request_id in request.get("SpotInstanceRequestIds", list(_requests))]
    wanted = [
        (each.request_id, each)
        for each in named
        if each.state in asked.get("state", [each.state]) and each.type in asked.get("type", [each.type])
    ]
    shown, token = wire.page(wanted, request, minimum=5)
    found = [
        {
            "SpotInstanceRequestId": each.request_id,
            "Type": each.type,
            "State": each.state,
            "InstanceId": each.instance_id,
            "CreateTime": each.created,
            "LaunchSpecification": {
                name: each.launch[name] for name in ("ImageId", "InstanceType", "SubnetId") if name in each.launch
            },
            "Tags": ec2._tags.get(each.request_id) or None,
        }
        for each in shown
    ]
    return wire.answer("DescribeSpotInstanceRequests", SpotInstanceRequests=found, NextToken=token)


def cancel_spot_instance_requests(params: Params) -> Response:
    """CancelSpotInstanceRequests; machines that run go on."""
    request = wire.read("CancelSpotInstanceRequests", params)
    _note_new()
    wanted = [_find(request_id) for request_id in request["SpotInstanceRequestIds"]]
    for each in wanted:
        each.cancelled = True
    done = [{"SpotInstanceRequestId": each.request_id, "State": "cancelled"} for each in wanted]
    return wire.answer("CancelSpotInstanceRequests", CancelledSpotInstanceRequests=done)


def replace_ended() -> None:
    """Have every open persistent request start another machine where its own has ended."""
    _note_new()
    for each in _requests.values():
        if each.type == "persistent" and each.state == "closed":
            (machine,) = instances.start(each.launch, 1, spot=True)
            machine |= {"SpotInstanceRequestId": each.request_id, "ClientToken": ""}
            each.instance_id = machine["InstanceId"]


def _note_new() -> None:
    """Note the requests of machines that RunInstances started; those of fleets belong to the fleets."""
    for instance in ec2._instances.values():
        if "InstanceMarketOptions" in instance.get("LaunchRequest", {}) and instance["SpotInstanceRequestId"]:
            request = _made_by(instance)
            if request.request_id not in _requests:
                _requests[request.request_id] = request
                ec2._tags[request.request_id] = instances.tags_of("spot-instances-request", request.launch)


def _made_by(instance: Instance) -> SpotRequest:
    launch = instance["LaunchRequest"]
    return SpotRequest(instance["SpotInstanceRequestId"], launch, datetime.now(UTC), instance["InstanceId"])


def _find(request_id: str) -> SpotRequest:
    found: SpotRequest | None = _requests.get(request_id)
    if found is None:
        raise RefusalError(
            "InvalidSpotInstanceRequestID.NotFound", f"The spot instance request ID '{request_id}' does not exist"
        )
    return found
