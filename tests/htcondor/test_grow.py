"""Machines that follow the queue, by ``annex-bootstrap grow``; nothing is started or ended by hand; in order.

The pool has no slot of its own. Three groups of jobs wait; nothing can run one of them. Once its jobs have ended the
machine waits for others, and while it waits growth is killed again and again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from annex_contract.stack import Output
from tests.htcondor.image import ImageMachine
from tests.htcondor.namespaces import POOL, REGION
from tests.htcondor.pool import USER
from tests.htcondor.stand_in import ADMINISTRATOR, EVERYTHING, booted
from tests.htcondor.testbed import HOME, Testbed, aws_profiles

STARTER = "starter"

JOBS = {
    "small": "+MayUseAWS = True\nrequest_memory = 256M\n",
    "wide": "+MayUseAWS = True\nrequest_cpus = 2\nrequest_memory = 512M\n",
    "nowhere": "+MayUseAWS = True\nrequirements = TARGET.HasUnobtainium\n",
    "home": "request_memory = 256M\n",
}

IDLE_MINUTES = 2
"""After this time without a job a machine goes. The negotiator comes by once a minute."""

OPTIONS = ("--wait", "0", "--once", "--max-dollars", "5/day", "--idle", f"{IDLE_MINUTES}m", "--profile", STARTER)
GROW = ("grow", "--max-cores", "4", *OPTIONS)
MANY = ("grow", "--max-cores", "64", "--wait", "0", "--once", "--profile", STARTER)

RECORD = f"{HOME}/.condor/annex-record.jsonl"

DIES = """\
annex-bootstrap "$@" > /dev/null 2>&1 &
while kill -0 $! 2> /dev/null && [ ! -e "$DIE" ]; do sleep 0.02; done
kill -KILL $! 2> /dev/null
rm -f "$DIE"
"""
"""Runs one of our commands until it ends, or until a file appears."""


@dataclass
class Grown:
    """The machine that comes for the jobs, and goes.

    Attributes:
        exits: end it at the end of these tests.
        annex: its annex.
        instance_id: its ID.
        stand_in: it itself.
    """

    exits: ExitStack
    annex: str = ""
    instance_id: str = ""
    stand_in: ImageMachine | None = None


@pytest.fixture(scope="module")
def grown(request: pytest.FixtureRequest) -> Iterator[Grown]:
    """Return the machine of all of these tests, which is not there yet. It ends before the pool."""
    request.getfixturevalue("testbed")
    with ExitStack() as exits:
        yield Grown(exits)


def document(testbed: Testbed, *arguments: str) -> Any:
    """The result in the JSON document of one of our commands."""
    return json.loads(testbed.annex_bootstrap(*arguments, "--output", "json"))["result"]


def test_a_pool_a_stack_and_jobs_are_ready(testbed: Testbed) -> None:
    """The stack's policy for start is all that growth needs."""
    testbed.annex_bootstrap("pool-config", "--collector", POOL, "--user", USER, user="root")
    testbed.pool.must(["condor_restart"])
    ask = ["condor_status", "-schedd", "-af", "MyAddress"]
    testbed.wait_until(lambda: ":9618" in testbed.pool.run(ask).stdout, "the pool runs behind port 9618")
    keys = {ADMINISTRATOR: testbed.make_user(ADMINISTRATOR, EVERYTHING), STARTER: testbed.make_user(STARTER)}
    for path, text in aws_profiles(keys).items():
        testbed.pool.write(path, text)
    testbed.annex_bootstrap("deploy", "--yes", "--profile", ADMINISTRATOR, "--region", REGION)
    outputs = testbed.read_outputs(REGION)
    testbed.root.client("iam").attach_user_policy(UserName=STARTER, PolicyArn=outputs[Output.START_POLICY_ARN])
    for name, more in JOBS.items():
        testbed.pool.must(["condor_submit", testbed.write_job(name, more)], user=USER)
    testbed.checked("four jobs wait")


SLEEPS = "executable = /bin/sleep\narguments = 3\nrequest_memory = 256M\n"


def check_jobs_run(testbed: Testbed, stand_in: ImageMachine, instance_id: str) -> None:
    """Let the machine join, and run the jobs that it came for, and six that come while it boots."""
    testbed.pool.must(
        ["condor_submit", testbed.write_job("sleepy", f"{SLEEPS}+MayUseAWS = True\n", count=6)], user=USER
    )
    testbed.wait_until(lambda: "done; HTCondor starts" in stand_in.console, "the boot service is done")
    testbed.wait_until(lambda: instance_id in joined(testbed), "the machine is in the pool")
    for name in ("small", "wide", "sleepy"):
        code, _ = testbed.command("condor_wait", "-wait", "180", f"{name}.log")
        assert code == 0, testbed.pool.run(["condor_q", "-better-analyze"]).stdout
    for name in ("small", "wide"):
        assert testbed.pool.read(f"{HOME}/{name}.out") == "machine.example.org\n"
    testbed.checked("all jobs ran there")
    drained = document(testbed, *GROW)
    assert (drained["starts"], [group["reason"] for group in drained["groups"]]) == ([], ["no type"])
    testbed.checked("a queue without such jobs starts nothing; the real machine's ad says no to the other one too")


