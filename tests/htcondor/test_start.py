"""Annexes by ``annex-bootstrap start`` alone, with neither condor_annex nor ``htcondor annex``; in order.

The machines boot from the stack's own image by its own boot step, and their token lets them join and nothing else.
The user who starts them has the stack's policy for it, and no other. The stack's security group lets nobody in, so that
those who have business with a machine ask the pool's collector, to which the machine is connected.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from annex_contract.lease import machine_key
from annex_contract.stack import STARTED_BY_TAG, Output
from tests.htcondor.image import ImageMachine
from tests.htcondor.namespaces import POOL, REGION
from tests.htcondor.pool import USER
from tests.htcondor.stand_in import ADMINISTRATOR, EVERYTHING, booted, said_by
from tests.htcondor.testbed import HOME, Testbed, aws_profiles

STARTER = "starter"
PORT = 9618

VISITOR = "visitor"

JOB = 'requirements = TARGET.AnnexName == "{annex}"\n+TargetAnnexName = "{annex}"\n'
"""What the guide says of one's own job."""

VISITORS_JOB = 'requirements = TARGET.AnnexName == "{annex}"\n+MayUseAWS = True\n'
"""What the guide says of a job in an annex that somebody else started."""

PING = "condor_ping -pool {pool}:9618 -type {kind} -table READ ADVERTISE_STARTD WRITE DAEMON ADMINISTRATOR 2>&1"


def test_a_pool_and_a_stack_are_ready(testbed: Testbed) -> None:
    """One command each. The user who starts annexes gets the stack's policy for it."""
    testbed.annex_bootstrap("pool-config", "--collector", POOL, "--user", USER, user="root")
    testbed.pool.must(["condor_restart"])
    ask = ["condor_status", "-schedd", "-af", "MyAddress"]
    testbed.wait_until(lambda: ":9618" in testbed.pool.run(ask).stdout, "the pool runs behind port 9618")
    keys = {ADMINISTRATOR: testbed.make_user(ADMINISTRATOR, EVERYTHING), STARTER: testbed.make_user(STARTER)}
    testbed.pool.must(["useradd", "--create-home", VISITOR])
    for path, text in aws_profiles(keys).items():
        testbed.pool.write(path, text)
    closed = ["--param", "CondorCidrs=", "--param", "SshCidrs="]
    testbed.annex_bootstrap("deploy", "--yes", "--profile", ADMINISTRATOR, "--region", REGION, *closed)
    outputs = testbed.read_outputs(REGION)
    testbed.root.client("iam").attach_user_policy(UserName=STARTER, PolicyArn=outputs[Output.START_POLICY_ARN])
    (group,) = testbed.root.client("ec2").describe_security_groups(GroupIds=[outputs[Output.SECURITY_GROUP_ID]])[
        "SecurityGroups"
    ]
    assert group["IpPermissions"] == []
    testbed.checked("the security group lets nobody in")


@pytest.mark.parametrize(("annex", "kind"), [("plain", ()), ("cheap", ("--spot", "--open"))])
def test_a_machine_joins_with_the_narrow_token_and_runs_a_job(
    testbed: Testbed, image: Path, annex: str, kind: tuple[str, ...]
) -> None:
    """On demand for one's own jobs, and on the spot market for everybody's."""
    began = time.monotonic()
    options = ["--cores", "2", *kind, "--duration", "2h", "--idle", "10m", "--yes", "--profile", STARTER]
    said = testbed.annex_bootstrap("start", annex, *options)
    testbed.transcript.note(f"It took {time.monotonic() - began:.1f} s")
    assert f"for the annex {annex}." in said
    assert f"the machines join as {USER}@{POOL}" in said
    (machine,) = testbed.machines(annex)
    assert {"Key": STARTED_BY_TAG, "Value": STARTER} in machine["Tags"]
    assert ("InstanceLifecycle" in machine) is ("--spot" in kind)
    assert testbed.lease(annex)["LeaseExpiration"] > time.time()
    testbed.checked("one machine runs, with a lease, and says who started it")
    key = machine_key(annex, testbed.outputs[REGION][Output.START_ROLE_ID], machine["InstanceId"])
    assert testbed.tarballs() == {key}
    for user, job in ((USER, JOB), (VISITOR, VISITORS_JOB)):
        submit = testbed.write_job(annex, job.format(annex=annex), user=user)
        testbed.pool.must(["condor_submit", submit], user=user)
    with booted(testbed, image, machine["InstanceId"]) as stand_in:
        testbed.wait_until(lambda: "done; HTCondor starts" in stand_in.console, "the boot service is done")
        testbed.transcript.file("What the machine's console says", "\n".join(said_by(stand_in)))
        assert f"the annex is {annex}" in said_by(stand_in)
        assert "deleted it" in said_by(stand_in)
        assert testbed.tarballs() == set()
        testbed.checked("the machine has read its own configuration and deleted it")
        slots = ["condor_status", "-af", "AnnexName", "AuthenticatedIdentity"]
        joined = f"{annex} {USER}@{POOL}"
        testbed.wait_until(lambda: joined in testbed.pool.run(slots).stdout, "the machine is in the pool")
        since = time.time()
        testbed.checked("the machine joined the pool's own collector with its owner's token")
        check_unreachable(testbed, stand_in)
        code, _ = testbed.command("condor_wait", "-wait", "180", f"{annex}.log")
        assert code == 0, testbed.pool.run(["condor_q", "-better-analyze"]).stdout
        assert testbed.pool.read(f"{HOME}/{annex}.out") == "machine.example.org\n"
        testbed.checked("the job ran there")
        check_visitor(testbed, annex, since, welcome="--open" in kind)
        check_token(testbed, stand_in)


