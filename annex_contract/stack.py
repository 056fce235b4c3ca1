"""The names that the template and the client share, and the HTCondor knobs that the outputs go into.

Knobs are those that ``condor_annex`` reads today (8.7.1 and later) and those of the 8.7.0 guide. The template's
outputs are made from this module, and so is the configuration, so neither can drift from the other.
"""

from __future__ import annotations

from enum import StrEnum

DEFAULT_STACK_NAME = "annex-bootstrap"
TEMPLATE_NAME = "annex-bootstrap.template.json"

STACK_TAG = "annex-bootstrap:stack"
"""The tag that marks what a stack made; its value is the stack's ID. Design: ownership is written on the resource."""

ROLE_PATH = "/annex-bootstrap/"
"""The IAM path of every role, profile and policy that the stack or its functions make."""

ANNEX_TAG = "htcondor:AnnexName"
"""The tag that condor_annex puts on the machines of an annex; its value is the annex ID."""


SPOT_TAGGING_POLICY = "service-role/AmazonEC2SpotFleetTaggingRole"
"""AWS's managed policy for the spot fleets' role:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet-prerequisites.html"""

SPOT_SERVICE_LINKED_ROLES = {
    "AWSServiceRoleForEC2Spot": "spot.amazonaws.com",
    "AWSServiceRoleForEC2SpotFleet": "spotfleet.amazonaws.com",
}
"""The roles without which EC2 refuses a spot fleet, and their services, the same in every partition; same source."""


class Output(StrEnum):
    """The outputs of the stack."""

    S3_BUCKET_NAME = "S3BucketName"
    LEASE_FUNCTION_ARN = "LeaseFunctionARN"
    CONNECTIVITY_FUNCTION_ARN = "ConnectivityFunctionARN"
    INSTANCE_CONFIGURATION_PROFILE = "InstanceConfigurationProfile"
    INSTANCE_ROLE_ARN = "InstanceRoleARN"
    IAM_FLEET_ROLE_ARN = "IamFleetRoleARN"
    SECURITY_GROUP_ID = "SecurityGroupID"
    ANNEX_USER_POLICY_ARN = "AnnexUserPolicyARN"
    VERSION = "Version"
    KEY_PAIR_NAME = "KeyPairName"
