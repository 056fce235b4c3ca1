"""``delete``: what its preview says, what keeps it from going on, and the order in which things go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.annexes import ending
from annex_bootstrap.annexes.leases import Lease
from annex_bootstrap.commands import delete as module
from annex_bootstrap.commands.delete import Deletion, RegionDeletion, delete
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.blocks import Block, Section, render_block
from annex_bootstrap.stack import budget, staging
from annex_bootstrap.stack.read import Holder, Stack
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.commands.conftest import Asked, a_stack
from tests.unit.recorded import Recorded

LEASES = [Lease("first", 1, {}), Lease("second", 2, {})]
POLICY = "arn:aws:iam::123456789012:policy/annex-bootstrap/annex-bootstrap-AnnexUserPolicy-A"


class Steps:
    """What the command does, instead of doing it.

    Attributes:
        done: in order.
        stacks: by region.
        leases: of each stack.
        holders: of its policies.
        failing: what fails.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self.stacks: dict[str, Stack | None] = {"us-east-1": a_stack()}
        self.leases: list[Lease] = []
        self.holders: list[Holder] = []
        self.failing: set[str] = set()
        self.has_budget = False
        self.is_last = True

    def _do(self, what: str) -> None:
        if what.partition(" ")[0] in self.failing:
            raise UserError(f"{what} fails")
        self.done.append(what)

    def settle(self, account: Any, _name: str, _watcher: object) -> tuple[Stack | None, str]:
        return self.stacks[account.region], ""

    def find_leases(self, *_: object) -> list[Lease]:
        return self.leases

    def find_holders(self, *_: object) -> list[Holder]:
        return self.holders

    def end_annex(self, _account: object, _stack: Stack, lease: Lease) -> int:
        self._do(f"annex {lease.annex_id}")
        return 3

    def delete_stack(self, account: Any, stack: Stack, _watcher: object) -> None:
        self._do(f"stack {stack.name} {account.region}")

    def delete_budget(self, *_: object) -> bool:
        self._do("budget")
        return self.has_budget

    def delete_staging(self, account: Any, name: str) -> bool:
        self._do(f"staging {name} {account.region}")
        return self.is_last

    def credentials(self, _screen: object, _target: object, action: Any, **arguments: Any) -> None:
        self._do(f"user {action.name} {arguments}")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    for name in ("settle", "find_holders", "delete_stack", "credentials"):
        monkeypatch.setattr(module, name, getattr(made, name))
    monkeypatch.setattr(ending, "find_leases", made.find_leases)
    monkeypatch.setattr(ending, "end_annex", made.end_annex)
    monkeypatch.setattr(budget, "delete_budget", made.delete_budget)
    monkeypatch.setattr(staging, "delete", made.delete_staging)
    return made


Run = Callable[..., Deletion]


@pytest.fixture
def run(screen: Screen, targeted: Callable[..., Target]) -> Run:
    def run(*regions: str, yes: bool = True, **options: Any) -> Deletion:
        return delete(
            screen, targeted(Recorded(ListAccountAliases={"AccountAliases": []}), *regions), yes=yes, **options
        )

    return run


HEAD = "The stack annex-bootstrap in us-east-1, account 123456789012:"
ALWAYS = "  deletes its functions with their logs, roles, security group, policies, rule and alarms"
IMAGE = "  deletes the machine image ami-0a1b with its snapshots"
MADE = "  deletes the bucket annex-bootstrap-123456789012-0a1b2c3d-0a1b2c3d4e5f, unless it holds other things"
ADOPTED = "  keeps the bucket annex-bootstrap-123456789012-0a1b2c3d-0a1b2c3d4e5f, unless the stack made it"
ROLE = "  keeps the role annex-bootstrap-fleet-0a1b2c3d-0a1b2c3d4e5f, unless the stack made it"
TAIL = [
    "  deletes the staging bucket, unless another stack uses it",
    "  deletes the stack's part of the pool's configuration",
    "  keeps the account's two service-linked roles for spot",
]


@pytest.mark.parametrize(
    ("parameters", "lines"),
    [
        ({}, [IMAGE, MADE]),
        ({"BucketName": "mine"}, [IMAGE, ADOPTED]),
        ({"FleetRoleName": "mine"}, [IMAGE, MADE, ROLE]),
        ({"Image": "ami-mine"}, [MADE]),
        ({"Image": "no"}, [MADE]),
    ],
)
def test_a_preview_says_of_each_thing_whether_it_is_deleted_or_kept(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str], parameters: dict[str, str], lines: list[str]
) -> None:
    steps.stacks["us-east-1"] = a_stack(parameters=parameters)
    assert run().ok
    assert capsys.readouterr().out.splitlines() == [
        HEAD,
        ALWAYS,
        *lines,
        *TAIL,
        "DELETE_COMPLETE: annex-bootstrap in us-east-1",
    ]


