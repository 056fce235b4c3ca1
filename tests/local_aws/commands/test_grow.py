"""``annex-bootstrap grow`` and ``explain`` under the stack's own policy for ``start``, with a queue in a file."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from annex_bootstrap.growth.record import NAME
from annex_contract.stack import ANNEX_TAG
from tests.local_aws.cli_user import CliUser
from tests.local_aws.commands import fake_htcondor
from tests.local_aws.commands.annexes import OTHER, REGION, leases_of, machines_of
from tests.local_aws.stack import DeployedStack

pytestmark = pytest.mark.slow

ALICE = "alice"
ONCE = ("grow", "--max-cores", "32", "--once", "--skip-pool-check", "--owner", ALICE, "--region", REGION)
JSON = ("--output", "json")
MEMORY = "/Expr(ifthenelse(MemoryUsage =!= undefined,MemoryUsage,1))/"


def job(cluster: int, owner: str, proc: int = 0, **more: Any) -> dict[str, Any]:
    """An idle job as condor_q prints it, that has waited for an hour and may leave home."""
    return {
        "ClusterId": cluster,
        "ProcId": proc,
        "JobStatus": 1,
        "JobUniverse": 5,
        "Owner": owner,
        "QDate": int(time.time()) - 3600,
        "EnteredCurrentStatus": int(time.time()) - 3600,
        "NumJobStarts": 0,
        "MayUseAWS": True,
        "RequestCpus": 1,
        "RequestMemory": 1024,
        "RequestDisk": 1000,
        "Requirements": '/Expr((TARGET.Arch == "X86_64") && (TARGET.Memory >= RequestMemory))/',
        **more,
    }


@pytest.fixture
def put(starter: CliUser) -> Callable[..., None]:
    """Return a function that says which jobs and slots there are from now on, in a pool of its own."""
    # The local AWS forgets machines that have ended within a minute, and AWS after about an hour.
    fake_htcondor.install(starter.home, COLLECTOR_HOST=f"{uuid.uuid4().hex}.example.org:9618")

    def write(jobs: list[dict[str, Any]], slots: list[dict[str, Any]] | None = None) -> None:
        (starter.home / fake_htcondor.QUEUE).write_text(json.dumps(jobs))
        (starter.home / fake_htcondor.SLOTS).write_text(json.dumps(slots or []))

    return write


def record_of(user: CliUser) -> list[dict[str, Any]]:
    """The lines of the record."""
    return [json.loads(line) for line in (user.home / ".condor" / NAME).read_text().splitlines()]


def test_machines_start_for_jobs_that_wait_and_their_owner(
    starter: CliUser, root: boto3.Session, stacks: Mapping[str, DeployedStack], put: Callable[..., None]
) -> None:
    put([job(1, ALICE, proc) for proc in range(8)] + [job(2, "somebody"), job(3, ALICE, Nowhere=True, AutoClusterId=3)])
    first = starter.must(*ONCE, *JSON).document["result"]
    (start,) = first["starts"]
    assert (start["owner"], start["wanted"], start["started"], start["cores"]) == (ALICE, 2, 2, 4)
    assert start["annex"].startswith("grow-2g-")
    machines = machines_of(root)
    assert {tag["Value"] for machine in machines for tag in machine["Tags"] if tag["Key"] == ANNEX_TAG} == {
        start["annex"]
    }
    assert leases_of(root, REGION, stacks[REGION]).keys() == {start["annex"]}
    reasons = {group["job"]: group["reason"] for group in first["groups"]}
    assert reasons == {"1.0": "started", "3.0": "no type"}
    kinds = [line["event"] for line in record_of(starter)]
    assert kinds == ["rules", "step", "outcome", "waiting"]
    # A minute has not passed, and what boots counts.
    again = starter.must(*ONCE, *JSON).document["result"]
    assert (again["starts"], again["cores"]) == ([], 4)
    assert {group["job"]: group["reason"] for group in again["groups"]}["1.0"] == "pace"
    assert [line["event"] for line in record_of(starter)][4:] == ["rules", "machine", "machine", "waiting"]


def test_a_dry_run_changes_nothing_and_says_what_it_would_do(
    starter: CliUser, root: boto3.Session, put: Callable[..., None]
) -> None:
    put([job(1, ALICE, proc) for proc in range(4)])
    said = starter.must(*ONCE, "--dry-run").stdout
    assert "4 jobs wait, 4 for machines: would start 1 " in said
    assert machines_of(root) == []
    assert not (starter.home / ".condor" / NAME).exists()


@pytest.mark.parametrize("missing", [fake_htcondor.QUEUE, fake_htcondor.SLOTS])
def test_a_schedd_or_a_collector_that_does_not_answer_starts_nothing(
    starter: CliUser, root: boto3.Session, put: Callable[..., None], missing: str
) -> None:
    put([job(1, ALICE)])
    (starter.home / missing).unlink()
    ended = starter.run(*ONCE)
    assert ended.returncode == 1
    assert "nothing starts: condor_" in ended.stdout
    assert machines_of(root) == []


def test_an_aws_that_does_not_say_what_runs_starts_nothing(
    starter: CliUser, root: boto3.Session, put: Callable[..., None]
) -> None:
    put([job(1, ALICE)])
    cut_off = replace(starter, extra=starter.extra | {"AWS_ENDPOINT_URL_EVENTBRIDGE": "https://127.0.0.1:1"})
    ended = cut_off.run(*ONCE)
    assert ended.returncode == 1
    assert "nothing starts: us-east-1: " in ended.stdout
    assert machines_of(root) == []


def test_capacity_that_lacks_is_noted_and_the_next_region_is_tried(
    starter: CliUser, put: Callable[..., None], set_machines: Callable[..., None]
) -> None:
    put([job(1, ALICE)])
    both = (*ONCE, "--region", OTHER, *JSON)
    kinds = starter.must(*both, "--dry-run").document["result"]["starts"][0]["types"]
    set_machines(capacity=dict.fromkeys(kinds, 0))
    failed = starter.must(*both).document["result"]["starts"][0]
    assert (failed["started"], failed["problem"].split(":")[0]) == (0, "InsufficientInstanceCapacity")
    lacks = {kind for line in record_of(starter) if line["event"] == "outcome" for kind, _, _ in line["lacks"]}
    assert lacks == set(kinds)
    (next_one,) = starter.must(*both, "--dry-run").document["result"]["starts"]
    assert not set(next_one["types"]) & lacks


def test_where_an_organisation_denies_untagged_machines_it_says_so_and_tags_start_them(
    starter: CliUser, root: boto3.Session, put: Callable[..., None], set_account: Callable[..., None]
) -> None:
    put([job(1, ALICE)])
    untagged = {"Null": {"aws:RequestTag/cost-center": "true"}}
    kinds = [f"arn:aws:ec2:*:*:{kind}/*" for kind in ("fleet", "instance", "network-interface", "volume")]
    deny = {"Effect": "Deny", "Action": ["ec2:CreateFleet", "ec2:RunInstances"], "Resource": kinds}
    policy = {"Version": "2012-10-17", "Statement": [deny | {"Condition": untagged}]}
    set_account(service_control_policies=[policy])
    refused = starter.must(*ONCE, *JSON).document["result"]["starts"][0]
    started = starter.must(*ONCE, "--tag", "cost-center=42", *JSON).document["result"]["starts"][0]
    set_account()
    assert refused["started"] == 0
    assert "explicit deny in a service control policy" in refused["problem"]
    assert started["started"] == 1
    (machine,) = machines_of(root)
    assert {"Key": "cost-center", "Value": "42"} in machine["Tags"]


def test_money_that_is_spent_stops_it(starter: CliUser, root: boto3.Session, put: Callable[..., None]) -> None:
    put([job(1, ALICE)])
    poor = starter.must(*ONCE, "--max-dollars", "0.05/day", *JSON).document["result"]
    assert (poor["starts"], poor["groups"][0]["reason"], poor["dollars"]) == ([], "money", 0)
    rich = starter.must(*ONCE, "--max-dollars", "5/day", *JSON).document["result"]
    assert rich["starts"][0]["started"] == 1
    after = starter.must(*ONCE, "--max-dollars", "5/day", *JSON).document["result"]
    hourly = rich["starts"][0]["dollars_per_hour_most"]
    # From the launch to the end of the lease, four hours, or to midnight.
    assert 0 < after["dollars"] <= hourly * 4.2
    assert len(machines_of(root)) == 1


@pytest.mark.parametrize("homes", [1, 2])
def test_two_at_once_do_not_double(
    starter: CliUser, root: boto3.Session, put: Callable[..., None], tmp_path: Path, homes: int
) -> None:
    put([job(1, ALICE, proc) for proc in range(4)])
    users = [starter, starter]
    if homes == 2:
        shutil.copytree(starter.home, tmp_path / "other")
        path = {"PATH": str(starter.home)}
        users[1] = replace(starter, home=tmp_path / "other", extra=starter.extra | path)
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda user: user.run(*ONCE), users))
    assert {ended.returncode for ended in both} == {0}
    assert len(machines_of(root)) == 1


def test_killed_at_any_moment_and_started_again_it_starts_no_more(
    starter: CliUser, root: boto3.Session, put: Callable[..., None]
) -> None:
    put([job(1, ALICE, proc) for proc in range(4)])
    for tenths in range(10, 70, 6):
        running = subprocess.Popen(
            starter.command(*ONCE), env=starter.environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(tenths / 10)
        running.send_signal(signal.SIGKILL)
        running.wait()
    starter.must(*ONCE)
    assert len(machines_of(root)) == 1


def test_it_goes_on_until_ctrl_c_and_prints_an_object_a_decision(
    starter: CliUser, root: boto3.Session, put: Callable[..., None]
) -> None:
    put([job(1, ALICE)])
    arguments = [word for word in ONCE if word != "--once"]
    running = subprocess.Popen(
        starter.command(*arguments, *JSON), env=starter.environ(), stdout=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    document = json.loads(running.stdout.readline())
    assert (document["command"], document["ok"], document["result"]["starts"][0]["started"]) == ("grow", True, 1)
    running.send_signal(signal.SIGINT)
    rest, _ = running.communicate(timeout=60)
    assert (running.returncode, rest) == (0, "")
    assert len(machines_of(root)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grow", "--once"), "missing option '--max-cores'"),
        ((*ONCE, "--spot", "--spot-first"), "give either --spot or --spot-first"),
        ((*ONCE, "--max-dollars", "much"), "'much' is not a sum of money"),
        ((*ONCE, "--open", "--owner", "bob"), "--open needs one --owner"),
        ((*ONCE, "--wait", "later"), "'later' is not a duration"),
        ((*ONCE, "--install", "--uninstall"), "give either --install or --uninstall"),
        (("grow", "--max-cores", "1", "--install", "--yes"), "the AWS keys are in this shell's environment"),
        (("explain", "twelve"), "'twelve' is not a job's ID"),
        (("explain", "99.0"), "there is no job 99.0 in the queue"),
    ],
)
def test_what_cannot_work_is_refused(
    starter: CliUser, put: Callable[..., None], arguments: tuple[str, ...], message: str
) -> None:
    put([])
    ended = starter.run(*arguments)
    assert ended.returncode != 0
    assert message in ended.stderr


def test_explain_says_why_in_the_jobs_own_terms(starter: CliUser, put: Callable[..., None]) -> None:
    now = int(time.time())
    put(
        [
            job(1, ALICE),
            job(2, ALICE, MayUseAWS="/Expr(undefined)/"),
            job(3, ALICE, Nowhere=True, AutoClusterId=3),
            job(4, ALICE, EnteredCurrentStatus=now - 480, RequestCpus=2),
            job(5, ALICE, RequestCpus=4000),
            job(6, ALICE, JobStatus=2, RemoteHost="slot1@here"),
        ]
    )
    starter.must(*ONCE)

    def why(cluster: int) -> str:
        return starter.must("explain", str(cluster), "--region", REGION).stdout

    assert "A machine for it is booting." in why(1)
    assert "It may not leave home: submit it with +MayUseAWS = True" in why(2)
    assert 'No machine satisfies TARGET.Colour == "blue"' in why(3)
    assert "It waits at home for 20 minutes first: 12 minutes to go." in why(4)
    assert "No instance type has 4000 cores, 1024 MiB" in why(5)
    assert "It does not wait: it runs on slot1@here." in why(6)
