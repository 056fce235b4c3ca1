"""The custom resources of the stack: one record for each, for those who make, change and draw them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

STACK_ID = "StackId"
"""The environment variable of a custom resource's function that holds the stack's ID. Each property of the resource has
a variable of its own name, so that no event can ask for what the template does not."""


class Property(StrEnum):
    """The properties of custom resources."""

    APT_SOURCE = "AptSource"
    ARCHITECTURE = "Architecture"
    BASE_IMAGE = "BaseImage"
    BOOT_COMMANDS = "BootCommands"
    BUCKET_NAME = "BucketName"
    BUILDER_TYPE = "BuilderType"
    COMMANDS = "Commands"
    CONDOR_CIDRS = "CondorCidrs"
    CONDOR_PORT = "CondorPort"
    CONDOR_VERSION = "CondorVersion"
    EXPIRATION_DAYS = "ExpirationDays"
    GIVEN_ROLES = "GivenRoles"
    GPU = "Gpu"
    GROUP_NAME = "GroupName"
    HTTP_PROXY = "HttpProxy"
    IMAGE_NAME = "ImageName"
    INSTANCE_ROLE = "InstanceRoleName"
    KEY_PATTERN = "KeyPattern"
    KMS_KEY = "KmsKey"
    NO_PROXY = "NoProxy"
    PACKAGES = "Packages"
    PERMISSIONS_BOUNDARY_ARN = "PermissionsBoundaryArn"
    RECIPE = "Recipe"
    REVISION = "Revision"
    ROLE_NAME = "RoleName"
    SSH_CIDRS = "SshCidrs"
    SUBNET_IDS = "SubnetIds"
    TRUSTED_SERVICE = "TrustedService"
    VPC_ID = "VpcId"


class Attribute(StrEnum):
    """The attributes of custom resources, which the template reads with ``Fn::GetAtt``."""

    BASE_IMAGE = "BaseImage"
    BUCKET_NAME = "BucketName"
    CONDOR_VERSION = "CondorVersion"
    GROUP_ID = "GroupId"
    IMAGE_ID = "ImageId"
    PROFILE_ARN = "ProfileArn"
    ROLE_ARN = "RoleArn"
    ROLE_ID = "RoleId"
    ROOT_DEVICE = "RootDeviceName"
    VPC_ID = "VpcId"


@dataclass(frozen=True)
class CustomResource:
    """One custom resource.

    Attributes:
        logical_id: its name in the template.
        resource_type: such as ``Custom::AnnexBucket``.
        module: the module of ``custom_resources`` that serves it.
        name_property: the property that names it: its physical ID, so another name makes another resource.
        properties: the types of all its properties; a list is one of strings.
        attributes: what the rest of the template can read from it.
        replaced_by: properties besides its name whose change comes with another name, and so makes another resource.
    """

    logical_id: str
    resource_type: str
    module: str
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
    name_property=Property.BUCKET_NAME,
    properties={
        Property.BUCKET_NAME: str,
        Property.EXPIRATION_DAYS: int,
        Property.KMS_KEY: str,
        Property.GIVEN_ROLES: str,
    },
    attributes=(Attribute.BUCKET_NAME,),
)

INSTANCE_ROLE = CustomResource(
    logical_id="InstanceRole",
    resource_type="Custom::AnnexInstanceRole",
    module="instance_role",
    name_property=Property.ROLE_NAME,
    properties={
        Property.ROLE_NAME: str,
        Property.TRUSTED_SERVICE: str,
        Property.BUCKET_NAME: str,
        Property.KEY_PATTERN: str,
        Property.KMS_KEY: str,
        Property.PERMISSIONS_BOUNDARY_ARN: str,
        Property.GIVEN_ROLES: str,
    },
    attributes=(Attribute.PROFILE_ARN, Attribute.ROLE_ARN),
)

START_ROLE = CustomResource(
    logical_id="StartRole",
    resource_type="Custom::AnnexStartRole",
    module="start_role",
    name_property=Property.ROLE_NAME,
    properties={
        Property.ROLE_NAME: str,
        Property.TRUSTED_SERVICE: str,
        Property.BUCKET_NAME: str,
        Property.KMS_KEY: str,
        Property.PERMISSIONS_BOUNDARY_ARN: str,
        Property.GIVEN_ROLES: str,
    },
    attributes=(Attribute.PROFILE_ARN, Attribute.ROLE_ID),
)

FLEET_ROLE = CustomResource(
    logical_id="FleetRole",
    resource_type="Custom::AnnexFleetRole",
    module="fleet_role",
    name_property=Property.ROLE_NAME,
    properties={
        Property.ROLE_NAME: str,
        Property.TRUSTED_SERVICE: str,
        Property.INSTANCE_ROLE: str,
        Property.KMS_KEY: str,
        Property.PERMISSIONS_BOUNDARY_ARN: str,
    },
    attributes=(Attribute.ROLE_ARN,),
)

SECURITY_GROUP = CustomResource(
    logical_id="SecurityGroup",
    resource_type="Custom::AnnexSecurityGroup",
    module="security_group",
    name_property=Property.GROUP_NAME,
    properties={
        Property.GROUP_NAME: str,
        Property.VPC_ID: str,
        Property.CONDOR_PORT: int,
        Property.CONDOR_CIDRS: list,
        Property.SSH_CIDRS: list,
    },
    attributes=(Attribute.GROUP_ID, Attribute.VPC_ID),
    replaced_by=(Property.VPC_ID,),
)

IMAGE_BUILDER = CustomResource(
    logical_id="ImageBuilder",
    resource_type="Custom::AnnexImageBuilder",
    module="image_builder",
    name_property=Property.IMAGE_NAME,
    properties={
        Property.IMAGE_NAME: str,
        Property.ARCHITECTURE: str,
        Property.BASE_IMAGE: str,
        Property.REVISION: str,
        Property.APT_SOURCE: str,
        Property.PACKAGES: list,
        Property.COMMANDS: str,
        Property.BOOT_COMMANDS: str,
        Property.GPU: str,
        Property.HTTP_PROXY: str,
        Property.NO_PROXY: str,
        Property.RECIPE: str,
        Property.BUILDER_TYPE: str,
        Property.KMS_KEY: str,
        Property.VPC_ID: str,
        Property.SUBNET_IDS: list,
    },
    attributes=(Attribute.BASE_IMAGE, Attribute.CONDOR_VERSION),
    replaced_by=(
        Property.ARCHITECTURE,
        Property.BASE_IMAGE,
        Property.REVISION,
        Property.APT_SOURCE,
        Property.PACKAGES,
        Property.COMMANDS,
        Property.BOOT_COMMANDS,
        Property.GPU,
        Property.HTTP_PROXY,
        Property.NO_PROXY,
        Property.KMS_KEY,
        Property.RECIPE,
    ),
)

IMAGE = CustomResource(
    logical_id="MachineImage",
    resource_type="Custom::AnnexImage",
    module="image",
    name_property=Property.IMAGE_NAME,
    properties={Property.IMAGE_NAME: str, Property.BASE_IMAGE: str, Property.CONDOR_VERSION: str},
    attributes=(Attribute.IMAGE_ID, Attribute.ROOT_DEVICE),
)

CUSTOM_RESOURCES = (BUCKET, INSTANCE_ROLE, START_ROLE, FLEET_ROLE, SECURITY_GROUP, IMAGE_BUILDER, IMAGE)

BY_TYPE: Mapping[str, CustomResource] = {resource.resource_type: resource for resource in CUSTOM_RESOURCES}
