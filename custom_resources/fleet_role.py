"""The spot fleet's role, and the two service-linked roles without which EC2 refuses a spot fleet.

A role of that name that exists is adopted when the spot fleet service may take it: used, never changed, never
deleted. The service-linked roles belong to the account, serve all its fleets, and stay.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from annex_contract.machine_policies import FLEET_POLICY, fleet_policy
from annex_contract.resources import FLEET_ROLE, Attribute, Property
from annex_contract.stack import ROLE_PATH, SPOT_SERVICE_LINKED_ROLES, SPOT_TAGGING_POLICY
from custom_resources.lifecycle import Request, ResourceError, client, error_code, serve
from custom_resources.roles import delete_role, find_role, put_role, trusts

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import RoleTypeDef

logger = logging.getLogger(__name__)

FORBIDDEN = re.compile("with an explicit deny in|because no (?:service control policy|permissions boundary) allows")
"""How a denial ends that comes from an organisation, a boundary or an explicit Deny:
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"""


def put(request: Request) -> Mapping[str, str]:
    """Make the role, or check the one to adopt, and the service-linked roles where that is not forbidden.

    Raises:
        ResourceError: a role of that name exists and the spot fleet service may not take it.
        ClientError: AWS refused a call.
    """
    iam: IAMClient = client("iam")
    for role_name, service in SPOT_SERVICE_LINKED_ROLES.items():
        if find_role(iam, role_name) is None:
            _create_service_linked_role(iam, service)
    role = find_role(iam, request.name)
    if role is not None and not request.owns(role.get("Tags", [])):
        _check_adoptable(request, role)
        logger.info("adopted the role %s", request.name)
        return {Attribute.ROLE_ARN: role["Arn"]}
    role_arn = put_role(iam, request, role, "Lets spot fleets of HTCondor annexes start and tag machines")["Arn"]
    partition = role_arn.split(":")[1]
    machine_role = f"arn:{partition}:iam::{request.account}:role{ROLE_PATH}{request.properties[Property.INSTANCE_ROLE]}"
    document = fleet_policy(partition, request.account, machine_role, request.properties.get(Property.KMS_KEY, ""))
    iam.put_role_policy(RoleName=request.name, PolicyName=FLEET_POLICY, PolicyDocument=json.dumps(document))
    if role is not None:
        _detach_tagging_policy(iam, request.name)
    return {Attribute.ROLE_ARN: role_arn}


def delete(request: Request) -> str:
    """Delete the role if this stack made it."""
    delete_role(client("iam"), request)
    return ""


def _create_service_linked_role(iam: IAMClient, service: str) -> None:
    try:
        iam.create_service_linked_role(AWSServiceName=service)
    except ClientError as error:
        # Machines on demand need none, and an administrator may make it at any time. A denial for want of this
        # function's own policy, which may be seconds old, is another matter.
        reason = error.response["Error"].get("Message", "")
        if error_code(error) != "AccessDenied" or not FORBIDDEN.search(reason):
            raise
        logger.warning("no service-linked role for %s, so no spot machines: %s", service, reason)


def _detach_tagging_policy(iam: IAMClient, role_name: str) -> None:
    # Earlier versions attached AWS's own.
    for attached in iam.list_attached_role_policies(RoleName=role_name)["AttachedPolicies"]:
        if attached["PolicyArn"].endswith(f":aws:policy/{SPOT_TAGGING_POLICY}"):
            iam.detach_role_policy(RoleName=role_name, PolicyArn=attached["PolicyArn"])


def _check_adoptable(request: Request, role: RoleTypeDef) -> None:
    service = request.properties[Property.TRUSTED_SERVICE]
    if not trusts(role, service):
        raise ResourceError(
            f"the role {request.name} does not trust {service}; "
            "give the name of a role that does, or leave FleetRoleName empty to have one made"
        )


handler = serve(FLEET_ROLE.name_property, put, delete)
