"""The IAM user that runs annexes: the calls that make it, give it a key, rotate it and remove it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.aws import Account
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.policies.users import AnnexUser, KeyFiles, check_policy
from tests.unit.recorded import Recorded, RefusedError

STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/pool/1"
POLICY = "arn:aws:iam::123456789012:policy/annex-bootstrap/pool-AnnexUserPolicy-A"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
NAME = "pool-us-east-1"
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
NONE = RefusedError("NoSuchEntity", status=404)
OLD, NEW = "AKIAMADEUPMADEUPOLD0", "AKIAMADEUPMADEUPNEW0"


def user(owner: str | None = STACK, path: str = "/annex-bootstrap/pool/", **more: Any) -> dict[str, Any]:
    tags = [] if owner is None else [{"Key": "annex-bootstrap:stack", "Value": owner}]
    made = {
        "Path": path,
        "UserName": NAME,
        "UserId": "AIDAMADEUPMADEUP",
        "Arn": f"arn:aws:iam::123456789012:user{path}{NAME}",
        "CreateDate": WHEN,
        "Tags": tags,
    }
    return {"User": made | more}


def keys(*ids: str) -> dict[str, Any]:
    return {"AccessKeyMetadata": [{"UserName": NAME, "AccessKeyId": each, "CreateDate": WHEN} for each in ids]}


def attached(*arns: str) -> dict[str, Any]:
    return {"AttachedPolicies": [{"PolicyName": "p", "PolicyArn": arn} for arn in arns]}


def answers(**changed: Any) -> dict[str, Any]:
    """Return the answers of an account in which the stack's user has the stack's policy and no key."""
    made = {"UserName": NAME, "AccessKeyId": NEW, "Status": "Active", "SecretAccessKey": "made-up-secret"}
    return {
        "GetUser": user(),
        "ListAttachedUserPolicies": attached(POLICY),
        "ListAccessKeys": keys(),
        "CreateAccessKey": {"AccessKey": made},
        "AttachUserPolicy": {},
        "DetachUserPolicy": {},
        "DeleteAccessKey": {},
        "DeleteUser": {},
        "TagUser": {},
        "PutUserPermissionsBoundary": {},
    } | changed


@pytest.fixture
def files(tmp_path: Path) -> KeyFiles:
    return KeyFiles.below(tmp_path, "us-east-1")


@pytest.fixture(autouse=True)
def holder(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Say whose working key the files hold; nobody's by default."""
    named = [""]
    monkeypatch.setattr(KeyFiles, "holder", lambda *_: named[0])

    def hold(name: str) -> None:
        named[0] = name

    return hold


def the_user(account: Account, files: KeyFiles, boundary: str = "") -> AnnexUser:
    return AnnexUser(account, "pool", NAME, files, boundary)


def changes(aws: Recorded) -> list[tuple[str, dict[str, Any]]]:
    return [call for call in aws.calls if not call[0].startswith(("Get", "List"))]


def test_a_user_is_made_with_its_owner_one_policy_and_a_key_in_the_files(files: KeyFiles) -> None:
    aws = Recorded(**answers(GetUser=[NONE, user()], CreateUser={}, ListAttachedUserPolicies=attached()))
    assert the_user(aws.account(), files, BOUNDARY).set_up(STACK, POLICY)
    assert changes(aws) == [
        (
            "CreateUser",
            {
                "UserName": NAME,
                "Path": "/annex-bootstrap/pool/",
                "Tags": [{"Key": "annex-bootstrap:stack", "Value": STACK}],
                "PermissionsBoundary": BOUNDARY,
            },
        ),
        ("AttachUserPolicy", {"UserName": NAME, "PolicyArn": POLICY}),
        ("CreateAccessKey", {"UserName": NAME}),
    ]
    assert (files.access.read_text(), files.secret.read_text()) == (f"{NEW}\n", "made-up-secret\n")
    assert {path.stat().st_mode & 0o777 for path in (files.access, files.secret)} == {0o600}


def test_a_user_without_a_boundary_is_made_without_one(files: KeyFiles) -> None:
    aws = Recorded(**answers(GetUser=[NONE, user()], CreateUser={}))
    the_user(aws.account(), files).set_up(STACK, POLICY)
    assert "PermissionsBoundary" not in aws.of("CreateUser")[0]


