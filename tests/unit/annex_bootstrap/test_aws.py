"""Finding the region and the credentials, without AWS."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import exceptions
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from annex_bootstrap.aws import Account, connect, explained, in_background, open_session
from annex_bootstrap.errors import AwsError, CommandLineError, UserError

START_URL = "https://made-up.awsapps.example/start"

SESSION = f"""
[profile ours]
sso_session = work
sso_account_id = 123456789012
sso_role_name = Made-up
region = us-west-2

[sso-session work]
sso_region = us-west-2
sso_start_url = {START_URL}
"""

LEGACY = f"""
[profile ours]
sso_start_url = {START_URL}
sso_region = us-west-2
sso_account_id = 123456789012
sso_role_name = Made-up
region = us-west-2
"""

EXPIRED = {"accessToken": "made-up", "expiresAt": "2020-01-01T00:00:00Z"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory without any setting of AWS, and nothing of the environment's."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "DEFAULT_PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("REGION", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        (None, {}, "us-west-2"),
        (None, {"AWS_REGION": ""}, "us-west-2"),
        (None, {"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        (None, {"AWS_REGION": "eu-north-1"}, "eu-north-1"),
        (None, {"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-north-1"),
        ("sa-east-1", {"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-west-1"}, "sa-east-1"),
    ],
)
def test_the_region_is_the_given_one_then_that_of_the_environment_then_the_profiles(
    given: str | None, environ: dict[str, str], expected: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config").write_text("[profile ours]\nregion = us-west-2\n")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert open_session(given, "ours").region_name == expected


def test_without_a_region_the_error_says_where_to_name_one(home: Path) -> None:  # noqa: ARG001 (clears the settings)
    with pytest.raises(UserError, match="no AWS region is chosen: add --region, or set AWS_REGION"):
        connect(None, None)


@pytest.mark.parametrize("config", [SESSION, LEGACY])
@pytest.mark.parametrize("expired", [True, False])
@pytest.mark.parametrize("named_by", ["option", "environment"])
def test_without_a_valid_sign_in_the_error_ends_in_the_command_that_signs_in(
    config: str, expired: bool, named_by: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config").write_text(config)
    cache = home / "cache"
    cache.mkdir()
    monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    monkeypatch.setattr("botocore.tokens.SSOTokenProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    if expired:
        for key in (START_URL, "work"):
            (cache / f"{hashlib.sha1(key.encode()).hexdigest()}.json").write_text(json.dumps(EXPIRED))
    if named_by == "environment":
        monkeypatch.setenv("AWS_PROFILE", "ours")
    with pytest.raises(UserError, match=r"run aws sso login --profile ours$"):
        connect(None, "ours" if named_by == "option" else None)


def test_a_call_beside_gives_its_answer_or_its_error() -> None:
    def refuse() -> str:
        raise UserError("no")

    assert in_background(lambda: "yes").result() == "yes"
    with pytest.raises(UserError, match="no"):
        in_background(refuse).result()


def test_a_call_beside_that_hangs_holds_nobody_up() -> None:
    code = (
        "import time\nfrom annex_bootstrap.aws import in_background\n"
        "in_background(lambda: time.sleep(600))\nraise KeyboardInterrupt"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("process", "reason"),
    [
        ("/made/up/program", "No such file or directory"),
        ("", "credential_process"),
        ("echo sorry", "Expecting value"),
        ("false", "credential"),
    ],
)
def test_a_credential_process_that_gives_no_credentials_is_named(process: str, reason: str, home: Path) -> None:
    (home / "config").write_text(f"[profile ours]\nregion = us-west-2\ncredential_process = {process}\n")
    with pytest.raises(UserError, match=reason) as raised:
        connect(None, "ours")
    assert "\n" not in str(raised.value)
    assert "ours" in str(raised.value) or "custom-process" in str(raised.value)


@pytest.fixture
def keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 (clears the settings)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")


@pytest.mark.usefixtures("keys")
def test_an_endpoint_without_a_scheme_is_refused_with_one_that_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:4566")
    with pytest.raises(UserError, match=r"Invalid endpoint: localhost:4566.*as a URL, such as https://127.0.0.1:4566"):
        connect("us-east-1", None)


@pytest.mark.usefixtures("keys")
def test_a_local_aws_that_has_ended_is_named_before_any_attempt_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    send = URLLib3Session.send

    def count(session: URLLib3Session, request: AWSPreparedRequest) -> object:
        attempts.append(request.url)
        return send(session, request)

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    attempts: list[str] = []
    monkeypatch.setattr(URLLib3Session, "send", count)
    said = rf"the local AWS at http://127.0.0.1:{port} does not answer \(Connection refused\).*annex-bootstrap"
    with pytest.raises(UserError, match=said):
        connect("us-east-1", None)
    assert attempts == [f"http://127.0.0.1:{port}/"]


@pytest.mark.parametrize(
    ("arn", "user_id", "caller"),
    [
        ("arn:aws:iam::123456789012:user/alice", "AIDAMADEUP", "alice"),
        ("arn:aws:iam::123456789012:user/lab/alice", "AIDAMADEUP", "alice"),
        ("arn:aws:sts::123456789012:assumed-role/lab/alice@x.org", "AROAMADEUP:alice@x.org", "AROAMADEUP:alice@x.org"),
        ("arn:aws:sts::123456789012:federated-user/alice", "123456789012:alice", "123456789012:alice"),
        ("arn:aws:iam::123456789012:root", "123456789012", "123456789012"),
    ],
)
def test_a_caller_is_called_as_policies_know_it(arn: str, user_id: str, caller: str) -> None:
    account = Account(boto3.Session("AKIAMADEUP", "made-up"), "us-east-1")
    account.__dict__["_caller"] = {"Arn": arn, "UserId": user_id, "Account": "123456789012"}
    assert account.caller == caller


def test_a_region_that_aws_does_not_have_is_a_mistake_of_who_typed_it() -> None:
    with pytest.raises(CommandLineError, match="AWS has no region 'us-moon-1'"):
        connect("us-moon-1", None, boto3.Session())
    # From the environment or a profile: not on the command line.
    with pytest.raises(UserError, match="AWS has no region 'us-moon-1'") as refused:
        connect(None, None, boto3.Session(region_name="us-moon-1"))
    assert refused.value.exit_code == 1


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_clock_that_is_wrong_is_said_with_how_much_by_the_date_of_the_answer(hours: int) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=hours))
    answer: Any = {
        "Error": {"Code": "RequestTimeTooSkewed", "Message": "too late"},
        "ResponseMetadata": {"HTTPHeaders": {"date": date}, "HTTPStatusCode": 403},
    }
    with pytest.raises(AwsError, match="this machine's clock is wrong by 180 minutes"), explained("reading"):
        raise ClientError(answer, "GetObject")


CHECK = "check the network and the region"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            exceptions.NoCredentialsError(),
            "no AWS credentials were found: run aws configure, or set AWS_PROFILE or AWS_ACCESS_KEY_ID",
        ),
        (
            exceptions.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            (
                "your AWS credentials are incomplete (Partial credentials found in env, missing: "
                "AWS_SECRET_ACCESS_KEY): run aws configure"
            ),
        ),
        (
            exceptions.ProfileNotFound(profile="ours"),
            (
                "The config profile (ours) could not be found: give --profile one of those that aws configure "
                "list-profiles prints"
            ),
        ),
        (
            exceptions.TokenRetrievalError(provider="sso", error_msg="gone"),
            "you are not signed in, or no longer: run aws sso login --profile ours",
        ),
        (
            exceptions.LoginRefreshRequired(),
            "you are not signed in, or no longer: run aws login --profile ours",
        ),
        (
            exceptions.EndpointConnectionError(endpoint_url="https://made.up"),
            f'AWS cannot be reached while reading: Could not connect to the endpoint URL: "https://made.up"; {CHECK}',
        ),
        (
            exceptions.SSLError(endpoint_url="https://made.up", error=OSError("no")),
            f"AWS cannot be reached while reading: SSL validation failed for https://made.up no; {CHECK}",
        ),
        (
            exceptions.ReadTimeoutError(endpoint_url="https://made.up"),
            'reading failed: Read timeout on endpoint URL: "https://made.up"',
        ),
    ],
)
def test_what_keeps_a_call_from_being_made_is_said_with_what_to_do(error: Exception, text: str) -> None:
    with pytest.raises(UserError) as told, explained("reading", "ours"):
        raise error
    assert str(told.value) == text
    # Of these, nobody knows whether AWS did what it was asked.
    assert not isinstance(told.value, AwsError) or not told.value.answered
