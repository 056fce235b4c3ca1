"""``annex-bootstrap credentials`` under the policy that ``policy operator`` prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from annex_contract.stack import DEFAULT_STACK_NAME, ROLE_PATH, STACK_TAG, Output, stack_path
from local_aws.launcher import ACCOUNT, REGION
from tests.local_aws.cli_user import CliUser
from tests.local_aws.stack import DeployedStack

pytestmark = pytest.mark.slow

USER = f"{DEFAULT_STACK_NAME}-{REGION}"


@pytest.fixture(autouse=True)
def _no_user_stays(operator: CliUser) -> object:
    yield
    operator.run("credentials", "--remove", "--yes")


def key_files(operator: CliUser) -> tuple[Path, Path]:
    directory = operator.home / ".condor"
    return directory / f"annex-access-key-{REGION}", directory / f"annex-secret-key-{REGION}"


def session(operator: CliUser) -> boto3.Session:
    access, secret = (path.read_text().strip() for path in key_files(operator))
    return boto3.Session(access, secret)


def key_ids(root: boto3.Session) -> list[str]:
    listed = root.client("iam").list_access_keys(UserName=USER)["AccessKeyMetadata"]
    return [key["AccessKeyId"] for key in listed]


def test_the_key_can_use_the_lease_function_and_cannot_read_users(
    operator: CliUser, shared_stack: DeployedStack
) -> None:
    operator.must("credentials")
    made = session(operator)
    function = made.client("lambda").get_function(FunctionName=shared_stack.outputs[Output.LEASE_FUNCTION_ARN])
    assert function["Configuration"]["CodeSha256"]
    with pytest.raises(ClientError, match="AccessDenied"):
        made.client("iam").list_users()


def test_the_user_has_the_stacks_policy_and_nothing_else(
    operator: CliUser, root: boto3.Session, shared_stack: DeployedStack
) -> None:
    operator.must("credentials")
    iam = root.client("iam")
    attached = iam.list_attached_user_policies(UserName=USER)["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [shared_stack.outputs[Output.ANNEX_USER_POLICY_ARN]]
    assert iam.list_user_policies(UserName=USER)["PolicyNames"] == []
    assert iam.list_groups_for_user(UserName=USER)["Groups"] == []


def test_both_files_are_private_and_named_in_the_configuration(operator: CliUser) -> None:
    operator.must("credentials")
    access, secret = key_files(operator)
    assert [path.stat().st_mode & 0o777 for path in (access, secret)] == [0o600, 0o600]
    assert access.parent.stat().st_mode & 0o777 == 0o700
    assert f"us_east_1.ANNEX_DEFAULT_ACCESS_KEY_FILE = {access}\n" in operator.config.read_text()
    assert f"\nANNEX_DEFAULT_SECRET_KEY_FILE = {secret}\n" in operator.config.read_text()


def test_the_secret_is_never_printed(operator: CliUser) -> None:
    printed = operator.must("credentials").stdout + operator.must("credentials", "--rotate").stdout
    assert key_files(operator)[1].read_text().strip() not in printed


def test_a_second_run_keeps_the_key(operator: CliUser, root: boto3.Session) -> None:
    operator.must("credentials")
    before = key_ids(root)
    assert "already has its key" in operator.must("credentials").stdout
    assert key_ids(root) == before


def test_a_second_run_makes_opened_files_private_again(operator: CliUser) -> None:
    operator.must("credentials")
    for path in key_files(operator):
        path.chmod(0o644)
    operator.must("credentials")
    assert [path.stat().st_mode & 0o777 for path in key_files(operator)] == [0o600, 0o600]


def test_rotating_leaves_one_key_which_is_new_and_works(operator: CliUser, root: boto3.Session) -> None:
    operator.must("credentials")
    before = key_ids(root)
    operator.must("credentials", "--rotate")
    (after,) = key_ids(root)
    assert after not in before
    assert session(operator).client("sts").get_caller_identity()["Arn"].endswith(USER)


def test_rotating_repairs_a_user_whose_two_keys_are_lost(operator: CliUser, root: boto3.Session) -> None:
    operator.must("credentials")
    root.client("iam").create_access_key(UserName=USER)
    for path in key_files(operator):
        path.unlink()
    refused = operator.run("credentials")
    assert refused.returncode == 1
    assert "credentials --rotate" in refused.stderr
    operator.must("credentials", "--rotate")
    assert key_ids(root) == [key_files(operator)[0].read_text().strip()]


def test_a_key_that_cannot_be_written_to_its_file_is_deleted(operator: CliUser, root: boto3.Session) -> None:
    (operator.home / ".condor").write_text("a file where a directory must be")
    refused = operator.run("credentials", "--config", str(operator.home / "config"))
    assert refused.returncode == 1
    assert key_ids(root) == []


def test_removing_leaves_no_user_no_file_and_no_knob(operator: CliUser, root: boto3.Session) -> None:
    operator.must("credentials")
    operator.must("credentials", "--remove", "--yes")
    with pytest.raises(root.client("iam").exceptions.NoSuchEntityException):
        root.client("iam").get_user(UserName=USER)
    assert [path.exists() for path in key_files(operator)] == [False, False]
    assert operator.config.read_text() == ""


def test_a_user_with_a_password_is_removed_once_that_is_gone(operator: CliUser, root: boto3.Session) -> None:
    """AWS deletes no such user: https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteUser.html."""
    iam = root.client("iam")
    operator.must("credentials")
    iam.create_login_profile(UserName=USER, Password="made-up-Passw0rd")
    refused = operator.run("credentials", "--remove", "--yes")
    assert refused.returncode == 1
    assert "AWS keeps it: Cannot delete entity, must delete login profile first. Remove that in" in refused.stderr
    assert key_ids(root) == []
    assert [path.exists() for path in key_files(operator)] == [False, False]
    iam.delete_login_profile(UserName=USER)
    operator.must("credentials", "--remove", "--yes")
    assert operator.config.read_text() == ""


def test_somebody_elses_user_is_left_alone(operator: CliUser, root: boto3.Session) -> None:
    iam = root.client("iam")
    iam.create_user(UserName=f"{DEFAULT_STACK_NAME}-alice")
    try:
        for action in ((), ("--rotate",), ("--remove", "--yes")):
            refused = operator.run("credentials", "--user-name", f"{DEFAULT_STACK_NAME}-alice", *action)
            assert refused.returncode == 1
            assert "not made by annex-bootstrap" in refused.stderr
        assert iam.list_access_keys(UserName=f"{DEFAULT_STACK_NAME}-alice")["AccessKeyMetadata"] == []
    finally:
        iam.delete_user(UserName=f"{DEFAULT_STACK_NAME}-alice")


def test_the_operator_cannot_give_a_user_more_permissions(operator: CliUser) -> None:
    operator.must("credentials")
    iam = boto3.Session(operator.credentials.access_key_id, operator.credentials.secret_access_key).client("iam")
    with pytest.raises(ClientError, match="AccessDenied"):
        iam.attach_user_policy(UserName=USER, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")


def test_a_user_of_an_earlier_version_keeps_its_key_and_gets_the_stacks_path(
    operator: CliUser, root: boto3.Session
) -> None:
    operator.must("credentials")
    iam, before = root.client("iam"), key_ids(root)
    for action, paths in (((), [stack_path(DEFAULT_STACK_NAME)]), (("--remove", "--yes"), [])):
        iam.update_user(UserName=USER, NewPath=ROLE_PATH)
        assert session(operator).client("sts").get_caller_identity()["Arn"].endswith(f"user{ROLE_PATH}{USER}")
        operator.must("credentials", *action)
        assert [user["Path"] for user in iam.list_users()["Users"] if user["UserName"] == USER] == paths
        assert not paths or key_ids(root) == before


def test_a_user_of_another_stack_is_left_alone(operator: CliUser, root: boto3.Session) -> None:
    iam, name = root.client("iam"), f"{DEFAULT_STACK_NAME}-b-{REGION}"
    other = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{DEFAULT_STACK_NAME}-b/1"
    administrator = replace(operator, credentials=operator.local.root)
    for path in (ROLE_PATH, stack_path(f"{DEFAULT_STACK_NAME}-b")):
        iam.create_user(UserName=name, Path=path, Tags=[{"Key": STACK_TAG, "Value": other}])
        for somebody, why in ((operator, "iam:GetUser"), (administrator, "another")):
            for action in ((), ("--rotate",), ("--remove", "--yes")):
                refused = somebody.run("credentials", "--user-name", name, *action)
                assert (refused.returncode, why in refused.stderr) == (1, True), refused.stderr
        assert iam.get_user(UserName=name)["User"]["Path"] == path
        iam.delete_user(UserName=name)


def test_from_instance_creates_no_user(operator: CliUser, root: boto3.Session) -> None:
    operator.must("credentials", "--from-instance")
    assert "\nANNEX_DEFAULT_ACCESS_KEY_FILE = FROM INSTANCE\n" in operator.config.read_text()
    with pytest.raises(root.client("iam").exceptions.NoSuchEntityException):
        root.client("iam").get_user(UserName=USER)


@pytest.fixture
def other_user(operator: CliUser) -> Iterator[str]:
    """The name of a second user that the operator may make, with no key file of its own."""
    name = f"{DEFAULT_STACK_NAME}-other"
    yield name
    operator.run("credentials", "--remove", "--yes", "--user-name", name)


@pytest.mark.parametrize("rotate", [False, True])
def test_the_files_of_one_user_are_not_overwritten_by_the_key_of_another(
    operator: CliUser, root: boto3.Session, other_user: str, rotate: bool
) -> None:
    operator.must("credentials")
    kept, config = [path.read_text() for path in key_files(operator)], operator.config.read_text()
    refused = operator.run("credentials", "--user-name", other_user, *(["--rotate"] if rotate else []))
    assert refused.returncode == 1
    access = key_files(operator)[0]
    assert f"{access} holds the key of user/annex-bootstrap/{DEFAULT_STACK_NAME}/{USER}, which works" in refused.stderr
    assert "--directory" in refused.stderr
    assert ([path.read_text() for path in key_files(operator)], operator.config.read_text()) == (kept, config)
    with pytest.raises(root.client("iam").exceptions.NoSuchEntityException):
        root.client("iam").get_user(UserName=other_user)


def test_a_second_user_keeps_its_key_in_a_directory_of_its_own(operator: CliUser, other_user: str) -> None:
    operator.must("credentials")
    directory = operator.home / "other"
    operator.must("credentials", "--user-name", other_user, "--directory", str(directory))
    assert session(operator).client("sts").get_caller_identity()["Arn"].endswith(f"/{USER}")
    access = (directory / f"annex-access-key-{REGION}").read_text().strip()
    secret = (directory / f"annex-secret-key-{REGION}").read_text().strip()
    assert boto3.Session(access, secret).client("sts").get_caller_identity()["Arn"].endswith(f"/{other_user}")


def test_a_key_that_no_longer_exists_is_overwritten(operator: CliUser, root: boto3.Session, other_user: str) -> None:
    operator.must("credentials")
    root.client("iam").delete_access_key(UserName=USER, AccessKeyId=key_ids(root)[0])
    operator.must("credentials", "--user-name", other_user)
    assert session(operator).client("sts").get_caller_identity()["Arn"].endswith(f"/{other_user}")


def test_removing_one_user_keeps_the_files_and_knobs_of_another(operator: CliUser, other_user: str) -> None:
    operator.must("credentials", "--user-name", other_user, "--directory", str(operator.home / "other"))
    operator.must("credentials")
    config = operator.config.read_text()
    removed = operator.must("credentials", "--remove", "--yes", "--user-name", other_user)
    assert f"The IAM user {other_user} is deleted" in removed.stdout
    assert operator.config.read_text() == config
    assert session(operator).client("sts").get_caller_identity()["Arn"].endswith(f"/{USER}")
