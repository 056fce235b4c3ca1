"""Measure the lease function against a plain script that makes the same calls one by one.

Run from a checkout: ``python benchmarks/lease.py``. Linux only: memory is read from ``/proc``.

AWS is an HTTP server on loopback that answers each call after 20 ms; an instance takes 3 kB, as in EC2. Each
measurement is a fresh process, whose time includes loading its modules.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).parents[1]
DELAY_SECONDS = 0.020
RUNS = 3
BUCKET = "annex-bucket"
KEY = "config-test.tar.gz"
EVENT = {"AnnexID": "test", "S3BucketName": BUCKET, "LeaseExpiration": 1}

FUNCTION = """
from types import SimpleNamespace
from lambda_lease.handler import handler
context = SimpleNamespace(
    aws_request_id="r", function_name="f", memory_limit_in_mb=128, invoked_function_arn="arn:aws:lambda:::function:f"
)
handler(event, context)
"""

BASELINE = """
import boto3
events, ec2, s3 = (boto3.client(name) for name in ("events", "ec2", "s3"))
events.list_targets_by_rule(Rule="test")
for page in ec2.get_paginator("describe_spot_fleet_requests").paginate(PaginationConfig={"PageSize": 200}):
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
for item in s3.list_objects_v2(Bucket="annex-bucket", Prefix="config-test.tar.gz")["Contents"]:
    s3.delete_object(Bucket="annex-bucket", Key=item["Key"])
"""

MEASURED = """
import json, sys, time
start = time.perf_counter()
event = json.loads(sys.argv[1])
{body}
seconds = time.perf_counter() - start
kilobytes = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([seconds, int(kilobytes) / 1024]), file=sys.stderr)
"""

# What EC2 returns of a machine besides what the function reads; about 3 kB.
_REST = "".join(f"<field{number}>{'value' * 6}</field{number}>" for number in range(50))


class Aws(ThreadingHTTPServer):
    """As much of AWS as a tick of an annex of on-demand machines calls."""

    daemon_threads = True

    def __init__(self, machines: int) -> None:
        """Serve an annex of so many machines."""
        super().__init__(("127.0.0.1", 0), _Answer)
        self.machines = machines
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
        answer = _instances(self.server.machines, form) if action == "DescribeInstances" else ""
        self._send(action, f"<{action}Response>{answer}</{action}Response>")

    def do_GET(self) -> None:
        key = parse_qs(urlsplit(self.path).query)["prefix"][0]
        self._send("ListObjectsV2", f"<ListBucketResult><Contents><Key>{key}</Key></Contents></ListBucketResult>")

    def do_DELETE(self) -> None:
        self._send("DeleteObject", "", 204)

    def _send(self, operation: str, text: str, status: int = 200) -> None:
        self.server.calls[operation] += 1
        time.sleep(DELAY_SECONDS)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def _instances(machines: int, form: dict[str, str]) -> str:
    start = int(form.get("NextToken", "0"))
    end = min(machines, start + int(form["MaxResults"]))
    items = "".join(
        f"<item><instancesSet><item><instanceId>i-{number:017x}</instanceId>"
        "<instanceState><name>running</name></instanceState><launchTime>2026-01-01T00:00:00Z</launchTime>"
        "<clientToken>test_6e0c1b9a</clientToken><tagSet><item><key>htcondor:AnnexName</key>"
        f"<value>test</value></item></tagSet>{_REST}</item></instancesSet></item>"
        for number in range(start, end)
    )
    more = f"<nextToken>{end}</nextToken>" if end < machines else ""
    return f"<reservationSet>{items}</reservationSet>{more}"


def measure(body: str, machines: int, expiration: int = 1) -> tuple[float, float, Counter[str]]:
    """Run a script in fresh processes against a fresh AWS.

    Args:
        body: the script; it finds the event in ``event``.
        machines: how many machines the annex has.
        expiration: when its lease ends, in seconds since the epoch.

    Returns:
        The median seconds, the median peak memory in MB, and the calls of one run.
    """
    seconds, megabytes = [], []
    for _ in range(RUNS):
        with Aws(machines) as aws:
            threading.Thread(target=aws.serve_forever, daemon=True).start()
            environ = os.environ | {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws.server_port}",
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_CONFIG_FILE": os.devnull,
                "BUCKET_NAME": BUCKET,
                "INSTANCE_PROFILE_ARN": "arn:aws:iam::123456789012:instance-profile/p",
                "STACK_ID": "arn:aws:cloudformation:us-east-1:123456789012:stack/s/1",
                "POWERTOOLS_METRICS_NAMESPACE": "benchmark",
                "POWERTOOLS_SERVICE_NAME": "lease",
                "PYTHONPATH": str(ROOT),
            }
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    MEASURED.format(body=textwrap.dedent(body)),
                    json.dumps(EVENT | {"LeaseExpiration": expiration}),
                ],
                env=environ,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(done.stdout + done.stderr)
            aws.shutdown()
        second, megabyte = json.loads(done.stderr)
        seconds.append(second)
        megabytes.append(megabyte)
    return median(seconds), median(megabytes), aws.calls


def main() -> None:
    """Print the tables of docs/performance.md."""
    print("| machines | seconds | baseline | ratio | peak MB | baseline | ratio | calls |")  # noqa: T201
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")  # noqa: T201
    for machines in (1, 1_000, 5_000):
        _row(f"{machines:,}", measure(FUNCTION, machines), measure(BASELINE, machines))
    print()  # noqa: T201
    print("| cold start | seconds | baseline | ratio | peak MB | baseline | ratio | calls |")  # noqa: T201
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")  # noqa: T201
    baseline = measure(BASELINE, 1)
    _row("before expiry", measure(FUNCTION, 1, expiration=2**40), baseline)
    _row("after expiry", measure(FUNCTION, 1), baseline)


def _row(name: str, ours: tuple[float, float, Counter[str]], theirs: tuple[float, float, Counter[str]]) -> None:
    calls = ", ".join(f"{count} {operation}" for operation, count in sorted(ours[2].items())) or "none"
    print(  # noqa: T201
        f"| {name} | {ours[0]:.2f} | {theirs[0]:.2f} | {ours[0] / theirs[0]:.2f} "
        f"| {ours[1]:.0f} | {theirs[1]:.0f} | {ours[1] / theirs[1]:.2f} | {calls} |"
    )


if __name__ == "__main__":
    main()
