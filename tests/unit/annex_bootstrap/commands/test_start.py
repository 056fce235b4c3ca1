"""``start``: what is asked for of which region, what is finished instead, and what is said of the outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from annex_bootstrap.advice import POLICY
from annex_bootstrap.annexes import starting
from annex_bootstrap.annexes.joining import Pool
from annex_bootstrap.annexes.leases import Lease
from annex_bootstrap.annexes.planning import MachineImage, Plan
from annex_bootstrap.annexes.requests import Annex, Request
from annex_bootstrap.annexes.starting import Outcome
from annex_bootstrap.commands import start as module
from annex_bootstrap.commands.start import StartResult, start
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import AwsError, DeniedError, UnavailableError, UserError
from annex_bootstrap.growth.record import NAME, Record
from annex_bootstrap.machines.capacity import Capacity, Estimate
from annex_bootstrap.machines.instance_types import InstanceType
from annex_bootstrap.machines.money import Allowance
from annex_bootstrap.machines.subnets import Subnet
from annex_bootstrap.main import commands
from annex_bootstrap.pool.collector import Address
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.commands.conftest import STACK_ID, Asked, a_stack
from tests.unit.recorded import Recorded

NOW = 2_000_000_000
POOL = Pool((Address("cm.example.org", 9618),), "alice@pool", "made-up")
TOKEN = "0" * 32


def request(capacity: Capacity, region: str = "us-east-1", expiration: int = NOW + 8 * 3600) -> Request:
    annex = Annex("first", "alice", 900, expiration)
    return Request(TOKEN, annex, capacity, 2 if capacity.cores else 1, "123456789012", region, STACK_ID, {})


class Steps:
    """What the command does, instead of doing it.

    Attributes:
        done: in order.
        planned: annex, capacity and subnets of each plan.
        outcomes: of each region.
        earlier: requests that are under way or were interrupted.
        alive: whether somebody carries them out.
        missing: why a region has nothing.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self.planned: list[tuple[Any, ...]] = []
        self.outcomes: dict[str, Any] = {"us-east-1": Outcome({"m7i.large": 2}, {})}
        self.earlier: list[Request] = []
        self.alive = False
        self.missing: dict[str, UserError] = {}
        self.pools: list[tuple[str, str, int]] = []
        self.private: list[tuple[str, str]] = []
        self.tags: dict[str, str] = {}
        self.dollars: list[Decimal | None] = []
        self.limit: Allowance | None = None
        self.leases: dict[str, Lease] = {}
        self.refusal: AwsError | None = None
        self.version: tuple[int, int, int] | None = (25, 0, 13)

    def find_refusal(self, account: Any, stack: Stack) -> AwsError | None:
        assert stack == a_stack()
        self.done.append(f"right {account.region}")
        return self.refusal

    def find_stack(self, account: Any, name: str) -> Stack:
        self.done.append(f"stack {name} {account.region}")
        return a_stack()

    def find_requests(self, account_id: str, region: str, annex: str) -> list[Request]:
        assert (account_id, annex) == ("123456789012", "first")
        return [each for each in self.earlier if each.region == region]

    def find_pool(self, collector: str, owner: str, seconds: int) -> Pool:
        self.pools.append((collector, owner, seconds))
        return POOL

    def check_function(self, account: Any, outputs: Any, name: str) -> None:
        assert outputs == a_stack().outputs
        self.done.append(f"function {name} {account.region}")

    def check_reachable(self, _functions: Any, _stack: Stack, pool: Pool) -> None:
        assert pool == POOL
        self.done.append("reachable")

    def make_plan(
        self, account: Any, stack: Stack, annex: Annex, capacity: Capacity, subnets: Any, **more: Any
    ) -> Plan:
        self.dollars.append(more.pop("dollars"))
        self.tags = more.pop("tags")
        assert not more
        if account.region in self.missing:
            raise self.missing[account.region]
        self.planned.append((account.region, annex, capacity, subnets))
        machine = InstanceType("m7i.large", 2, 8192)
        return Plan(
            account,
            stack,
            MachineImage("ami-0a1b", "x86_64", "23.9.6", 16),
            [Subnet("subnet-a", f"{account.region}a", True, 9)],
            [machine],
            Estimate((2, 2), 4, Decimal("0.2"), Decimal("0.2"), Decimal("0.3")),
            None,
            "no prices today",
            self.leases.get(account.region),
            0,
            annex.expiration,
            Decimal("2.4"),
            request(capacity, account.region),
            self.limit,
            costs={"m7i.large": Decimal("0.15")},
        )

    def carry_out(self, account: Any, stack: Stack, asked: Request, pool: Pool) -> Outcome:
        assert (stack, pool) == (a_stack(), POOL)
        self.done.append(f"carry out {asked.capacity} in {account.region}")
        outcome = self.outcomes[account.region]
        if isinstance(outcome, Exception):
            raise outcome
        made: Outcome = outcome
        return made


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    for name in ("find_stack", "find_requests", "find_pool", "check_reachable", "make_plan", "find_refusal"):
        monkeypatch.setattr(module, name, getattr(made, name))
    monkeypatch.setattr(module, "check_lease_function", made.check_function)
    monkeypatch.setattr(module, "private_schedds", lambda _: made.private)
    monkeypatch.setattr(module, "user_name", lambda: "alice")
    monkeypatch.setattr(module, "version", lambda: made.version)
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOW + 0.5))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(starting, "carry_out", made.carry_out)
    monkeypatch.setattr(Request, "is_alive", lambda _: made.alive)
    monkeypatch.setattr(Request, "forget", lambda each: made.done.append(f"forget {each.region}"))
    return made


