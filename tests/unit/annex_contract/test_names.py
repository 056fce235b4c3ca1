"""Names that stacks, machines and pools of other versions have, or that AWS or HTCondor gives: they never change."""

from __future__ import annotations

from enum import StrEnum

import pytest

from annex_contract import image, knobs, lease, resources, stack
from annex_contract.boundaries import Holder, boundary_name
from annex_contract.outputs import OUTPUTS
from annex_contract.stack import Part
from annex_contract.tags import PARAMETERS, RESERVED, VARIABLE

ACRONYMS = {
    "LEASE_FUNCTION_ARN": "LeaseFunctionARN",
    "CONNECTIVITY_FUNCTION_ARN": "ConnectivityFunctionARN",
    "INSTANCE_ROLE_ARN": "InstanceRoleARN",
    "IAM_FLEET_ROLE_ARN": "IamFleetRoleARN",
    "SECURITY_GROUP_ID": "SecurityGroupID",
    "ANNEX_USER_POLICY_ARN": "AnnexUserPolicyARN",
    "START_POLICY_ARN": "StartPolicyARN",
    "ANNEX_USER_ROLE_ARN": "AnnexUserRoleARN",
}
"""The outputs that do not have their letters as everything else has them."""


@pytest.mark.parametrize(
    ("names", "others"),
    [
        (stack.Parameter, {}),
        (stack.Output, ACRONYMS),
        (stack.LogicalId, {}),
        (Part, {"ROLE": "ExecRole"}),
        (resources.Property, {"INSTANCE_ROLE": "InstanceRoleName"}),
        (resources.Attribute, {"ROOT_DEVICE": "RootDeviceName"}),
    ],
)
def test_a_name_in_the_template_is_that_of_the_code_in_the_letters_of_cloudformation(
    names: type[StrEnum], others: dict[str, str]
) -> None:
    usual = {member.name: "".join(map(str.capitalize, member.name.split("_"))) for member in names}
    assert {member.name: member.value for member in names} == usual | others


def test_tags_are_those_by_which_stacks_know_what_is_theirs() -> None:
    assert {
        name: value
        for module in (stack, image)
        for name, value in vars(module).items()
        if name.endswith("_TAG") and name.isupper()
    } == {
        "STACK_TAG": "annex-bootstrap:stack",
        "ANNEX_TAG": "htcondor:AnnexName",
        "REQUEST_TAG": "annex-bootstrap:request",
        "STARTED_BY_TAG": "annex-bootstrap:started-by",
        "CONFIGURATION_TAG": "annex-bootstrap:configuration",
        "FLEET_TAG": "aws:ec2spot:fleet-request-id",
        "EC2_FLEET_TAG": "aws:ec2:fleet-id",
        "IMAGE_TAG": "annex-bootstrap:image",
        "BASE_TAG": "annex-bootstrap:base",
        "CONDOR_TAG": "annex-bootstrap:htcondor",
    }
    assert (RESERVED, VARIABLE) == (("aws:", "annex-bootstrap:", "htcondor:"), "TAGS")
    assert PARAMETERS == ("Tag1", "Tag2", "Tag3", "Tag4", "Tag5", "Tag6")


def test_services_and_roles_are_those_of_aws() -> None:
    assert (stack.EC2_SERVICE, stack.SPOT_FLEET_SERVICE) == ("ec2.amazonaws.com", "spotfleet.amazonaws.com")
    assert stack.PASSED_TO_EC2 == ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"]
    assert stack.SPOT_TAGGING_POLICY == "service-role/AmazonEC2SpotFleetTaggingRole"
    assert stack.SPOT_SERVICE_LINKED_ROLES == {
        "AWSServiceRoleForEC2Spot": "spot.amazonaws.com",
        "AWSServiceRoleForEC2SpotFleet": "spotfleet.amazonaws.com",
    }


