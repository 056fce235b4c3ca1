"""The custom resources of the stack: one record for each, for those who make, change, explain and draw them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

STACK_ID = "StackId"
"""The environment variable of a custom resource's function that holds the stack's ID. Each property of the resource has
a variable of its own name, so that no event can ask for what the template does not."""


class Property(StrEnum):
    """The properties of custom resources."""

    BUCKET_NAME = "BucketName"
    CONDOR_CIDRS = "CondorCidrs"
    CONDOR_PORT = "CondorPort"
    EXPIRATION_DAYS = "ExpirationDays"
    GROUP_NAME = "GroupName"
    KEY_PATTERN = "KeyPattern"
    PERMISSIONS_BOUNDARY_ARN = "PermissionsBoundaryArn"
    ROLE_NAME = "RoleName"
    SSH_CIDRS = "SshCidrs"
    TRUSTED_SERVICE = "TrustedService"
    VPC_ID = "VpcId"


class Attribute(StrEnum):
    """The attributes of custom resources, which the template reads with ``Fn::GetAtt``."""

    BUCKET_NAME = "BucketName"
    GROUP_ID = "GroupId"
    PROFILE_ARN = "ProfileArn"
    ROLE_ARN = "RoleArn"


@dataclass(frozen=True)
class CustomResource:
    """One custom resource.

    Attributes:
        logical_id: its name in the template.
        resource_type: such as ``Custom::AnnexBucket``.
        module: the module of ``custom_resources`` that serves it.
        name: what a person calls it.
        summary: what it is, beside its number in a list of all resources.
        cost: what it costs to keep.
        purpose: what its function does.
        name_property: the property that names it: its physical ID, so another name makes another resource.
        properties: the types of all its properties; a list is one of strings.
        attributes: what it gives to the rest of the template.
        replaced_by: properties besides its name whose change comes with another name, and so makes another resource.
    """

    logical_id: str
    resource_type: str
    module: str
    name: str
    summary: str
    cost: str
    purpose: str
    name_property: Property
    properties: Mapping[Property, type]
    attributes: tuple[Attribute, ...]
    replaced_by: tuple[Property, ...] = ()

    @property
    def replacing(self) -> frozenset[Property]:
        """The properties whose change makes another resource."""
        return frozenset((self.name_property, *self.replaced_by))


BUCKET = CustomResource(
    logical_id="Bucket",
    resource_type="Custom::AnnexBucket",
    module="bucket",
    name="the bucket",
    summary="private bucket for pool configurations",
    cost="The stored bytes: a few KB per annex",
    purpose="creates or adopts the private bucket",
    name_property=Property.BUCKET_NAME,
    properties={Property.BUCKET_NAME: str, Property.EXPIRATION_DAYS: int},
    attributes=(Attribute.BUCKET_NAME,),
)

INSTANCE_ROLE = CustomResource(
    logical_id="InstanceRole",
    resource_type="Custom::AnnexInstanceRole",
    module="instance_role",
    name="the machines' role",
    summary="role and instance profile for the machines",
    cost="Nothing",
    purpose="creates the machines' role and instance profile",
    name_property=Property.ROLE_NAME,
    properties={
        Property.ROLE_NAME: str,
        Property.TRUSTED_SERVICE: str,
        Property.BUCKET_NAME: str,
        Property.KEY_PATTERN: str,
        Property.PERMISSIONS_BOUNDARY_ARN: str,
    },
    attributes=(Attribute.PROFILE_ARN, Attribute.ROLE_ARN),
)

FLEET_ROLE = CustomResource(
    logical_id="FleetRole",
    resource_type="Custom::AnnexFleetRole",
    module="fleet_role",
    name="the fleet role",
    summary="role for spot fleets",
    cost="Nothing",
    purpose="creates or adopts the spot fleets' role",
    name_property=Property.ROLE_NAME,
    properties={
        Property.ROLE_NAME: str,
        Property.TRUSTED_SERVICE: str,
        Property.PERMISSIONS_BOUNDARY_ARN: str,
    },
    attributes=(Attribute.ROLE_ARN,),
)

SECURITY_GROUP = CustomResource(
    logical_id="SecurityGroup",
    resource_type="Custom::AnnexSecurityGroup",
    module="security_group",
    name="the security group",
    summary="security group for the machines",
    cost="Nothing",
    purpose="creates the machines' security group",
    name_property=Property.GROUP_NAME,
    properties={
        Property.GROUP_NAME: str,
        Property.VPC_ID: str,
        Property.CONDOR_PORT: int,
        Property.CONDOR_CIDRS: list,
        Property.SSH_CIDRS: list,
    },
    attributes=(Attribute.GROUP_ID,),
    replaced_by=(Property.VPC_ID,),
)

CUSTOM_RESOURCES = (BUCKET, INSTANCE_ROLE, FLEET_ROLE, SECURITY_GROUP)

BY_TYPE: Mapping[str, CustomResource] = {resource.resource_type: resource for resource in CUSTOM_RESOURCES}
