"""The calls that a machine signs itself, beside what botocore signs and where it sends it."""

from __future__ import annotations

import io
import socket
import ssl
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any
from unittest import mock
from urllib.parse import quote, urlencode

import boto3
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given
from hypothesis import strategies as st

from machine_image import aws_calls
from machine_image.aws_calls import AwsCalls, Keys, Place, RefusedError, signed

KEYS = Keys("ASIAMADEUP", "made-up-secret", "made-up-token")
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
TEXT = st.text(st.sampled_from("abcXYZ019-_.~/ +=&%:*@é"), min_size=1, max_size=20)


class Recorder:
    """Stands where the network is: keeps what is asked for, and has nothing to answer."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.urls: list[str] = []
        self.forms: list[bytes] = []
        self.methods: list[str] = []
        self.rest: list[tuple[str, ...]] = []

    def __call__(self, url: str, form: bytes, *rest: str) -> bytes:
        """Take a request."""
        self.methods.append(rest[-1])
        self.rest.append(rest)
        self.urls.append(url)
        self.forms.append(form)
        return b"<Answer/>"


def _by_botocore(url: str, form: bytes, service: str, headers: dict[str, str], method: str) -> str:
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    credentials = Credentials(KEYS.access_key_id, KEYS.secret_access_key, KEYS.token)
    request = AWSRequest(method, url, headers={"X-Amz-Content-SHA256": headers["x-amz-content-sha256"]}, data=form)
    with mock.patch("botocore.auth.get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        signer(credentials, service, "us-east-1").add_auth(request)
    return str(request.headers["Authorization"])


def _asked(place: Place, ask: str) -> list[str]:
    recorder = Recorder()
    calls = AwsCalls(place, KEYS, recorder)
    match ask:
        case "ec2":
            calls.describe_instance("i-1")
        case "iam":
            calls.role_policies("role/with space")
        case bucket:
            calls.read_object(bucket, "config-my annex.tar.gz")
    return recorder.urls


@given(service=st.sampled_from(["ec2", "iam", "s3"]), value=TEXT, method=st.sampled_from(["GET", "DELETE"]))
@example(service="s3", value="machines/first/AROAEXAMPLE:i-0123456789abcdef0", method="DELETE")
def test_a_machine_signs_as_botocore_does(service: str, value: str, method: str) -> None:
    url = f"https://s3.example.org/{quote(value, safe='')}" if service == "s3" else "https://x.example.org/"
    form = b"" if service == "s3" else urlencode({"Action": "A", "Name": value}).encode()
    method = "POST" if form else method
    headers = signed(url, form, service, "us-east-1", KEYS, NOW, method)
    assert headers["Authorization"] == _by_botocore(url, form, service, headers, method)


@pytest.mark.parametrize(
    ("region", "partition", "domain"),
    [
        ("us-east-1", "aws", "amazonaws.com"),
        ("eu-central-1", "aws", "amazonaws.com"),
        ("cn-northwest-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-east-1", "aws-us-gov", "amazonaws.com"),
    ],
)
@pytest.mark.parametrize("service", ["ec2", "iam"])
def test_a_machine_calls_where_botocore_would(
    region: str, partition: str, domain: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    session = boto3.Session("x", "x", region_name=region)
    address = (session.client("ec2") if service == "ec2" else session.client("iam")).meta.endpoint_url
    url = _asked(Place(region, domain, partition), service)[0]
    assert url == f"{address}/"


@pytest.mark.parametrize(
    ("region", "partition", "signing"),
    [
        ("eu-central-1", "aws", "us-east-1"),
        ("cn-northwest-1", "aws-cn", "cn-north-1"),
        ("us-gov-east-1", "aws-us-gov", "us-gov-west-1"),
    ],
)
def test_iam_has_one_region_for_a_whole_partition(region: str, partition: str, signing: str) -> None:
    """Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html."""
    recorder = Recorder()
    calls = AwsCalls(Place(region, partition=partition), KEYS, recorder)
    calls.role_policies("role")
    calls.describe_instance("i-1")
    assert [request[:2] for request in recorder.rest] == [("iam", signing), ("ec2", region)]


def test_a_bucket_has_its_own_host_name_unless_no_certificate_has_it() -> None:
    place = Place("us-west-2")
    assert _asked(place, "a-bucket") == ["https://a-bucket.s3.us-west-2.amazonaws.com/config-my%20annex.tar.gz"]
    assert _asked(place, "a.bucket") == ["https://s3.us-west-2.amazonaws.com/a.bucket/config-my%20annex.tar.gz"]


def test_a_machine_reads_and_deletes_its_own_object() -> None:
    recorder, key = Recorder(), "machines/first/AROAEXAMPLE:i-0123456789abcdef0"
    calls = AwsCalls(Place("us-west-2"), KEYS, recorder)
    calls.read_object("a-bucket", key)
    calls.delete_object("a-bucket", key)
    url = "https://a-bucket.s3.us-west-2.amazonaws.com/machines/first/AROAEXAMPLE%3Ai-0123456789abcdef0"
    assert (recorder.urls, recorder.methods) == ([url, url], ["GET", "DELETE"])


def test_a_call_that_gets_no_answer_says_which_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_calls, "TRUSTED", None)
    calls = AwsCalls(Place("us-east-1", "made-up.invalid"), KEYS)
    with pytest.raises(RefusedError, match=r"^ec2 DescribeInstances: "):
        calls.describe_instance("i-1")


class Answers:
    """Stands where the network is: keeps what is asked for, and answers in turn."""

    def __init__(self, *answers: bytes) -> None:
        """Keep nothing yet."""
        self.answers = list(answers)
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, url: str, form: bytes, *rest: str) -> bytes:
        """Answer a request."""
        self.asked.append((url, form.decode(), *rest))
        return self.answers.pop(0)


EC2, IAM = "https://ec2.us-west-2.amazonaws.com/", "https://iam.amazonaws.com/"
DESCRIBED = b"""<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet><item>
<instancesSet><item><clientToken>first_1</clientToken><tagSet><item><key>a</key><value>1</value></item></tagSet></item>
</instancesSet></item></reservationSet></DescribeInstancesResponse>"""
FLEET = b"""<R xmlns="x"><spotFleetRequestConfigSet><item><spotFleetRequestConfig><clientToken>second_1</clientToken>
</spotFleetRequestConfig></item></spotFleetRequestConfigSet></R>"""


def test_ec2_says_what_a_machine_and_its_fleet_are() -> None:
    answers = Answers(DESCRIBED, b"<Answer/>", FLEET, b"<Answer/>")
    calls = AwsCalls(Place("us-west-2"), KEYS, answers)
    assert calls.describe_instance("i-1") == ({"a": "1"}, "first_1")
    assert calls.describe_instance("i-2") is None
    assert calls.fleet_token("sfr-1") == "second_1"
    assert calls.fleet_token("sfr-2") == ""
    version = "Version=2016-11-15"
    assert [(url, form, *rest) for url, form, *rest in answers.asked] == [
        (EC2, f"Action={action}&{version}&{parameter}", "ec2", "us-west-2", f"ec2 {action}", "POST")
        for action, parameter in (
            ("DescribeInstances", "InstanceId.1=i-1"),
            ("DescribeInstances", "InstanceId.1=i-2"),
            ("DescribeSpotFleetRequests", "SpotFleetRequestId.1=sfr-1"),
            ("DescribeSpotFleetRequests", "SpotFleetRequestId.1=sfr-2"),
        )
    ]


def test_iam_says_the_policies_of_a_role() -> None:
    names = b"<R xmlns='x'><PolicyNames><member>one</member><member>two</member></PolicyNames></R>"
    policy = b"<R xmlns='x'><PolicyDocument>%7B%22Statement%22%3A%20[]%7D</PolicyDocument></R>"
    answers = Answers(names, policy, policy)
    assert AwsCalls(Place("us-west-2"), KEYS, answers).role_policies("r") == [{"Statement": []}] * 2
    version = "Version=2010-05-08"
    assert answers.asked == [
        (IAM, f"Action=ListRolePolicies&{version}&RoleName=r", "iam", "us-east-1", "iam ListRolePolicies", "POST"),
        *(
            (
                *(IAM, f"Action=GetRolePolicy&{version}&PolicyName={name}&RoleName=r"),
                *("iam", "us-east-1", "iam GetRolePolicy", "POST"),
            )
            for name in ("one", "two")
        ),
    ]


class Network:
    """Stands where urllib is.

    Attributes:
        asked: the requests, with seconds and TLS.
        answers: in turn.
    """

    def __init__(self, *answers: bytes | Exception) -> None:
        """Keep nothing yet."""
        self.asked: list[tuple[urllib.request.Request, float, object]] = []
        self.answers = list(answers)

    def __call__(self, request: urllib.request.Request, timeout: float, context: object) -> io.BytesIO:
        """Answer a request."""
        self.asked.append((request, timeout, context))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer)


def refused(date: str) -> urllib.error.HTTPError:
    headers = Message()
    if date:
        headers["Date"] = date
    return urllib.error.HTTPError("https://x", 403, "no", headers, io.BytesIO(b"<Code>\n  RequestTimeTooSkewed</Code>"))


def test_a_request_is_signed_and_again_with_awss_time_where_the_clock_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return NOW.astimezone(tz)

    monkeypatch.setattr(aws_calls, "TRUSTED", None)
    monkeypatch.setattr(aws_calls, "datetime", Clock)
    network = Network(b"answer", refused("Fri, 27 Nov 2026 14:00:00 GMT"), b"", refused(""), OSError("no route"))
    monkeypatch.setattr(urllib.request, "urlopen", network)
    requests = aws_calls.SignedRequests(KEYS)
    url = "https://x.example.org/a"

    def send(method: str, form: bytes = b"") -> bytes:
        return requests.send(url, form, "ec2", "us-west-2", "ec2 Ask", method)

    assert send("POST", b"A=1") == b"answer"
    said = r"^ec2 Ask: 403 <Code> RequestTimeTooSkewed</Code>$"
    with pytest.raises(RefusedError, match=said):
        send("GET")
    assert send("GET") == b""
    with pytest.raises(RefusedError, match=said):
        send("GET")
    with pytest.raises(RefusedError, match=r"^ec2 Ask: no route$"):
        send("GET")
    later = NOW + timedelta(hours=2)
    expected = [("POST", b"A=1", NOW), ("GET", b"", NOW), *[("GET", b"", later)] * 3]
    for (request, timeout, context), (method, form, now) in zip(network.asked, expected, strict=True):
        headers = signed(url, form, "ec2", "us-west-2", KEYS, now, method)
        assert (request.full_url, request.get_method(), request.data or b"") == (url, method, form)
        sent = {name.lower(): value for name, value in request.headers.items()}
        assert {name: sent[name.lower()] for name in headers} == headers
        assert (timeout, isinstance(context, ssl.SSLContext)) == (60, True)


def test_a_call_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def refuse() -> None:
            connection, _ = proxy.accept()
            with connection:
                asked.append(connection.recv(4096).split(b"\r\n")[0])
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        refusing = threading.Thread(target=refuse)
        refusing.start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "localhost")
        monkeypatch.setattr(aws_calls, "TRUSTED", None)
        with pytest.raises(RefusedError, match=r"^s3 GetObject s3://b/k: .*403 Forbidden"):
            AwsCalls(Place("us-east-1"), KEYS).read_object("b", "k")
        refusing.join()
    assert asked == [b"CONNECT b.s3.us-east-1.amazonaws.com:443 HTTP/1.0"]
