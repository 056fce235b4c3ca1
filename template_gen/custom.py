"""The custom resources of the stack, each on a function of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from troposphere import AWSHelperFn, GetAtt, Ref, Sub, Template
from troposphere.awslambda import EventInvokeConfig
from troposphere.cloudformation import AWSCustomObject

from annex_contract import __version__
from annex_contract.stack import Part
from template_gen import names, policies
from template_gen.archive import Sources
from template_gen.functions import add_function, custom_resource_sources

TIMEOUT = 300
"""Seconds a custom resource may take. Each needs only a few; the rest allows for delays in AWS."""

GROUP_TIMEOUT = 900
"""Seconds for the security group, whose deletion waits for machines: the maximum that Lambda allows."""

START_DELAY = 60
"""Seconds that a request may wait for its function to start: the minimum that Lambda allows. CloudFormation waits this
much longer than the function may run, so no request is served after CloudFormation has given up on it."""

EXPIRATION_DAYS = 30
"""Days after which the bucket deletes a pool configuration that the lease function never deleted."""


class _AnnexResource(AWSCustomObject):  # type: ignore[misc]  # troposphere has no types
    """A custom resource. ``Version`` makes every release update it, so that new behaviour takes effect."""

    common: ClassVar[dict[str, Any]] = {
        "ServiceToken": (str, True),
        "ServiceTimeout": (int, True),
        "Version": (str, True),
    }


class AnnexBucket(_AnnexResource):
    """The private bucket. See ``custom_resources.bucket``."""

    resource_type = "Custom::AnnexBucket"
    props = _AnnexResource.common | {"BucketName": (str, True), "ExpirationDays": (int, True)}


class AnnexInstanceRole(_AnnexResource):
    """The machines' role and profile. See ``custom_resources.instance_role``."""

    resource_type = "Custom::AnnexInstanceRole"
    props = _AnnexResource.common | {
        "RoleName": (str, True),
        "TrustedService": (str, True),
        "BucketName": (str, True),
        "KeyPattern": (str, True),
        "PermissionsBoundaryArn": (str, True),
    }


class AnnexFleetRole(_AnnexResource):
    """The spot fleets' role. See ``custom_resources.fleet_role``."""

    resource_type = "Custom::AnnexFleetRole"
    props = _AnnexResource.common | {
        "RoleName": (str, True),
        "TrustedService": (str, True),
        "PermissionsBoundaryArn": (str, True),
    }


class AnnexSecurityGroup(_AnnexResource):
    """The machines' security group. See ``custom_resources.security_group``."""

    resource_type = "Custom::AnnexSecurityGroup"
    props = _AnnexResource.common | {
        "GroupName": (str, True),
        "VpcId": (str, True),
        "CondorPort": (int, True),
        "CondorCidrs": (list, True),
        "SshCidrs": (list, True),
    }


@dataclass(frozen=True)
class Attributes:
    """What the custom resources created, for the rest of the template."""

    bucket_name: AWSHelperFn
    profile_arn: AWSHelperFn
    instance_role_arn: AWSHelperFn
    fleet_role_arn: AWSHelperFn
    group_id: AWSHelperFn


def add_custom_resources(template: Template) -> Attributes:
    """Add the four custom resources and their functions."""
    boundary = Ref("PermissionsBoundaryArn")

    bucket = template.add_resource(
        AnnexBucket(
            "Bucket",
            **_provided(
                template,
                "BucketFunction",
                "annex-bootstrap: creates or adopts the private bucket",
                custom_resource_sources("bucket", "annex_contract.lease"),
                policies.bucket(),
                policy_name=names.BUCKET,
            ),
            BucketName=names.BUCKET,
            ExpirationDays=EXPIRATION_DAYS,
        )
    )
    instance_role = template.add_resource(
        AnnexInstanceRole(
            "InstanceRole",
            **_provided(
                template,
                "InstanceRoleFunction",
                "annex-bootstrap: creates the machines' role and instance profile",
                custom_resource_sources("instance_role", "custom_resources.machine_policies", "custom_resources.roles"),
                policies.instance_role(),
                policy_name=names.INSTANCE_ROLE,
            ),
            RoleName=names.INSTANCE_ROLE,
            TrustedService=Sub("ec2.${AWS::URLSuffix}"),
            BucketName=GetAtt(bucket, "BucketName"),
            KeyPattern=Ref("ConfigKeyPattern"),
            PermissionsBoundaryArn=boundary,
        )
    )
    fleet_role = template.add_resource(
        AnnexFleetRole(
            "FleetRole",
            **_provided(
                template,
                "FleetRoleFunction",
                "annex-bootstrap: creates or adopts the spot fleets' role",
                custom_resource_sources("fleet_role", "custom_resources.roles"),
                policies.fleet_role(),
                policy_name=names.FLEET_ROLE,
            ),
            RoleName=names.FLEET_ROLE,
            TrustedService="spotfleet.amazonaws.com",
            PermissionsBoundaryArn=boundary,
        )
    )
    security_group = template.add_resource(
        AnnexSecurityGroup(
            "SecurityGroup",
            **_provided(
                template,
                "SecurityGroupFunction",
                "annex-bootstrap: creates the machines' security group",
                custom_resource_sources("security_group"),
                policies.security_group(),
                policy_name=names.SECURITY_GROUP,
                timeout=GROUP_TIMEOUT,
            ),
            GroupName=names.SECURITY_GROUP,
            VpcId=Ref("VpcId"),
            CondorPort=Ref("CondorPort"),
            CondorCidrs=Ref("CondorCidrs"),
            SshCidrs=Ref("SshCidrs"),
        )
    )
    return Attributes(
        bucket_name=GetAtt(bucket, "BucketName"),
        profile_arn=GetAtt(instance_role, "ProfileArn"),
        instance_role_arn=GetAtt(instance_role, "RoleArn"),
        fleet_role_arn=GetAtt(fleet_role, "RoleArn"),
        group_id=GetAtt(security_group, "GroupId"),
    )


def _provided(
    template: Template,
    title: str,
    description: str,
    sources: Sources,
    statements: list[policies.Statement],
    *,
    policy_name: AWSHelperFn,
    timeout: int = TIMEOUT,
) -> dict[str, Any]:
    """Add the function behind a custom resource and return the properties that refer to it."""
    function = add_function(template, title, description, sources, statements, timeout=timeout, policy_name=policy_name)
    # A retried request could create things that CloudFormation has already had deleted.
    once = template.add_resource(
        EventInvokeConfig(
            Part.ONCE.of(title),
            FunctionName=Ref(function),
            Qualifier="$LATEST",
            MaximumRetryAttempts=0,
            MaximumEventAgeInSeconds=START_DELAY,
        )
    )
    return {
        "DependsOn": once.title,
        "ServiceToken": GetAtt(function, "Arn"),
        "ServiceTimeout": timeout + START_DELAY,
        "Version": __version__,
    }
