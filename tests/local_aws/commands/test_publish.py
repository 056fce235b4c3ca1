"""Publishing on the local AWS with IAM enforced, and the resulting links."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from annex_bootstrap import aws
from annex_bootstrap.aws import Account
from annex_bootstrap.errors import UserError
from annex_bootstrap.launch import publish as publishing
from annex_bootstrap.launch.publish import Links, Place, publish
from annex_bootstrap.launch.verify import differences, read_source
from annex_contract import __version__
from local_aws.launcher import ACCOUNT, REGION, Credentials, LocalAws
from tests.local_aws import stack
from tests.local_aws.cli_user import CliUser
from tests.local_aws.conftest import ROOT

pytestmark = pytest.mark.slow

Publish = Callable[..., Links]


@pytest.fixture
def bucket() -> str:
    return f"made-up-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def account(root: boto3.Session) -> Account:
    return Account(root, REGION)


def _publish(account: Account, bucket: str, template: str, *, create: bool = True, public: bool = False) -> Links:
    return publish(account, Place(bucket, "releases", "published"), template, create=create, public=public)


def _keys(root: boto3.Session, bucket: str) -> set[str]:
    return {entry["Key"] for entry in root.client("s3").list_objects_v2(Bucket=bucket)["Contents"]}


def test_a_published_link_creates_a_working_stack(
    account: Account, root: boto3.Session, bucket: str, template: str
) -> None:
    links = _publish(account, bucket, template)
    query = parse_qs(urlsplit(links.quick_create).fragment.partition("?")[2])
    (url,), (name,) = query["templateURL"], query["stackName"]
    with stack.deployed(root, name, url) as made:
        assert made.outputs["Version"] == __version__


def test_a_version_is_cached_as_immutable_and_latest_is_never_cached(
    account: Account, root: boto3.Session, bucket: str, template: str
) -> None:
    _publish(account, bucket, template)
    s3 = root.client("s3")
    assert _keys(root, bucket) == {
        f"releases/{version}/{name}"
        for version in (__version__, "latest")
        for name in ("annex-bootstrap.template.json", "launch.html")
    }
    for key in _keys(root, bucket):
        head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        assert head["CacheControl"] == ("no-cache" if "/latest/" in key else "public, max-age=31536000, immutable")
        assert head["ContentType"] == ("application/json" if key.endswith(".json") else "text/html; charset=utf-8")
        assert head["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()


def test_a_released_version_is_never_overwritten_with_other_bytes(
    account: Account, root: boto3.Session, bucket: str, template: str
) -> None:
    _publish(account, bucket, template)
    s3 = root.client("s3")
    before = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in _keys(root, bucket)}
    with pytest.raises(UserError, match="a release never changes"):
        _publish(account, bucket, template + " ")
    assert {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in _keys(root, bucket)} == before


def test_publishing_the_same_bytes_again_is_fine(account: Account, bucket: str, template: str) -> None:
    assert _publish(account, bucket, template) == _publish(account, bucket, template, create=False)


def test_latest_follows_the_newest_version(
    account: Account, root: boto3.Session, bucket: str, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(account, bucket, template)
    monkeypatch.setattr(publishing, "__version__", "99.0.0")
    newer = template.replace(f"annex-bootstrap {__version__}", "annex-bootstrap 99.0.0")
    links = _publish(account, bucket, newer)
    s3 = root.client("s3")
    latest = s3.get_object(Bucket=bucket, Key="releases/latest/annex-bootstrap.template.json")["Body"].read()
    older = s3.get_object(Bucket=bucket, Key=f"releases/{__version__}/annex-bootstrap.template.json")["Body"].read()
    assert latest.decode() == newer
    assert older.decode() == template
    assert "/99.0.0/" in links.template


def test_a_missing_bucket_is_created_only_on_request(account: Account, bucket: str, template: str) -> None:
    with pytest.raises(UserError, match="--create-bucket"):
        _publish(account, bucket, template, create=False)


def test_a_created_bucket_is_private(account: Account, root: boto3.Session, bucket: str, template: str) -> None:
    _publish(account, bucket, template)
    block = root.client("s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}


def test_public_opens_the_prefix_and_keeps_the_rest_of_the_policy(
    account: Account, root: boto3.Session, bucket: str, template: str
) -> None:
    s3 = root.client("s3")
    s3.create_bucket(Bucket=bucket)
    theirs = {
        "Sid": "Theirs",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObject",
        "Resource": f"arn:aws:s3:::{bucket}/kept/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [theirs]}))
    for _ in range(2):
        _publish(account, bucket, template, public=True)
    statements = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert theirs in statements
    (ours,) = [statement for statement in statements if statement != theirs]
    assert (ours["Effect"], ours["Principal"], ours["Action"]) == ("Allow", "*", "s3:GetObject")
    assert ours["Resource"] == f"arn:aws:s3:::{bucket}/releases/*"
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert block["BlockPublicAcls"]
    assert not block["RestrictPublicBuckets"]


def test_a_public_policy_that_s3_refuses_at_first_is_put_again(
    account: Account, bucket: str, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = account.s3.put_bucket_policy
    refused: list[dict[str, Any]] = []

    def put_late(**request: Any) -> Any:
        if len(refused) < 2:
            refused.append(request)
            answer: Any = {"Error": {"Code": "AccessDenied", "Message": "BlockPublicPolicy"}}
            raise ClientError(answer, "PutBucketPolicy")
        return put(**request)

    monkeypatch.setattr(account.s3, "put_bucket_policy", put_late)
    monkeypatch.setattr(aws, "RETRY_PAUSE", 0.0)
    _publish(account, bucket, template, create=True, public=True)
    assert len(refused) == 2
    assert "AnnexBootstrapPublicRead" in account.s3.get_bucket_policy(Bucket=bucket)["Policy"]


def test_a_user_without_permissions_should_ask_whose_bucket_it_is(
    bucket: str, template: str, root: boto3.Session, new_user: Callable[[str], Credentials]
) -> None:
    root.client("s3").create_bucket(Bucket=bucket)
    allowed = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
    keys = new_user(json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    stranger = Account(boto3.Session(keys.access_key_id, keys.secret_access_key), REGION)
    with pytest.raises(UserError, match=r"you may not use the bucket .* ask whose bucket it is"):
        _publish(stranger, bucket, template)


def test_a_bucket_in_another_region_is_reported(
    account: Account, root: boto3.Session, bucket: str, template: str
) -> None:
    s3 = root.client("s3", region_name="eu-west-1")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with pytest.raises(UserError, match="--region eu-west-1"):
        _publish(account, bucket, template)


def test_the_documented_policy_is_enough_to_publish(
    bucket: str, template: str, new_user: Callable[[str], Credentials]
) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    (policy,) = re.findall(r"^```json\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    keys = new_user(policy.replace("my-lab", bucket))
    publisher = Account(boto3.Session(keys.access_key_id, keys.secret_access_key), REGION)
    for _ in range(2):
        _publish(publisher, bucket, template, public=True)


@pytest.mark.parametrize("missing", ["s3:CreateBucket", "s3:PutBucketPolicy", "s3:PutObject"])
def test_a_missing_permission_is_explained_with_the_publishers_policy(
    bucket: str,
    template: str,
    new_user: Callable[[str], Credentials],
    missing: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "BLOCK_PATIENCE", 0.0)
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    denied = {"Effect": "Deny", "Action": missing, "Resource": "*"}
    keys = new_user(json.dumps({"Version": "2012-10-17", "Statement": [allowed, denied]}))
    publisher = Account(boto3.Session(keys.access_key_id, keys.secret_access_key), REGION)
    with pytest.raises(UserError, match="publisher's policy"):
        _publish(publisher, bucket, template, public=True)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "s3.amazonaws.com"),
        ("eu-west-1", "s3.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "s3.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_every_partition_has_its_own_s3_host(region: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    s3 = boto3.Session("made-up", "made-up", region_name=region).client("s3")
    assert publishing.object_url(s3, "mine", "a/b c.json") == f"https://{host}/mine/a/b%20c.json"


def test_a_published_template_is_fetched_and_verified(account: Account, bucket: str, template: str) -> None:
    # MiniStack asks for a signature also where a policy lets everybody read.
    links = _publish(account, bucket, template, public=True)
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
    key = links.template.split(f"/{bucket}/")[1]
    signed = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    assert differences(read_source(signed), template) == []


def test_the_commands_print_links_and_verdicts(local: LocalAws, bucket: str, template: str, tmp_path: Path) -> None:
    run = CliUser(local, local.root, tmp_path).run
    published = run("publish", "--bucket", bucket, "--create-bucket")
    assert published.returncode == 0, published.stderr
    template_url = next(
        line.strip() for line in published.stdout.splitlines() if line.strip().startswith(local.endpoint)
    )
    linked = run("launch-url", "--template-url", template_url, "--region", "us-gov-west-1", "--param", "KeyPair=yes")
    assert linked.stdout.startswith("https://console.amazonaws-us-gov.com/cloudformation/home?region=us-gov-west-1#")
    assert linked.stdout.endswith("&param_KeyPair=yes\n")
    refused = run("launch-url", "--template-url", template_url, "--param", "KeyPair=perhaps")
    assert refused.returncode == 2
    assert "type one of no, yes" in refused.stderr

    same, other = tmp_path / "same.json", tmp_path / "other.json"
    same.write_text(template)
    other.write_text(template.replace("9618", "9619"))
    verified = run("template", "verify", str(same))
    assert verified.returncode == 0
    assert f"Byte for byte what annex-bootstrap {__version__} builds." in verified.stdout
    assert "  lambda_lease/lease.py" in verified.stdout
    differing = run("template", "verify", str(other))
    assert differing.returncode == 1
    assert "Parameters: CondorPort differs" in differing.stdout
    as_json = run("template", "verify", str(other), "--output", "json").document
    assert as_json["ok"] is False
    assert as_json["result"]["differences"] == ["Parameters: CondorPort differs"]
    links = run("publish", "--bucket", bucket, "--output", "json").document["result"]["links"]
    assert links["template"] == template_url


def test_nothing_becomes_public_without_a_yes(
    local: LocalAws, root: boto3.Session, bucket: str, tmp_path: Path
) -> None:
    run = CliUser(local, local.root, tmp_path).run
    command = ("publish", "--bucket", bucket, "--create-bucket", "--public")
    declined = run(*command, text="n\n")
    assert declined.returncode == 0
    assert f"In the new bucket {bucket} (account {ACCOUNT}, {REGION}):\n" in declined.stdout
    assert "lets everyone on the Internet read what is below annex-bootstrap/, now and later\n" in declined.stdout
    assert "Nothing was changed." in declined.stdout
    assert run(*command).returncode == 1
    as_json = run(*command, "--output", "json")
    assert (as_json.returncode, as_json.document["error"]) == (2, "add --yes: --output json asks nothing")
    s3 = root.client("s3")
    assert bucket not in {each["Name"] for each in s3.list_buckets()["Buckets"]}

    published = run(*command, "--yes", "--output", "json")
    assert published.document["result"]["public"] is True
    assert "AnnexBootstrapPublicRead" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    assert f"In the bucket {bucket} " in run(*command, text="y\n").stdout
