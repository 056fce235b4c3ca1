"""The service-linked roles of spot requests and spot fleets under AWS's names; MiniStack makes up others.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/service-linked-roles-spot-instance-requests.html
"""

from __future__ import annotations

from ministack.services import iam

from local_aws.server.iam.rules import value_of
from local_aws.server.wire import Params, Response

NAMES = {
    "spot.amazonaws.com": "AWSServiceRoleForEC2Spot",
    "spotfleet.amazonaws.com": "AWSServiceRoleForEC2SpotFleet",
}


def install() -> None:
    """Extend MiniStack's IAM."""
    create = iam._IAM_HANDLERS["CreateServiceLinkedRole"]

    def create_service_linked_role(params: Params) -> Response:
        name = NAMES.get(value_of(params, "AWSServiceName"))
        if name in iam._roles:
            message = f"Service role name {name} has been taken in this account, please try a different suffix."
            taken: Response = iam._error(400, "InvalidInput", message, ns="iam")
            return taken
        before = set(iam._roles)
        created: Response = create(params)
        if name is None or created[0] != 200:
            return created
        (made_up,) = set(iam._roles) - before
        role = iam._roles.pop(made_up)
        iam._roles[name] = role | {"RoleName": name, "Arn": role["Arn"].replace(made_up, name)}
        status, headers, body = created
        return status, headers, body.replace(made_up.encode(), name.encode())

    iam._IAM_HANDLERS["CreateServiceLinkedRole"] = create_service_linked_role