def test_the_lease_ends_everything(testbed: Testbed) -> None:
    """With the same policy."""
    for annex in ("plain", "cheap"):
        testbed.annex_bootstrap("leases", "end", annex, "--yes", "--profile", STARTER)
    testbed.wait_until(lambda: not testbed.leases(), "the leases are gone")
    assert not testbed.machines("plain")
    assert not testbed.machines("cheap")
    assert testbed.tarballs() == set()
    testbed.checked("no machine, no lease and no tarball is left")


def check_unreachable(testbed: Testbed, stand_in: ImageMachine) -> None:
    """Try to connect to the machine, from itself and from the pool."""
    connect = ["python3", "-c", f"import socket; socket.create_connection(('{stand_in.address}', {PORT}), 3)"]
    stand_in.must(connect)
    tried = testbed.pool.run(connect)
    assert "TimeoutError" in tried.stderr, tried
    address = testbed.pool.run(["condor_status", "-af", "MyAddress"]).stdout
    assert "CCBID=" in address
    testbed.checked(
        f"HTCondor listens on its port {PORT}, where the pool's connections are dropped; the collector is its broker"
    )


def check_visitor(testbed: Testbed, annex: str, since: float, *, welcome: bool) -> None:
    """Look at the job of another user, which waits since before the machine joined."""
    if welcome:
        code, _ = testbed.command("condor_wait", "-wait", "180", f"{annex}.log", user=VISITOR)
        assert code == 0
        assert testbed.pool.read(f"/home/{VISITOR}/{annex}.out") == "machine.example.org\n"
        testbed.checked("so did the job of another user of the pool")
        return
    ask = ["condor_q", VISITOR, "-af", "LastRejMatchTime", "JobStatus", "NumJobMatches"]

    def refused() -> bool:
        rejected, status, matches = testbed.pool.run(ask).stdout.split()
        assert (status, matches) == ("1", "undefined")
        return rejected != "undefined" and int(rejected) > since

    testbed.wait_until(refused, "the negotiator has looked for a machine for the job of another user")
    testbed.pool.must(["condor_rm", VISITOR], user=VISITOR)
    testbed.checked("the job of another user of the pool found no machine")


def check_token(testbed: Testbed, stand_in: ImageMachine) -> None:
    """Try with the machine's token what a machine has no need of."""
    env = {"_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS"}
    for kind in ("collector", "schedd"):
        named = PING.format(pool=POOL, kind=kind) + ("" if kind == "collector" else f" -name {POOL}")
        answer = stand_in.run(["sh", "-c", named], env=env).stdout
        testbed.transcript.file(f"What the token may ask the {kind} for", answer)
        results = {
            line.split()[0]: "ALLOW" in line for line in answer.splitlines() if "ALLOW" in line or "FAIL" in line
        }
        assert [results.get(right) for right in ("WRITE", "DAEMON", "ADMINISTRATOR")] == [False] * 3, answer
    stand_in.write("/tmp/stolen.submit", "executable = /bin/true\nqueue\n")
    submit = ["condor_submit", "-remote", POOL, "-pool", f"{POOL}:9618", "/tmp/stolen.submit"]
    stolen = stand_in.run(submit, env=env)
    assert stolen.returncode != 0
    assert "DENIED" in stolen.stdout + stolen.stderr
    testbed.checked("with the machine's token nobody can submit a job")
