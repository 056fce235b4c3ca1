"""What growth does of a decision, what it writes into the record before and after, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annex_bootstrap.annexes import starting
from annex_bootstrap.annexes.joining import Pool
from annex_bootstrap.annexes.planning import MachineImage
from annex_bootstrap.annexes.requests import Annex
from annex_bootstrap.annexes.starting import Outcome, UncertainError
from annex_bootstrap.errors import AwsError, UnavailableError, UserError
from annex_bootstrap.growth import acting as module
from annex_bootstrap.growth.acting import LATEST, PERIOD, Actor, Done, request_id
from annex_bootstrap.growth.cloud import Instance, Place
from annex_bootstrap.growth.model import Extension, Rules, Start
from annex_bootstrap.growth.record import Record
from annex_bootstrap.machines.capacity import Capacity
from annex_bootstrap.machines.money import Budget
from annex_bootstrap.machines.subnets import Subnet
from annex_bootstrap.pool.collector import Address
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, STACK_ID, a_stack
from tests.unit.annex_bootstrap.commands.test_leases import target_of
from tests.unit.annex_bootstrap.growth.cases import NOW
from tests.unit.recorded import Recorded, RefusedError

POOL = Pool((Address("cm.example.org", 9618),), "alice@pool", "made-up")
RULES = Rules(16, Budget(Decimal(50), daily=False), duration=7200)
START = Start("grow-a", "alice", "us-east-1", ("m7i.large", "c7i.large"), True, 2, 4, Decimal("0.10"), ("a", "b"))
TAGS = {"project": "b"}
STEP = request_id(START, STACK_ID, (), (), (), NOW)


class Steps:
    """What is done, instead of doing it.

    Attributes:
        done: in order.
        earlier: requests of the annex: whether somebody carries them out.
        running: machines of these.
        expiration: of these.
        refusals: of a step, by its name.
        most: dollars an hour of the plan.
        outcome: what the request brings.
    """

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.earlier: list[bool] = []
        self.running: list[str] = []
        self.expiration = NOW + 3600
        self.refusals: dict[str, Exception] = {}
        self.most: Decimal | None = Decimal("0.20")
        self.outcome: Outcome | Exception = Outcome({"m7i.large": 2}, {})

    def _do(self, name: str, *what: Any) -> None:
        if name in self.refusals:
            raise self.refusals[name]
        self.done.append((name, *what))

    def find_requests(self, account_id: str, region: str, annex: str) -> list[Any]:
        assert (account_id, region, annex) == ("123456789012", "us-east-1", "grow-a")
        return [
            SimpleNamespace(
                request_id=STEP,
                annex=SimpleNamespace(owner="alice", expiration=self.expiration),
                is_alive=lambda alive=alive: alive,
                forget=lambda: self._do("forget"),
            )
            for alive in self.earlier
        ]

    def find_running(self, account: Any, request: str) -> list[str]:
        assert (account.region, request) == ("us-east-1", STEP)
        return self.running

    def find_pool(self, collector: str, owner: str, seconds: int) -> Pool:
        self._do("pool", collector, owner, seconds)
        return POOL

    def check_reachable(self, _functions: Any, stack: Any, pool: Pool) -> None:
        assert (stack, pool) == (a_stack(), POOL)
        self._do("reachable")

    def check_lease_function(self, account: Any, outputs: Any, annex: str) -> None:
        assert (account.region, outputs) == ("us-east-1", OUTPUTS)
        self._do("lease function", annex)

    def make_plan(
        self, account: Any, stack: Any, annex: Annex, capacity: Capacity, *, request_id: str, tags: Mapping[str, str]
    ) -> Any:
        assert (account.region, stack, tags) == ("us-east-1", a_stack(), TAGS)
        self._do("plan", annex, capacity, request_id)
        return SimpleNamespace(estimate=SimpleNamespace(most=self.most), expiration=NOW + 7300, request="request")

    def carry_out(self, account: Any, stack: Any, request: Any, pool: Pool) -> Outcome:
        assert (account.region, stack, pool) == ("us-east-1", a_stack(), POOL)
        assert request == "request" or request.request_id == STEP
        self._do("carry out")
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    for name in ("find_requests", "find_pool", "check_reachable", "make_plan"):
        monkeypatch.setattr(module, name, getattr(made, name))
    for name in ("check_lease_function", "carry_out", "find_running"):
        monkeypatch.setattr(starting, name, getattr(made, name))
    monkeypatch.setattr("time.time", lambda: NOW + 10.5)
    return made


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record.beside(tmp_path / "user_config")


def place(aws: Recorded | None = None) -> Place:
    subnet = Subnet("subnet-a", "us-east-1a", public=True, free=9)
    image = MachineImage("ami-0a1b", "x86_64", "23.9.6", 16)
    return Place((aws or Recorded()).account(), a_stack(), image, [subnet])


Run = Callable[..., Done]


@pytest.fixture
def run(record: Record) -> Run:
    def run(start: Start = START, *, check_pool: bool = True, rules: Rules = RULES) -> Done:
        return Actor(rules, "x", 900, "public", check_pool, "host", record, TAGS).start(start, place(), (), NOW)

    return run


def test_a_step_is_checked_planned_recorded_and_carried_out(steps: Steps, run: Run, record: Record) -> None:
    assert run() == Done(START, 2, "")
    assert steps.done == [
        ("pool", "public", "alice", 7200),
        ("reachable",),
        ("lease function", "grow-a"),
        (
            "plan",
            Annex("grow-a", "alice", 900, NOW + 10 + 7200, "x"),
            Capacity(count=2, types=START.types, spot=True),
            STEP,
        ),
        ("carry out",),
    ]
    assert record.events == [
        {
            "at": NOW + 10,
            "event": "step",
            "annex": "grow-a",
            "owner": "alice",
            "region": "us-east-1",
            "request": STEP,
            "types": ["m7i.large", "c7i.large"],
            "count": 2,
            "vcpus": 4,
            "spot": True,
            "most": "0.10",
            "expiration": NOW + 7300,
            "groups": ["a", "b"],
        },
        {
            "at": NOW + 10,
            "event": "outcome",
            "request": STEP,
            "region": "us-east-1",
            "spot": True,
            "count": 2,
            "lacks": [],
            "problem": "",
        },
    ]


def test_machines_for_everybody_join_in_the_hosts_name_and_the_pool_need_not_be_asked(steps: Steps, run: Run) -> None:
    run(replace(START, owner=""), check_pool=False)
    assert steps.done[0] == ("pool", "public", "host", 7200)
    assert ("reachable",) not in steps.done
    assert steps.done[2][1].owner == ""


def test_another_commands_start_is_left_alone_and_an_interrupted_one_is_forgotten(steps: Steps, run: Run) -> None:
    steps.earlier = [False, True]
    assert run() == Done(START, 0, "another command is starting machines of this annex")
    assert steps.done == [("forget",)]


def test_an_interrupted_start_whose_machines_run_is_not_forgotten(steps: Steps, run: Run, record: Record) -> None:
    steps.earlier, steps.running = [False], ["i-1"]
    assert run() == Done(START, 0, "machines of an interrupted start of this annex lack their configuration")
    assert (steps.done, record.events) == ([], [])


@pytest.mark.parametrize(("late", "starts"), [(PERIOD - LATEST - 1, True), (PERIOD - LATEST, False), (PERIOD, False)])
def test_a_request_begins_while_its_id_still_holds(
    steps: Steps, run: Run, record: Record, monkeypatch: pytest.MonkeyPatch, late: int, starts: bool
) -> None:
    monkeypatch.setattr("time.time", lambda: NOW + late)
    problem = "" if starts else "it took too long since it was decided: it is decided again"
    done = run()
    assert (done.problem, ("carry out",) in steps.done, bool(record.events)) == (problem, starts, starts)


def interrupted(record: Record, ago: int = 60, **more: Any) -> None:
    """Write into a record that a step began."""
    line = {"request": STEP, "annex": "grow-a", "region": "us-east-1", "count": 2, "spot": True, **more}
    record.events.append({"at": NOW - ago, "event": "step", **line})


def came(*names: str) -> list[Instance]:
    """Machines of the step."""
    return [Instance(name, "grow-a", "us-east-1", "m7i.large", True, NOW, False, STEP) for name in names]


def finish(record: Record, instances: Sequence[Instance] = ()) -> list[str]:
    """Finish what was interrupted, and return what is said."""
    return Actor(RULES, "x", 900, "public", True, "host", record).finish(place(), instances, NOW)


def test_machines_that_an_interrupted_step_has_started_get_what_they_lack(steps: Steps, record: Record) -> None:
    interrupted(record)
    steps.earlier, steps.running = [False], ["i-1", "i-2"]
    assert finish(record) == ["an interrupted start of grow-a has brought 2 of 2 machines"]
    assert steps.done == [("pool", "public", "alice", 3600), ("carry out",)]
    assert record.events[1:] == [
        {
            "at": NOW + 10,
            "event": "outcome",
            "request": STEP,
            "region": "us-east-1",
            "spot": True,
            "count": 2,
            "lacks": [],
            "problem": "interrupted",
        }
    ]
    assert finish(record) == []


@pytest.mark.parametrize(
    ("earlier", "running", "expiration", "instances", "ago", "done", "count"),
    [
        # Somebody carries it out.
        ([True], ["i-1"], NOW + 3600, came("i-1"), 60, [], None),
        # It began nothing, as far as EC2 shows by now.
        ([False], [], NOW + 3600, [], 60, [("forget",)], None),
        ([False], [], NOW + 3600, [], 601, [("forget",)], 0),
        # All has ended, or its lease has.
        ([False], [], NOW + 3600, came("i-1", "i-2"), 60, [("forget",)], 2),
        ([False], ["i-1"], NOW, came("i-1"), 60, [("forget",)], 1),
        # Only what came of it was not written down.
        ([], [], 0, came("i-1"), 60, [], 1),
        ([], [], 0, [], 600, [], None),
        ([], [], 0, [], 601, [], 0),
        # EC2 may have forgotten it.
        ([], [], 0, [], 1800, [], None),
    ],
)
def test_what_came_of_an_interrupted_step_is_known_from_ec2(
    steps: Steps, record: Record, earlier: list[bool], running: list[str], expiration: int, instances: list[Instance],
    ago: int, done: list[Any], count: int | None,
) -> None:  # fmt: skip
    interrupted(record, ago)
    steps.earlier, steps.running, steps.expiration = earlier, running, expiration
    said = finish(record, instances)
    assert steps.done == done
    assert [event["count"] for event in record.events[1:]] == ([] if count is None else [count])
    assert bool(said) == (count is not None)


def test_steps_of_other_regions_and_those_whose_outcome_is_known_are_left_alone(steps: Steps, record: Record) -> None:
    interrupted(record, region="eu-west-1")
    interrupted(record, 700, request="known")
    record.events.append({"at": NOW - 690, "event": "outcome", "request": "known", "count": 0})
    assert (finish(record), steps.done) == ([], [])


def test_a_step_that_cannot_be_finished_yet_is_said_and_tried_again(steps: Steps, record: Record) -> None:
    interrupted(record)
    steps.earlier, steps.running, steps.outcome = [False], ["i-1"], UncertainError("no answer")
    assert finish(record) == ["an interrupted start of grow-a is not finished: no answer"]
    steps.outcome = Outcome({"m7i.large": 1}, {})
    assert finish(record) == ["an interrupted start of grow-a has brought 1 of 2 machines"]


@pytest.mark.parametrize("step", ["pool", "reachable", "lease function", "plan"])
def test_what_cannot_start_is_said_and_nothing_is_recorded(steps: Steps, run: Run, record: Record, step: str) -> None:
    steps.refusals = {step: UserError("it cannot")}
    assert run() == Done(START, 0, "it cannot")
    assert ("carry out",) not in steps.done
    assert record.events == []


@pytest.mark.parametrize(
    ("most", "decided", "limited", "starts"),
    [
        ("0.20", "0.10", True, True),
        ("0.21", "0.10", True, False),
        ("0.21", "0.10", False, True),
        (None, "0.10", True, False),
        (None, None, False, True),
        ("0.20", None, True, False),
    ],
)
def test_with_a_budget_a_price_is_what_was_decided_by(
    steps: Steps, run: Run, record: Record, most: str | None, decided: str | None, limited: bool, starts: bool
) -> None:
    steps.most = None if most is None else Decimal(most)
    start = replace(START, most=None if decided is None else Decimal(decided))
    done = run(start, rules=RULES if limited else replace(RULES, budget=None))
    problem = "" if starts else "the price has changed since it was decided"
    assert (done.count, done.problem, bool(record.events)) == (2 if starts else 0, problem, starts)
    if starts:
        assert record.events[0]["most"] == decided


NO_ROOM = (("m7i.large", "subnet-a", "InsufficientInstanceCapacity"), ("c7i.large", "subnet-x", "VcpuLimitExceeded"))


@pytest.mark.parametrize(
    ("outcome", "count", "lacks", "problem"),
    [
        (
            Outcome({"m7i.large": 1}, {"A": "a.", "B": "b"}, (*NO_ROOM, ("m7i.large", "subnet-a", "Unsupported"))),
            1,
            [["m7i.large", "us-east-1a", "InsufficientInstanceCapacity"], ["c7i.large", "", "VcpuLimitExceeded"]],
            "A: a.; B: b",
        ),
        (Outcome({}, {}), 0, [], "no reason"),
        (
            AwsError("too many", code="VcpuLimitExceeded", reason="too many"),
            0,
            [["m7i.large", "", "VcpuLimitExceeded"], ["c7i.large", "", "VcpuLimitExceeded"]],
            "too many",
        ),
        (AwsError("no", code="Unsupported", reason="no"), 0, [], "no"),
        (
            AwsError("other", code="IdempotentParameterMismatch", reason="other"),
            0,
            [],
            "somebody else starts machines of this annex at the same time",
        ),
        (UnavailableError("not here"), 0, [], "not here"),
        (UserError("broken"), 0, [], "broken"),
    ],
)
def test_what_came_of_a_step_is_recorded_with_what_aws_did_not_have(
    steps: Steps, run: Run, record: Record, outcome: Any, count: int, lacks: list[Any], problem: str
) -> None:
    steps.outcome = outcome
    assert run() == Done(START, count, problem)
    assert [event["event"] for event in record.events] == ["step", "outcome"]
    last = record.events[-1]
    assert (last["count"], last["lacks"], last["problem"]) == (count, lacks, problem)


def test_a_step_without_an_answer_stands_without_an_outcome(steps: Steps, run: Run, record: Record) -> None:
    steps.outcome = UncertainError("no answer")
    assert run() == Done(START, 0, "no answer")
    assert [event["event"] for event in record.events] == ["step"]


@pytest.mark.parametrize(("ago", "counts"), [(599, True), (600, False)])
def test_a_type_that_aws_did_not_have_lately_makes_another_request(
    steps: Steps, run: Run, record: Record, ago: int, counts: bool
) -> None:
    record.events.append({"at": NOW - ago, "event": "outcome", "request": "x", "lacks": [["m7i.large", "", "X"]]})
    run()
    (planned,) = [step for step in steps.done if step[0] == "plan"]
    assert (planned[3] == request_id(START, STACK_ID, (), ["m7i.large"], [], NOW)) is counts
    assert (planned[3] == STEP) is not counts


def lease(expiration: Any) -> dict[str, Any]:
    return {"Targets": [target_of("first", expiration)]}


EXTENSION = Extension("first", "us-east-1", NOW + 7200)


def test_a_lease_is_extended_and_that_is_recorded(record: Record, steps: Steps) -> None:
    aws = Recorded(ListTargetsByRule=lease(NOW + 600), PutTargets={"FailedEntryCount": 0, "FailedEntries": []})
    actor = Actor(RULES, "", 900, "", True, "", record)
    assert actor.extend(EXTENSION, place(aws)) == ""
    assert aws.of("PutTargets") == [{"Rule": "first", "Targets": [target_of("first", NOW + 7200)]}]
    (event,) = record.events
    assert event == {
        "at": NOW + 10,
        "event": "extension",
        "annex": "first",
        "region": "us-east-1",
        "expiration": NOW + 7200,
    }
    assert steps.done == []


@pytest.mark.parametrize(
    "targets",
    [RefusedError("ResourceNotFoundException", "gone"), lease("soon"), lease(NOW + 7200), lease(NOW + 9000)],
    ids=["gone", "?", "same", "later"],
)
def test_a_lease_that_somebody_ended_or_extended_meanwhile_is_left_alone(record: Record, targets: Any) -> None:
    aws = Recorded(ListTargetsByRule=targets)
    assert Actor(RULES, "", 900, "", True, "", record).extend(EXTENSION, place(aws)) == ""
    assert (aws.names, record.events) == (["ListTargetsByRule"], [])


def test_a_lease_that_cannot_be_extended_is_said(record: Record, steps: Steps) -> None:
    refused = RefusedError("InternalError", "out of order")
    aws = Recorded(ListTargetsByRule=lease(NOW + 600), PutTargets=refused)
    assert "out of order" in Actor(RULES, "", 900, "", True, "", record).extend(EXTENSION, place(aws))
    assert (record.events, steps.done) == ([], [])
