"""``annex-bootstrap costs``, under the stack's own policy for ``start``, of machines that are gone."""

from __future__ import annotations

import json
import time

import pytest

from annex_bootstrap.growth.record import NAME
from tests.local_aws.cli_user import CliUser
from tests.local_aws.commands import fake_htcondor
from tests.local_aws.commands.annexes import COUNT, REGION

pytestmark = pytest.mark.slow

HERE = ("--region", REGION)


def test_costs_of_machines_that_are_gone_come_from_the_record(starter: CliUser) -> None:
    starter.must("start", "blast", *COUNT, *HERE)
    lines = (starter.home / ".condor" / NAME).read_text().splitlines()
    first, second = (json.loads(line) for line in lines)
    assert (first["by"], first["owner"], first["annex"], first["most"]) == ("start", "alice", "blast", second["most"])
    starter.must("leases", "end", "blast", "--yes", *HERE)
    # As if both had run for two hours, one with a job, a day ago, and EC2 had forgotten them.
    begun = int(time.time()) - 86400
    ended = {"at": 0, "event": "ended", "ended": begun + 7200, "reason": "Client.InstanceInitiatedShutdown"}
    known = [line | {"id": name, "launched": begun} for name, line in (("i-000", first), ("i-001", second))]
    known += [ended | {"id": name, "watched": True} for name in ("i-000", "i-001")]
    (starter.home / ".condor" / NAME).write_text("".join(f"{json.dumps(line)}\n" for line in known))
    job = {"LastRemoteHost": "slot1_1@i-000", "JobStatus": 4, "RequestCpus": 2}
    job |= {"JobCurrentStartDate": begun, "CompletionDate": begun + 3600}
    (starter.home / fake_htcondor.HISTORY).write_text(json.dumps([job]))
    told = starter.must("costs", *HERE, "--output", "json").document["result"]
    price = float(first["most"])
    assert told["rows"] == [
        {
            "name": "alice",
            "machines": 2,
            "machine_hours": 4,
            "core_hours": 8,
            "job_core_hours": 2,
            "spot_core_hours": 0,
            "idle_core_hours": 6,
            "dollars": round(4 * price, 2),
            "dollars_most": round(4 * price, 2),
        }
    ]
    assert (told["unseen_machines"], told["problems"]) == (0, [])
    by_annex = starter.must("costs", "--by", "annex", *HERE)
    assert by_annex.stdout.splitlines()[1].split()[:4] == ["blast", "2", "4.0", "8.0"]
    assert "An estimate since " in by_annex.stdout


def test_without_a_stack_and_without_a_history_it_says_what_is_missing(starter: CliUser) -> None:
    (starter.home / fake_htcondor.HISTORY).write_text("no list")
    said = starter.must("costs", "--region", "ap-south-1")
    assert said.stdout.startswith("No machine is known since ")
    assert "ap-south-1 is counted from the record only: " in said.stderr
    assert "what jobs used is not known: condor_history prints no JSON" in said.stderr
    wrong = starter.run("costs", "--since", "0", *HERE)
    assert (wrong.returncode, wrong.stdout) == (2, "")
