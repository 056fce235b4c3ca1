"""Attacks, each carried out by the principal who would try it. Every one shows what AWS said and what is unchanged."""

from __future__ import annotations

import base64
import bz2
import io
import json
import os
import ssl
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from annex_bootstrap.stack.artefact import template_path
from annex_contract.stack import MARKING_PARAMETERS, Output
from local_aws.launcher import ACCOUNT, PASSED_ON, Credentials, LocalAws
from tests.local_aws import stack
from tests.local_aws.attacks import attack
from tests.local_aws.cli_user import CliUser

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import PublicAccessBlockConfigurationTypeDef

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


# The client

SOMEBODY = "Whoever may create or change a stack"

HARMLESS = {
    Output.S3_BUCKET_NAME: "a-bucket",
    Output.LEASE_FUNCTION_ARN: f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:lease",
    Output.CONNECTIVITY_FUNCTION_ARN: f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:connectivity",
    Output.INSTANCE_CONFIGURATION_PROFILE: f"arn:aws:iam::{ACCOUNT}:instance-profile/annex-bootstrap/a",
    Output.INSTANCE_ROLE_ARN: f"arn:aws:iam::{ACCOUNT}:role/annex-bootstrap/a",
    Output.IAM_FLEET_ROLE_ARN: f"arn:aws:iam::{ACCOUNT}:role/annex-bootstrap/b",
    Output.SECURITY_GROUP_ID: "sg-0123456789abcdef0",
    Output.ANNEX_USER_POLICY_ARN: f"arn:aws:iam::{ACCOUNT}:policy/annex-bootstrap/a",
    Output.VERSION: "0.1.0",
}

Forge = Callable[..., str]


@pytest.fixture
def forge(root: boto3.Session, put_template: Callable[[str], str]) -> Iterator[Forge]:
    """Return a function that makes a stack with forged outputs, and returns its name; it goes with the test."""
    made: list[str] = []

    def make(outputs: Mapping[str, str], parameters: Iterable[str] = MARKING_PARAMETERS) -> str:
        made.append(f"forged-{uuid.uuid4().hex[:8]}")
        document = {
            "Parameters": {name: {"Type": "String", "Default": "any"} for name in parameters},
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        assert stack.create(root, made[-1], put_template(json.dumps(document))) == "CREATE_COMPLETE"
        return made[-1]

    yield make
    for name in made:
        stack.delete(root, stack.describe(root, name).stack_id)


@attack(
    "Put configuration of one's own into the pool's, through a stack's outputs",
    by=SOMEBODY,
    stopped_by="Each output has its own pattern, which the client and the launch page check",
)
@pytest.mark.parametrize(
    ("output", "value"),
    [
        (Output.S3_BUCKET_NAME, "a-bucket\ninclude command : /bin/touch owned"),
        (Output.SECURITY_GROUP_ID, "$(ENV(HOME))"),
        (Output.INSTANCE_CONFIGURATION_PROFILE, HARMLESS[Output.INSTANCE_CONFIGURATION_PROFILE] + "\\"),
        (Output.LEASE_FUNCTION_ARN, HARMLESS[Output.LEASE_FUNCTION_ARN] + "\u0085"),
        (Output.VERSION, "0.1.0\nSTARTD_CRON_JOBLIST = owned"),
    ],
)
def test_no_output_reaches_the_configuration_but_one_of_its_kind(
    local: LocalAws, forge: Forge, tmp_path: Path, output: Output, value: str
) -> None:
    user = CliUser(local, local.root, tmp_path, forge(HARMLESS | {output: value}))
    ran = user.run("pull-config")
    assert ran.returncode == 1
    assert f"the output {output} of the stack {user.stack_name} is not what annex-bootstrap puts there" in ran.stderr
    assert not user.config.exists()


@attack(
    "Have `pull-config` read a stack of another template",
    by=SOMEBODY,
    stopped_by="The client asks whether the stack is ours before it reads an output",
)
def test_a_stack_of_another_template_is_not_read(local: LocalAws, forge: Forge, tmp_path: Path) -> None:
    user = CliUser(local, local.root, tmp_path, forge(HARMLESS, ["Other"]))
    ran = user.run("pull-config")
    assert (ran.returncode, user.config.exists()) == (1, False)
    assert "was not made by annex-bootstrap" in ran.stderr


@attack(
    "Have `credentials` make an administrator, through a stack's outputs",
    by=SOMEBODY,
    stopped_by="`credentials` attaches only a policy under our path in the same account",
)
@pytest.mark.parametrize(
    "policy",
    [
        "arn:aws:iam::aws:policy/AdministratorAccess",
        f"arn:aws:iam::{ACCOUNT}:policy/everything",
        "arn:aws:iam::999999999999:policy/annex-bootstrap/a",
    ],
)
def test_credentials_attaches_no_policy_from_elsewhere(
    local: LocalAws, root: boto3.Session, forge: Forge, tmp_path: Path, policy: str
) -> None:
    user = CliUser(local, local.root, tmp_path, forge(HARMLESS | {Output.ANNEX_USER_POLICY_ARN: policy}))
    ran = user.run("credentials")
    assert ran.returncode == 1
    assert user.stack_name not in json.dumps(root.client("iam").list_users()["Users"], default=str)


@attack(
    "Wait until `publish --public` makes a statement for everyone take effect",
    by="Whoever may write a bucket's policy while the bucket blocks public access",
    stopped_by="`publish` refuses a bucket that has such a statement",
)
def test_publishing_wakes_no_statement_that_sleeps(local: LocalAws, root: boto3.Session, tmp_path: Path) -> None:
    s3, bucket = root.client("s3"), f"sleeping-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    block: PublicAccessBlockConfigurationTypeDef = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": False,
        "RestrictPublicBuckets": True,
    }
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
    secret = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [secret]})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    ran = CliUser(local, local.root, tmp_path).run("publish", "--bucket", bucket, "--public")
    assert ran.returncode == 1
    assert "has another statement for everyone" in ran.stderr
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == block
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    s3.delete_bucket_policy(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)


