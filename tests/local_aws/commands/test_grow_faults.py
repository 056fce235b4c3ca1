"""``annex-bootstrap grow`` is killed before and after each call of its requests, and started again.

What then runs has a lease and its configuration, and in the end there are as many machines as the jobs need.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import boto3
import pytest

from annex_bootstrap.commands.grow import Growth, grow
from annex_bootstrap.growth import acting
from annex_bootstrap.growth.record import NAME as RECORD
from annex_bootstrap.target import Target
from annex_contract.lease import MACHINES_PREFIX
from annex_contract.stack import Output
from local_aws.launcher import LocalAws
from tests.local_aws.commands import fake_htcondor
from tests.local_aws.commands.annexes import NAME, REGION, end_all, leases_of, machines_of
from tests.local_aws.commands.recording_screen import RecordingScreen
from tests.local_aws.commands.test_grow import ALICE, job
from tests.local_aws.commands.test_start_faults import KilledError, Network
from tests.local_aws.stack import DeployedStack

pytestmark = pytest.mark.slow

JOBS, MACHINES = 2, 1
"""Jobs of a core each, and how many machines of the cheapest type they need."""

Run = Callable[..., tuple[Network, Growth | None]]


@pytest.fixture
def run(local: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command in this process some seconds later, with a fault or none."""
    for name, value in local.environ(local.root).items():
        monkeypatch.setenv(name, value)
    # A request that was interrupted is silent from then on, and no hour ends here.
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(acting, "PERIOD", 1 << 40)
    clock = time.time

    def run_once(home: Path, later: int = 0, fault: str = "", at: int = -1) -> tuple[Network, Growth | None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(home))
            patch.setenv("PATH", str(home))
            patch.setattr(time, "time", lambda: clock() + later)
            network = Network(patch, fault, at)
            try:
                decided = grow(
                    RecordingScreen(answer=True),
                    Target(NAME),
                    max_cores=32,
                    wait="0",
                    owners=(ALICE,),
                    skip_pool_check=True,
                    once=True,
                )
            except KilledError:
                decided = None
            return network, decided

    return run_once


def a_home(directory: Path) -> Path:
    """A home directory with a queue and no slots."""
    directory.mkdir(mode=0o700)
    fake_htcondor.install(directory, COLLECTOR_HOST=f"{uuid.uuid4().hex}.example.org:9618")
    (directory / fake_htcondor.QUEUE).write_text(json.dumps([job(1, ALICE, proc) for proc in range(JOBS)]))
    (directory / fake_htcondor.SLOTS).write_text("[]")
    return directory


def check(root: boto3.Session, made: DeployedStack) -> int:
    """Check that every machine has a lease and its configuration, and return how many there are."""
    held, machines = leases_of(root, REGION, made), machines_of(root)
    listed = root.client("s3").list_objects_v2(Bucket=made.outputs[Output.S3_BUCKET_NAME], Prefix=MACHINES_PREFIX)
    configured = " ".join(each["Key"] for each in listed.get("Contents", []))
    for machine in machines:
        (annex,) = [tag["Value"] for tag in machine["Tags"] if tag["Key"] == "htcondor:AnnexName"]
        assert held.get(annex, 0) > time.time(), f"{machine['InstanceId']} of {annex} has no lease"
        assert machine["InstanceId"] in configured, f"{machine['InstanceId']} of {annex} has no configuration"
    return len(machines)


@pytest.mark.parametrize("fault", ["killed", "killed after"])
def test_killed_at_any_call_of_its_requests_and_started_again_it_goes_on(
    run: Run, root: boto3.Session, stacks: Mapping[str, DeployedStack], tmp_path: Path, fault: str
) -> None:
    made, problems = stacks[REGION], list[str]()
    clean, _ = run(a_home(tmp_path / "clean"))
    assert check(root, made) == MACHINES
    end_all(root, REGION, made)
    moments = range(clean.operations["PutRule"], clean.calls)
    for at in moments:
        home = a_home(tmp_path / f"home{at}")
        network, decided = run(home, 0, fault, at)
        assert (decided, network.calls > at) == (None, True)
        try:
            run(home)
            assert check(root, made) <= MACHINES
            _, decided = run(home, 61)
            assert check(root, made) == MACHINES
            assert decided is not None
            assert {each.reason for each in decided.groups} <= {"booting", "started"}
            lines = [json.loads(line) for line in (home / ".condor" / RECORD).read_text().splitlines()]
            steps, outcomes = (
                {each["request"] for each in lines if each["event"] == kind} for kind in ("step", "outcome")
            )
            assert steps == outcomes
        except AssertionError as error:
            problems.append(f"call {at} of {clean.calls}, {fault}: {error}")
        end_all(root, REGION, made)
    assert problems == []
    assert len(moments) >= 6