def check_history(testbed: Testbed, instance_id: str) -> None:
    """Check what `costs` and `forecast` make of HTCondor's history; four more jobs like the six wait."""
    # All at once: to the schedd, jobs that it has not yet shown to the negotiator are not like those that it has.
    submit = testbed.write_job("later", f'{SLEEPS}+TargetAnnexName = "later"\n', count=4)
    testbed.pool.must(["condor_submit", submit], user=USER)
    told = document(testbed, "forecast", "--max-cores", "8", "--profile", STARTER)
    (waiting,) = [group for group in told["groups"] if group["jobs"] == 4]
    assert waiting["past"] == 6, told
    # A second of tolerance for each end: HTCondor counts whole ones.
    assert 2 / 60 - 0.05 <= waiting["minutes_least"] <= waiting["minutes"] <= waiting["minutes_most"]
    ways = {way["name"]: way for way in told["ways"]}
    assert ways["on demand"]["machines"] >= 1
    assert ways["on demand"]["unserved"] == 1
    assert ways["on demand"]["dollars_least"] <= ways["on demand"]["dollars"] <= ways["on demand"]["dollars_most"]
    assert ways["spot"]["dollars"] < ways["on demand"]["dollars"]
    # All of them ran on that machine, and none at home.
    assert ways["wait"]["hours"] is None
    (row,) = (costs := document(testbed, "costs", "--profile", STARTER))["rows"]
    assert (costs["problems"], row["machines"]) == ([], 1)
    hosts = testbed.pool.must(["condor_history", "-af", "LastRemoteHost"], user=USER).split()
    assert len([host for host in hosts if f"@{instance_id}@" in host]) == 8
    # Six times three seconds, which is rounded up to a hundredth of an hour.
    assert row["core_hours"] >= row["job_core_hours"] > 0
    testbed.checked("HTCondor's history says how long such jobs ran, where, and what of the machine they used")
    testbed.pool.must(["condor_rm", "-constraint", 'TargetAnnexName == "later"'], user=USER)


def joined(testbed: Testbed) -> str:
    """Return the IDs of the machines in the pool."""
    return testbed.pool.run(["condor_status", "-af", "EC2InstanceID"]).stdout


def test_machines_come_for_the_jobs_that_may_leave_home_and_run_them(
    testbed: Testbed, image: Path, grown: Grown
) -> None:
    """HTCondor judges what a machine would run; a job that nothing can run gets none, and `explain` says why."""
    decided = document(testbed, *GROW)
    reasons = sorted(group["reason"] for group in decided["groups"])
    # Half of what is missing; the other half would follow after a minute.
    assert reasons == ["no type", "pace", "started"], decided
    (nowhere,) = [group for group in decided["groups"] if group["reason"] == "no type"]
    assert "no machine satisfies" in nowhere["why"]
    assert "HasUnobtainium" in nowhere["why"]
    annexes = {start["annex"] for start in decided["starts"]}
    (annex,) = annexes
    machines = testbed.machines(annex)
    assert len(machines) == 1
    assert testbed.leases() == annexes
    testbed.checked("a machine runs for one of the groups, with a lease")
    said = testbed.annex_bootstrap("explain", nowhere["job"], "--profile", STARTER)
    assert "HasUnobtainium" in said
    again = document(testbed, *GROW)
    assert again["starts"] == []
    testbed.checked("a second decision counts what boots")
    grown.annex, grown.instance_id = annex, machines[0]["InstanceId"]
    with ExitStack() as exits:
        grown.stand_in = exits.enter_context(booted(testbed, image, grown.instance_id))
        check_jobs_run(testbed, grown.stand_in, grown.instance_id)
        check_history(testbed, grown.instance_id)
        # It shows its console and ends here only if something failed.
        grown.exits.enter_context(exits.pop_all())
    status = testbed.pool.must(["condor_q", USER, "-af", "JobStatus"]).split()
    assert status == ["1", "1"]


def test_a_collector_that_is_away_starts_nothing(testbed: Testbed) -> None:
    """Nor does it end anything."""
    before = testbed.leases()
    ended = testbed.pool.run(
        ["env", "_CONDOR_COLLECTOR_HOST=127.0.0.1:1", "annex-bootstrap", *GROW], user=USER, seconds=300
    )
    assert ended.returncode == 1, ended
    assert "nothing starts: condor_status does not answer" in ended.stdout
    assert testbed.leases() == before


