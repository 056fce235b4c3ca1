"""What AWS refuses to delete: policies and users in use, protected stacks, buckets with versions; codes used twice."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws import stack
from tests.local_aws.server.ec2_requests import refusal
from tests.local_aws.server.principals import Server

DOCUMENT = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


def make_user(server: Server) -> str:
    """Return the name of a new user with nothing."""
    return server.iam().create_user(UserName=f"user-{uuid.uuid4()}")["User"]["UserName"]


def test_a_policy_that_a_group_holds_is_not_deleted_and_neither_is_its_stack(server: Server) -> None:
    iam, cloudformation, name = server.iam(), server.client("cloudformation"), f"stack-{uuid.uuid4()}"
    policy = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": DOCUMENT}}
    body = json.dumps({"Resources": {"Policy": policy}})
    made = cloudformation.create_stack(StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_IAM"])["StackId"]
    assert stack.wait(server.session, made) == "CREATE_COMPLETE"
    (resource,) = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    arn, group = resource["PhysicalResourceId"], f"group-{uuid.uuid4()}"
    iam.create_group(GroupName=group)
    iam.attach_group_policy(GroupName=group, PolicyArn=arn)
    with pytest.raises(ClientError) as error:
        iam.delete_policy(PolicyArn=arn)
    assert refusal(error) == "DeleteConflict"
    assert stack.delete(server.session, made) == "DELETE_FAILED"
    assert "Cannot delete a policy attached to entities" in stack.reasons(server.session, made)[0]
    iam.detach_group_policy(GroupName=group, PolicyArn=arn)
    assert stack.delete(server.session, made) == "DELETE_COMPLETE"


def test_a_policy_with_an_older_version_is_not_deleted(server: Server) -> None:
    iam, document = server.iam(), json.dumps(DOCUMENT)
    arn = iam.create_policy(PolicyName=str(uuid.uuid4()), PolicyDocument=document)["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
    with pytest.raises(ClientError) as error:
        iam.delete_policy(PolicyArn=arn)
    assert refusal(error) == "DeleteConflict"
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)


def add_password(iam: Any, user: str) -> Callable[[], object]:
    """Give a user a password; return what takes it away."""
    iam.create_login_profile(UserName=user, Password="made-up-Passw0rd")
    return lambda: iam.delete_login_profile(UserName=user)


def add_device(iam: Any, user: str) -> Callable[[], object]:
    """Give a user an MFA device."""
    serial = iam.create_virtual_mfa_device(VirtualMFADeviceName=user)["VirtualMFADevice"]["SerialNumber"]
    iam.enable_mfa_device(
        UserName=user, SerialNumber=serial, AuthenticationCode1="000001", AuthenticationCode2="000002"
    )
    return lambda: iam.deactivate_mfa_device(UserName=user, SerialNumber=serial)


def add_certificate(iam: Any, user: str) -> Callable[[], object]:
    """Give a user a signing certificate."""
    iam.upload_signing_certificate(UserName=user, CertificateBody="made up")
    (certificate,) = iam.list_signing_certificates(UserName=user)["Certificates"]
    return lambda: iam.delete_signing_certificate(UserName=user, CertificateId=certificate["CertificateId"])


def add_policy(iam: Any, user: str) -> Callable[[], object]:
    """Give a user an inline policy."""
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(DOCUMENT))
    return lambda: iam.delete_user_policy(UserName=user, PolicyName="p")


def add_to_group(iam: Any, user: str) -> Callable[[], object]:
    """Make a user a group's member."""
    iam.create_group(GroupName=user)
    iam.add_user_to_group(GroupName=user, UserName=user)
    return lambda: iam.remove_user_from_group(GroupName=user, UserName=user)


@pytest.mark.parametrize("add", [add_password, add_device, add_certificate, add_policy, add_to_group])
def test_a_user_with_something_is_not_deleted(server: Server, add: Callable[[Any, str], Callable[[], object]]) -> None:
    iam, user = server.iam(), make_user(server)
    remove = add(iam, user)
    with pytest.raises(ClientError) as error:
        iam.delete_user(UserName=user)
    assert refusal(error) == "DeleteConflict"
    remove()
    iam.delete_user(UserName=user)


def test_a_code_is_good_once_and_makes_a_session_with_mfa(server: Server) -> None:
    condition = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    key = server.key({"Action": "iam:ListRoles", "Resource": "*", "Condition": condition})
    sts = server.client("sts", credentials=key)
    user = sts.get_caller_identity()["Arn"].rpartition("/")[2]
    add_device(server.iam(), user)
    serial = server.iam().list_mfa_devices(UserName=user)["MFADevices"][0]["SerialNumber"]
    with pytest.raises(ClientError):
        server.client("iam", credentials=key).list_roles()
    made = sts.get_session_token(SerialNumber=serial, TokenCode="123456")["Credentials"]
    server.session.client(
        "iam",
        aws_access_key_id=made["AccessKeyId"],
        aws_secret_access_key=made["SecretAccessKey"],
        aws_session_token=made["SessionToken"],
    ).list_roles()
    for code in ("123456", "abcdef"):
        with pytest.raises(ClientError, match="MultiFactorAuthentication failed with invalid MFA one time") as error:
            sts.get_session_token(SerialNumber=serial, TokenCode=code)
        assert refusal(error) == "AccessDenied"
    sts.get_session_token(SerialNumber=serial, TokenCode="654321")


def test_a_protected_stack_is_not_deleted(server: Server) -> None:
    """As https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-protect-stacks.html says."""
    cloudformation, name = server.client("cloudformation"), f"stack-{uuid.uuid4()}"
    body = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    cloudformation.create_stack(StackName=name, TemplateBody=body, EnableTerminationProtection=True)
    stack.wait(server.session, name)
    with pytest.raises(ClientError, match="TerminationProtection is enabled") as error:
        cloudformation.delete_stack(StackName=name)
    assert refusal(error) == "ValidationError"
    cloudformation.update_termination_protection(StackName=name, EnableTerminationProtection=False)
    assert stack.delete(server.session, cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"])


def test_a_bucket_is_not_empty_while_a_version_or_a_marker_is_left(server: Server) -> None:
    """As https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html says."""
    s3, bucket = server.client("s3"), f"b-{uuid.uuid4()}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="x")
    s3.delete_object(Bucket=bucket, Key="x")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    listed = s3.list_object_versions(Bucket=bucket)
    for version in [*listed["Versions"], *listed["DeleteMarkers"]]:
        with pytest.raises(ClientError) as error:
            s3.delete_bucket(Bucket=bucket)
        assert refusal(error) == "BucketNotEmpty"
        s3.delete_object(Bucket=bucket, Key="x", VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=bucket)