@attack(
    "Widen what `publish --public` opens, by a prefix such as `*`",
    by="Whoever chooses the prefix",
    stopped_by="A prefix has no character that a policy gives a meaning",
)
@pytest.mark.parametrize("prefix", ["*", "a/?", "${aws:userid}", "", "/", "a//b", "../a"])
def test_no_prefix_widens_what_is_published(local: LocalAws, root: boto3.Session, tmp_path: Path, prefix: str) -> None:
    s3, bucket = root.client("s3"), f"prefix-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    ran = CliUser(local, local.root, tmp_path).run("publish", "--bucket", bucket, "--public", "--prefix", prefix)
    assert ran.returncode == 1
    assert "is no prefix" in ran.stderr
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)


def _template_with(path: str) -> str:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(path, "")
    code = f'ARCHIVE = "{base64.b64encode(bz2.compress(archive.getvalue())).decode()}"'
    function = {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"ZipFile": code}}}
    return json.dumps({"Resources": {"Function": function}})


@attack(
    "Fake a verdict of `template verify` with control characters in a name",
    by="Whoever passes on a template",
    stopped_by="Control characters and ends of lines in names are printed as escapes",
)
@pytest.mark.parametrize("name", ["a\x1b[2JByte for byte", "a\nByte for byte what annex-bootstrap builds.", "a\x9b2J"])
def test_nothing_that_is_printed_changes_what_a_terminal_shows(local: LocalAws, tmp_path: Path, name: str) -> None:
    file = tmp_path / "template.json"
    file.write_text(_template_with(name))
    ran = CliUser(local, local.root, tmp_path).run("template", "verify", str(file))
    assert ran.returncode == 1
    assert not any(line.startswith("Byte for byte") for line in ran.stdout.splitlines())
    assert all(character.isprintable() or character == "\n" for character in ran.stdout + ran.stderr)


@attack(
    "End `template verify` in a traceback with a template that is nested without end",
    by="Whoever passes on a template",
    stopped_by="It is refused in one sentence",
)
@pytest.mark.parametrize("text", ["[" * 400_000, '{"Resources":' * 30_000])
def test_a_template_that_is_nested_without_end_is_refused(local: LocalAws, tmp_path: Path, text: str) -> None:
    file = tmp_path / "template.json"
    file.write_text(text)
    ran = CliUser(local, local.root, tmp_path).run("template", "verify", str(file))
    assert ran.returncode == 1
    assert "is no template of annex-bootstrap" in ran.stderr
    assert "Traceback" not in ran.stderr


@attack(
    "Pass off a template as verified by comparing it with itself",
    by="Whoever can change the built template in a checkout",
    stopped_by="`template verify` says so when a file is compared with itself",
)
def test_a_file_that_is_compared_with_itself_is_not_called_verified(local: LocalAws, tmp_path: Path) -> None:
    user = CliUser(local, local.root, tmp_path)
    itself = user.must("template", "verify", str(template_path()))
    assert "it was compared with itself" in itself.stdout
    assert "Byte for byte" not in itself.stdout
    (tmp_path / "copy.json").write_text(template_path().read_text())
    assert "Byte for byte" in user.must("template", "verify", str(tmp_path / "copy.json")).stdout
