"""What an organisation forbids, variables in policies, and what a denial says."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.launcher import ACCOUNT
from tests.local_aws.server.ec2_requests import IMAGE, refusal, run
from tests.local_aws.server.principals import Server

EVERYTHING = {"Action": "*", "Resource": "*"}
SetAccount = Callable[..., None]


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    """Return a policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def test_an_organisation_denies_regions_to_everybody_and_to_the_root(server: Server, set_account: SetAccount) -> None:
    key = server.key(EVERYTHING)
    clients = [server.client("ec2", "eu-north-1", who) for who in (key, None)]
    elsewhere = server.client("ec2", "us-east-1", key)
    region_list = {
        "Effect": "Deny",
        "NotAction": ["iam:*", "sts:*"],
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:RequestedRegion": ["us-east-1"]}},
    }
    set_account(service_control_policies=[policy(region_list)])
    for client in clients:
        with pytest.raises(ClientError, match="with an explicit deny in a service control policy") as error:
            client.describe_instances()
        assert refusal(error) == "UnauthorizedOperation"
    elsewhere.describe_instances()


def test_without_an_allow_in_the_organisation_nothing_is_allowed(server: Server, set_account: SetAccount) -> None:
    client = server.iam_user(EVERYTHING)
    set_account(service_control_policies=[policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})])
    with pytest.raises(ClientError, match="because no service control policy allows the iam:ListRoles action"):
        client.list_roles()


def test_an_organisation_demands_tags_of_machines(server: Server, set_account: SetAccount) -> None:
    client = server.user(EVERYTHING)
    untagged = {
        "Effect": "Deny",
        "Action": "ec2:RunInstances",
        "Resource": "arn:aws:ec2:*:*:instance/*",
        "Condition": {"Null": {"aws:RequestTag/project": "true"}},
    }
    set_account(service_control_policies=[policy(untagged)])
    with pytest.raises(ClientError) as error:
        run(client)
    assert refusal(error) == "UnauthorizedOperation"
    run(client, TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "project", "Value": "x"}]}])


def test_the_message_of_a_denied_launch_can_be_decoded_by_those_who_may(server: Server) -> None:
    client = server.user({"Action": "ec2:RunInstances", "Resource": "arn:aws:ec2:*:*:image/*"})
    with pytest.raises(ClientError, match="because no identity-based policy allows the ec2:RunInstances") as error:
        run(client)
    (encoded,) = re.findall(r"Encoded authorization failure message: (\S+)", str(error.value))
    decoded = server.client("sts").decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"]
    context = json.loads(decoded)["context"]
    assert context["action"] == "ec2:RunInstances"
    assert context["resource"].endswith(":instance/*")
    nobody = server.client("sts", credentials=server.key({"Action": "ec2:*", "Resource": "*"}))
    with pytest.raises(ClientError) as error:
        nobody.decode_authorization_message(EncodedMessage=encoded)
    assert refusal(error) == "AccessDenied"


def test_a_denial_by_a_boundary_says_so(server: Server) -> None:
    iam, name = server.iam(), str(uuid.uuid4())
    document = json.dumps(policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}))
    boundary = iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
    key = server.key(EVERYTHING)
    client = server.client("iam", credentials=key)
    user = server.client("sts", credentials=key).get_caller_identity()["Arn"].rpartition("/")[2]
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=boundary)
    with pytest.raises(ClientError, match="because no permissions boundary allows the iam:ListRoles action"):
        client.list_roles()


