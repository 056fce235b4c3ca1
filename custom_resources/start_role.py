"""The role and profile of the machines that ``start`` starts: each reads its own configuration, and nothing else.

The role's unique ID is a part of the key of each machine's configuration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from annex_contract.machine_policies import START_POLICY, start_policy
from annex_contract.resources import START_ROLE, Attribute, Property
from custom_resources.given_roles import check_unchanged, use_given
from custom_resources.lifecycle import Request, client, serve
from custom_resources.profiles import delete_profile_and_role, profile_arn, put_key_policy, put_profile
from custom_resources.roles import find_role, put_role

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient


def put(request: Request) -> Mapping[str, str]:
    """Make role and profile, bring ours to what the properties ask for, or check those of an administrator.

    Raises:
        ResourceError: a role or profile of that name exists and is not this stack's, or what an administrator made is
            not what it should be.
        ClientError: AWS refused a call.
    """
    iam: IAMClient = client("iam")
    check_unchanged(request)
    policy = start_policy(request.stack_id.split(":")[1], str(request.properties[Property.BUCKET_NAME]))
    if request.properties.get(Property.GIVEN_ROLES):
        given, profile = use_given(iam, request, {START_POLICY: policy})
        return {Attribute.PROFILE_ARN: profile, Attribute.ROLE_ID: given["RoleId"]}
    existing = find_role(iam, request.name)
    role = put_role(iam, request, existing, "Lets each machine of annex-bootstrap start read its own configuration")
    iam.put_role_policy(RoleName=request.name, PolicyName=START_POLICY, PolicyDocument=json.dumps(policy))
    put_key_policy(iam, request)
    put_profile(iam, request, is_likely=existing is not None)
    return {
        Attribute.PROFILE_ARN: profile_arn(request, role["Arn"]),
        Attribute.ROLE_ID: role["RoleId"],
    }


handler = serve(START_ROLE.name_property, put, delete_profile_and_role)
