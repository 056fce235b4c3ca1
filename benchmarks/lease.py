"""Measure the lease function against a plain script that makes the same calls one by one.

Run from a checkout: ``python -m benchmarks.lease``. Linux only: memory is read from ``/proc``.

AWS is an HTTP server on loopback that answers each call after 20 ms, and one more for each instance that it describes;
an instance takes 3 kB, as in EC2. Each measurement is a fresh process from its start to its end: what the template
embeds is unpacked, compiled and run, as in a cold start of Lambda. A bare process of the same Python, which does
nothing, is the unit by which another machine's numbers, or another language's, can be compared.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from urllib.parse import parse_qs, urlsplit

from annex_bootstrap.launch.verify import read_code
from annex_contract.stack import LogicalId
from benchmarks.processes import busy_seconds
from template_gen.template import build_text

BEFORE = "before expiry"
"""The name of the tick that nearly all are."""

DELAY_SECONDS = 0.020
INSTANCE_SECONDS = 0.001
RUNS = 5
BUCKET = "annex-bucket"
KEY = "config-test.tar.gz"
NEVER = 2**34
"""An end that is centuries away, in seconds since the epoch."""

EVENT = {"AnnexID": "test", "S3BucketName": BUCKET, "LeaseExpiration": 1}

FUNCTION = """
from types import SimpleNamespace
from index import handler
context = SimpleNamespace(
    aws_request_id="r", function_name="f", memory_limit_in_mb=128, invoked_function_arn="arn:aws:lambda:::function:f"
)
handler(event, context)
"""

BASELINE = """
import boto3
events, ec2, s3 = (boto3.client(name) for name in ("events", "ec2", "s3"))
events.list_targets_by_rule(Rule="test")
for operation in ("describe_spot_fleet_requests", "describe_fleets", "describe_spot_instance_requests"):
    for page in ec2.get_paginator(operation).paginate(PaginationConfig={"PageSize": 100}):
        pass
ids = set()
for name, value in (("tag:htcondor:AnnexName", "test"), ("client-token", "test_*")):
    filters = [{"Name": name, "Values": [value]}]
    for page in ec2.get_paginator("describe_instances").paginate(
        Filters=filters, PaginationConfig={"PageSize": 200}
    ):
        ids.update(one["InstanceId"] for found in page["Reservations"] for one in found["Instances"])
ids = sorted(ids)
for at in range(0, len(ids), 500):
    ec2.terminate_instances(InstanceIds=ids[at : at + 500])
for prefix in ("config-test.tar.gz", "machines/test/"):
    for item in s3.list_objects_v2(Bucket="annex-bucket", Prefix=prefix).get("Contents", []):
        s3.delete_object(Bucket="annex-bucket", Key=item["Key"])
