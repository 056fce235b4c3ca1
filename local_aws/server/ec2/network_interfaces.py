"""The filter of DescribeNetworkInterfaces by group, which MiniStack ignores."""

from __future__ import annotations

from ministack.services import ec2

from local_aws.server import wire
from local_aws.server.wire import Params, RefusalError, Response


def install() -> None:
    """Extend MiniStack's EC2."""
    wire.install({"DescribeNetworkInterfaces": describe})


def describe(params: Params) -> Response:
    """DescribeNetworkInterfaces, all at once."""
    request = wire.read("DescribeNetworkInterfaces", params)
    found = list(ec2._network_interfaces.values())
    if "NetworkInterfaceIds" in request:
        found = [each for each in found if each["NetworkInterfaceId"] in request["NetworkInterfaceIds"]]
    for filter_ in request.get("Filters", []):
        if filter_["Name"] != "group-id":
            raise RefusalError("InvalidParameterValue", f"The filter '{filter_['Name']}' is invalid")
        found = [each for each in found if groups_of(each) & set(filter_["Values"])]
    items = "".join(map(ec2._eni_fields_xml, found))
    response: Response = ec2._xml(
        200, "DescribeNetworkInterfacesResponse", f"<networkInterfaceSet>{items}</networkInterfaceSet>"
    )
    return response


def groups_of(interface: dict[str, list[dict[str, str]]]) -> set[str]:
    """Return the IDs of an interface's security groups."""
    return {group["GroupId"] for group in interface["Groups"]}