Run = Callable[..., StartResult]


@pytest.fixture
def run(screen: Screen, targeted: Callable[..., Target]) -> Run:
    def run(*regions: str, name: str = "first", yes: bool = True, **options: Any) -> StartResult:
        options = options if "count" in options or "cores" in options else options | {"count": 2}
        return start(screen, targeted(Recorded(), *regions), name, yes=yes, **options)

    return run


def test_machines_are_planned_checked_and_started_for_the_user_for_eight_hours(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run()
    annex = Annex("first", "alice", 900, NOW + 8 * 3600)
    assert steps.planned == [("us-east-1", annex, Capacity(count=2), ())]
    assert steps.pools == [("", "alice", 8 * 3600)]
    assert (steps.done[0], steps.done[-1]) == (
        "stack annex-bootstrap us-east-1",
        "carry out 2 machines on demand in us-east-1",
    )
    assert sorted(steps.done[1:-1]) == ["function first us-east-1", "reachable"]
    assert (done.annex, done.started, done.region, done.request) == ("first", 2, "us-east-1", TOKEN)
    assert (done.machines_by_type, done.shortfalls) == ({"m7i.large": 2}, {})
    assert done.lease_expiration == datetime.fromtimestamp(NOW + 8 * 3600, UTC)
    (plan,) = done.plans
    assert (plan.region, plan.dollars_most, plan.types) == ("us-east-1", Decimal("2.4"), ("m7i.large",))
    said = capsys.readouterr()
    assert "Started 2 m7i.large in us-east-1 for the annex first." in said.out
    assert "annex-bootstrap watch first  # see the machines join" in said.out
    assert "spot" not in said.out
    assert "annex-bootstrap: no prices: no prices today\n" in said.err


def test_machines_are_noted_with_what_they_cost_at_most(steps: Steps, run: Run, home: Path) -> None:
    ids = {"i-1": "m7i.large", "i-2": "c7i.large"}
    steps.outcomes["us-east-1"] = Outcome({"m7i.large": 1, "c7i.large": 1}, {}, ids=ids)
    run(spot=True)
    record = Record.beside(home / "user_config")
    noted = {"annex": "first", "owner": "alice", "region": "us-east-1", "spot": True, "launched": NOW, "request": TOKEN}
    noted |= {"expiration": NOW + 8 * 3600, "by": "start"}
    assert [{key: line[key] for key in line if key not in ("at", "event")} for line in record.of("machine")] == [
        noted | {"id": "i-1", "type": "m7i.large", "most": "0.15"},
        noted | {"id": "i-2", "type": "c7i.large", "most": None},
    ]


def test_machines_that_cannot_be_noted_have_started_all_the_same(
    steps: Steps, run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.outcomes["us-east-1"] = Outcome({"m7i.large": 1}, {}, ids={"i-1": "m7i.large"})
    (home / NAME).mkdir()
    assert run().started == 1
    assert "what these machines cost will not be known once they are gone: " in capsys.readouterr().err


def test_every_option_reaches_the_plan(steps: Steps, run: Run) -> None:
    run(
        cores=16,
        count=None,
        memory_per_core=4096,
        spot=True,
        subnet_ids=("subnet-b",),
        duration="90m",
        idle="5m",
        owner="bob",
        collector="public:9700",
    )
    assert steps.planned == [
        (
            "us-east-1",
            Annex("first", "bob", 300, NOW + 5400),
            Capacity(cores=16, memory_per_core=4096, spot=True),
            ("subnet-b",),
        )
    ]
    assert steps.pools == [("public:9700", "bob", 5400)]


def test_everybodys_machines_have_no_owner_and_types_are_kept(steps: Steps, run: Run) -> None:
    run(everybody=True, types=("c7i.large",))
    ((_, annex, capacity, _),) = steps.planned
    assert (annex.owner, capacity) == ("", Capacity(count=2, types=("c7i.large",)))
    assert steps.pools == [("", "alice", 8 * 3600)]


def test_the_pool_is_not_asked_where_that_is_said(steps: Steps, run: Run) -> None:
    run(skip_pool_check=True)
    assert "reachable" not in steps.done


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"count": None}, "give either --count or --cores"),
        ({"count": 1, "cores": 1}, "give either --count or --cores"),
        ({"cores": 1, "types": ("m7i.large",)}, "--type goes with --count"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    steps: Steps, run: Run, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(click.UsageError, match=text):
        run(**options)
    assert steps.done == []


def test_subnets_go_with_one_region(steps: Steps, run: Run) -> None:
    with pytest.raises(click.UsageError, match="--subnet goes with one --region"):
        run("us-east-1", "eu-west-1", subnet_ids=("subnet-a",))
    run("us-east-1", subnet_ids=("subnet-a",))
    assert steps.planned[0][3] == ("subnet-a",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a b", "'a b' cannot name an annex"),
        ("a" * 28, "at most 27 letters"),
        ("mine-SweepRule", "cannot end in -SweepRule, as stacks' own rules do"),
    ],
)
def test_a_name_that_no_annex_can_have_is_refused(steps: Steps, run: Run, name: str, text: str) -> None:
    with pytest.raises(UserError, match=text):
        run(name=name)
    assert steps.done == []