"""

BEFORE_EXPIRY = """
import time
import boto3
assert event["LeaseExpiration"] > time.time()
"""
"""What a plain script does with a lease that has not expired: load the SDK, and compare two numbers."""

MEASURED = """
import json, sys
event = json.loads(sys.argv[1])
{body}
kilobytes = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(kilobytes) / 1024, file=sys.stderr)
"""

HEADS = (
    *("tick", "ms", "plain script", "ratio", "busy ms", "plain script", "ratio", "bare processes"),
    *("peak MB", "plain script", "ratio", "calls"),
)

PROFILE = "arn:aws:iam::123456789012:instance-profile/p"

_NONE = {
    "DescribeFleets": "<fleetSet/>",
    "DescribeSpotFleetRequests": "<spotFleetRequestConfigSet/>",
    "DescribeSpotInstanceRequests": "<spotInstanceRequestSet/>",
}

# What EC2 returns of a machine besides what the function reads; about 3 kB.
_REST = "".join(f"<field{number}>{'value' * 6}</field{number}>" for number in range(50))


class Aws(ThreadingHTTPServer):
    """As much of AWS as a tick of an annex of on-demand machines calls.

    Attributes:
        machines: how many machines the annex has.
        terminated: the IDs of those that are ending.
        calls: how often each operation was called.
    """

    daemon_threads = True

    def __init__(self, machines: int) -> None:
        """Serve an annex of so many machines."""
        super().__init__(("127.0.0.1", 0), _Answer)
        self.machines = machines
        self.terminated: set[str] = set()
        self.calls: Counter[str] = Counter()


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Aws

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        target = self.headers.get("X-Amz-Target")
        if target:
            lease = {"Id": "test", "Arn": "arn:aws:lambda:us-east-1:1:function:l", "Input": json.dumps(EVENT)}
            self._send(target.partition(".")[2], json.dumps({"Targets": [lease]}))
            return
        form = {name: values[0] for name, values in parse_qs(body).items()}
        action = form["Action"]
        answer, shown = _instances(self.server, form) if action == "DescribeInstances" else (_NONE.get(action, ""), 0)
        if action == "TerminateInstances":
            self.server.terminated |= {value for name, value in form.items() if name.startswith("InstanceId.")}
        time.sleep(shown * INSTANCE_SECONDS)
        self._send(action, f"<{action}Response>{answer}</{action}Response>")

    def do_GET(self) -> None:
        key = parse_qs(urlsplit(self.path).query)["prefix"][0]
        found = f"<Contents><Key>{key}</Key></Contents>" if key == KEY else ""
        self._send("ListObjectsV2", f"<ListBucketResult>{found}</ListBucketResult>")

    def do_DELETE(self) -> None:
        self._send("DeleteObject", "", 204)

    def _send(self, operation: str, text: str, status: int = 200) -> None:
        self.server.calls[operation] += 1
        time.sleep(DELAY_SECONDS)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def _instances(aws: Aws, form: dict[str, str]) -> tuple[str, int]:
    """Return a page of instances, and how many it shows."""
    states = {value for name, value in form.items() if name.startswith("Filter.") and ".Value." in name}
    hidden = aws.terminated if "running" in states and "shutting-down" not in states else set[str]()
    ids = [id_ for id_ in (f"i-{number:017x}" for number in range(aws.machines)) if id_ not in hidden]
    start = int(form.get("NextToken", "0"))
    page = ids[start : start + int(form["MaxResults"])]
    items = "".join(
        f"<item><instancesSet><item><instanceId>{id_}</instanceId><instanceType>m7i.large</instanceType>"
        f"<iamInstanceProfile><arn>{PROFILE}</arn></iamInstanceProfile>"
        f"<instanceState><name>{'shutting-down' if id_ in aws.terminated else 'running'}</name></instanceState>"
        "<launchTime>2026-01-01T00:00:00Z</launchTime>"
        "<clientToken>test_6e0c1b9a</clientToken><tagSet><item><key>htcondor:AnnexName</key>"
        f"<value>test</value></item></tagSet>{_REST}</item></instancesSet></item>"
        for id_ in page
    )
    end = start + len(page)
    more = f"<nextToken>{end}</nextToken>" if end < len(ids) else ""
    return f"<reservationSet>{items}</reservationSet>{more}", len(page)


@dataclass(frozen=True)
class Measured:
    """What several fresh processes took.

    Attributes:
        seconds: of the fastest, from its start to its end: the others had to share the machine.
        busy: seconds of a processor that the most frugal one took.
        megabytes: the peak of memory, the median.
        calls: the calls of one run.
    """

    seconds: float
    busy: float
    megabytes: float
    calls: Counter[str]


def measure(body: str, machines: int, expiration: int = 1) -> Measured:
    """Run a script in fresh processes against a fresh AWS.

    Args:
        body: the script; it finds the event in ``event``, and the lease function's code as the module ``index``.
        machines: how many machines the annex has.
        expiration: when its lease ends, in seconds since the epoch.
    """
    seconds, busy, megabytes = [], [], []
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "index.py").write_text(read_code(build_text())[LogicalId.LEASE_FUNCTION])
        for _ in range(RUNS):
            # Lambda compiles the inline code at every cold start.
            shutil.rmtree(Path(directory, "__pycache__"), ignore_errors=True)
            with Aws(machines) as aws:
                threading.Thread(target=aws.serve_forever, daemon=True).start()
                command = [sys.executable, "-c", MEASURED.format(body=textwrap.dedent(body))]
                began, before = time.perf_counter(), busy_seconds()
                done = subprocess.run(
                    [*command, json.dumps(EVENT | {"LeaseExpiration": expiration})],
                    env=environ(aws.server_port, directory),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                seconds.append(time.perf_counter() - began)
                busy.append(busy_seconds() - before)
                if done.returncode:
                    raise SystemExit(done.stdout + done.stderr)
                aws.shutdown()
            megabytes.append(float(done.stderr))
    return Measured(min(seconds), min(busy), median(megabytes), aws.calls)


def environ(port: int, directory: str) -> dict[str, str]:
    """Return the variables of a process that runs the function.

    Args:
        port: where AWS answers.
        directory: where the function's code is.
    """
    return {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "BUCKET_NAME": BUCKET,
        "INSTANCE_PROFILE_ARN": PROFILE,
        "STACK_ID": "arn:aws:cloudformation:us-east-1:123456789012:stack/s/1",
        "AWS_LAMBDA_FUNCTION_NAME": "lease",
        "POWERTOOLS_METRICS_NAMESPACE": "benchmark",
        "POWERTOOLS_SERVICE_NAME": "lease",
        "PYTHONPATH": directory,
    }


@cache
def bare() -> Measured:
    """Return what a process takes that does nothing."""
    return measure("", 1)


@cache
def ticks() -> Mapping[str, tuple[Measured, Measured]]:
    """Return what the function and the plain script take for each tick, by its name."""
    found = {BEFORE: (measure(FUNCTION, 1, NEVER), measure(BEFORE_EXPIRY, 1, NEVER))}
    for machines in (1, 5, 1_000, 5_000):
        found[after(machines)] = (measure(FUNCTION, machines), measure(BASELINE, machines))
    return found


def after(machines: int) -> str:
    """Return the name of the tick that ends so many machines."""
    return f"after expiry, {machines:,}"


def table() -> str:
    """Return the measurements as Markdown."""
    lines = [
        f"A bare process keeps a processor busy for {bare().busy * 1000:.0f} ms.\n",
        f"| {' | '.join(HEADS)} |",
        f"| --- |{' ---: |' * (len(HEADS) - 2)} --- |",
        *(_row(name, bare().busy, *pair) for name, pair in ticks().items()),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, bare: float, ours: Measured, plain: Measured) -> str:
    calls = ", ".join(f"{count} {operation}" for operation, count in sorted(ours.calls.items())) or "none"
    return (
        f"| {name} | {ours.seconds * 1000:,.0f} | {plain.seconds * 1000:,.0f} | {ours.seconds / plain.seconds:.2f} "
        f"| {ours.busy * 1000:,.0f} | {plain.busy * 1000:,.0f} | {ours.busy / plain.busy:.2f} | {ours.busy / bare:.1f} "
        f"| {ours.megabytes:.0f} | {plain.megabytes:.0f} | {ours.megabytes / plain.megabytes:.2f} | {calls} |"
    )


if __name__ == "__main__":
    sys.stdout.write(table())
