"""The documents of an institution: what is one, and what is said of what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.policies.limits import size
from annex_bootstrap.policies.rehearsed import LARGEST, Denial, DocumentError, Kind, read_document

ALLOW: dict[str, Any] = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def policy(*statements: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def write(directory: Path, content: Any) -> Path:
    file = directory / "document.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file


def problem(directory: Path, kind: Kind, content: Any) -> str:
    file = write(directory, content)
    with pytest.raises(DocumentError) as raised:
        read_document(kind, file)
    assert raised.value.exit_code == 2
    said = str(raised.value)
    assert said.startswith(str(file))
    return said.removeprefix(f"{file} ")


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_single_statement_becomes_a_list(tmp_path: Path, bom: bytes) -> None:
    content = {"Version": "2012-10-17", "Statement": ALLOW}
    read = read_document(Kind.SCP, write(tmp_path, bom + json.dumps(content).encode()))
    assert (read.kind, read.content) == (Kind.SCP, policy(ALLOW))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON, from line 1, column 1: Expecting value"),
        (b"\n {'Version'}", "is not JSON, from line 2, column 3: Expecting property name enclosed in double quotes"),
        (b"\xff\xfe{\0}\0", "is not UTF-8 text: save the service control policy as JSON in UTF-8"),
        (b"[" * 100_000, "is not JSON that AWS takes: "),
        (b'{"Version": "1", "Version": "2"}', "is not JSON that AWS takes: an object has 'Version' twice"),
        (b"1" * 5000, "is not JSON that AWS takes: "),
        (b" " * (LARGEST + 1), "is larger than 262,144 bytes, and no service control policy is: name the policy's own"),
        ([], "is not a service control policy: it has no Statement"),
        ("text", "is not a service control policy: it has no Statement"),
        (None, "is not a service control policy: it has no Statement"),
        ({"tags": {}}, "is not a service control policy: it has no Statement"),
        (policy(ALLOW) | {"Version": 2}, 'is not a service control policy: its Version is not "2012-10-17"'),
        (policy(), "is not a service control policy: its Statement is not a list of statements"),
        ({"Version": "2012-10-17", "Statement": "x"}, "is not a service control policy: its Statement is not a list"),
        (policy("x"), "is not a service control policy: statement 1 is no object"),
        (policy(ALLOW, {}), 'is not a service control policy: statement 2 has no Effect "Allow" or "Deny"'),
        (policy(ALLOW | {"Effect": ["Allow"]}), 'statement 1 has no Effect "Allow" or "Deny"'),
        (policy(ALLOW | {"Sid": 7}), "statement 1 has a Sid that is no text"),
        (policy(ALLOW | {"Sid": "A"}, ALLOW | {"Sid": "A"}), "two statements have the Sid 'A'"),
        (policy(ALLOW | {"Principal": "*"}), "statement 1 has 'Principal', which such a policy does not have"),
        (policy({"Effect": "Deny", "Resource": "*"}), "statement 1 needs either Action or NotAction"),
        (policy(ALLOW | {"NotAction": "s3:*"}), "statement 1 needs either Action or NotAction"),
        (policy({"Effect": "Deny", "Action": "*"}), "statement 1 needs either Resource or NotResource"),
        (policy(ALLOW | {"Action": []}), "statement 1 has a Action that is neither"),
        (policy(ALLOW | {"Action": [{}]}), "statement 1 has a Action that is neither"),
        (policy(ALLOW | {"Condition": []}), "statement 1 has a Condition that is not operators with condition keys"),
        (policy(ALLOW | {"Condition": {"Bool": "x"}}), "statement 1 has a Condition that is not operators"),
        (policy(ALLOW | {"Condition": {"Like": {"k": "v"}}}), "statement 1 has a Condition with 'Like', which is not"),
        (policy(ALLOW | {"Condition": {"Bool": {"k": {}}}}), "statement 1 has a Condition whose 'k' has no values"),
        (policy(ALLOW | {"Condition": {"Bool": {"k": []}}}), "statement 1 has a Condition whose 'k' has no values"),
    ],
)
def test_what_is_not_a_policy_is_refused_in_one_sentence(tmp_path: Path, content: Any, said: str) -> None:
    found = problem(tmp_path, Kind.SCP, content)
    assert said.removeprefix("statement") in found
    assert "\n" not in found


@pytest.mark.parametrize(
    "condition",
    [
        {"ForAnyValue:StringLikeIfExists": {"aws:TagKeys": ["a"]}},
        {"Null": {"aws:RequestTag/a": True}, "NumericLessThan": {"s3:max-keys": 7}},
    ],
)
def test_conditions_of_iam_are_taken(tmp_path: Path, condition: Any) -> None:
    content = policy(ALLOW | {"Condition": condition})
    assert read_document(Kind.BOUNDARY, write(tmp_path, content)).content == content


def test_statements_may_have_empty_sids_as_terraform_writes_them_and_a_policy_the_earlier_version(
    tmp_path: Path,
) -> None:
    content = policy(ALLOW | {"Sid": ""}, ALLOW | {"Sid": ""})
    assert read_document(Kind.SCP, write(tmp_path, content)).content == content
    for earlier in (content | {"Version": "2008-10-17"}, {"Statement": [ALLOW]}):
        assert read_document(Kind.POLICY, write(tmp_path, earlier)).content == earlier


def test_a_boundary_is_no_longer_than_a_managed_policy(tmp_path: Path) -> None:
    room = 6144 - size(policy(ALLOW | {"Sid": ""}))
    longest, longer = (policy(ALLOW | {"Sid": "x" * length}) for length in (room, room + 1))
    assert read_document(Kind.BOUNDARY, write(tmp_path, longest)).content == longest
    assert read_document(Kind.SCP, write(tmp_path, longer)).content == longer
    said = problem(tmp_path, Kind.BOUNDARY, longer)
    assert said == "has 6,145 characters, and IAM takes a permissions boundary of 6,144: shorten it"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for file, why in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(DocumentError) as raised:
            read_document(Kind.POLICY, file)
        assert str(raised.value) == f"{file} cannot be read: {why}"


def tag(rule: Any) -> dict[str, Any]:
    return {"tags": {"Project": rule}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (policy(ALLOW), 'it has no "tags"'),
        ({"tags": []}, 'it has no "tags"'),
        ({"tags": {}}, 'it has no "tags"'),
        (tag("x"), "the tag 'Project' is not an object of objects such as tag_key"),
        (tag({"tag_key": "x"}), "the tag 'Project' is not an object of objects such as tag_key"),
        (tag({"tag_value": {"assign": "x"}}), "tag_value of the tag 'Project' has 'assign', which is not an operator"),
        (
            tag({"tag_value": {"@@assign": [7]}}),
            "tag_value of the tag 'Project' has a value of @@assign that is no text",
        ),
        (tag({"tag_key": {"@@assign": ["a", "b"]}}), "tag_key of the tag 'Project' assigns more than one text"),
    ],
)
def test_what_is_not_a_tag_policy_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    assert problem(tmp_path, Kind.TAG_POLICY, content).startswith(f"is not a tag policy: {said}")


@pytest.mark.parametrize(
    ("resource", "kind"),
    [
        ("arn:aws:ec2:us-east-1:1:instance/*", "instance"),
        ("arn:aws:lambda:us-east-1:1:function:name", "function"),
        ("arn:aws:s3:::bucket/key", "bucket"),
        ("*", "*"),
    ],
)
def test_the_type_of_a_resource(resource: str, kind: str) -> None:
    assert Denial("deploy", "", "", resource, "", "", None).resource_type == kind
