"""``explain``: why one job waits, by the rules of the last ``grow``."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.commands import explain as module
from annex_bootstrap.commands.explain import Explanation, explain
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.growth import queue
from annex_bootstrap.growth.cloud import Instance
from annex_bootstrap.growth.model import Group, Market, Readings, Reason, Room, Rules, Slot
from annex_bootstrap.growth.reading import Reader, View
from annex_bootstrap.machines.money import Budget
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.commands.reading import Reading
from tests.unit.annex_bootstrap.growth.cases import NOW, group, machine, offer
from tests.unit.recorded import Recorded

AD: dict[str, Any] = {
    "ClusterId": 12,
    "ProcId": 0,
    "Owner": "alice",
    "JobStatus": 1,
    "JobUniverse": 5,
    "MayUseAWS": True,
    "RequestCpus": 1,
}
KEY = queue.sort_jobs([AD])[0].key
RULES = Rules(16, Budget(Decimal(50), daily=False), Market.SPOT, 600, 7200, "pool", ("eu-west-1",), True)
NEVER_RUN = "No annex-bootstrap grow has run with this configuration, and nothing starts without one."


class Steps(Reading):
    """What the command reads, and which clauses no type meets."""

    def __init__(self) -> None:
        offers = [offer(spot=spot, fits=frozenset([KEY])) for spot in (False, True)]
        super().__init__([AD], View(Readings(groups=[group(KEY, jobs=1)], offers=offers)))
        self.unmet: list[str] = []

    def find_unmet(self, view: View, asked: Group) -> list[str]:
        assert (view, asked.key) == (self.view, KEY)
        return self.unmet


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    made.serve(module, monkeypatch)
    monkeypatch.setattr(Reader, "find_unmet", lambda _, view, asked: made.find_unmet(view, asked))
    return made


Run = Callable[..., Explanation]


@pytest.fixture
def run(screen: Screen, targeted: Callable[..., Target]) -> Run:
    return lambda job="12.0", *regions: explain(screen, targeted(Recorded(), *regions), job)


def remember(home: Path, **more: Any) -> None:
    event = {"at": NOW - 60, "event": "rules", **RULES.as_event(), "only": "", "owners": ["alice"]} | more
    with (home / "annex-record.jsonl").open("a") as file:
        file.write(json.dumps(event, default=str) + "\n")


def test_it_decides_as_the_last_grow_would_and_writes_nothing(
    steps: Steps, run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remember(home, cores=1)
    remember(home, only="x")
    before = (home / "annex-record.jsonl").read_bytes()
    done = run("12.0", "us-east-1", "us-west-2")
    ((reader, now),) = steps.readers
    assert reader.rules == Rules(16, RULES.budget, Market.SPOT, 600, 7200, "pool", ("us-east-1", "us-west-2"), True)
    assert (reader.stack_name, reader.only, reader.owners, reader.writes) == ("annex-bootstrap", "x", (), False)
    assert ([account.region for account in reader.accounts], now) == (["us-east-1", "us-west-2"], NOW)
    assert steps.asked == [["condor_q", "-allusers", "12.0", "-json"]]
    assert done == Explanation("12.0", Reason.STARTED, ("A machine would start for it.",), 1)
    assert capsys.readouterr().out.splitlines() == ["Job 12.0 of alice:", "  A machine would start for it."]
    assert (home / "annex-record.jsonl").read_bytes() == before


def test_where_no_grow_has_run_that_is_said(steps: Steps, run: Run) -> None:
    assert run().explanation == ("A machine would start for it.", NEVER_RUN)
    assert steps.readers[0][0].rules == Rules(cores=1_000_000, regions=("us-east-1",))
    assert steps.readers[0][0].only == ""


def test_the_first_of_a_cluster_is_explained(steps: Steps, run: Run) -> None:
    steps.ads = [AD | {"ProcId": 3, "JobStatus": 4}, AD | {"ProcId": 1}, AD | {"ProcId": 2, "JobStatus": 4}]
    assert run("12").job == "12.1"
    assert steps.asked == [["condor_q", "-allusers", "12", "-json"]]


@pytest.mark.parametrize("job", ["", "x", "12.", "12.x", "12.0.0", "-1"])
def test_what_is_no_jobs_id_is_refused(steps: Steps, run: Run, job: str) -> None:
    if job == "12.":
        assert run(job).job == "12.0"
        return
    with pytest.raises(UserError, match=r"is not a job's ID: give one such as 12\.0, as condor_q prints it"):
        run(job)
    assert steps.asked == []


def test_a_job_that_is_not_in_the_queue_may_be_in_the_history(steps: Steps, run: Run) -> None:
    steps.ads = []
    with pytest.raises(UserError, match=r"there is no job 7.0 in the queue .*: see condor_history 7.0"):
        run("7.0")


@pytest.mark.parametrize(
    ("ad", "sentence"),
    [
        ({"JobStatus": 2, "RemoteHost": "slot1@a"}, "It does not wait: it runs on slot1@a."),
        ({"JobStatus": 3}, "It does not wait: it was removed."),
        ({"JobStatus": 4}, "It does not wait: it is done."),
        ({"JobStatus": 5, "HoldReason": "no file", "RemoteHost": "b"}, "It does not wait: it is held: no file."),
        ({"JobStatus": 5}, "It does not wait: it is held:."),
        ({"JobStatus": 6, "RemoteHost": "c"}, "It does not wait: it sends its output from c."),
        ({"JobStatus": 7, "RemoteHost": "d"}, "It does not wait: it is suspended on d."),
        ({"JobStatus": None}, "It does not wait: it is."),
    ],
)
def test_a_job_that_does_not_wait_is_said_to_do_what_it_does(
    steps: Steps, run: Run, ad: dict[str, Any], sentence: str
) -> None:
    steps.ads = [AD | ad]
    assert run() == Explanation("12.0", None, (sentence,), 0)
    assert steps.readers == []


@pytest.mark.parametrize("more", [{}, {"MayUseAWS": False}, {"MayUseAWS": "yes"}])
def test_a_job_that_has_not_opted_in_may_not_leave_home(steps: Steps, run: Run, more: dict[str, Any]) -> None:
    steps.ads = [{name: value for name, value in AD.items() if name != "MayUseAWS"} | more]
    sentence = "It may not leave home: submit it with +MayUseAWS = True to let it run on AWS."
    assert run() == Explanation("12.0", None, (sentence,), 1)
    assert steps.readers == []


def test_a_job_that_names_an_annex_has_opted_in_and_so_has_one_that_grow_names(
    steps: Steps, run: Run, home: Path
) -> None:
    quiet = {name: value for name, value in AD.items() if name != "MayUseAWS"}
    steps.ads = [quiet | {"TargetAnnexName": "first"}]
    run()
    assert len(steps.readers) == 1
    remember(home, only="x")
    steps.ads = [quiet]
    run()
    assert len(steps.readers) == 2


def test_a_job_of_another_universe_runs_on_no_machine(steps: Steps, run: Run) -> None:
    steps.ads = [AD | {"JobUniverse": 7}]
    assert run() == Explanation("12.0", None, ("It is of a universe that machines on AWS do not run.",), 1)
    assert steps.readers == []


def test_a_job_that_no_group_has_is_left_out_by_only_and_a_doubt_is_said(steps: Steps, run: Run, home: Path) -> None:
    remember(home)
    steps.view = View(Readings(groups=[group("other")]))
    sentence = "Nothing starts for it: --only names other jobs, or what it asks for is not a number."
    assert run() == Explanation("12.0", None, (sentence,), 1)
    steps.view = View(Readings(doubts=["one", "two"]))
    assert run() == Explanation("12.0", Reason.DOUBT, ("Not known: one.", "Not known: two."), 1)
    steps.view = View(Readings(groups=[group(KEY)], doubts=["one"]))
    assert run() == Explanation("12.0", Reason.DOUBT, ("Not known, so nothing starts: one.",), 1)


def test_jobs_that_are_like_it_are_counted(steps: Steps, run: Run, home: Path) -> None:
    remember(home)
    slots = [Slot(Room(1, 4096), frozenset([KEY]))]
    boots = [machine(1, vcpus=2, fits=frozenset([KEY]))]
    readings = Readings(
        groups=[group("b", jobs=2), group(KEY, jobs=9)],
        slots=slots,
        machines=boots,
        offers=[offer(spot=True, fits=frozenset([KEY]))],
    )
    steps.view = View(readings)
    done = run()
    assert (done.like, done.reason) == (9, Reason.STARTED)
    assert done.explanation == (
        "Machines would start for 6 of them.",
        "9 jobs are like it: 1 suit free slots of the pool, 2 machines that boot, 6 need more.",
    )


def test_a_condition_that_nothing_meets_is_named_only_where_no_type_is_the_reason(
    steps: Steps, run: Run, home: Path
) -> None:
    remember(home)
    steps.unmet = ["GPUs > 9"]
    assert run().explanation == ("A machine would start for it.",)
    steps.view = View(Readings(groups=[group(KEY)]))
    done = run()
    assert (done.reason, done.explanation) == (Reason.NO_TYPE, ("No machine satisfies GPUs > 9.",))


ENDED = Instance(
    "i-1", "a", "us-east-1", "m7i.large", True, NOW - 600, False, "", "Server.SpotInstanceTermination", NOW - 60
)


@pytest.mark.parametrize(("starts", "expected"), [(1, True), (0, False), (None, False)])
def test_why_it_came_back_is_said_of_a_job_that_has_run(
    steps: Steps, run: Run, home: Path, starts: int | None, expected: bool
) -> None:
    remember(home)
    steps.ads = [AD | {"LastRemoteHost": "slot1@i-1.ec2", "NumJobStarts": starts or 0}]
    if starts is None:
        del steps.ads[0]["NumJobStarts"]
    steps.view = View(steps.view.readings, instances=[ENDED])
    sentence = "It ran on i-1 (m7i.large) before: AWS took the spot machine back."
    assert (sentence in run().explanation) is expected