def test_our_user_keeps_its_key_gets_the_boundary_and_loses_other_policies(files: KeyFiles) -> None:
    files.write(OLD, "made-up")
    files.secret.chmod(0o644)
    other = "arn:aws:iam::123456789012:policy/other"
    aws = Recorded(**answers(ListAccessKeys=keys(OLD), ListAttachedUserPolicies=attached(other)))
    assert not the_user(aws.account(), files, BOUNDARY).set_up(STACK, POLICY)
    assert changes(aws) == [
        ("PutUserPermissionsBoundary", {"UserName": NAME, "PermissionsBoundary": BOUNDARY}),
        ("AttachUserPolicy", {"UserName": NAME, "PolicyArn": POLICY}),
        ("DetachUserPolicy", {"UserName": NAME, "PolicyArn": other}),
    ]
    assert files.secret.stat().st_mode & 0o777 == 0o600


def test_a_user_of_a_stack_that_was_made_again_is_taken_over_and_one_of_another_is_not(files: KeyFiles) -> None:
    again = STACK.replace("/1", "/2")
    aws = Recorded(**answers(ListAccessKeys=keys()))
    the_user(aws.account(), files).set_up(again, POLICY)
    assert changes(aws)[0] == (
        "TagUser",
        {"UserName": NAME, "Tags": [{"Key": "annex-bootstrap:stack", "Value": again}]},
    )
    for other in (STACK.replace("pool", "other"), STACK.replace("us-east-1", "eu-west-1")):
        aws = Recorded(**answers(GetUser=user(other)))
        with pytest.raises(UserError, match=f"the IAM user {NAME} belongs to another stack, {other}"):
            the_user(aws.account(), files).set_up(STACK, POLICY)
        assert changes(aws) == []


def test_a_user_of_an_earlier_version_moves_under_the_stacks_path(files: KeyFiles) -> None:
    aws = Recorded(**answers(GetUser=user(path="/annex-bootstrap/"), UpdateUser={}))
    the_user(aws.account(), files).set_up(STACK, POLICY)
    assert changes(aws)[0] == ("UpdateUser", {"UserName": NAME, "NewPath": "/annex-bootstrap/pool/"})


@pytest.mark.parametrize("found", [user(None), user(path="/")])
def test_a_user_that_we_did_not_make_is_left_alone(files: KeyFiles, found: dict[str, Any]) -> None:
    aws = Recorded(**answers(GetUser=found))
    for act in ("set_up", "rotate", "remove"):
        with pytest.raises(UserError, match=f"the IAM user {NAME} exists and was not made by annex-bootstrap"):
            getattr(the_user(aws.account(), files), act)(*((STACK, POLICY) if act != "remove" else ()))
    assert changes(aws) == []


def test_two_keys_elsewhere_leave_no_room(files: KeyFiles) -> None:
    aws = Recorded(**answers(ListAccessKeys=keys(OLD, NEW)))
    with pytest.raises(UserError, match=rf"has two access keys already \({OLD}, {NEW}\) and neither is in "):
        the_user(aws.account(), files).set_up(STACK, POLICY)
    assert changes(aws) == []


def test_one_key_elsewhere_leaves_room_for_one_here(files: KeyFiles) -> None:
    aws = Recorded(**answers(ListAccessKeys=keys(OLD)))
    assert the_user(aws.account(), files).set_up(STACK, POLICY)
    assert aws.of("DeleteAccessKey") == []