def test_a_user_reaches_only_what_its_id_names(server: Server) -> None:
    key = server.key({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::*/${aws:userid}"})
    user_id = server.client("sts", credentials=key).get_caller_identity()["UserId"]
    s3, bucket = server.client("s3"), f"b-{uuid.uuid4()}"
    s3.create_bucket(Bucket=bucket)
    for name in (user_id, "another", "${aws:userid}"):
        s3.put_object(Bucket=bucket, Key=name)
    reader = server.client("s3", credentials=key)
    reader.get_object(Bucket=bucket, Key=user_id)
    for name in ("another", "${aws:userid}"):
        with pytest.raises(ClientError) as error:
            reader.get_object(Bucket=bucket, Key=name)
        assert refusal(error) == "AccessDenied"


def test_the_id_of_a_machine_ends_with_its_session(server: Server) -> None:
    iam, name = server.iam(), str(uuid.uuid4())
    trust = policy({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    session = server.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="i-0123456789abcdef0")
    assert session["AssumedRoleUser"]["AssumedRoleId"] == f"{role['RoleId']}:i-0123456789abcdef0"


def test_the_tags_of_a_user_are_condition_keys_and_variables(server: Server) -> None:
    resource = "arn:aws:s3:::*/${aws:PrincipalTag/team}/*"
    condition = {"StringEquals": {"aws:PrincipalTag/kind": "member"}}
    key = server.key({"Action": "s3:PutObject", "Resource": resource, "Condition": condition})
    user = server.client("sts", credentials=key).get_caller_identity()["Arn"].rpartition("/")[2]
    bucket, client = f"b-{uuid.uuid4()}", server.client("s3", credentials=key)
    server.client("s3").create_bucket(Bucket=bucket)
    for team, allowed in (("a", {"a/x"}), ("*", set())):
        tags: list[Any] = [{"Key": "team", "Value": team}, {"Key": "kind", "Value": "member"}]
        server.iam().tag_user(UserName=user, Tags=tags)
        for name in ("a/x", "b/x"):
            if name in allowed:
                client.put_object(Bucket=bucket, Key=name)
            else:
                with pytest.raises(ClientError):
                    client.put_object(Bucket=bucket, Key=name)


def test_only_writing_where_nothing_is_can_be_demanded(server: Server) -> None:
    condition = {"StringEquals": {"s3:if-none-match": "*"}}
    key = server.key({"Action": "s3:PutObject", "Resource": "*", "Condition": condition})
    bucket, client = f"b-{uuid.uuid4()}", server.client("s3", credentials=key)
    server.client("s3").create_bucket(Bucket=bucket)
    with pytest.raises(ClientError) as error:
        client.put_object(Bucket=bucket, Key="x", Body=b"1")
    assert refusal(error) == "AccessDenied"
    client.put_object(Bucket=bucket, Key="x", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as error:
        client.put_object(Bucket=bucket, Key="x", Body=b"2", IfNoneMatch="*")
    assert refusal(error) == "PreconditionFailed"


def test_metadata_options_and_profile_of_a_launch_are_condition_keys(server: Server) -> None:
    name = str(uuid.uuid4())
    profile = server.iam().create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
    condition = {"StringEquals": {"ec2:MetadataHttpTokens": "required"}, "ArnEquals": {"ec2:InstanceProfile": profile}}
    instance = "arn:aws:ec2:*:*:instance/*"
    client = server.user(
        {"Action": "ec2:RunInstances", "Resource": instance, "Condition": condition},
        {"Action": "ec2:RunInstances", "NotResource": instance},
    )
    tokens, named = {"HttpTokens": "required"}, {"Name": name}
    only_one: list[Any] = [{"MetadataOptions": tokens}, {"IamInstanceProfile": named}]
    for wrong in only_one:
        with pytest.raises(ClientError) as error:
            run(client, **wrong)
        assert refusal(error) == "UnauthorizedOperation"
    run(client, MetadataOptions=tokens, IamInstanceProfile=named)


def test_clearing_a_machines_protection_can_be_allowed_and_nothing_else_of_it(server: Server) -> None:
    (machine,) = run(server.ec2(), DisableApiTermination=True)
    condition = {"StringEquals": {"ec2:Attribute/DisableApiTermination": "false"}}
    resource = f"arn:aws:ec2:*:*:instance/{machine}"
    client = server.user({"Action": "ec2:ModifyInstanceAttribute", "Resource": resource, "Condition": condition})
    with pytest.raises(ClientError) as error:
        client.modify_instance_attribute(InstanceId=machine, DisableApiTermination={"Value": True})
    assert refusal(error) == "UnauthorizedOperation"
    client.modify_instance_attribute(InstanceId=machine, DisableApiTermination={"Value": False})
    client.modify_instance_attribute(InstanceId=machine, Attribute="disableApiTermination", Value="false")
    server.ec2().terminate_instances(InstanceIds=[machine])


def test_a_function_can_be_opened_to_a_service_only(server: Server, put_function: Callable[[str], str]) -> None:
    name = put_function("def handler(event, context): pass")
    condition = {"StringEquals": {"lambda:Principal": "events.amazonaws.com"}}
    key = server.key({"Action": "lambda:AddPermission", "Resource": "*", "Condition": condition})
    client = server.client("lambda", credentials=key)
    statement: Any = {"FunctionName": name, "Action": "lambda:InvokeFunction"}
    client.add_permission(**statement, StatementId="a", Principal="events.amazonaws.com")
    with pytest.raises(ClientError) as error:
        client.add_permission(**statement, StatementId="b", Principal="999999999999")
    assert refusal(error) == "AccessDeniedException"


def test_a_fleet_can_be_deleted_by_its_tag_only(server: Server) -> None:
    template = make_template(server)
    ids = {}
    for owner in ("us", "them"):
        tags: Any = [{"ResourceType": "fleet", "Tags": [{"Key": "owner", "Value": owner}]}]
        ids[owner] = server.ec2().create_fleet(
            Type="request",
            TagSpecifications=tags,
            LaunchTemplateConfigs=[
                {
                    "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "$Default"},
                    "Overrides": [{"InstanceType": "m7i.large"}],
                }
            ],
            TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
        )["FleetId"]
    condition = {"StringEquals": {"aws:ResourceTag/owner": "us"}}
    client = server.user({"Action": "ec2:DeleteFleets", "Resource": "*", "Condition": condition})
    client.delete_fleets(FleetIds=[ids["us"]], TerminateInstances=True)
    with pytest.raises(ClientError) as error:
        client.delete_fleets(FleetIds=[ids["them"]], TerminateInstances=True)
    assert refusal(error) == "UnauthorizedOperation"
    server.ec2().delete_fleets(FleetIds=[ids["them"]], TerminateInstances=True)


def test_a_call_that_names_the_owner_of_a_bucket_fails_on_anothers(server: Server, set_account: SetAccount) -> None:
    s3, bucket = server.client("s3"), f"b-{uuid.uuid4()}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="x", ExpectedBucketOwner=ACCOUNT)
    set_account(foreign_buckets=[bucket])
    s3.get_object(Bucket=bucket, Key="x")
    for call in (s3.get_object, s3.head_object, s3.put_object):
        with pytest.raises(ClientError) as error:
            call(Bucket=bucket, Key="x", ExpectedBucketOwner=ACCOUNT)
        assert refusal(error) in ("AccessDenied", "403")


def make_template(server: Server) -> str:
    """Return the ID of a launch template that names an image and a type."""
    data: Any = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MetadataOptions": {"HttpTokens": "required"}}
    made = server.ec2().create_launch_template(LaunchTemplateName=str(uuid.uuid4()), LaunchTemplateData=data)
    return made["LaunchTemplate"]["LaunchTemplateId"]


@pytest.mark.parametrize("fleet", [False, True])
def test_launches_can_be_bound_to_a_template_and_to_what_it_names(server: Server, fleet: bool) -> None:
    template = make_template(server)
    arn = f"arn:aws:ec2:us-east-1:*:launch-template/{template}"
    bound = {"ArnLike": {"ec2:LaunchTemplate": arn}}
    from_template = bound | {"Bool": {"ec2:IsLaunchTemplateResource": "true"}}
    client = server.user(
        {"Action": "ec2:RunInstances", "Resource": "*", "Condition": from_template},
        {"Action": "ec2:RunInstances", "NotResource": "arn:aws:ec2:*::image/*", "Condition": bound},
        {"Action": "ec2:CreateFleet", "Resource": "*"},
    )

    def launch(override: dict[str, Any], use: str = template) -> None:
        if not fleet:
            client.run_instances(MinCount=1, MaxCount=1, LaunchTemplate={"LaunchTemplateId": use}, **override)
            return
        client.create_fleet(
            Type="instant",
            LaunchTemplateConfigs=[
                {
                    "LaunchTemplateSpecification": {"LaunchTemplateId": use, "Version": "$Default"},
                    "Overrides": [{"InstanceType": "t3.medium", **override}],  # type: ignore[typeddict-item]  # any member
                }
            ],
            TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
        )

    launch({})
    for wrong in ({"ImageId": "ami-0deb13000000a0001"}, {"use": make_template(server)}):
        with pytest.raises(ClientError) as error:
            launch({k: v for k, v in wrong.items() if k != "use"}, wrong.get("use", template))
        assert refusal(error) == "UnauthorizedOperation"


def test_metadata_options_of_a_fleets_override_count_and_not_those_of_its_template(server: Server) -> None:
    template, instance = make_template(server), "arn:aws:ec2:*:*:instance/*"
    condition = {"StringEquals": {"ec2:MetadataHttpTokens": "required"}}
    client = server.user(
        {"Action": "ec2:CreateFleet", "Resource": "*"},
        {"Action": "ec2:RunInstances", "Resource": instance, "Condition": condition},
        {"Action": "ec2:RunInstances", "NotResource": instance},
    )
    for options, refused in (({}, False), ({"MetadataOptions": {"HttpTokens": "optional"}}, True)):
        request: Any = {
            "Type": "instant",
            "LaunchTemplateConfigs": [
                {
                    "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "$Default"},
                    "Overrides": [{"InstanceType": "t3.medium", **options}],
                }
            ],
            "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
        }
        if refused:
            with pytest.raises(ClientError, match="ec2:RunInstances"):
                client.create_fleet(**request)
        else:
            client.create_fleet(**request)


def test_an_organisation_demands_encrypted_volumes(server: Server, set_account: SetAccount) -> None:
    client = server.user(EVERYTHING)
    unencrypted = {
        "Effect": "Deny",
        "Action": "ec2:RunInstances",
        "Resource": "arn:aws:ec2:*:*:volume/*",
        "Condition": {"Bool": {"ec2:Encrypted": False}},
    }
    set_account(service_control_policies=[policy(unencrypted)])
    plain, encrypted = (
        {"DeviceName": f"/dev/xvd{letter}", "Ebs": {"VolumeSize": 8, "Encrypted": letter == "b"}} for letter in "ab"
    )
    for disks in ([], [plain], [encrypted, plain]):
        with pytest.raises(ClientError) as error:
            run(client, BlockDeviceMappings=disks)
        assert refusal(error) == "UnauthorizedOperation"
    run(client, BlockDeviceMappings=[encrypted])


def test_a_tag_policy_denies_other_values(server: Server, set_account: SetAccount) -> None:
    client = server.user(EVERYTHING)
    rule = {"tag_value": {"@@assign": ["a"]}, "enforced_for": {"@@assign": ["ec2:instance"]}}
    set_account(tag_policies=[{"tags": {"project": rule}}])
    for value, denied in (("b", True), ("a", False)):
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "project", "Value": value}]}]
        if denied:
            with pytest.raises(ClientError, match="with an explicit deny in a tag policy"):
                run(client, TagSpecifications=tags)
        else:
            run(client, TagSpecifications=tags)


