"""The connectivity function and a real collector, and what a real condor_annex makes of the answer."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from annex_bootstrap.pool.htcondor import FIRST_HTCONDOR_ANNEX
from lambda_connectivity.handler import handler
from tests.htcondor.https_server import serving
from tests.htcondor.pool import USER, USER_PASSWORD_FILE, Pool
from tests.htcondor.root import version

LAMBDA = "lambda.us-east-1.amazonaws.com"
LAMBDA_ADDRESS = "127.0.0.9"
"""A loopback address of its own: condor_annex asks port 443, and on 127.0.0.1 that may be taken."""

NOBODY = "0000000000000000"

SECURITY = [
    "SEC_DAEMON_INTEGRITY = REQUIRED",
    "SEC_DAEMON_AUTHENTICATION = REQUIRED",
    "SEC_DAEMON_AUTHENTICATION_METHODS = PASSWORD",
    "SEC_NEGOTIATOR_INTEGRITY = REQUIRED",
    "SEC_NEGOTIATOR_AUTHENTICATION = REQUIRED",
    "SEC_NEGOTIATOR_AUTHENTICATION_METHODS = PASSWORD",
    "SEC_CLIENT_AUTHENTICATION_METHODS = FS, PASSWORD",
    "ALLOW_DAEMON = condor_pool@*",
]

HOME = f"/home/{USER}/.condor"

USER_CONFIG = f"""
SEC_PASSWORD_FILE = {USER_PASSWORD_FILE}
ANNEX_DEFAULT_ACCESS_KEY_FILE = {HOME}/access_key
ANNEX_DEFAULT_SECRET_KEY_FILE = {HOME}/secret_key
ANNEX_DEFAULT_S3_BUCKET = made-up-bucket
ANNEX_DEFAULT_ODI_LEASE_FUNCTION_ARN = arn:aws:lambda:us-east-1:123456789012:function:made-up-lease
ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN = arn:aws:iam::123456789012:instance-profile/made-up
ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS = sg-00000000000000000
ANNEX_DEFAULT_ODI_IMAGE_ID = ami-00000000000000000
ANNEX_DEFAULT_ODI_INSTANCE_TYPE = t3.micro
ANNEX_DEFAULT_ODI_KEY_NAME = made-up-key
"""


class Context:
    """Lambda's context with enough time left."""

    aws_request_id = "6bc28136-xmpl-4365-b021-0ce6b2e64ab0"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture(autouse=True, scope="module")
def local_aws() -> Iterator[None]:
    """Puts AWS on this machine, where the pools of these tests are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:4566")
        yield


def check(port: int, *, host: str = "127.0.0.1", timeout: float = 5, **more: str) -> dict[str, str]:
    return handler({"timeout": timeout, "condor_port": port, "condor_host": host, **more}, Context())


@dataclass
class Function:
    """The connectivity function as condor_annex reaches it.

    Attributes:
        answer: from the event that condor_annex sends, to what it gets back.
        asked: the method and path of each request, the first ones for other functions included.
    """

    ca: trustme.CA
    answer: Callable[[object], dict[str, str]] = field(default=lambda event: handler(event, Context()))
    asked: list[str] = field(default_factory=list)


@contextmanager
def lambda_endpoint(function: Function) -> Iterator[None]:
    """Serve Invoke of the one function; answer every other request with 404."""

    def answer(method: str, path: str, body: bytes) -> dict[str, str] | None:
        function.asked.append(f"{method} {path}")
        return function.answer(json.loads(body)) if method == "POST" else None

    with serving(function.ca, LAMBDA, LAMBDA_ADDRESS, answer):
        yield


@pytest.fixture(scope="module")
def function() -> Iterator[Function]:
    function = Function(trustme.CA())
    with lambda_endpoint(function):
        yield function


@pytest.fixture(scope="module", params=[True, False], ids=["shared port", "own port"])
def pool(request: pytest.FixtureRequest, htcondor_root: Path, function: Function) -> Iterator[Pool]:
    with Pool(
        htcondor_root,
        config_lines=SECURITY,
        hosts={LAMBDA: LAMBDA_ADDRESS},
        ca_pem=function.ca.cert_pem.bytes().decode(),
        shared_port=request.param,
    ) as pool:
        pool.write(f"{HOME}/user_config", USER_CONFIG)
        pool.write(f"{HOME}/access_key", "AKIAMADEUPMADEUPMADE")
        pool.write(f"{HOME}/secret_key", "made-up-secret-key")
        yield pool


@pytest.fixture
def _condor_annex_asks(htcondor_root: Path) -> None:
    if version(htcondor_root) >= FIRST_HTCONDOR_ANNEX:
        pytest.skip("From 24.11 on, condor_annex does not call the connectivity function.")


def start_annex(pool: Pool) -> str:
    """Let condor_annex try to start an annex; return what it prints."""
    ended = pool.run(["condor_annex", "-count", "1", "-annex-name", "test", "-yes"])
    return ended.stdout + ended.stderr


def collector_as_condor_annex_knows_it(pool: Pool, function: Function, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the instance ID that condor_annex got from the collector with HTCondor's own client code."""
    wrong = {"success": "1", "result": NOBODY, "description": "made up"}
    with monkeypatch.context() as patch:
        patch.setattr(function, "answer", lambda _: wrong)
        output = start_annex(pool)
    found = re.search(rf"wrong collector \({NOBODY} vs ([0-9a-f]{{16}})\)", output)
    assert found, output
    return found[1]


