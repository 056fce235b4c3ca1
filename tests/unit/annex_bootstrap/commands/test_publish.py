"""``publish``: what it asks before everyone may read, what it puts where, and the links that it prints."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from annex_bootstrap.commands.publish import Publication, publish
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.launch.publish import Links
from annex_bootstrap.stack.template import built_template
from annex_bootstrap.target import Target
from annex_contract import __version__
from tests.unit.annex_bootstrap.commands.conftest import Asked
from tests.unit.recorded import Recorded, RefusedError

BELOW = "https://s3.amazonaws.com/b/team/a"
LINKS = Links(
    f"{BELOW}/{__version__}/annex-bootstrap.template.json",
    f"{BELOW}/latest/annex-bootstrap.template.json",
    f"{BELOW}/{__version__}/launch.html",
    f"{BELOW}/latest/launch.html",
    (
        "https://console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/create/review?templateURL="
        f"https%3A%2F%2Fs3.amazonaws.com%2Fb%2Fteam%2Fa%2F{__version__}%2Fannex-bootstrap.template.json"
        "&stackName=mine"
    ),
)
ABSENT = RefusedError("404", status=404)
ANSWERS: dict[str, Any] = {
    "HeadBucket": {"BucketRegion": "us-east-1"},
    "CreateBucket": {},
    "PutPublicAccessBlock": {},
    "GetBucketPolicy": RefusedError("NoSuchBucketPolicy", status=404),
    "PutBucketPolicy": {},
    "PutObject": {},
    "ListAccountAliases": {"AccountAliases": []},
}
BLOCKED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
KEYS = [
    f"team/a/{version}/{name}"
    for version in (__version__, "latest")
    for name in ("annex-bootstrap.template.json", "launch.html")
]

Run = Callable[..., Publication]


@pytest.fixture
def aws() -> Recorded:
    return Recorded(**ANSWERS)


@pytest.fixture
def run(screen: Screen, targeted: Callable[..., Target], aws: Recorded) -> Run:
    def run(*, prefix: str = "team/a", create: bool = False, public: bool = False, yes: bool = False) -> Publication:
        target = targeted(aws)
        object.__setattr__(target, "stack_name", "mine")
        return publish(screen, target, "b", prefix, create_bucket=create, public=public, yes=yes)

    return run


def test_a_version_is_put_below_its_number_and_as_the_latest_and_its_links_are_printed(
    run: Run, aws: Recorded, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == Publication(True, "us-east-1", "b", __version__, False, LINKS)
    assert asked.questions == []
    puts = aws.of("PutObject")
    assert [put["Key"] for put in puts] == KEYS
    assert {put["Bucket"] for put in puts} == {"b"}
    assert [put.get("IfNoneMatch") for put in puts] == ["*", "*", None, None]
    assert [put["CacheControl"] for put in puts] == ["public, max-age=31536000, immutable"] * 2 + ["no-cache"] * 2
    assert [put["ContentType"] for put in puts] == ["application/json", "text/html; charset=utf-8"] * 2
    bodies = [put["Body"].read() for put in puts]
    assert bodies[0] == bodies[2] == built_template().encode()
    assert bodies[1] == bodies[3]
    assert LINKS.template in html.unescape(bodies[1].decode())
    digests = [base64.b64encode(hashlib.sha256(body).digest()).decode() for body in bodies]
    assert [put["ChecksumSHA256"] for put in puts] == digests
    assert [name for name in aws.names if name.startswith("Put")] == ["PutObject"] * 4
    assert capsys.readouterr().out.splitlines() == [
        f"Published annex-bootstrap {__version__} in us-east-1.",
        *("Template, an immutable URL:", f"  {LINKS.template}"),
        *("Template, always the latest:", f"  {LINKS.latest_template}"),
        *("Launch page of this version:", f"  {LINKS.page}"),
        *("Launch page, always the latest:", f"  {LINKS.latest_page}"),
        *("Launch Stack in us-east-1:", f"  {LINKS.quick_create}"),
        "Only those who may read the bucket can use these links; --public opens them to everyone.",
    ]


@pytest.mark.parametrize(("there", "named"), [(True, "bucket"), (False, "new bucket")])
def test_before_everyone_may_read_that_is_said_and_asked(
    run: Run, aws: Recorded, asked: Asked, capsys: pytest.CaptureFixture[str], there: bool, named: str
) -> None:
    if not there:
        aws.answers["HeadBucket"] = ABSENT
    asked.answer = False
    assert run(public=True) == Publication(False, "us-east-1", "b", __version__, False, LINKS)
    assert asked.questions == [("Go ahead?", False)]
    assert aws.names == ["HeadBucket", "ListAccountAliases"]
    assert capsys.readouterr().out.splitlines() == [
        f"In the {named} b (account 123456789012, us-east-1):",
        f"  puts version {__version__} and its launch page below team/a/",
        "  lets everyone on the Internet read what is below team/a/, now and later",
        "Nothing was changed.",
    ]


@pytest.mark.parametrize("yes", [True, False])
def test_everyone_may_read_what_is_below_the_prefix_and_nothing_else(
    run: Run, aws: Recorded, asked: Asked, capsys: pytest.CaptureFixture[str], yes: bool
) -> None:
    ours = {"Sid": "AnnexBootstrapPublicRead", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    other = {"Sid": "Logs", "Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "*", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [ours, other]}
    aws.answers["GetBucketPolicy"] = {"Policy": json.dumps(document)}
    done = run(public=True, yes=yes)
    assert (done.published, done.public, asked.questions) == (True, True, [] if yes else [("Go ahead?", False)])
    changed = {"BlockPublicPolicy": False, "RestrictPublicBuckets": False}
    assert aws.of("PutPublicAccessBlock") == [
        {"Bucket": "b", "PublicAccessBlockConfiguration": BLOCKED | changed},
    ]
    (put,) = aws.of("PutBucketPolicy")
    assert put["Bucket"] == "b"
    assert json.loads(put["Policy"])["Statement"] == [
        other,
        {
            "Sid": "AnnexBootstrapPublicRead",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::b/team/a/*",
            "Principal": "*",
        },
    ]
    assert "Only those who may read the bucket" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "Principal": "*"},
        {"Effect": "Allow", "Principal": {"AWS": ["123456789012", "*"]}},
        {"Effect": "Allow", "NotPrincipal": {"AWS": "123456789012"}},
    ],
)
def test_another_statement_for_everyone_is_not_made_to_take_effect(
    run: Run, aws: Recorded, statement: dict[str, Any]
) -> None:
    aws.answers["GetBucketPolicy"] = {"Policy": json.dumps({"Statement": [statement]})}
    with pytest.raises(UserError, match="the policy of the bucket b has another statement for everyone"):
        run(public=True, yes=True)
    assert [name for name in aws.names if name.startswith("Put")] == []


def test_what_is_denied_to_everyone_may_stay(run: Run, aws: Recorded) -> None:
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
    aws.answers["GetBucketPolicy"] = {"Policy": json.dumps({"Statement": [denied]})}
    run(public=True, yes=True)
    assert json.loads(aws.of("PutBucketPolicy")[0]["Policy"])["Statement"][0] == denied


def test_a_bucket_that_is_missing_is_made_private_where_that_is_asked_for(run: Run, aws: Recorded) -> None:
    aws.answers["HeadBucket"] = ABSENT
    with pytest.raises(UserError, match="there is no bucket b: add --create-bucket to make it"):
        run()
    assert aws.names == ["HeadBucket"]
    run(create=True)
    assert aws.of("CreateBucket") == [{"Bucket": "b"}]
    assert aws.of("PutPublicAccessBlock") == [{"Bucket": "b", "PublicAccessBlockConfiguration": BLOCKED}]


def test_a_bucket_that_is_there_is_not_made(run: Run, aws: Recorded) -> None:
    run(create=True)
    assert set(aws.names) == {"HeadBucket", "PutObject"}


@pytest.mark.parametrize("prefix", ["", "/a", "a//b", "a/", "a b", "ä"])
def test_a_prefix_with_a_meaning_of_its_own_is_refused(run: Run, aws: Recorded, prefix: str) -> None:
    with pytest.raises(UserError, match="invalid prefix"):
        run(prefix=prefix)
    assert aws.names == []


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"BucketRegion": "eu-west-1"}, "the bucket b is in eu-west-1: give --region eu-west-1"),
        (RefusedError("403", status=403), "you may not use the bucket b: a permission that you were just granted"),
    ],
)
def test_a_bucket_elsewhere_or_of_others_is_refused(run: Run, aws: Recorded, answer: Any, text: str) -> None:
    aws.answers["HeadBucket"] = answer
    with pytest.raises(UserError, match=text):
        run()
    assert aws.names == ["HeadBucket"]


def test_a_release_never_changes(run: Run, aws: Recorded) -> None:
    def put(arguments: dict[str, Any]) -> dict[str, Any]:
        if "IfNoneMatch" in arguments:
            raise RefusedError("PreconditionFailed", status=412)
        return {}

    bodies = dict.fromkeys(KEYS, b"")
    aws.answers["PutObject"] = put
    aws.answers["GetObject"] = lambda arguments: {"Body": io.BytesIO(bodies[arguments["Key"]])}
    with pytest.raises(UserError, match=f"{KEYS[0]} in b was published with other bytes, and a release never changes"):
        run()
    assert len(aws.of("PutObject")) == 1
    bodies[KEYS[0]] = built_template().encode()
    with pytest.raises(UserError, match=f"{KEYS[1]} in b was published with other bytes"):
        run()