def test_root_owns_no_jobs_and_an_owner_has_a_name_of_an_account(
    steps: Steps, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="'a b' is not a user name"):
        run(owner="a b")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(UserError, match="root cannot own jobs: add --owner USER"):
        run()
    run(owner="bob")
    assert steps.planned[0][1].owner == "bob"


@pytest.mark.parametrize(("dry_run", "questions"), [(True, []), (False, [("Start them?", False)])])
def test_a_dry_run_or_a_no_starts_nothing(
    steps: Steps,
    run: Run,
    asked: Asked,
    capsys: pytest.CaptureFixture[str],
    dry_run: bool,
    questions: list[tuple[str, bool]],
) -> None:
    asked.answer = False
    done = run(yes=False, dry_run=dry_run)
    assert (asked.questions, done.annex, done.started, done.region) == (questions, "first", 0, None)
    assert [plan.region for plan in done.plans] == ["us-east-1"]
    assert not [each for each in steps.done if each.startswith("carry")]
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing was started."


LINE = "aws iam attach-user-policy --user-name alice --policy-arn " + a_stack().outputs["StartPolicyARN"]
REFUSED = DeniedError(f"EC2 refused; ask your administrator for {POLICY}", code="UnauthorizedOperation", reason="no")


def test_a_dry_run_says_who_may_not_start_machines_and_how_they_may(steps: Steps, run: Run) -> None:
    steps.refusal = REFUSED
    with pytest.raises(UserError) as refused:
        run(dry_run=True)
    assert str(refused.value) == f"{REFUSED}:\n  {LINE}"
    # What a real start may do, AWS says.
    steps.done.clear()
    run()
    assert "right us-east-1" not in steps.done


