"""VPC endpoints: the routes to those of the type gateway, and the private names of others, which MiniStack lacks.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVpcEndpoint.html, and for the routes
https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
"""

from __future__ import annotations

import hashlib
import uuid

from ministack.core.responses import get_account_id
from ministack.services import ec2

from local_aws.server import wire
from local_aws.server.ec2 import instances
from local_aws.server.wire import Params, RefusalError, Response

FILTERS = {"service-name": "ServiceName", "vpc-endpoint-type": "VpcEndpointType", "vpc-id": "VpcId"}
"""The filters of DescribeVpcEndpoints that are known, and the member that each compares."""


def install() -> None:
    """Extend MiniStack's EC2."""
    wire.install(
        {
            "CreateVpcEndpoint": create_vpc_endpoint,
            "DeleteVpcEndpoints": delete_vpc_endpoints,
            "DescribeVpcEndpoints": describe_vpc_endpoints,
        }
    )


def create_vpc_endpoint(params: Params) -> Response:
    """CreateVpcEndpoint; it is there at once."""
    request = wire.read("CreateVpcEndpoint", params)
    kind, service = request.get("VpcEndpointType", "Gateway"), request["ServiceName"]
    endpoint = {
        "VpcEndpointId": f"vpce-{uuid.uuid4().hex[:17]}",
        "VpcEndpointType": kind,
        "VpcId": request["VpcId"],
        "ServiceName": service,
        "State": "available",
        "RouteTableIds": request.get("RouteTableIds", []),
        "SubnetIds": request.get("SubnetIds", []),
        "PrivateDnsEnabled": request.get("PrivateDnsEnabled", kind == "Interface"),
        "OwnerId": get_account_id(),
    }
    ec2._vpc_endpoints[endpoint["VpcEndpointId"]] = endpoint
    ec2._tags[endpoint["VpcEndpointId"]] = instances.tags_of("vpc-endpoint", request)
    for table in endpoint["RouteTableIds"]:
        ec2._route_tables[table]["Routes"].append(
            {
                "DestinationPrefixListId": f"pl-{hashlib.sha256(service.encode()).hexdigest()[:8]}",
                "GatewayId": endpoint["VpcEndpointId"],
                "State": "active",
                "Origin": "CreateRoute",
            }
        )
    return wire.answer("CreateVpcEndpoint", VpcEndpoint=endpoint)


def delete_vpc_endpoints(params: Params) -> Response:
    """DeleteVpcEndpoints, and the routes to them."""
    gone = wire.read("DeleteVpcEndpoints", params)["VpcEndpointIds"]
    for endpoint_id in gone:
        ec2._vpc_endpoints.pop(endpoint_id, None)
        ec2._tags.pop(endpoint_id, None)
    for table in ec2._route_tables.values():
        table["Routes"] = [route for route in table["Routes"] if route.get("GatewayId") not in gone]
    return wire.answer("DeleteVpcEndpoints", Unsuccessful=[])


def describe_vpc_endpoints(params: Params) -> Response:
    """DescribeVpcEndpoints, all at once."""
    request = wire.read("DescribeVpcEndpoints", params)
    found = [
        endpoint
        for endpoint_id, endpoint in ec2._vpc_endpoints.items()
        if endpoint_id in request.get("VpcEndpointIds", [endpoint_id])
    ]
    for filter_ in request.get("Filters", []):
        if filter_["Name"] not in FILTERS:
            raise RefusalError("InvalidParameterValue", f"The filter '{filter_['Name']}' is invalid")
        found = [each for each in found if each[FILTERS[filter_["Name"]]] in filter_["Values"]]
    return wire.answer("DescribeVpcEndpoints", VpcEndpoints=found)