def test_what_only_a_rehearsed_document_denies_happens_anyway(server: Server, set_account: SetAccount) -> None:
    no_users = policy({"Effect": "Deny", "Action": ["iam:CreateUser", "s3:*"], "Resource": "*"})
    iam = server.iam_user({"Action": "iam:CreateUser", "Resource": "*"})
    set_account(service_control_policies=[no_users])
    with pytest.raises(ClientError, match="with an explicit deny in a service control policy"):
        iam.create_user(UserName=str(uuid.uuid4()))
    set_account(service_control_policies=[no_users], rehearsed=[{"file": "scp.json", "document": no_users}])
    name = str(uuid.uuid4())
    iam.create_user(UserName=name)
    server.iam().delete_user(UserName=name)
    with pytest.raises(ClientError, match="because no identity-based policy allows the iam:ListRoles action"):
        iam.list_roles()


def test_a_rehearsed_tag_policy_is_set_aside_too(server: Server, set_account: SetAccount) -> None:
    client = server.user(EVERYTHING)
    document = {"tags": {"project": {"tag_value": {"@@assign": ["a"]}, "enforced_for": {"@@assign": ["ec2:instance"]}}}}
    set_account(tag_policies=[document], rehearsed=[{"file": "tags.json", "document": document}])
    run(client, TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "project", "Value": "b"}]}])


def test_cloudformation_asks_for_its_callers_rights_in_a_rehearsal(server: Server, set_account: SetAccount) -> None:
    key = server.key({"Action": "cloudformation:*", "Resource": "*"})
    cloudformation = server.client("cloudformation", credentials=key)
    trust = policy({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}}
    body = json.dumps({"Resources": {"Role": role}})
    for rehearsed, status in (([], "CREATE_COMPLETE"), ([{"file": "f", "document": policy()}], "ROLLBACK_COMPLETE")):
        set_account(rehearsed=rehearsed)
        name = f"s-{uuid.uuid4().hex[:8]}"
        cloudformation.create_stack(StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_IAM"])
        while (seen := cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]).endswith("PROGRESS"):
            time.sleep(0.1)
        assert seen == status
        set_account()
        cloudformation.delete_stack(StackName=name)
