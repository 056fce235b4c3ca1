"""Measure ``start`` of 1,000 machines, and ``leases`` and ``watch`` of 10,000 in 200 annexes, beside plain scripts.

Run from a checkout: ``python -m benchmarks scale``. AWS is the local AWS behind a proxy that answers each call 50 ms
late. The local AWS has neither so many machines nor so many rules, so the proxy itself describes them: a machine with
2 kB. The plain script makes the fewest calls that the same answer takes, with boto3; it puts as many objects at a time
as ``start``, and reads one lease after the other. Each ``start`` finds an account in which no machine runs.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from annex_contract.stack import Output
from local_aws.launcher import REGION, LocalAws, local_aws
from local_aws.rehearsal import pool
from local_aws.server_settings import ACCOUNT

DELAY_SECONDS = 0.050
COUNT = 1000
ANNEXES, MACHINES = 200, 10_000
RUNS = 3
STANDARD = "L-1216C47A"
"""The quota of vCPUs of standard machines on demand: https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html"""

PAGE = 100
"""Rules of a page: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListRuleNamesByTarget.html"""

START = "`start --count 1000`"
COMMANDS: Mapping[str, tuple[str, ...]] = {
    START: ("start", "many", "--count", str(COUNT), "--owner", "scientist", "--skip-pool-check", "--yes"),
    "`leases`": ("leases",),
    "`watch`, its first screen": ("watch",),
}

HEADS = ("what", "s", "plain script", "ratio", "busy s", "plain script", "ratio", "peak MB", "calls", "plain script")

HEADER = """
import os, sys, json, boto3
from concurrent.futures import ThreadPoolExecutor
clients = {name: boto3.client(name) for name in ("cloudformation", "ec2", "events", "s3")}
cloudformation, ec2, events, s3 = clients.values()
stack = cloudformation.describe_stacks(StackName="annex-bootstrap")["Stacks"][0]
outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
"""

PLAIN_START = """
events.put_rule(Name="plain", ScheduleExpression="rate(5 minutes)")
events.put_targets(Rule="plain", Targets=[{"Id": "plain", "Arn": outputs["LeaseFunctionARN"], "Input": "{}"}])
template = {"LaunchTemplateId": outputs["LaunchTemplateId"], "Version": outputs["LaunchTemplateVersion"]}
answer = ec2.create_fleet(
    Type="instant",
    LaunchTemplateConfigs=[{"LaunchTemplateSpecification": template, "Overrides": [{"InstanceType": "m7i.large"}]}],
    TargetCapacitySpecification={"TotalTargetCapacity": 1000, "DefaultTargetCapacityType": "on-demand"},
)
ids = [one for each in answer["Instances"] for one in each["InstanceIds"]]
def put(one):
    s3.put_object(Bucket=outputs["S3BucketName"], Key=f"machines/plain/{one}", Body=b"x" * 1000)
with ThreadPoolExecutor(10) as workers:
    list(workers.map(put, ids))
"""

PLAIN_LEASES = """
names = [
    name
    for page in events.get_paginator("list_rule_names_by_target").paginate(TargetArn=outputs["LeaseFunctionARN"])
    for name in page["RuleNames"]
]
ends = {name: events.list_targets_by_rule(Rule=name)["Targets"][0]["Input"] for name in names}
machines = [
    machine["InstanceId"]
    for page in ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}], PaginationConfig={"PageSize": 1000}
    )
    for reservation in page["Reservations"]
    for machine in reservation["Instances"]
]
print(len(ends), len(machines), flush=True)
"""

END_ALL = """
for page in ec2.get_paginator("describe_instances").paginate(
    Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}], PaginationConfig={"PageSize": 1000}
):
    ids = [machine["InstanceId"] for reservation in page["Reservations"] for machine in reservation["Instances"]]
    if ids:
        ec2.terminate_instances(InstanceIds=ids)
