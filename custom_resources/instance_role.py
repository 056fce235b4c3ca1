"""The role and instance profile of condor_annex's machines: what the 8.7.0 guide's ``generate-role`` made.

Both policies are inline, because the boot script cannot parse managed ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from annex_contract.machine_policies import BOOT_POLICY, CONFIGURATION_POLICY, boot_policy, configuration_policy
from annex_contract.resources import INSTANCE_ROLE, Attribute, Property
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
    partition, bucket = request.stack_id.split(":")[1], request.properties[Property.BUCKET_NAME]
    configuration = configuration_policy(f"arn:{partition}:s3:::{bucket}/{request.properties[Property.KEY_PATTERN]}")
    if request.properties.get(Property.GIVEN_ROLES):
        given, profile = use_given(iam, request, {CONFIGURATION_POLICY: configuration})
        return {Attribute.PROFILE_ARN: profile, Attribute.ROLE_ARN: given["Arn"]}
    role = find_role(iam, request.name)
    role_arn = put_role(iam, request, role, "Lets the machines of HTCondor annexes join the pool")["Arn"]
    profile = profile_arn(request, role_arn)
    policies = {CONFIGURATION_POLICY: configuration, BOOT_POLICY: boot_policy(role_arn, profile)}
    for policy_name, document in policies.items():
        iam.put_role_policy(RoleName=request.name, PolicyName=policy_name, PolicyDocument=json.dumps(document))
    put_key_policy(iam, request)
    put_profile(iam, request, is_likely=role is not None)
    return {Attribute.PROFILE_ARN: profile, Attribute.ROLE_ARN: role_arn}


handler = serve(INSTANCE_ROLE.name_property, put, delete_profile_and_role)