@pytest.mark.usefixtures("_condor_annex_asks")
def test_the_answer_is_the_instance_id_that_condor_annex_gets_from_the_collector(
    pool: Pool, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = collector_as_condor_annex_knows_it(pool, function, monkeypatch)
    answer = check(pool.port)
    assert (answer["success"], answer["result"]) == ("1", known), answer


@pytest.mark.usefixtures("_condor_annex_asks")
def test_condor_annex_goes_on_to_the_lease_after_our_answer(pool: Pool, function: Function) -> None:
    function.asked.clear()
    output = start_annex(pool)
    assert "onnectivity" not in output
    invoke, get_function = function.asked[:2]
    assert invoke.endswith("/invocations")
    assert get_function.startswith("GET /2015-03-31/functions/")


@pytest.mark.usefixtures("_condor_annex_asks")
def test_condor_annex_shows_our_description_of_a_failure(
    pool: Pool, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function, "answer", lambda _: handler({}, Context()))
    description = handler({}, Context())["description"]
    assert description in start_annex(pool)


def test_the_collector_can_be_given_by_name_or_address(pool: Pool) -> None:
    assert check(pool.port, host="localhost")["result"] == check(pool.port)["result"]


def test_asking_the_port_itself_finds_the_collector_only_where_it_owns_the_port(
    pool: Pool,
) -> None:
    """What the stock function does, and why it fails behind a shared port."""
    with socket.create_connection(("127.0.0.1", pool.port), timeout=5) as connection:
        connection.sendall(bytes.fromhex("01 00000008 000000000000ea8d"))
        with connection.makefile("rb") as stream:
            answer = stream.read(21)
    assert (answer[5:].decode() == check(pool.port)["result"]) is not pool.shared_port


@pytest.mark.usefixtures("function")
def test_an_https_server_is_not_mistaken_for_htcondor() -> None:
    answer = check(443, host=LAMBDA_ADDRESS)
    assert (answer["success"], answer["result"]) == ("0", "")
    # Whether its alert or the reset of the connection arrives first is the kernel's choice.
    assert re.search("Something other than HTCondor|closes the connection", answer["description"])


@pytest.mark.parametrize(
    ("shared_port", "message"),
    [(True, "but has no collector behind it"), (False, "Nothing listens on 127.0.0.1")],
)
def test_a_stopped_collector_is_reported(htcondor_root: Path, shared_port: bool, message: str) -> None:
    with Pool(htcondor_root, config_lines=SECURITY, shared_port=shared_port) as pool:
        pool.run(["condor_off", "-daemon", "collector"], user="root")
        end = time.monotonic() + 30
        answer = check(pool.port)
        # While it ends, it may still accept a connection and close it.
        while message not in answer["description"] and time.monotonic() < end:
            time.sleep(0.1)
            answer = check(pool.port)
    assert answer["result"] == ""
    assert message in answer["description"]


def test_a_hung_collector_is_reported(htcondor_root: Path) -> None:
    with Pool(htcondor_root, config_lines=SECURITY) as pool:
        pool.run(["sh", "-c", "kill -STOP $(pidof condor_collector)"], user="root")
        answer = check(pool.port, timeout=1)
    assert answer["result"] == ""
    assert "did not answer within 1 s" in answer["description"]