"""

PLAIN: Mapping[str, str] = {name: HEADER + (PLAIN_START if name == START else PLAIN_LEASES) for name in COMMANDS}

# What EC2 returns of a machine besides what the client reads; about 2 kB.
_REST = "".join(f"<field{number}>{'value' * 6}</field{number}>" for number in range(40))


@dataclass(frozen=True)
class Taken:
    """What a process took.

    Attributes:
        seconds: until it had said what was asked.
        busy: seconds of a processor.
        peak: MB of memory.
        calls: how many of each operation.
    """

    seconds: float
    busy: float
    peak: float
    calls: Counter[str]


class Proxy(ThreadingHTTPServer):
    """The local AWS, late, and with many annexes.

    Attributes:
        aws: the local AWS.
        outputs: of its stack.
        crowded: whether the many annexes are there.
        calls: how often each operation was called.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, aws: LocalAws, outputs: Mapping[str, str]) -> None:
        """Serve on a free port."""
        super().__init__(("127.0.0.1", 0), _Answer)
        self.aws, self.outputs = aws, outputs
        self.crowded = False
        self.calls: Counter[str] = Counter()
        self.trust = ssl.create_default_context(cafile=str(aws.ca_file))

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that ended without closing its connection."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self._operation(body)
        self.server.calls[operation] += 1
        time.sleep(DELAY_SECONDS)
        known = _MANY.get(operation) if self.server.crowded else None
        if known is not None:
            self._send(200, known(self.server, body).encode(), {})
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        request = urllib.request.Request(self.server.aws.endpoint + self.path, body, headers, method=self.command)
        try:
            with urllib.request.urlopen(request, context=self.server.trust) as answer:
                self._send(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            self._send(error.code, error.read(), dict(error.headers))

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _operation(self, body: bytes) -> str:
        if target := self.headers.get("X-Amz-Target"):
            return target.rpartition(".")[2]
        if "form-urlencoded" in self.headers.get("Content-Type", ""):
            return parse_qs(body.decode())["Action"][0]
        return f"{self.command} {'object' if self.path.count('/') > 1 else self.path}"

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() in ("content-type", "etag", "x-amzn-requestid", "x-amz-bucket-region"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _rules(_: Proxy, body: bytes) -> str:
    first = int(json.loads(body).get("NextToken", 0))
    names = [f"annex-{number}" for number in range(first, min(first + PAGE, ANNEXES))]
    more = {"NextToken": str(first + PAGE)} if first + PAGE < ANNEXES else {}
    return json.dumps({"RuleNames": names, **more})


def _targets(server: Proxy, body: bytes) -> str:
    rule = json.loads(body)["Rule"]
    lease = {
        "AnnexID": rule,
        "S3BucketName": server.outputs[Output.S3_BUCKET_NAME],
        "LeaseExpiration": int(time.time()) + 86400,
    }
    arn = server.outputs[Output.LEASE_FUNCTION_ARN]
    return json.dumps({"Targets": [{"Id": rule, "Arn": arn, "Input": json.dumps(lease)}]})


def _instances(server: Proxy, body: bytes) -> str:
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    total = MACHINES if "running" in form.values() else 0
    first, size = int(form.get("NextToken", 0)), int(form.get("MaxResults", 1000))
    last = min(first + size, total)
    machines = "".join(_machine(server, number) for number in range(first, last))
    more = f"<nextToken>{last}</nextToken>" if last < total else ""
    return (
        f"<DescribeInstancesResponse><reservationSet><item><instancesSet>{machines}</instancesSet></item>"
        f"</reservationSet>{more}</DescribeInstancesResponse>"
    )


def _machine(server: Proxy, number: int) -> str:
    return (
        f"<item><instanceId>i-{number:017x}</instanceId><instanceType>m7i.large</instanceType>"
        "<instanceState><code>16</code><name>running</name></instanceState>"
        "<launchTime>2026-01-01T00:00:00.000Z</launchTime>"
        f"<iamInstanceProfile><arn>{server.outputs[Output.START_INSTANCE_PROFILE]}</arn></iamInstanceProfile>"
        f"<tagSet><item><key>htcondor:AnnexName</key><value>annex-{number % ANNEXES}</value></item></tagSet>"
        f"{_REST}</item>"
    )


_MANY = {
    "ListRuleNamesByTarget": _rules,
    "ListTargetsByRule": _targets,
    "DescribeInstances": _instances,
}


def measure(proxy: Proxy, arguments: list[str], environ: Mapping[str, str], *, first_line: bool) -> Taken:
    """Return what a process took, until its end or until its first line.

    Raises:
        RuntimeError: it failed.
    """
    proxy.calls.clear()
    began = time.perf_counter()
    with subprocess.Popen(arguments, env=dict(environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        said = process.stdout.readline() if first_line else process.stdout.read()
        seconds = time.perf_counter() - began
        if first_line:
            process.send_signal(2)
            said += process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not first_line:
        raise RuntimeError(f"{arguments} failed: {said.decode()}")
    return Taken(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, Counter(proxy.calls))


def table() -> str:
    """Return the table of docs/performance.md."""
    with tempfile.TemporaryDirectory() as name, local_aws(1) as aws:
        home = Path(name)
        pool.install(home)
        environ = {
            **aws.environ(aws.root),
            "HOME": name,
            "PATH": f"{name}:{os.environ['PATH']}",
            "_CONDOR_LOCAL_CONFIG_DIR": name,
        }
        ours = [sys.executable, "-m", "annex_bootstrap"]
        _raise_quota(environ)
        subprocess.run([*ours, "deploy", "--yes"], env=environ, check=True, stdout=subprocess.DEVNULL)
        outputs = _outputs(environ)
        proxy = Proxy(aws, outputs)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{proxy.server_address[1]}"
        rows = []
        for what, arguments in COMMANDS.items():
            proxy.crowded = what != START
            ours_taken, plain_taken = list[Taken](), list[Taken]()
            for run in range(RUNS):
                for taken, command in (
                    (ours_taken, [*ours, *_named(arguments, run)]),
                    (plain_taken, [sys.executable, "-c", PLAIN[what]]),
                ):
                    taken.append(measure(proxy, command, environ, first_line="watch" in what and taken is ours_taken))
                    if what == START:
                        subprocess.run([sys.executable, "-c", HEADER + END_ALL], env=environ, check=True)
            rows.append(_row(what, ours_taken, plain_taken))
        proxy.shutdown()
    lines = [HEADS, ("---", *["---:"] * (len(HEADS) - 1)), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _named(arguments: tuple[str, ...], run: int) -> list[str]:
    """Return the arguments, with another annex in each run: one that has machines already asks for more of them."""
    return [f"many-{run}" if part == "many" else part for part in arguments]


def _outputs(environ: Mapping[str, str]) -> dict[str, str]:
    script = HEADER + "print(json.dumps(outputs))"
    ended = subprocess.run([sys.executable, "-c", script], env=dict(environ), check=True, stdout=subprocess.PIPE)
    return dict(json.loads(ended.stdout))


def _raise_quota(environ: Mapping[str, str]) -> None:
    value = json.dumps({"vcpu_quotas": {REGION: {STANDARD: 100_000}}})
    script = "import boto3, sys; boto3.client('ssm').put_parameter(Name=sys.argv[1], Value=sys.argv[2], Type='String')"
    subprocess.run([sys.executable, "-c", script, ACCOUNT, value], env=dict(environ), check=True)


def _row(what: str, ours: list[Taken], plain: list[Taken]) -> tuple[str, ...]:
    best, other = min(ours, key=lambda taken: taken.seconds), min(plain, key=lambda taken: taken.seconds)
    return (
        what,
        f"{best.seconds:.1f}",
        f"{other.seconds:.1f}",
        f"{best.seconds / other.seconds:.2f}",
        f"{best.busy:.1f}",
        f"{other.busy:.1f}",
        f"{best.busy / other.busy:.2f}",
        f"{best.peak:.0f}",
        _calls(best.calls),
        _calls(other.calls),
    )


def _calls(calls: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(calls.items()))
