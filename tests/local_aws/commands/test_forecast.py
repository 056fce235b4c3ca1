"""``annex-bootstrap forecast`` under the stack's own policy for ``start``, with a queue and a history in files."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest

from tests.local_aws.cli_user import CliUser
from tests.local_aws.commands import fake_htcondor
from tests.local_aws.commands.annexes import REGION, machines_of
from tests.local_aws.commands.test_grow import ALICE, job

pytestmark = pytest.mark.slow

FORECAST = ("forecast", "--max-cores", "4", "--owner", ALICE, "--region", REGION)


def put(starter: CliUser, jobs: list[dict[str, Any]], took: list[int]) -> None:
    """Say which jobs wait, and how many seconds such jobs took at home lately."""
    now = int(time.time())
    done = {"Owner": ALICE, "Cmd": "/bin/sim", "LastRemoteHost": "slot1@here", "JobStatus": 4, "ExitCode": 0}
    past = [done | {"JobCurrentStartDate": now - 3600, "CompletionDate": now - 3600 + seconds} for seconds in took]
    for name, content in ((fake_htcondor.QUEUE, jobs), (fake_htcondor.SLOTS, []), (fake_htcondor.HISTORY, past)):
        (starter.home / name).write_text(json.dumps(content))


def test_the_jobs_that_wait_are_forecast_from_such_jobs_and_prices(starter: CliUser, root: boto3.Session) -> None:
    put(starter, [job(1, ALICE, proc, Cmd="/bin/sim") for proc in range(8)], [1800] * 6)
    told = starter.must(*FORECAST, "--output", "json").document["result"]
    assert told["groups"] == [
        {
            "job": "1.0",
            "owner": ALICE,
            "jobs": 8,
            "past": 6,
            "given": False,
            "minutes": 30,
            "minutes_least": 30,
            "minutes_most": 30,
        }
    ]
    ways = {way["name"]: way for way in told["ways"]}
    assert list(ways) == ["spot", "on demand", "wait"]
    for name in ("spot", "on demand"):
        # Two machines of two cores at once; each boots for 3 minutes and runs two jobs after two.
        assert (ways[name]["machines"], ways[name]["cores"], ways[name]["unserved"]) == (2, 4, 0)
        assert ways[name]["hours"] == round((180 + 3600) / 3600, 2)
        paid = (180 + 3600 + 300) / 3600 * ways[name]["dollars_per_hour"]
        assert ways[name]["dollars"] == round(paid, 2)
    assert ways["spot"]["dollars"] < ways["on demand"]["dollars"]
    # Six ran at once for half of the last hour.
    assert 1.2 < ways["wait"]["hours"] < 1.5
    assert machines_of(root) == []
    said = starter.must(*FORECAST).stdout
    assert "8 jobs wait." in said
    assert "are taken to run 30.0 minutes on the average (30.0 to 30.0), as 6 such jobs did." in said


def test_what_is_not_known_is_said_and_can_be_given(starter: CliUser) -> None:
    put(starter, [job(1, ALICE, Cmd="/bin/sim")], [1800] * 4)
    told = starter.must(*FORECAST, "--output", "json").document["result"]
    assert [(way["hours"], way["dollars"]) for way in told["ways"][:2]] == [(None, None)] * 2
    assert "how long jobs like 1.0 of alice run is not known: fewer than 5" in told["assumptions"][0]
    given = starter.must(*FORECAST, "--runtime", "1h", "--output", "json").document["result"]
    assert [way["hours"] for way in given["ways"]] == [1.05, 1.05, 1]
    put(starter, [], [])
    assert "No idle job may leave home." in starter.must(*FORECAST).stdout
    (starter.home / fake_htcondor.QUEUE).unlink()
    failed = starter.run(*FORECAST)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "nothing can be told: condor_q does not answer" in failed.stderr
