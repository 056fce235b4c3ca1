from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_bootstrap.aws import Account
from annex_bootstrap.policies.users import AnnexUser, Key, KeyFiles, plan_rotation
from tests.unit.recorded import Recorded, RefusedError

NOW = datetime(2026, 11, 1, tzinfo=UTC)
NAME = "lab-us-east-1"
STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/lab/2"
EARLIER = "arn:aws:cloudformation:us-east-1:123456789012:stack/lab/1"
POLICY = "arn:aws:iam::123456789012:policy/annex-bootstrap/lab/users"
OTHERS = "arn:aws:iam::123456789012:policy/others"
KEY_ID = "AKIAMADEUP000000"
KEY = {"AccessKey": {"UserName": NAME, "AccessKeyId": KEY_ID, "Status": "Active", "SecretAccessKey": "made-up-secret"}}


def keys(*ages: int) -> list[Key]:
    return [Key(f"AKIAMADEUP{number}", NOW - timedelta(days=age)) for number, age in enumerate(ages)]


def test_a_single_key_goes_only_after_the_new_one_is_there() -> None:
    rotation = plan_rotation(keys(3), "AKIAMADEUP0")
    assert (rotation.before, rotation.after) == ((), ("AKIAMADEUP0",))


def test_the_key_in_the_files_outlives_the_other() -> None:
    rotation = plan_rotation(keys(3, 1), "AKIAMADEUP0")
    assert (rotation.before, rotation.after) == (("AKIAMADEUP1",), ("AKIAMADEUP0",))


def test_of_two_unknown_keys_the_older_goes_first() -> None:
    rotation = plan_rotation(keys(1, 3), "")
    assert (rotation.before, rotation.after) == (("AKIAMADEUP1",), ("AKIAMADEUP0",))


@given(st.lists(st.integers(0, 1000), max_size=2), st.sampled_from(["", "AKIAMADEUP0", "AKIAMADEUP1"]))
def test_there_is_always_room_for_the_new_key_and_no_old_one_stays(ages: list[int], in_files: str) -> None:
    had = keys(*ages)
    rotation = plan_rotation(had, in_files)
    assert len(had) - len(rotation.before) <= 1
    assert sorted(rotation.before + rotation.after) == sorted(key.key_id for key in had)


def test_files_that_lack_the_secret_hold_no_key(tmp_path: Path) -> None:
    files = KeyFiles.below(tmp_path, "us-east-1")
    files.write("AKIAMADEUP0", "made-up-secret")
    assert files.key_id() == "AKIAMADEUP0"
    files.secret.unlink()
    assert files.key_id() == ""


def test_files_without_the_form_of_a_key_hold_none_and_aws_is_not_asked(tmp_path: Path) -> None:
    files = KeyFiles.below(tmp_path, "us-east-1")
    for text in ("hello world", "AKIA", "AKIAMADEUP0000000\n[x]", "\xff" * 20):
        files.write(text, "made-up-secret")
        assert files.holder(Account(boto3.Session(), "us-east-1")) == ""


def user(aws: Recorded, tmp_path: Path, boundary: str = "") -> AnnexUser:
    return AnnexUser(aws.account(), "lab", NAME, KeyFiles.below(tmp_path, "us-east-1"), boundary)


def made(path: str = "/annex-bootstrap/lab/", stack_id: str = STACK_ID) -> dict[str, Any]:
    """What IAM answers about a user that annex-bootstrap made."""
    tags = [{"Key": "annex-bootstrap:stack", "Value": stack_id}]
    return {
        "User": {"Path": path, "UserName": NAME, "UserId": "A" * 16, "Arn": "a" * 20, "CreateDate": NOW}
        | {"Tags": tags}
    }


def attached(*arns: str) -> dict[str, Any]:
    return {"AttachedPolicies": [{"PolicyName": "p", "PolicyArn": arn} for arn in arns]}


@pytest.mark.parametrize(("boundary", "bounded"), [("", {}), (OTHERS, {"PermissionsBoundary": OTHERS})])
def test_a_new_user_gets_the_stacks_tag_and_path_only_the_one_policy_and_a_key(
    tmp_path: Path, boundary: str, bounded: dict[str, str]
) -> None:
    aws = Recorded(
        GetUser=[RefusedError("NoSuchEntity"), made()],
        CreateUser={},
        ListAttachedUserPolicies=attached(),
        AttachUserPolicy={},
        ListAccessKeys={"AccessKeyMetadata": []},
        CreateAccessKey=KEY,
    )
    assert user(aws, tmp_path, boundary).set_up(STACK_ID, POLICY)
    named = {"UserName": NAME}
    assert aws.calls == [
        ("GetUser", named),
        (
            "CreateUser",
            {
                **named,
                "Path": "/annex-bootstrap/lab/",
                "Tags": [{"Key": "annex-bootstrap:stack", "Value": STACK_ID}],
                **bounded,
            },
        ),
        ("GetUser", named),
        ("ListAttachedUserPolicies", named),
        ("AttachUserPolicy", {**named, "PolicyArn": POLICY}),
        ("ListAccessKeys", named),
        ("CreateAccessKey", named),
    ]
    files = KeyFiles.below(tmp_path, "us-east-1")
    assert (files.access.read_text(), files.secret.read_text()) == (f"{KEY_ID}\n", "made-up-secret\n")


def test_a_user_of_an_earlier_stack_gets_the_new_tag_boundary_and_policy_and_loses_every_other(tmp_path: Path) -> None:
    KeyFiles.below(tmp_path, "us-east-1").write(KEY_ID, "made-up-secret")
    aws = Recorded(
        GetUser=made("/annex-bootstrap/", EARLIER),
        GetCallerIdentity=RefusedError("InvalidClientTokenId", status=403),
        UpdateUser={},
        TagUser={},
        PutUserPermissionsBoundary={},
        ListAttachedUserPolicies=attached(OTHERS, "arn:aws:iam::aws:policy/AdministratorAccess"),
        AttachUserPolicy={},
        DetachUserPolicy={},
        ListAccessKeys={"AccessKeyMetadata": [{"AccessKeyId": KEY_ID, "CreateDate": NOW}]},
    )
    someone = user(aws, tmp_path, OTHERS)
    someone.account.__dict__["account_id"] = "123456789012"
    assert not someone.set_up(STACK_ID, POLICY)
    named = {"UserName": NAME}
    assert aws.calls[1:] == [
        ("UpdateUser", {**named, "NewPath": "/annex-bootstrap/lab/"}),
        ("TagUser", {**named, "Tags": [{"Key": "annex-bootstrap:stack", "Value": STACK_ID}]}),
        ("PutUserPermissionsBoundary", {**named, "PermissionsBoundary": OTHERS}),
        ("ListAttachedUserPolicies", named),
        ("AttachUserPolicy", {**named, "PolicyArn": POLICY}),
        ("DetachUserPolicy", {**named, "PolicyArn": OTHERS}),
        ("DetachUserPolicy", {**named, "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
        ("ListAccessKeys", named),
    ]
