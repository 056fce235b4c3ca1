"""Attacks, each carried out by the principal who would try it. Every one shows what AWS said and what is unchanged."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local_aws.launcher import ACCOUNT, PASSED_ON, Credentials, LocalAws
from tests.local_aws.attacks import attack

ANOTHER_ACCOUNT = "Another account of the same computer"

ONCE = Config(retries={"total_max_attempts": 1})


# The local AWS

UNPROVEN = (
    "SignatureDoesNotMatch|InvalidClientTokenId|InvalidAccessKeyId|AuthFailure|InvalidSignature|UnrecognizedClient"
)
"""What the services say to who cannot prove to hold a key."""


def session(credentials: Credentials, token: str | None = None) -> boto3.Session:
    """Return a session that holds these keys."""
    return boto3.Session(credentials.access_key_id, credentials.secret_access_key, token)


@attack(
    "Use the local AWS with a wrong secret or with made-up keys",
    by=ANOTHER_ACCOUNT,
    stopped_by="Every request's signature is verified, for keys that exist",
)
@pytest.mark.parametrize("key_id", ["LOCALROOT", "test", ACCOUNT, "AKIAMADEUPMADEUPMADE"])
def test_wrong_keys_open_nothing_of_the_local_aws(local: LocalAws, root: boto3.Session, key_id: str) -> None:
    assert local.root.access_key_id == "LOCALROOT"
    thief = session(Credentials(key_id, "made-up-secret"))
    name = f"stolen-{uuid.uuid4().hex[:8]}"
    for call in (
        lambda: thief.client("iam", config=ONCE).create_user(UserName=name),
        lambda: thief.client("s3", config=ONCE).create_bucket(Bucket=name),
        lambda: thief.client("ec2", config=ONCE).describe_instances(),
        lambda: thief.client("events", config=ONCE).list_rules(),
    ):
        with pytest.raises(ClientError, match=UNPROVEN):
            call()
    assert name not in {user["UserName"] for user in root.client("iam").list_users()["Users"]}
    assert name not in {bucket["Name"] for bucket in root.client("s3").list_buckets()["Buckets"]}


@attack(
    "Use the local AWS without keys, or reset it",
    by=ANOTHER_ACCOUNT,
    stopped_by="Only its health and a custom resource's answer need no signature; its own pages are closed",
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/ses/messages"),
        ("GET", "/_localstack/health"),
        ("GET", "/health"),
        ("GET", "/"),
        ("GET", "/latest/meta-data/iam/security-credentials/"),
        ("POST", "/?Action=CreateUser&UserName=stolen&Version=2010-05-08"),
    ],
)
def test_the_local_aws_answers_nobody_without_a_signature(
    local: LocalAws, root: boto3.Session, method: str, path: str
) -> None:
    bucket = f"kept-{uuid.uuid4().hex[:8]}"
    root.client("s3").create_bucket(Bucket=bucket)
    context = ssl.create_default_context(cafile=str(local.ca_file))
    request = urllib.request.Request(local.endpoint + path, method=method, data=b"" if method == "POST" else None)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, context=context, timeout=10)
    assert refused.value.code == 403
    root.client("s3").delete_bucket(Bucket=bucket)


REPORT = """
import json, os
def handler(event, context):
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_LAMBDA", "LAMBDA", "_"))}
"""


@attack(
    "Read the secrets of whoever started the local AWS from inside a function",
    by="Code of a function in the local AWS",
    stopped_by="A function gets no variables but its own and those that it needs to reach the server",
)
def test_a_function_sees_nothing_of_the_environment_that_the_server_was_started_in(
    local: LocalAws, root: boto3.Session, put_function: Callable[[str], str]
) -> None:
    assert "USER_SECRET" in os.environ, "the server was started with it"
    answer = root.client("lambda").invoke(FunctionName=put_function(REPORT))
    seen = json.loads(answer["Payload"].read())
    assert "USER_SECRET" not in seen
    assert local.root.secret_access_key not in seen.values()
    taken = {name for name, value in seen.items() if os.environ.get(name) == value}
    assert {name for name in taken if not name.startswith("AWS_")} <= {
        *PASSED_ON,
        "LC_CTYPE",
        "PYTHONDONTWRITEBYTECODE",
    }
