"""Every AWS call of ``annex-bootstrap start`` fails in every way, and the command dies before and after each of them.

However it ends, no machine is without a lease; and the same command, given again, ends with what was asked for, once.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.client import BaseClient
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from annex_bootstrap.commands.start import start
from annex_bootstrap.errors import UserError
from annex_bootstrap.target import Target
from annex_contract.lease import MACHINES_PREFIX, machine_key
from annex_contract.stack import Output
from local_aws.launcher import LocalAws
from tests.local_aws import stack
from tests.local_aws.commands import fake_htcondor
from tests.local_aws.commands.annexes import REGION, end_all, leases_of, machines_of
from tests.local_aws.commands.recording_screen import RecordingScreen
from tests.local_aws.stack import DeployedStack

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

NAME = "faulty"

COUNT = 2

FAULTS = ("denied", "error", "lost", "dead", "dead after", "killed", "killed after")
"""What happens at a call: AWS refuses it; fails once; the answer is lost once; from then on there is no network, before
the call or after AWS has taken it; the command is killed before the call, or after it."""


class KilledError(BaseException):
    """The process is killed: nothing that catches errors sees it."""


class Response:
    """The raw part of an answer."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


class Network:
    """Stands between the command and AWS, and counts the calls.

    Attributes:
        calls: how many there were.
        operations: their names, each with the number of calls before it.
    """

    def __init__(self, patch: pytest.MonkeyPatch, fault: str, at: int) -> None:
        self.fault, self.at = fault, at
        self.calls = 0
        self.counting = threading.Lock()
        self.operations: dict[str, int] = {}
        call = BaseClient._make_api_call  # type: ignore[attr-defined]  # the stubs lack it

        def name(client: BaseClient, operation: str, arguments: Any) -> Any:
            self.operations.setdefault(operation, self.calls)
            return call(client, operation, arguments)

        patch.setattr(BaseClient, "_make_api_call", name)
        self._send = URLLib3Session.send
        patch.setattr(URLLib3Session, "send", lambda session, request: self.send(session, request))

    def send(self, session: URLLib3Session, request: Any) -> Any:
        with self.counting:
            number = self.calls
            self.calls += 1
        if self.fault.startswith("dead") and number > self.at >= 0:
            raise ConnectionClosedError(endpoint_url=request.url)
        if number != self.at:
            return self._send(session, request)
        match self.fault:
            case "denied":
                return refusal(request, 403, "AccessDeniedException")
            case "error":
                return refusal(request, 500, "InternalFailure")
            case "dead":
                raise ConnectionClosedError(endpoint_url=request.url)
            case "killed":
                raise KilledError
        self._send(session, request)
        if self.fault == "killed after":
            raise KilledError
        raise ConnectionClosedError(endpoint_url=request.url)


def refusal(request: Any, status: int, code: str) -> AWSResponse:
    """Return an error as the service of a request would write it."""
    authorization = request.headers["Authorization"]
    text = authorization if isinstance(authorization, str) else authorization.decode()
    service = text.split("/aws4_request")[0].rpartition("/")[2]
    if service == "ec2":
        body = f"<Response><Errors><Error><Code>{code}</Code><Message>made up</Message></Error></Errors></Response>"
    elif service == "s3":
        body = f"<Error><Code>{code}</Code><Message>made up</Message></Error>"
    elif service in ("cloudformation", "sts"):
        body = f"<ErrorResponse><Error><Code>{code}</Code><Message>made up</Message></Error></ErrorResponse>"
    else:
        body = f'{{"__type": "{code}", "message": "made up"}}'
    return AWSResponse(request.url, status, HTTPHeaders(), Response(body.encode()))


@pytest.fixture(scope="module")
def made(root: boto3.Session, template: str, put_template: Callable[[str], str]) -> Iterator[DeployedStack]:
    with stack.deployed(root, NAME, put_template(template), {"Image": "yes"}) as made:
        yield made


@pytest.fixture
def run(
    local: LocalAws, root: boto3.Session, made: DeployedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Network]]:
    """Return a function that runs the command in this process, with a fault or none, as a user of HTCondor."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    fake_htcondor.install(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(home))
    for name, value in local.environ(local.root).items():
        monkeypatch.setenv(name, value)
    # Between two tries of one call. A request that was interrupted is silent from then on.
    monkeypatch.setattr(time, "sleep", lambda _: None)

    def run_once(annex: str, fault: str = "", at: int = -1) -> Network:
        with pytest.MonkeyPatch.context() as patch:
            network = Network(patch, fault, at)
            start(
                RecordingScreen(answer=True),
                Target(NAME),
                annex,
                count=COUNT,
                duration="2h",
                idle="10m",
                owner="alice",
                skip_pool_check=True,
                yes=True,
            )
            return network

    yield run_once
    monkeypatch.undo()
    end_all(root, REGION, made)


def check_leases(root: boto3.Session, made: DeployedStack) -> None:
    """Check that every machine has a lease that has not ended."""
    held: Mapping[str, int] = leases_of(root, REGION, made)
    for machine in machines_of(root):
        (annex,) = [tag["Value"] for tag in machine["Tags"] if tag["Key"] == "htcondor:AnnexName"]
        assert held.get(annex, 0) > time.time(), f"{machine['InstanceId']} of {annex} has no lease"


def check_configurations(root: boto3.Session, made: DeployedStack, annex: str) -> None:
    """Check that every machine has its configuration."""
    s3, bucket = root.client("s3"), made.outputs[Output.S3_BUCKET_NAME]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=MACHINES_PREFIX).get("Contents", [])
    wanted = {
        machine_key(annex, made.outputs[Output.START_ROLE_ID], machine["InstanceId"]) for machine in machines_of(root)
    }
    assert wanted <= {each["Key"] for each in listed}


def test_the_documentation_says_of_every_call_what_becomes_of_a_start_when_it_fails(
    run: Callable[..., Network],
) -> None:
    text = (ROOT / "docs/operations.md").read_text()
    (table,) = re.findall(r"<!-- start calls -->(.*?)<!-- end -->", text, re.DOTALL)
    named = {name for row in table.splitlines() for name in re.findall(r"`([A-Z]\w+)`", row.split(" | ")[0])}
    assert named == run("clean").operations.keys()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_call_leaves_no_machine_without_a_lease_and_is_made_good_by_the_same_command(
    run: Callable[..., Network],
    root: boto3.Session,
    made: DeployedStack,
    fault: str,
    record_property: Callable[[str, object], None],
) -> None:
    calls = run("clean").calls
    end_all(root, REGION, made)
    problems = []
    for at in range(calls):
        annex = f"a-{uuid.uuid4().hex[:8]}"
        ended = "well"
        try:
            run(annex, fault, at)
        except (UserError, KilledError) as error:
            ended = f"{type(error).__name__} {error}"
        try:
            check_leases(root, made)
            if ended != "well":
                run(annex)
            check_leases(root, made)
            assert len(machines_of(root)) == COUNT
            check_configurations(root, made, annex)
        except (AssertionError, UserError) as error:
            problems.append(f"call {at} of {calls}, {fault}, which ended {ended}: {error}")
        end_all(root, REGION, made)
    record_property("fault cases of start", calls)
    assert problems == []
    assert calls >= 12
