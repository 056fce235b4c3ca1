"""The custom resources of the stack, each on a function of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import AWSHelperFn, GetAtt, If, Join, Ref, Template
from troposphere.awslambda import EventInvokeConfig
from troposphere.cloudformation import AWSCustomObject

from annex_contract import __version__
from annex_contract.iam import Statement
from annex_contract.image import BUILDER_TYPES, FREE_PLAN_TYPES
from annex_contract.keys import EBS_KEY
from annex_contract.resources import (
    BUCKET,
    FLEET_ROLE,
    IMAGE,
    IMAGE_BUILDER,
    INSTANCE_ROLE,
    SECURITY_GROUP,
    STACK_ID,
    START_ROLE,
    Attribute,
    CustomResource,
    Property,
)
from annex_contract.stack import EC2_SERVICE, SPOT_FLEET_SERVICE, Parameter, Part, function_of
from annex_contract.tags import PARAMETERS, VARIABLE
from machine_image.user_data import ImageInputs, render_script
from template_gen import names, policies
from template_gen.functions import CUSTOM_RESOURCES, add_function

TIMEOUT = 300
"""Seconds a custom resource may take. Each needs only a few; the rest allows for delays in AWS."""

GROUP_TIMEOUT = 900
"""Seconds for the security group, whose deletion waits for machines: the maximum that Lambda allows."""

IMAGE_TIMEOUT = 900
"""Seconds for building the image, and for making it of the builder: again the maximum."""

START_DELAY = 60
"""Seconds that a request may wait for its function to start: the minimum that Lambda allows. CloudFormation waits this
much longer than the function may run, so no request is served after CloudFormation has given up on it."""

EXPIRATION_DAYS = 30
"""Days after which the bucket deletes a pool configuration that the lease function never deleted."""


_COMMON = {"ServiceToken": (str, True), "ServiceTimeout": (int, True), "Version": (str, True)}
"""What every custom resource has. ``Version`` makes every release update it, so that new behaviour takes effect."""


@dataclass(frozen=True)
class Provision:
    """What the template adds to the record of a custom resource.

    Attributes:
        resource: the record.
        purpose: what its function does.
        name: the value of the property that names it.
        values: the values of its other properties.
        statements: what its function may do.
        timeout: seconds that its function may run.
        policy_name: of its function's policy, where that is not the resource's name; see ``add_function``.
        condition: the condition under which the stack has it.
        unchecked: properties that its function takes from the event: they are too long for an environment, which holds
            4 KB, or come from another resource. What such a function may touch is limited by the stack's tag alone.
            Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """

    resource: CustomResource
    purpose: str
    name: AWSHelperFn
    values: Mapping[Property, Any]
    statements: list[Statement]
    timeout: int = TIMEOUT
    policy_name: str = ""
    condition: str | None = None
    unchecked: tuple[Property, ...] = ()


def provisions() -> list[Provision]:
    """Return what the template adds to each custom resource, in the order in which they are created."""
    boundary, given = Ref(Parameter.PERMISSIONS_BOUNDARY_ARN), Ref(Parameter.GIVEN_ROLES)
    usual_types = [each for name, usual in BUILDER_TYPES.items() for each in (usual, *FREE_PLAN_TYPES[name])]
    return [
        Provision(
            BUCKET,
            "creates or adopts the private bucket",
            names.BUCKET,
            {
                Property.EXPIRATION_DAYS: EXPIRATION_DAYS,
                Property.KMS_KEY: Ref(Parameter.KMS_KEY_ARN),
                Property.GIVEN_ROLES: given,
            },
            policies.bucket(),
        ),
        Provision(
            INSTANCE_ROLE,
            "creates the role and instance profile of condor_annex's machines",
            names.INSTANCE_ROLE,
            {
                Property.TRUSTED_SERVICE: EC2_SERVICE,
                Property.BUCKET_NAME: names.BUCKET,
                Property.KEY_PATTERN: Ref(Parameter.CONFIG_KEY_PATTERN),
                Property.KMS_KEY: Ref(Parameter.KMS_KEY_ARN),
                Property.PERMISSIONS_BOUNDARY_ARN: boundary,
                Property.GIVEN_ROLES: given,
            },
            policies.machine_role(names.INSTANCE_ROLE),
        ),
        Provision(
            START_ROLE,
            "creates the role and instance profile of start's machines",
            names.START_ROLE,
            {
                Property.TRUSTED_SERVICE: EC2_SERVICE,
                Property.BUCKET_NAME: names.BUCKET,
                Property.KMS_KEY: Ref(Parameter.KMS_KEY_ARN),
                Property.PERMISSIONS_BOUNDARY_ARN: boundary,
                Property.GIVEN_ROLES: given,
            },
            policies.machine_role(names.START_ROLE),
            condition="MakesImage",
        ),
        Provision(
            FLEET_ROLE,
            "creates or adopts the spot fleets' role",
            names.FLEET_ROLE,
            {
                Property.TRUSTED_SERVICE: SPOT_FLEET_SERVICE,
                Property.INSTANCE_ROLE: names.INSTANCE_ROLE,
                Property.KMS_KEY: Ref(Parameter.KMS_KEY_ARN),
                Property.PERMISSIONS_BOUNDARY_ARN: boundary,
            },
            policies.fleet_role(),
        ),
        Provision(
            SECURITY_GROUP,
            "creates the machines' security group",
            names.SECURITY_GROUP,
            {
                Property.VPC_ID: Ref(Parameter.VPC_ID),
                Property.CONDOR_PORT: Ref(Parameter.CONDOR_PORT),
                Property.CONDOR_CIDRS: Ref(Parameter.CONDOR_CIDRS),
                Property.SSH_CIDRS: Ref(Parameter.SSH_CIDRS),
            },
            policies.security_group(),
            timeout=GROUP_TIMEOUT,
        ),
        Provision(
            IMAGE_BUILDER,
            "builds the machines' image",
            names.IMAGE,
            {
                Property.ARCHITECTURE: Ref(Parameter.IMAGE_ARCHITECTURE),
                Property.BASE_IMAGE: Ref(Parameter.BASE_IMAGE),
                Property.REVISION: Ref(Parameter.IMAGE_REVISION),
                Property.APT_SOURCE: Ref(Parameter.IMAGE_APT_SOURCE),
                Property.PACKAGES: Ref(Parameter.IMAGE_PACKAGES),
                Property.COMMANDS: Ref(Parameter.IMAGE_COMMANDS),
                Property.BOOT_COMMANDS: Ref(Parameter.BOOT_COMMANDS),
                Property.GPU: Ref(Parameter.IMAGE_GPU),
                Property.HTTP_PROXY: Ref(Parameter.HTTP_PROXY),
                Property.NO_PROXY: Ref(Parameter.NO_PROXY),
                Property.RECIPE: recipe(),
                Property.BUILDER_TYPE: If(
                    "HasBuilderType",
                    Ref(Parameter.BUILDER_TYPE),
                    If("MakesImageForArm", BUILDER_TYPES["arm64"], BUILDER_TYPES["amd64"]),
                ),
                Property.KMS_KEY: If("HasKmsKey", Ref(Parameter.KMS_KEY_ARN), EBS_KEY),
                Property.VPC_ID: Ref(Parameter.VPC_ID),
                Property.SUBNET_IDS: Ref(Parameter.SUBNET_IDS),
            },
            policies.image_builder(If("HasBuilderType", [Ref(Parameter.BUILDER_TYPE)], usual_types)),
            timeout=IMAGE_TIMEOUT,
            policy_name="function",
            condition="MakesImage",
            unchecked=(
                *(Property.APT_SOURCE, Property.BOOT_COMMANDS, Property.COMMANDS, Property.PACKAGES),
                *(Property.HTTP_PROXY, Property.NO_PROXY),
            ),
        ),
        Provision(
            IMAGE,
            "makes the machines' image",
            Ref(IMAGE_BUILDER.logical_id),
            {
                Property.BASE_IMAGE: get(IMAGE_BUILDER, Attribute.BASE_IMAGE),
                Property.CONDOR_VERSION: get(IMAGE_BUILDER, Attribute.CONDOR_VERSION),
            },
            policies.image(),
            timeout=IMAGE_TIMEOUT,
            policy_name="function",
            condition="MakesImage",
            unchecked=(Property.BASE_IMAGE, Property.CONDOR_VERSION, Property.IMAGE_NAME),
        ),
    ]


def recipe() -> str:
    """Return a digest of everything that we ourselves put into an image: a release that changes it makes a new one."""
    return hashlib.sha256(render_script(ImageInputs(build_id="recipe", gpu=True)).encode()).hexdigest()[:12]


def get(resource: CustomResource, attribute: Attribute) -> GetAtt:
    """Return the expression that gives an attribute of a custom resource.

    Raises:
        ValueError: it has no such attribute.
    """
    if attribute not in resource.attributes:
        raise ValueError(f"{resource.logical_id} has no attribute {attribute}")
    return GetAtt(resource.logical_id, attribute)


def add_custom_resources(template: Template) -> None:
    """Add the custom resources and their functions."""
    for provision in provisions():
        _add_custom_resource(template, provision)


def _add_custom_resource(template: Template, provision: Provision) -> None:
    resource = provision.resource
    function = add_function(
        template,
        function_of(resource.logical_id),
        f"annex-bootstrap: {provision.purpose}",
        CUSTOM_RESOURCES,
        f"custom_resources.{resource.module}",
        provision.statements,
        timeout=provision.timeout,
        environment=_environment(provision),
        policy_name=provision.policy_name or provision.name,
        condition=provision.condition,
        answers=True,
    )
    conditional = {"Condition": provision.condition} if provision.condition else {}
    # A retried request could create things that CloudFormation has already had deleted.
    once = template.add_resource(
        EventInvokeConfig(
            Part.ONCE.of(function.title),
            FunctionName=Ref(function),
            Qualifier="$LATEST",
            MaximumRetryAttempts=0,
            MaximumEventAgeInSeconds=START_DELAY,
            **conditional,
        )
    )
    template.add_resource(
        _class_of(resource)(
            resource.logical_id,
            DependsOn=once.title,
            ServiceToken=GetAtt(function, "Arn"),
            ServiceTimeout=provision.timeout + START_DELAY,
            Version=__version__,
            **{resource.name_property: provision.name, **provision.values},
            **conditional,
        )
    )


def _environment(provision: Provision) -> dict[str, Any]:
    """Return the variables by which a function knows what it may touch, the stack's ID and properties; and the tags."""
    properties = {provision.resource.name_property: provision.name, **provision.values}
    tags = Join(",", [Ref(name) for name in PARAMETERS])
    return {STACK_ID: Ref("AWS::StackId"), VARIABLE: tags} | {
        str(name): _text(provision.resource.properties[name], value)
        for name, value in properties.items()
        if name not in provision.unchecked
    }


def _text(kind: type, value: Any) -> Any:
    if kind is list:
        return Join(",", value)
    return str(value) if isinstance(value, int) else value


def _class_of(resource: CustomResource) -> type[AWSCustomObject]:
    """Return the class by which troposphere checks the properties of a custom resource."""
    props = _COMMON | {str(name): (kind, True) for name, kind in resource.properties.items()}
    return type(resource.module, (AWSCustomObject,), {"resource_type": resource.resource_type, "props": props})
