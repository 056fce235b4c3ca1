"""IAM policies on EC2's calls, as users with nothing else."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.server.ec2_requests import (
    SPOT_FLEET_TRUST,
    fleet,
    found,
    group_tags,
    instance_tags,
    refusal,
    run,
)
from tests.local_aws.server.principals import Server


@pytest.fixture(autouse=True)
def _service_linked_roles(server: Server) -> None:
    # Without them nobody may request spot machines; a stack of another test may have made them.
    for service in ("spot.amazonaws.com", "spotfleet.amazonaws.com"):
        with contextlib.suppress(ClientError):
            server.iam().create_service_linked_role(AWSServiceName=service)


def test_spot_fleets_need_their_own_permissions(server: Server, fleet_role: str) -> None:
    user = server.user({"Action": ["ec2:RunInstances", "iam:PassRole"], "Resource": "*"})
    fleet_id = f"sfr-{uuid.uuid4()}"
    for call in (
        lambda: user.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role)),
        lambda: user.describe_spot_fleet_requests(),
        lambda: user.describe_spot_fleet_instances(SpotFleetRequestId=fleet_id),
        lambda: user.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet_id], TerminateInstances=True),
    ):
        with pytest.raises(ClientError) as error:
            call()
        assert refusal(error) == "UnauthorizedOperation"


def test_a_fleet_role_is_passed_to_ec2_as_awss_own_policy_for_callers_says(server: Server, fleet_role: str) -> None:
    request = {"Action": ["ec2:RequestSpotFleet", "ec2:RunInstances", "ec2:CreateTags"], "Resource": "*"}
    pass_role = {"Action": "iam:PassRole", "Resource": fleet_role}
    to_ec2 = {"Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}}
    to_lambda = {"Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}}
    for statements in ([request], [request, pass_role | to_lambda]):
        with pytest.raises(ClientError, match="iam:PassRole") as error:
            server.user(*statements).request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))
        assert refusal(error) == "UnauthorizedOperation"
    allowed = server.user(request, pass_role | to_ec2)
    assert allowed.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"]


@pytest.mark.parametrize("missing", ["ec2:RunInstances", "ec2:CreateTags"])
def test_the_caller_of_a_fleet_needs_what_starting_its_machines_needs(
    server: Server, fleet_role: str, missing: str
) -> None:
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet-prerequisites.html
    needed = {"ec2:RequestSpotFleet", "ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"}
    user = server.user({"Action": sorted(needed - {missing}), "Resource": "*"})
    with pytest.raises(ClientError, match=missing) as error:
        user.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))
    assert refusal(error) == "UnauthorizedOperation"
    user = server.user({"Action": sorted(needed), "Resource": "*"})
    assert user.request_spot_fleet(SpotFleetRequestConfig=fleet(fleet_role))["SpotFleetRequestId"]


NEW_GROUPS, NEW_MACHINES = "arn:aws:ec2:*:*:security-group/*", "arn:aws:ec2:*:*:instance/*"


def test_only_the_machine_of_a_launch_has_the_keys_of_a_machine(server: Server) -> None:
    condition = {"StringEquals": {"ec2:InstanceType": "t3.micro", "ec2:MetadataHttpTokens": "required"}}
    launch = {"Action": "ec2:RunInstances", "Resource": "*"}
    options = {"HttpTokens": "required"}
    with pytest.raises(ClientError) as error:
        run(server.user(launch | {"Condition": condition}), MetadataOptions=options)
    assert refusal(error) == "UnauthorizedOperation"
    parts = [f"arn:aws:ec2:*:*:{kind}/*" for kind in ("network-interface", "volume", "security-group", "subnet")]
    user = server.user(
        launch | {"Resource": NEW_MACHINES, "Condition": condition},
        launch | {"Resource": [*parts, "arn:aws:ec2:*::image/*"]},
    )
    assert run(user, MetadataOptions=options)
    with pytest.raises(ClientError) as error:
        run(user, MetadataOptions={"HttpTokens": "optional"})
    assert refusal(error) == "UnauthorizedOperation"


def test_the_tags_of_a_machine_are_not_those_of_its_volume(server: Server) -> None:
    tagged = {"StringEquals": {"aws:RequestTag/htcondor:AnnexName": "lab"}}
    volumes, others = "arn:aws:ec2:*:*:volume/*", [NEW_MACHINES, "arn:aws:ec2:*:*:network-interface/*"]
    existing = ["arn:aws:ec2:*::image/*", "arn:aws:ec2:*:*:security-group/*", "arn:aws:ec2:*:*:subnet/*"]
    user = server.user(
        {"Action": "ec2:RunInstances", "Resource": volumes, "Condition": tagged},
        {"Action": "ec2:RunInstances", "Resource": [*others, *existing]},
        {"Action": "ec2:CreateTags", "Resource": "*"},
    )
    with pytest.raises(ClientError) as error:
        run(user, TagSpecifications=instance_tags("lab"))
    assert refusal(error) == "UnauthorizedOperation"
    assert run(user, TagSpecifications=[instance_tags("lab")[0] | {"ResourceType": "volume"}])


def test_an_instance_role_is_passed_with_its_profile(server: Server) -> None:
    name = f"machine-{uuid.uuid4()}"
    iam = server.iam()
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=SPOT_FLEET_TRUST.replace("spotfleet", "ec2"))
    profile = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    start = {"Action": "ec2:RunInstances", "Resource": "*"}
    with pytest.raises(ClientError, match="iam:PassRole"):
        run(server.user(start), IamInstanceProfile={"Arn": profile})
    allowed = server.user(start, {"Action": "iam:PassRole", "Resource": role["Role"]["Arn"]})
    assert run(allowed, IamInstanceProfile={"Arn": profile})


@pytest.mark.parametrize("prefix", ["aws", "ec2"])
def test_only_tagged_machines_are_terminated_and_a_batch_is_all_or_nothing(server: Server, prefix: str) -> None:
    ours, others = (run(server.ec2(), 1, TagSpecifications=instance_tags(name)) for name in ("lab", "library"))
    condition = {"StringEquals": {f"{prefix}:ResourceTag/htcondor:AnnexName": "lab"}}
    user = server.user({"Action": "ec2:TerminateInstances", "Resource": "*", "Condition": condition})
    for batch in (others, ours + others):
        with pytest.raises(ClientError) as error:
            user.terminate_instances(InstanceIds=batch)
        assert refusal(error) == "UnauthorizedOperation"
    user.terminate_instances(InstanceIds=ours)
    assert not found(server.ec2(), ("instance-id", ours[0]), ("instance-state-name", "running"))


def test_only_machines_with_the_profile_are_terminated(server: Server) -> None:
    arn = f"arn:aws:iam::000000000000:instance-profile/{uuid.uuid4()}"
    ours, others = run(server.ec2(), 1, IamInstanceProfile={"Arn": arn}), run(server.ec2())
    condition = {"ArnEquals": {"ec2:InstanceProfile": arn}}
    user = server.user({"Action": "ec2:TerminateInstances", "Resource": "*", "Condition": condition})
    with pytest.raises(ClientError) as error:
        user.terminate_instances(InstanceIds=others)
    assert refusal(error) == "UnauthorizedOperation"
    user.terminate_instances(InstanceIds=ours)


@pytest.mark.parametrize("prefix", ["aws", "ec2"])
def test_only_tagged_groups_are_changed(server: Server, prefix: str) -> None:
    tagged, bare = (
        server.ec2().create_security_group(
            GroupName=str(uuid.uuid4()),
            Description="d",
            TagSpecifications=tags,
        )["GroupId"]
        for tags in (group_tags("owner", "us"), [])
    )
    condition = {"StringEquals": {f"{prefix}:ResourceTag/owner": "us"}}
    rules = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
    user = server.user({"Action": [*rules, "ec2:DeleteSecurityGroup"], "Resource": "*", "Condition": condition})
    rule: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "192.0.2.0/24"}
    ingress = (user.authorize_security_group_ingress, user.revoke_security_group_ingress)
    for call, arguments in ((ingress[0], rule), (ingress[1], rule), (user.delete_security_group, {})):
        with pytest.raises(ClientError) as error:
            call(GroupId=bare, **arguments)
        assert refusal(error) == "UnauthorizedOperation"
        call(GroupId=tagged, **arguments)


def test_tags_on_creation_need_create_tags_for_that_action_and_those_tags(server: Server) -> None:
    start = {"Action": ["ec2:RunInstances", "ec2:CreateSecurityGroup"], "Resource": "*"}
    tag = {
        "Action": "ec2:CreateTags",
        "Resource": "arn:aws:ec2:*:*:instance/*",
        "Condition": {
            "StringEquals": {
                "ec2:CreateAction": "RunInstances",
                "aws:RequestTag/htcondor:AnnexName": "lab",
            }
        },
    }
    user = server.user(start, tag)
    assert run(user, TagSpecifications=instance_tags("lab"))
    with pytest.raises(ClientError, match="ec2:CreateTags"):
        run(user, TagSpecifications=instance_tags("library"))
    with pytest.raises(ClientError, match="ec2:CreateTags"):
        user.create_security_group(
            GroupName=str(uuid.uuid4()),
            Description="d",
            TagSpecifications=[
                {
                    "ResourceType": "security-group",
                    "Tags": [{"Key": "htcondor:AnnexName", "Value": "lab"}],
                }
            ],
        )
    with pytest.raises(ClientError) as error:
        user.create_tags(Resources=run(user), Tags=[{"Key": "htcondor:AnnexName", "Value": "lab"}])
    assert refusal(error) == "UnauthorizedOperation"


@pytest.mark.parametrize("action", ["ec2:CreateTags", "ec2:CreateSecurityGroup"])
def test_a_condition_on_request_tags_is_enforced(server: Server, action: str) -> None:
    condition = {"StringEquals": {"aws:RequestTag/owner": "us"}}
    user = server.user(
        {"Action": action, "Resource": [NEW_MACHINES, NEW_GROUPS], "Condition": condition},
        {"Action": "ec2:CreateTags", "Resource": NEW_GROUPS},
        # A VPC does not have the tags of a group that is made in it.
        {"Action": "ec2:CreateSecurityGroup", "Resource": "arn:aws:ec2:*:*:vpc/*"},
    )
    (machine,) = run(server.ec2())

    def call(value: str) -> None:
        if action == "ec2:CreateTags":
            user.create_tags(Resources=[machine], Tags=[{"Key": "owner", "Value": value}])
        else:
            user.create_security_group(
                GroupName=str(uuid.uuid4()),
                Description="d",
                TagSpecifications=group_tags("owner", value),
            )

    with pytest.raises(ClientError) as error:
        call("them")
    assert refusal(error) == "UnauthorizedOperation"
    call("us")


def test_describing_ignores_resources(server: Server) -> None:
    user = server.user({"Action": "ec2:DescribeInstances", "Resource": "arn:aws:ec2:*:*:instance/*"})
    with pytest.raises(ClientError) as error:
        user.describe_instances(InstanceIds=run(server.ec2()))
    assert refusal(error) == "UnauthorizedOperation"
