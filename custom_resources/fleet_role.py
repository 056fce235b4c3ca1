"""The spot fleet's role, and the two service-linked roles without which EC2 refuses a spot fleet.

Properties: ``RoleName``, ``TrustedService``, ``PermissionsBoundaryArn``. Attributes: ``RoleArn``.

A role of that name that exists is adopted when the spot fleet service may take it: used, never changed, never
deleted. The service-linked roles belong to the account, serve all its fleets, and stay.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from custom_resources.lifecycle import CLIENT_CONFIG, Outcome, Request, ResourceError, error_code, serve
from custom_resources.roles import delete_role, find_role, put_role

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import RoleTypeDef

logger = logging.getLogger(__name__)

TAGGING_POLICY = "service-role/AmazonEC2SpotFleetTaggingRole"
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet-prerequisites.html"""

SERVICE_LINKED_ROLES = {
    "AWSServiceRoleForEC2Spot": "spot.amazonaws.com",
    "AWSServiceRoleForEC2SpotFleet": "spotfleet.amazonaws.com",
}
"""Role names and their services, the same in every partition; same source."""


def name(request: Request) -> str:
    """The role's name, which is its physical ID too."""
    return str(request.properties["RoleName"])


def put(request: Request) -> Outcome:
    """Make the role, or check the one to adopt, and make sure that the service-linked roles exist.

    Raises:
        ResourceError: a role of that name exists and the spot fleet service may not take it.
        ClientError: AWS refused a call.
    """
    iam: IAMClient = boto3.client("iam", config=CLIENT_CONFIG)
    for role_name, service in SERVICE_LINKED_ROLES.items():
        if find_role(iam, role_name) is None:
            _create_service_linked_role(iam, service)
    role = find_role(iam, name(request))
    if role is not None and not request.owns(role.get("Tags", [])):
        _check_adoptable(request, role)
        logger.info("adopted the role %s", role["RoleName"])
        return Outcome(name(request), {"RoleArn": role["Arn"]})
    role_arn = put_role(iam, request, role, "Lets spot fleets of HTCondor annexes start and tag machines")
    policy_arn = f"arn:{role_arn.split(':')[1]}:iam::aws:policy/{TAGGING_POLICY}"
    iam.attach_role_policy(RoleName=name(request), PolicyArn=policy_arn)
    return Outcome(name(request), {"RoleArn": role_arn})


def delete(request: Request) -> None:
    """Delete the role if this stack made it."""
    iam: IAMClient = boto3.client("iam", config=CLIENT_CONFIG)
    role = find_role(iam, request.physical_id)
    if role is not None and request.owns(role.get("Tags", [])):
        delete_role(iam, request.physical_id)


def _create_service_linked_role(iam: IAMClient, service: str) -> None:
    try:
        iam.create_service_linked_role(AWSServiceName=service)
    except ClientError as error:
        # IAM answers so when the role appeared since we looked.
        if error_code(error) != "InvalidInput":
            raise


def _check_adoptable(request: Request, role: RoleTypeDef) -> None:
    # boto3 decodes the document, though its type says that it is text.
    if request.properties["TrustedService"] not in json.dumps(role["AssumeRolePolicyDocument"]):
        raise ResourceError(
            f"the role {role['RoleName']} does not trust {request.properties['TrustedService']}; "
            "give the name of a role that does, or leave FleetRoleName empty to have one made"
        )


handler = serve(name, put, delete)
