"""The way out of the default VPC, which AWS's has and MiniStack's lacks.

Source: https://docs.aws.amazon.com/vpc/latest/userguide/default-vpc-components.html
"""

from __future__ import annotations

from ministack.services import ec2


def install() -> None:
    """Put the route into the main route table of the default VPC when MiniStack makes it."""
    init_defaults = ec2._init_defaults

    def init_with_way_out() -> None:
        init_defaults()
        routes = ec2._route_tables[ec2._DEFAULT_RTB_ID]["Routes"]
        if all(route["DestinationCidrBlock"] != "0.0.0.0/0" for route in routes):
            routes.append(
                {
                    "DestinationCidrBlock": "0.0.0.0/0",
                    "GatewayId": ec2._DEFAULT_IGW_ID,
                    "State": "active",
                    "Origin": "CreateRoute",
                }
            )

    ec2._init_defaults = init_with_way_out
    # MiniStack has made that of the default region already.
    init_with_way_out()