def noted(testbed: Testbed, event: str, annex: str) -> bool:
    """Whether the record has a step for an annex, or its outcome."""
    lines = [json.loads(line) for line in testbed.pool.read(RECORD).split("\n")[:-1]]
    steps = {line["request"] for line in lines if line["event"] == "step" and line["annex"] == annex}
    return bool(steps) and (
        event == "step" or any(line.get("request") in steps for line in lines if line["event"] == event)
    )


def requested(testbed: Testbed, annex: str) -> bool:
    """Whether there is the file of a request."""
    return f"-{annex}-" in testbed.pool.run(["ls", f"{HOME}/.condor/annex-requests"]).stdout


MOMENTS: dict[str, Callable[[Testbed, str], bool]] = {
    "at-1s": lambda _, __: True,
    "at-2s": lambda _, __: True,
    "at-4s": lambda _, __: True,
    "at-6s": lambda _, __: True,
    "step": lambda testbed, annex: noted(testbed, "step", annex),
    "request": requested,
    "lease": lambda testbed, annex: annex in testbed.leases(),
    "machine": lambda testbed, annex: bool(testbed.machines(annex)),
    "configuration": lambda testbed, annex: any(f"/{annex}/" in key for key in testbed.tarballs()),
    "outcome": lambda testbed, annex: noted(testbed, "outcome", annex),
}
"""When it is killed: after some seconds, or once it has done something for an annex of that name."""


def kill(testbed: Testbed, moment: str) -> None:
    """Run growth for a new job that names an annex like the moment, and kill it then."""
    submit = testbed.write_job(moment, f'+TargetAnnexName = "{moment}"\nrequest_memory = 256M\n')
    testbed.pool.must(["condor_submit", submit], user=USER)
    die = f"/tmp/die-{moment}"
    arguments = ["sh", "-c", DIES, "sh", *MANY]
    with ThreadPoolExecutor() as threads:
        running = threads.submit(testbed.pool.run, arguments, env={"DIE": die}, seconds=300)
        if moment.startswith("at-"):
            time.sleep(int(moment[3:-1]))
        while not (running.done() or MOMENTS[moment](testbed, moment)):
            time.sleep(0.02)
        if not running.done():
            testbed.pool.write(die, "")
        running.result()


def test_killed_at_ten_moments_it_goes_on_and_two_at_once_start_nothing_twice(testbed: Testbed) -> None:
    """In the end each job has the machine that it named, with its configuration, and no other one runs."""
    for moment in MOMENTS:
        kill(testbed, moment)
    wanted = dict.fromkeys(MOMENTS, 1)

    def came() -> bool:
        testbed.annex_bootstrap(*MANY)
        counts = {moment: len(testbed.machines(moment)) for moment in MOMENTS}
        assert all(count <= 1 for count in counts.values()), counts
        keys = testbed.tarballs()
        return counts == wanted and all(
            any(machine["InstanceId"] in key for key in keys)
            for moment in MOMENTS
            for machine in testbed.machines(moment)
        )

    testbed.wait_until(came, "each annex has its machine, and each machine its configuration")
    assert set(MOMENTS) <= testbed.leases()
    testbed.checked("killed ten times, growth starts what the jobs need, once, and all of it has its configuration")
    submit = testbed.write_job("both", '+TargetAnnexName = "both"\nrequest_memory = 256M\n')
    testbed.pool.must(["condor_submit", submit], user=USER)
    with ThreadPoolExecutor() as threads:
        both = list(threads.map(lambda _: testbed.pool.run(["annex-bootstrap", *MANY], seconds=300), range(2)))
    assert {ended.returncode for ended in both} == {0}, both
    assert len(testbed.machines("both")) == 1
    testbed.checked("two growers at once start one machine")


def test_the_machine_goes_by_itself_and_the_leases_end(testbed: Testbed, grown: Grown) -> None:
    """It has had no job since. EC2 terminates a machine that shuts itself down, as the launch template has it."""
    assert grown.stand_in is not None
    grown.stand_in.wait_until_off((IDLE_MINUTES + 3) * 60)
    testbed.checked("without a job the machine shut itself down")
    testbed.wait_until(lambda: grown.instance_id not in joined(testbed), "the slot is gone")
    # The local AWS only records this machine, and cannot see that it is off.
    testbed.root.client("ec2").terminate_instances(InstanceIds=[grown.instance_id])
    after = document(testbed, *GROW)
    assert (after["starts"], after["extended"]) == ([], [])
    assert testbed.machines(grown.annex) == []
    testbed.checked("growth starts no other for the job that nothing can run, and extends no lease")
    testbed.let_leases_end()
    testbed.checked("with their leases the machines that never joined have ended, and nothing is left")