def test_names_that_policies_begin_with_are_those_of_the_roles_and_policies_that_were_made() -> None:
    assert (stack.DEFAULT_STACK_NAME, stack.stack_path("lab")) == ("annex-bootstrap", "/annex-bootstrap/lab/")
    roles = stack.given_roles_id("123456789012", "us-east-1", "lab")
    assert roles == "7369e462-3548758d168d"
    assert stack.given_role_name("LeaseExecRole", roles) == f"annex-bootstrap-LeaseExecRole-{roles}"
    assert stack.given_policy_name("lab", "StartPolicy", roles) == f"lab-StartPolicy-{roles}"
    assert boundary_name(Holder.ROLES, "lab") == "annex-bootstrap-roles-boundary-lab"
    assert boundary_name(Holder.USERS, "lab") == "annex-bootstrap-users-boundary-lab"
    assert (stack.sweep_rule_name("lab"), stack.function_of("Bucket")) == ("lab-SweepRule", "BucketFunction")
    assert [part.of("BucketFunction") for part in Part] == [
        "BucketExecRole",
        "BucketFunctionPolicy",
        "BucketFunctionLogs",
        "BucketFunctionNetwork",
        "BucketFunctionOnce",
    ]


def test_a_lease_is_what_condor_annex_makes_it() -> None:
    made = lease.Lease("first", "bucket", 5)
    assert made.event() == {"AnnexID": "first", "S3BucketName": "bucket", "LeaseExpiration": 5}
    assert (lease.ANNEX_ID_LENGTH, lease.annex_id_of("a" * 26 + "bc")) == (27, "a" * 26 + "b")
    assert (lease.TARBALL_PATTERN, lease.TICK_RATE) == ("config-*.tar.gz", "rate(5 minutes)")
    assert (lease.SWEEP_RATE, lease.SWEEP_EVENT) == ("rate(1 hour)", {"Sweep": True})
    assert lease.machine_key("first", "AROA1", "i-1") == "machines/first/AROA1:i-1"
    assert lease.input_ending_at('{"AnnexID": "first", "Other": 1, "LeaseExpiration": 5}', 6) == (
        '{"AnnexID": "first", "Other": 1, "LeaseExpiration": 6}'
    )


def test_what_costs_money_or_may_again_is_in_these_states_of_ec2() -> None:
    assert lease.MACHINE_RUNNING == ("pending", "running", "stopping", "stopped")
    assert (lease.MACHINE_ENDING, lease.MACHINE_ENDED) == ("shutting-down", ("shutting-down", "terminated"))
    assert lease.FLEET_RUNNING == ("submitted", "active", "modifying")
    assert lease.PERSISTENT_REQUESTS == {"type": ("persistent",), "state": ("open", "active", "disabled")}


def test_each_output_sets_the_macros_that_condor_annex_reads_and_those_of_the_first_guide() -> None:
    assert {
        output: (rule.knobs, rule.guide_knobs) for output, rule in OUTPUTS.items() if rule.knobs + rule.guide_knobs
    } == {
        "S3BucketName": (("ANNEX_DEFAULT_S3_BUCKET",), ()),
        "LeaseFunctionARN": (
            ("ANNEX_DEFAULT_ODI_LEASE_FUNCTION_ARN", "ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN"),
            ("ANNEX_DEFAULT_LEASE_ARN",),
        ),
        "ConnectivityFunctionARN": (("ANNEX_DEFAULT_CONNECTIVITY_FUNCTION_ARN",), ()),
        "InstanceConfigurationProfile": (
            ("ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN",),
            ("ANNEX_DEFAULT_INSTANCE_ROLE_ARN",),
        ),
        "SecurityGroupID": (("ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS",), ("ANNEX_DEFAULT_SECURITY_GROUP_ID",)),
        "IamFleetRoleARN": ((), ("ANNEX_DEFAULT_IAM_FLEET_ROLE_ARN",)),
        "KeyPairName": (("ANNEX_DEFAULT_ODI_KEY_NAME",), ()),
        "ImageId": (("ANNEX_DEFAULT_ODI_IMAGE_ID",), ()),
        "InstanceType": (("ANNEX_DEFAULT_ODI_INSTANCE_TYPE",), ()),
    }
    assert {output for output, rule in OUTPUTS.items() if rule.regional} == {"ImageId", "InstanceType"}
    assert (knobs.REGION_KNOB, knobs.DEFAULT_PORT, knobs.MOST_ATTRIBUTES) == ("ANNEX_DEFAULT_AWS_REGION", 9618, 11)
    assert knobs.FLEET_KNOBS == ("ANNEX_DEFAULT_SFR_CONFIG_FILE", "ANNEX_DEFAULT_SPOT_FLEET_CONFIG_FILE")
    assert (knobs.ACCESS_KEY_KNOB, knobs.SECRET_KEY_KNOB) == (
        "ANNEX_DEFAULT_ACCESS_KEY_FILE",
        "ANNEX_DEFAULT_SECRET_KEY_FILE",
    )