def test_annexes_are_ended_before_the_stack_and_what_is_beside_it_goes_last(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.leases, steps.has_budget = LEASES, True
    done = run(end_annexes=True)
    assert steps.done == [
        "annex first",
        "annex second",
        "stack annex-bootstrap us-east-1",
        "budget",
        "staging annex-bootstrap us-east-1",
    ]
    assert done.regions == (RegionDeletion("us-east-1", "annex-bootstrap", True, ("first", "second")),)
    assert (done.ok, done.declined) == (True, False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "  ends these annexes and all their machines: first, second"
    assert lines[-4:] == [
        "  ended the annex first in us-east-1: 3 machines",
        "  ended the annex second in us-east-1: 3 machines",
        "  deleted the budget annex-bootstrap-us-east-1",
        "DELETE_COMPLETE: annex-bootstrap in us-east-1",
    ]


def test_while_annexes_have_a_lease_nothing_is_deleted(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.leases = LEASES
    done = run()
    assert (steps.done, done.ok) == ([], False)
    assert done.regions[0].annexes == ("first", "second")
    assert "these annexes still have a lease: first, second;" in capsys.readouterr().err


def test_a_protected_stack_is_not_deleted(steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    steps.stacks["us-east-1"] = a_stack(protected=True)
    assert not run().ok
    assert steps.done == []
    said = " ".join(capsys.readouterr().err.split())
    assert "update-termination-protection --no-enable-termination-protection --region us-east-1" in said


def test_no_means_that_nothing_is_changed(steps: Steps, run: Run, asked: Asked) -> None:
    asked.answer = False
    done = run(yes=False)
    assert asked.questions == [("Go ahead in account 123456789012, us-east-1?", False)]
    assert (steps.done, done.declined, done.ok, done.regions[0].deleted) == ([], True, True, False)


def test_without_a_stack_only_the_staging_bucket_goes_and_nobody_is_asked(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.stacks["us-east-1"] = None
    done = run(yes=False)
    assert steps.done == ["staging annex-bootstrap us-east-1"]
    assert done.regions == (RegionDeletion("us-east-1", "annex-bootstrap"),)
    assert capsys.readouterr().out == "There is no stack annex-bootstrap in us-east-1.\n"


def test_a_staging_bucket_that_other_stacks_use_stays_and_that_is_said(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.is_last = False
    assert run().ok
    kept = "  keeps the bucket annex-bootstrap-staging-123456789012-us-east-1: other stacks have their templates in it"
    assert capsys.readouterr().out.splitlines()[-2] == kept


def test_one_regions_failure_does_not_stop_the_others(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.stacks = {"us-east-1": a_stack(protected=True), "eu-west-1": a_stack()}
    done = run("us-east-1", "eu-west-1")
    assert [(region.region, region.deleted, region.error is None) for region in done.regions] == [
        ("us-east-1", False, False),
        ("eu-west-1", True, True),
    ]
    assert "annex-bootstrap: us-east-1: the stack annex-bootstrap is protected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failing", "deleted", "done"),
    [
        ("stack", False, []),
        ("budget", True, ["stack annex-bootstrap us-east-1", "staging annex-bootstrap us-east-1"]),
        ("staging", True, ["stack annex-bootstrap us-east-1", "budget"]),
    ],
)
def test_what_cannot_be_deleted_is_said_and_a_stack_that_is_gone_counts_as_gone(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str], failing: str, deleted: bool, done: list[str]
) -> None:
    steps.failing = {failing}
    ended = run()
    assert (ended.regions[0].deleted, ended.ok, steps.done) == (deleted, False, done)
    assert f"annex-bootstrap: {failing}" in capsys.readouterr().err


def test_users_that_credentials_made_are_offered_for_removal_and_others_are_named(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str], asked: Asked
) -> None:
    steps.holders = [Holder("user", "annex-bootstrap-alice", POLICY)]
    assert run(yes=False).ok
    assert asked.questions[0] == ("Remove the IAM user annex-bootstrap-alice with its keys first?", True)
    assert steps.done[0] == "user REMOVE {'user_name': 'annex-bootstrap-alice', 'yes': True}"
    steps.done.clear()
    steps.holders += [Holder("role", "somebody", POLICY), Holder("user", "bob", POLICY)]
    assert not run().ok
    assert steps.done == []
    said = capsys.readouterr().err
    assert "attached to the role somebody, the user annex-bootstrap-alice, the user bob" in said
    assert f"aws iam detach-role-policy --role-name somebody --policy-arn {POLICY}" in said
    assert f"aws iam detach-user-policy --user-name bob --policy-arn {POLICY}" in said
    assert "annex-bootstrap credentials --remove --user-name annex-bootstrap-alice --region us-east-1" in said


def test_what_is_left_on_this_machine_is_named(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    path = home / ".condor" / "annex-fleet-us-east-1.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    run()
    assert f"  rm {path}  # the spot fleet file" in capsys.readouterr().out.splitlines()
    assert steps.done[0] == "stack annex-bootstrap us-east-1"


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize(("name", "named"), [("annex-pool", True), ("annex-bootstrap", False)])
def test_a_pool_that_is_ready_for_annexes_is_named_with_the_line_that_takes_them_out(
    run: Run, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, named: bool
) -> None:
    pool = home / "90-annex-pool.config"
    pool.write_text(f"# BEGIN {name}\n# END {name}\n")
    monkeypatch.setattr(module, "find_pool_file", lambda *_, **__: pool)
    run()
    line = "  annex-bootstrap pool-config --remove  # takes annexes out of the pool's configuration"
    assert (line in capsys.readouterr().out.splitlines()) == named


@pytest.mark.usefixtures("steps")
def test_the_stacks_part_leaves_the_configuration_that_was_named(run: Run, home: Path) -> None:
    path = home / "user_config"
    section = Section("annex-bootstrap", "1.0.0", "us-east-1", {"ANNEX_DEFAULT_AWS_REGION": "us-east-1"})
    path.write_bytes(b"MINE = 1\n" + render_block(Block((section,))).encode())
    run()
    assert path.read_bytes() == b"MINE = 1\n"
