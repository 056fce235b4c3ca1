"""The names in and around the stack that the template, the functions and the client share."""

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

EC2_SERVICES = ("ec2.amazonaws.com", "ec2.amazonaws.com.cn")
"""The service that machines' and fleets' roles are passed to; in China it has the second name too. Source: AWS's managed
policies, such as https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonEC2SpotFleetTaggingRole.html"""

SPOT_FLEET_SERVICE = "spotfleet.amazonaws.com"
"""The service that takes the spot fleets' role, the same in every partition; same source."""

SPOT_SERVICE_LINKED_ROLES = {
    "AWSServiceRoleForEC2Spot": "spot.amazonaws.com",
    "AWSServiceRoleForEC2SpotFleet": SPOT_FLEET_SERVICE,
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


MARKING_PARAMETERS = frozenset({"CondorCidrs", "ConfigKeyPattern"})
"""Parameters that every version of our template has, and no other template has all of."""


class LogicalId(StrEnum):
    """The logical IDs of those resources that somebody besides the template names."""

    LEASE_FUNCTION = "LeaseFunction"
    CONNECTIVITY_FUNCTION = "ConnectivityFunction"
    SWEEP_RULE = "SweepRule"
    LEASE_ALARM = "LeaseAlarm"
    ANNEX_USER_POLICY = "AnnexUserPolicy"


class Part(StrEnum):
    """What stands beside a function in the stack: the end of its logical ID, after the function's."""

    ROLE = "Role"
    POLICY = "Policy"
    LOGS = "Logs"
    ONCE = "Once"

    def of(self, function: str) -> str:
        """Return the logical ID of this part of a function.

        Args:
            function: the function's logical ID.
        """
        return f"{function}{self}"


def function_of(resource: str) -> str:
    """Return the logical ID of the function behind a custom resource.

    Args:
        resource: the custom resource's logical ID.
    """
    return f"{resource}Function"