def test_a_dry_run_says_where_the_right_is_not_known(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.refusal = AwsError("no default VPC", code="VPCIdNotSpecified", reason="no default VPC")
    run(dry_run=True)
    assert "whether you may start machines in us-east-1 is not known: no default VPC" in capsys.readouterr().err


@pytest.mark.parametrize("outcome", [REFUSED, Outcome({}, {"UnauthorizedOperation": "you are not authorized"})])
def test_a_start_that_is_refused_ends_with_the_line_that_allows_it(steps: Steps, run: Run, outcome: Any) -> None:
    steps.outcomes = {"us-east-1": outcome}
    with pytest.raises(UserError) as refused:
        run()
    assert str(refused.value).endswith(f":\n  {LINE}")


def test_the_next_region_is_tried_where_one_has_no_machine(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.outcomes = {
        "us-east-1": Outcome({}, {"InsufficientInstanceCapacity": "none left."}),
        "eu-west-1": UnavailableError("not here"),
        "eu-west-2": AwsError("no", code="VcpuLimitExceeded", reason="too many"),
        "eu-west-3": Outcome({"m7i.large": 1}, {}),
    }
    done = run(*steps.outcomes)
    assert done.region == "eu-west-3"
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "Trying" in line][:2] == [
        "us-east-1 has none: InsufficientInstanceCapacity: none left. Trying eu-west-1.",
        "eu-west-1 has none: not here. Trying eu-west-2.",
    ]


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome({}, {}), "no machine started in us-east-1: no reason"),
        (
            Outcome({}, {"VcpuLimitExceeded": "too many."}),
            (
                "no machine started in us-east-1: VcpuLimitExceeded: too many. Ask AWS for more with aws "
                "service-quotas request-service-quota-increase --region us-east-1 --service-code ec2 "
                "--quota-code L-1216C47A --desired-value NUMBER"
            ),
        ),
        (UnavailableError("not here"), "not here"),
        (UserError("broken"), "broken"),
    ],
)
def test_where_nothing_starts_in_the_last_region_the_command_fails_and_says_why(
    steps: Steps, run: Run, outcome: Any, text: str
) -> None:
    steps.outcomes["us-east-1"] = outcome
    with pytest.raises(UserError) as failed:
        run()
    assert str(failed.value) == text


@pytest.mark.parametrize(
    ("shortfalls", "advice"),
    [
        (
            {"UnauthorizedOperation": "not allowed with an explicit deny in a service control policy"},
            "A service control policy of your organisation forbids it",
        ),
        ({"PendingVerification": "wait"}, "AWS is verifying the account in this region"),
        ({"Other": "Not in the Free Tier"}, "use --count with --type and one of t3.small, c7i-flex.large"),
        ({"Client.InternalError": "no"}, "The usual cause is an encryption key that may not be used"),
        ({"MaxSpotInstanceCountExceeded": "no"}, "--quota-code L-34B43A08 --desired-value NUMBER"),
    ],
)
def test_fewer_machines_than_asked_for_are_said_with_the_reason_and_advice(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str], shortfalls: dict[str, str], advice: str
) -> None:
    steps.outcomes["us-east-1"] = Outcome({"m7i.large": 3}, shortfalls)
    assert run(cores=8, count=None, spot=True).started == 3
    said = capsys.readouterr().out
    assert "That is 6 of 8 cores: " in said
    assert advice in said
    assert "When AWS takes a spot machine back, HTCondor runs its jobs again elsewhere." in said


