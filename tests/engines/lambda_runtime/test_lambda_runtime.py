"""Every function of the template on Lambda's own Python and runtime client, with half of its memory."""

from __future__ import annotations

import json
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from annex_bootstrap.launch.verify import read_code
from annex_bootstrap.stack.resolve import resolve
from annex_contract.lease import LATEST
from annex_contract.resources import BY_TYPE
from local_aws.launcher import LocalAws, local_aws
from template_gen.functions import RUNTIME
from template_gen.template import build_text
from tests.engines.lambda_runtime.sandbox import MEMORY, REQUIREMENTS, Sandbox
from tests.stack_values import TEMPLATE, conditions_of, new_stack_id, values_of

CODE = read_code(build_text())

STACK_ID = new_stack_id()


@dataclass
class Responses:
    """What CloudFormation was told, at a URL of its own."""

    url: str
    ca: str
    bodies: list[dict[str, Any]]


@pytest.fixture
def responses() -> Iterator[Responses]:
    """A response URL as CloudFormation gives it, with TLS."""
    authority, told = trustme.CA(), Responses("", "", [])

    class Url(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            told.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told.url, told.ca = f"https://127.0.0.1:{server.server_port}/made-up", authority.cert_pem.bytes().decode()
    yield told
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def local() -> Iterator[LocalAws]:
    """A local AWS, for what functions call."""
    with local_aws() as running:
        yield running


def environment(function: str) -> dict[str, str]:
    """Return the variables that the template gives a function, and those of Lambda that name an account."""
    variables = TEMPLATE[function]["Properties"].get("Environment", {}).get("Variables", {})
    own: dict[str, Any] = resolve(variables, values_of(STACK_ID, {}), conditions_of({}))
    keys = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up"}
    return {**{name: str(value) for name, value in own.items()}, **keys, "AWS_REGION": "us-east-1"}


def request(kind: str, resource: str, url: str, **more: Any) -> dict[str, Any]:
    """Return what CloudFormation sends a custom resource."""
    properties = resolve(TEMPLATE[resource]["Properties"], values_of(STACK_ID, {}), conditions_of({}))
    return {
        "RequestType": kind,
        "RequestId": str(uuid.uuid4()),
        "StackId": STACK_ID,
        "ResponseURL": url,
        "ResourceType": TEMPLATE[resource]["Type"],
        "LogicalResourceId": resource,
        "ResourceProperties": properties,
        **more,
    }


def reach(local: LocalAws, responses: Responses) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables with which a function reaches the local AWS and the response URL, and files for them."""
    both = local.ca_file.read_text() + responses.ca
    variables = {name: value for name, value in local.environ(local.root).items() if not name.endswith("_FILE")}
    return {**variables, "AWS_CA_BUNDLE": "/var/task/ca.pem", "SSL_CERT_FILE": "/var/task/ca.pem"}, {
        "/var/task/ca.pem": both
    }


@pytest.mark.parametrize("function", sorted(CODE))
def test_a_function_starts_in_half_of_its_memory(
    function: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with Sandbox(tmp_path, CODE[function], environment=environment(function)) as sandbox:
        record_property("cold start, seconds", round(sandbox.cold_start, 2))
        record_property("peak memory, MB", round(sandbox.peak_memory))
        assert sandbox.init_error == ""
        assert sandbox.peak_memory < MEMORY


def test_a_tick_before_the_lease_ends_waits(tmp_path: Path) -> None:
    with Sandbox(tmp_path, CODE["LeaseFunction"], environment=environment("LeaseFunction")) as sandbox:
        outcome = sandbox.invoke({"AnnexID": "test", "S3BucketName": "", "LeaseExpiration": LATEST})
    assert (outcome.error, outcome.answer["decision"]) == ("", "wait")


@pytest.mark.parametrize("resource", ["Bucket", "InstanceRole", "FleetRole", "SecurityGroup"])
def test_a_custom_resource_is_made_and_deleted(
    resource: str, tmp_path: Path, local: LocalAws, responses: Responses
) -> None:
    variables, files = reach(local, responses)
    own = environment(f"{resource}Function") | variables
    with Sandbox(tmp_path, CODE[f"{resource}Function"], environment=own, files=files) as sandbox:
        made = sandbox.invoke(request("Create", resource, responses.url))
        (answer,) = responses.bodies
        assert (made.error, answer["Status"]) == ("", "SUCCESS"), answer["Reason"]
        assert set(answer["Data"]) == set(BY_TYPE[TEMPLATE[resource]["Type"]].attributes)
        gone = request("Delete", resource, responses.url, PhysicalResourceId=answer["PhysicalResourceId"])
        assert sandbox.invoke(gone).error == ""
        assert responses.bodies[1]["Status"] == "SUCCESS", responses.bodies[1]["Reason"]
        assert sandbox.peak_memory < MEMORY


def test_a_custom_resource_whose_python_lacks_bz2_still_answers_cloudformation(
    tmp_path: Path, responses: Responses
) -> None:
    own = environment("BucketFunction") | {"SSL_CERT_FILE": "/var/task/ca.pem"}
    files = {"/var/task/ca.pem": responses.ca}
    lost = [f"/usr/lib/{RUNTIME}/bz2.py"]
    with Sandbox(tmp_path, CODE["BucketFunction"], environment=own, files=files, missing=lost) as sandbox:
        sandbox.invoke(request("Create", "Bucket", responses.url))
    (answer,) = responses.bodies
    assert answer["Status"] == "FAILED"
    assert "No module named 'bz2'" in answer["Reason"]


def test_the_sandbox_has_the_runtimes_python_and_sdk_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import os, sys, boto3\n"
        "def handler(event, context):\n"
        "    places = sorted({path.split('/')[1] for path in sys.path})\n"
        "    return [sys.version_info[:2], boto3.__version__, os.getuid(), places]\n"
    )
    with Sandbox(tmp_path, code) as sandbox:
        version, sdk, user, places = sandbox.invoke({}).answer
    assert f"python{version[0]}.{version[1]}" == RUNTIME
    assert f"boto3=={sdk} " in REQUIREMENTS.read_text()
    assert user != 0
    assert places == ["usr", "var"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("open('/var/task/file', 'w')", "Read-only file system"),
        ("open('/usr/file', 'w')", "Read-only file system"),
        ("bytearray(200 * 2**20)", "MemoryError"),
        ("import crhelper", "No module named 'crhelper'"),
        ("import annex_contract", "No module named 'annex_contract'"),
    ],
)
def test_the_sandbox_refuses_what_lambda_refuses(code: str, error: str, tmp_path: Path) -> None:
    with Sandbox(tmp_path, f"{code}\ndef handler(event, context): pass\n") as sandbox:
        assert error in sandbox.init_error


def test_the_sandbox_lets_a_function_write_to_tmp(tmp_path: Path) -> None:
    code = "def handler(event, context):\n    open('/tmp/file', 'w').write('x')\n    return open('/tmp/file').read()\n"
    with Sandbox(tmp_path, code) as sandbox:
        assert sandbox.invoke({}).answer == "x"