def test_a_key_whose_secret_cannot_be_written_is_deleted(files: KeyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise UserError("the disk is full")

    monkeypatch.setattr(KeyFiles, "write", full)
    aws = Recorded(**answers())
    with pytest.raises(UserError, match="the disk is full"):
        the_user(aws.account(), files).set_up(STACK, POLICY)
    assert changes(aws)[-1] == ("DeleteAccessKey", {"UserName": NAME, "AccessKeyId": NEW})


def test_a_working_key_of_somebody_else_is_not_overwritten(files: KeyFiles, holder: Callable[[str], None]) -> None:
    aws = Recorded(**answers())
    holder("user/alice")
    for act in ("set_up", "rotate"):
        with pytest.raises(UserError, match="holds the key of user/alice, which works"):
            getattr(the_user(aws.account(), files), act)(STACK, POLICY)
    assert aws.calls == []
    holder(f"user/annex-bootstrap/pool/{NAME}")
    assert the_user(aws.account(), files).set_up(STACK, POLICY)


def test_a_rotation_deletes_the_key_in_use_last(files: KeyFiles) -> None:
    files.write(OLD, "made-up")
    spare = "AKIAMADEUPMADEUPSPAR"
    aws = Recorded(**answers(ListAccessKeys=keys(OLD, spare)))
    assert the_user(aws.account(), files).rotate(STACK, POLICY) == (spare, OLD)
    assert changes(aws) == [
        ("DeleteAccessKey", {"UserName": NAME, "AccessKeyId": spare}),
        ("CreateAccessKey", {"UserName": NAME}),
        ("DeleteAccessKey", {"UserName": NAME, "AccessKeyId": OLD}),
    ]
    assert files.key_id() == NEW


def test_removal_takes_keys_policies_the_user_and_its_files(files: KeyFiles) -> None:
    files.write(OLD, "made-up")
    aws = Recorded(**answers(ListAccessKeys=keys(OLD)))
    assert the_user(aws.account(), files).remove() == (OLD,)
    assert changes(aws) == [
        ("DeleteAccessKey", {"UserName": NAME, "AccessKeyId": OLD}),
        ("DetachUserPolicy", {"UserName": NAME, "PolicyArn": POLICY}),
        ("DeleteUser", {"UserName": NAME}),
    ]
    assert not files.access.exists()
    assert not files.secret.exists()


def test_removal_keeps_files_of_another_key_and_knows_a_user_that_is_gone(files: KeyFiles) -> None:
    files.write(NEW, "made-up")
    assert the_user(Recorded(**answers(ListAccessKeys=keys(OLD))).account(), files).remove() == (OLD,)
    assert files.key_id() == NEW
    gone = Recorded(**answers(GetUser=NONE))
    assert the_user(gone.account(), files).remove() is None
    assert changes(gone) == []


def test_a_user_that_aws_keeps_has_lost_its_keys_and_the_files_and_it_is_said_why(files: KeyFiles) -> None:
    files.write(OLD, "made-up")
    kept = RefusedError("DeleteConflict", "Cannot delete entity, must delete MFA device first.", status=409)
    aws = Recorded(**answers(ListAccessKeys=keys(OLD), DeleteUser=kept))
    with pytest.raises(UserError) as error:
        the_user(aws.account(), files).remove()
    assert str(error.value) == (
        f"the IAM user {NAME} has no key and no policy of annex-bootstrap any more, but AWS keeps it: Cannot delete "
        "entity, must delete MFA device first. Remove that in the IAM console, then run the same command again"
    )
    assert [name for name, _ in changes(aws)] == ["DeleteAccessKey", "DetachUserPolicy", "DeleteUser"]
    assert not files.access.exists()
    denied = Recorded(**answers(DeleteUser=RefusedError("AccessDenied", status=403)))
    with pytest.raises(AwsError, match="deleting the IAM user pool-us-east-1 failed: AWS said AccessDenied"):
        the_user(denied.account(), files).remove()


def test_whether_a_user_is_bounded_is_read() -> None:
    def bounded(answer: Any) -> bool:
        return the_user(Recorded(GetUser=answer).account(), KeyFiles(Path("a"), Path("s"))).is_bounded()

    assert bounded(user(PermissionsBoundary={"PermissionsBoundaryArn": BOUNDARY}))
    assert not bounded(user())
    assert not bounded(NONE)
    with pytest.raises(AwsError, match="reading the IAM user pool-us-east-1 failed: AWS said AccessDenied: because"):
        bounded(RefusedError("AccessDenied", status=403))


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::aws:policy/AdministratorAccess",
        "arn:aws:iam::210987654321:policy/annex-bootstrap/p",
        "arn:aws:iam::123456789012:policy/p",
        "arn:aws-cn:iam::123456789012:policy/annex-bootstrap/p",
    ],
)
def test_no_user_gets_another_policy_than_one_of_our_stacks(arn: str) -> None:
    account = Recorded().account()
    check_policy(account, POLICY)
    with pytest.raises(UserError, match="is not a policy of annex-bootstrap in this account"):
        check_policy(account, arn)