def test_enough_machines_need_no_excuse(steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    steps.outcomes["us-east-1"] = Outcome({"m7i.large": 2}, {"InsufficientInstanceCapacity": "in one zone"})
    run()
    assert "That is" not in capsys.readouterr().out


def test_a_region_that_cannot_do_it_is_left_out_and_where_none_can_the_command_fails(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.missing = {"eu-west-1": UnavailableError("no quota")}
    assert run("eu-west-1", "us-east-1").region == "us-east-1"
    assert "annex-bootstrap: eu-west-1 is left out: no quota\n" in capsys.readouterr().err
    with pytest.raises(UnavailableError, match=r"^no quota$"):
        run("eu-west-1")
    steps.missing["us-east-1"] = UnavailableError("no type")
    with pytest.raises(UserError, match=r"^eu-west-1: no quota; us-east-1: no type$"):
        run("eu-west-1", "us-east-1")


EARLIER = request(Capacity(count=5), expiration=NOW + 600)


def test_an_interrupted_start_is_finished_with_what_it_asked_for(
    steps: Steps, run: Run, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.earlier = [EARLIER]
    run(yes=False, count=2)
    assert asked.questions == [("Finish that one instead of starting more?", True)]
    assert steps.done[-1] == "carry out 5 machines on demand in us-east-1"
    assert steps.pools == [("", "alice", 600)]
    assert (
        "An earlier start of first in us-east-1 was interrupted: 5 machines on demand, until" in capsys.readouterr().out
    )


def test_an_interrupted_start_that_is_not_finished_is_forgotten(steps: Steps, run: Run, asked: Asked) -> None:
    steps.earlier, asked.answer = [EARLIER], False
    run(yes=False)
    assert "forget us-east-1" in steps.done
    assert asked.questions[-1] == ("Start them?", False)


def test_an_interrupted_start_whose_lease_is_over_is_forgotten_and_one_that_runs_is_left(
    steps: Steps, run: Run
) -> None:
    steps.earlier = [request(Capacity(count=5), expiration=NOW)]
    run()
    assert steps.done[1] == "forget us-east-1"
    steps.done.clear()
    steps.earlier, steps.alive = [EARLIER], True
    run()
    assert "forget us-east-1" not in steps.done
    assert steps.done[-1] == "carry out 2 machines on demand in us-east-1"


def test_a_dry_run_keeps_an_interrupted_start(steps: Steps, run: Run) -> None:
    steps.earlier = [EARLIER]
    run(dry_run=True)
    assert "forget us-east-1" not in steps.done


def test_a_dry_run_needs_no_htcondor(steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    steps.version = None
    steps.private = [("ap", "10.0.0.1")]
    run(dry_run=True)
    assert (steps.pools, "reachable" in steps.done) == ([], False)
    said = capsys.readouterr()
    assert "Pool     none, as there is no HTCondor on this machine: start on the pool's" in said.out
    assert "10.0.0.1" not in said.err
    run()
    assert len(steps.pools) == 1


def test_an_access_point_that_aws_cannot_reach_is_named(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.private = [("ap", "10.0.0.1")]
    run()
    assert "the access point ap has the private address 10.0.0.1" in capsys.readouterr().err


HELD = Allowance(Decimal(200), Decimal(0), NOW, 2, Decimal("0.12"), Decimal("0.02"))


def test_a_sum_of_money_reaches_the_plan(steps: Steps, run: Run) -> None:
    run(max_dollars=Decimal(200))
    run()
    assert steps.dollars == [Decimal(200), None]


def test_tags_reach_the_plan_and_a_wrong_one_stops_before_anything_is_asked(steps: Steps, run: Run) -> None:
    run(tags=("cost-center=42", "project=blast"))
    assert steps.tags == {"cost-center": "42", "project": "blast"}
    steps.done.clear()
    with pytest.raises(UserError, match="the tag aws:a is not free"):
        run(tags=("aws:a=1",))
    assert steps.done == []


@pytest.mark.parametrize("text", ["0", "0.00", "-5", "nan", "inf", "200$", "50/day", "1e3", "", "0.001", "2,5"])
def test_what_is_no_sum_of_money_is_refused_as_a_command_line(text: str) -> None:
    answer = CliRunner().invoke(commands, ["start", "first", "--count", "1", "--max-dollars", text])
    assert answer.exit_code == 2
    assert f"{text!r} is not a sum of money: type dollars such as 200 or 12.50" in answer.output


def test_money_is_counted_where_the_annex_runs(steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    steps.limit, steps.leases = HELD, {"us-east-1": Lease("first", NOW + 60, {})}
    assert run("eu-west-1", "us-east-1", max_dollars=Decimal(200)).region == "us-east-1"
    said = capsys.readouterr().out
    assert "first runs in us-east-1, and its money is counted there, so nothing starts elsewhere.\n" in said
    steps.leases["eu-west-1"] = steps.leases["us-east-1"]
    with pytest.raises(UserError, match="first runs in eu-west-1, us-east-1, and money is counted in one region"):
        run("eu-west-1", "us-east-1", max_dollars=Decimal(200))


@pytest.mark.parametrize(
    ("held", "dollars", "finished"), [(None, 200, False), ("200", 200, True), ("200", 50, False), ("200", None, True)]
)
def test_an_interrupted_start_with_another_sum_of_money_is_not_finished(
    steps: Steps, run: Run, held: str | None, dollars: int | None, finished: bool
) -> None:
    money = None if held is None else HELD.content()
    steps.earlier = [replace(EARLIER, annex=replace(EARLIER.annex, money=money))]
    run(max_dollars=None if dollars is None else Decimal(dollars))
    assert ("forget us-east-1" in steps.done) is not finished
    assert steps.done[-1] == f"carry out {5 if finished else 2} machines on demand in us-east-1"
