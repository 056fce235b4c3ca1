"""``forecast``: what is asked for, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from annex_bootstrap.commands import forecast as module
from annex_bootstrap.commands.forecast import Alike, Forecast, Way, forecast
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth.model import Group, Market, Readings, Rules
from annex_bootstrap.growth.reading import View
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.commands.reading import Reading
from tests.unit.annex_bootstrap.growth.cases import NOW, group, offer
from tests.unit.recorded import Recorded

AD = {
    "Owner": "alice",
    "Cmd": "/sim",
    "LastRemoteHost": "slot1@node7",
    "JobStatus": 4,
    "ExitCode": 0,
    "JobCurrentStartDate": NOW - 600,
    "CompletionDate": NOW,
}


def seen(groups: list[Group], doubts: tuple[str, ...] = ()) -> View:
    offers = [offer(), offer(spot=True, now=Decimal("0.04"))]
    return View(
        Readings(groups=groups, offers=offers, doubts=doubts), jobs={each.key: {"Cmd": "/sim"} for each in groups}
    )


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Reading:
    made = Reading([AD] * 5, seen([group(jobs=10, job="12.0")]))
    made.serve(module, monkeypatch)
    return made


Run = Callable[..., Forecast]


@pytest.fixture
def run(screen: Screen, targeted: Callable[..., Target]) -> Run:
    return lambda *regions, **more: forecast(screen, targeted(Recorded(), *regions), **{"max_cores": 4} | more)


def way(name: str, per_hour: str, hours: float, dollars: float, machines: int = 2, cores: int = 4) -> Way:
    return Way(name, machines, cores, Decimal(per_hour), hours, hours, hours, dollars, dollars, dollars, 0)


def test_ten_jobs_of_ten_minutes_on_four_cores_take_half_an_hour_after_booting(
    steps: Reading, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run("us-east-1", "us-west-2", only="x", owners=("alice", "bob"))
    ((reader, now),) = steps.readers
    assert reader.rules == Rules(4, None, Market.SPOT_FIRST, 0, regions=("us-east-1", "us-west-2"))
    assert (reader.stack_name, reader.only, reader.owners) == ("annex-bootstrap", "x", ("alice", "bob"))
    assert (reader.writes, now, [each.region for each in reader.accounts]) == (False, NOW, ["us-east-1", "us-west-2"])
    assert steps.asked == [
        [
            *("condor_history", "-json", "-attributes"),
            "Owner,Cmd,LastRemoteHost,JobStatus,ExitCode,JobCurrentStartDate,CompletionDate",
            *("-constraint", f'(JobStatus == 4) && (CompletionDate >= {NOW - 30 * 86400}) && ((Owner == "alice"))'),
            *("-limit", "20000"),
        ]
    ]
    assert done.groups == (Alike("12.0", "alice", 10, 5, False, 10.0, 10.0, 10.0),)
    # Three minutes to boot, then three rounds of four; the last two on one machine. Both end after five idle minutes.
    assert done.ways == (
        way("spot", "0.08", 0.55, 0.04),
        way("on demand", "0.20", 0.55, 0.11),
        way("wait", "0", 0.33, 0.0, machines=0, cores=0),
    )
    assert done.assumptions == (
        "jobs like 12.0 of alice are taken to run 10.0 minutes on the average (10.0 to 10.0), as 5 such jobs did",
        "machines boot for 3 minutes, AWS has them all and takes none back, and prices stay as they are now",
        "the pool goes on running as many of such jobs at once as in the last day",
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:5]] == [
        ["10", "jobs", "wait."],
        ["WAY", "MACHINES", "CORES", "HOURS", "$", "$/HOUR"],
        ["spot", "2", "4", "0.6", "(0.6-0.6)", "0.04", "(0.04-0.04)", "0.08"],
        ["on", "demand", "2", "4", "0.6", "(0.6-0.6)", "0.11", "(0.11-0.11)", "0.20"],
        ["wait", "0", "0", "0.3", "(0.3-0.3)", "0", "0.00"],
    ]
    assert lines[6:] == [f"  {said}." for said in done.assumptions]


def test_what_nobody_knows_is_unknown_and_said(steps: Reading, run: Run) -> None:
    steps.ads = []
    done = run()
    assert done.groups == (Alike("12.0", "alice", 10, 0, False, None, None, None),)
    assert [(each.name, each.machines, each.hours, each.dollars) for each in done.ways] == [
        ("spot", 2, None, None),
        ("on demand", 2, None, None),
        ("wait", 0, None, 0.0),
    ]
    assert done.assumptions[0] == (
        "how long jobs like 12.0 of alice run is not known: fewer than 5 of the same owner and executable ended well "
        "in 30 days; give --runtime if you know"
    )
    assert done.assumptions[2] == (
        "how fast the pool would run all of them is not known: not all such jobs ran there in the last day"
    )


def test_a_runtime_that_is_given_counts_where_too_few_jobs_have_ended(steps: Reading, run: Run) -> None:
    steps.ads = [AD] * 4
    done = run(runtime="10m")
    assert done.groups == (Alike("12.0", "alice", 10, 0, True, 10.0, 10.0, 10.0),)
    assert done.ways[1].hours == 0.55
    assert done.assumptions[0] == "jobs like 12.0 of alice are taken to run 10 minutes each, as --runtime says"


def test_jobs_that_find_no_machine_are_counted(steps: Reading, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    steps.view = seen([group(jobs=1, cpus=64, job="12.0")])
    done = run()
    assert [each.unserved for each in done.ways] == [1, 1, 0]
    assert done.assumptions[1] == "1 jobs find no machine and are left out: annex-bootstrap explain JOB says why"
    assert capsys.readouterr().out.splitlines()[0] == "1 job waits."


def test_without_jobs_the_history_is_not_read(steps: Reading, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    steps.view = seen([])
    done = run()
    assert (done.groups, done.assumptions, steps.asked) == ((), (), [])
    assert capsys.readouterr().out == "No idle job may leave home.\n"


def test_with_a_doubt_nothing_is_told(steps: Reading, run: Run) -> None:
    steps.view = seen([], ("one", "two"))
    with pytest.raises(UserError, match=r"^nothing can be told: one; two$"):
        run()


def test_the_history_of_each_owner_is_read(steps: Reading, run: Run) -> None:
    steps.view = seen([group(), replace(group("b"), owner='o"x'), replace(group("c"), owner="alice")])
    run()
    assert steps.asked[0][5].endswith(r'((Owner == "alice") || (Owner == "o\"x"))')
