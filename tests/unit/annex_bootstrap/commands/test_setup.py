"""``setup``: the order of its steps, what each is given, and where it stops."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annex_bootstrap.commands import setup as module
from annex_bootstrap.commands.setup import SetupResult, Starting, setup
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import AwsError, DeniedError, UserError
from annex_bootstrap.policies.starters import Starter
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.commands.conftest import a_stack, described
from tests.unit.recorded import Recorded, RefusedError

POLICY = "arn:aws:iam::123456789012:policy"
CLOSED = {"CondorCidrs": "", "SshCidrs": ""}
NO_STACK = RefusedError("ValidationError", "Stack with id annex-bootstrap does not exist")


class Steps:
    """What the command does, instead of doing it.

    Attributes:
        done: each step with what it was given.
        quiet: whether the screen names no next step meanwhile.
        deployed: the stack that is there before.
        stack: what ``deploy`` did.
        pool: what ``pool-config`` did.
        diagnosis: what ``doctor`` found.
        failing: the step that fails.
        target: what each is given.
        elsewhere: why the pool cannot be configured here.
    """

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.quiet: list[bool] = []
        self.deployed: Stack | None = None
        self.stack = SimpleNamespace(declined=False, ok=True)
        self.pool = SimpleNamespace(changed=False, complete=True)
        self.diagnosis = SimpleNamespace(ok=True)
        self.failing = ""
        self.elsewhere = ""
        self.version: tuple[int, int, int] | None = None
        self.lets_start = False
        self.refusal: AwsError | None = None
        self.so_far = ["alice"]
        self.granting: Exception | None = None
        self.target = Target()
        self.found = a_stack()

    def _do(self, screen: Screen, name: str, *given: Any) -> None:
        self.quiet.append(screen.quiet)
        if name == self.failing:
            raise UserError("it fails")
        self.done.append((name, *given))

    def find_deployed(self, account: Any, name: str) -> Stack:
        assert (account.region, name) == ("us-east-1", "annex-bootstrap")
        return self.found

    def find_refusal(self, account: Any, stack: Stack) -> AwsError | None:
        assert (account.region, stack) == ("us-east-1", self.found)
        return self.refusal

    def grant(self, _account: Any, stack: Stack, starter: Starter) -> None:
        assert stack == self.found
        if self.granting:
            raise self.granting
        self.done.append(("grant", str(starter)))

    def deploy(self, screen: Screen, target: Target, parameters: Any, **options: Any) -> Any:
        assert target == self.target
        self._do(screen, "deploy", dict(parameters), options)
        return self.stack

    def credentials(self, screen: Screen, target: Target, **options: Any) -> Any:
        assert target == self.target
        self._do(screen, "credentials", options)
        return "keys"

    def pool_config(self, screen: Screen, **options: Any) -> Any:
        self._do(screen, "pool", options)
        return self.pool

    def doctor(self, screen: Screen, target: Target) -> Any:
        assert target == self.target
        self._do(screen, "doctor")
        return self.diagnosis


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, home: Path) -> Steps:
    made = Steps()
    for name in ("deploy", "credentials", "pool_config", "doctor", "find_refusal", "grant"):
        monkeypatch.setattr(module, name, getattr(made, name))
    monkeypatch.setattr(module, "show", lambda _screen, finding: made.done.append(("quota", finding)))
    monkeypatch.setattr(
        module, "Quota", SimpleNamespace(of=lambda account: SimpleNamespace(judge=lambda: account.region))
    )
    monkeypatch.setattr(module, "_pool_is_elsewhere", lambda: made.elsewhere)
    monkeypatch.setattr(module, "version", lambda: made.version)
    monkeypatch.setattr(module, "find_pool_file", lambda _: home / "pool")
    monkeypatch.setattr(module, "users_so_far", lambda path: made.so_far if path == home / "pool" else None)
    monkeypatch.setattr(module, "lets_start", lambda user: made.lets_start and user == "alice")
    monkeypatch.setattr(module, "user_name", lambda: "alice")
    monkeypatch.setattr(module, "find_deployed", made.find_deployed)
    monkeypatch.setattr(Screen, "ask", lambda *_: [])
    return made


Run = Callable[..., SetupResult]


@pytest.fixture
def run(steps: Steps, screen: Screen, targeted: Callable[..., Target], home: Path) -> Run:
    def run(parameters: dict[str, str] | None = None, **options: Any) -> SetupResult:
        account = Recorded(
            ListAccountAliases={"AccountAliases": ["lab"]},
            DescribeStacks=NO_STACK if steps.deployed is None else described(steps.deployed),
        )
        steps.target = targeted(account)
        return setup(screen, steps.target, parameters or {}, directory=home, **options)

    return run


def test_the_steps_come_one_after_another_and_point_nowhere_before_the_last(
    steps: Steps, run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run({"CondorPort": "9700"}, yes=True)
    assert steps.done == [
        ("quota", "us-east-1"),
        ("deploy", {**CLOSED, "CondorPort": "9700"}, {"tags": (), "monthly_budget": None, "mail": None, "yes": True}),
        ("credentials", {"directory": home, "boundary": ""}),
        ("pool", {"collector": "", "users": (), "ask": False}),
        ("doctor",),
    ]
    assert steps.quiet == [True] * 4
    assert done == SetupResult(
        "123456789012",
        "us-east-1",
        True,
        steps.stack,  # type: ignore[arg-type]  # what deploy gave
        Starting(True),
        "keys",  # type: ignore[arg-type]  # what credentials gave
        steps.pool,  # type: ignore[arg-type]  # what pool-config gave
        steps.diagnosis,  # type: ignore[arg-type]  # what doctor gave
    )
    assert done.ok
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Step")] == [
        "Step 1 of 5: AWS account",
        "Step 2 of 5: Stack",
        "Step 3 of 5: Who starts annexes",
        "Step 4 of 5: Pool",
        "Step 5 of 5: Check",
    ]
    assert "Account 123456789012 (lab), region us-east-1." in lines
    assert lines[-2] == "Next:"
    assert lines[-1].startswith("  annex-bootstrap start my-first-annex --count 1  # rents one machine; needs the")


def test_every_option_reaches_its_step(steps: Steps, run: Run, home: Path) -> None:
    run(
        tags=("a=b",),
        monthly_budget="50",
        mail="a@example.org",
        roles_boundary=f"{POLICY}/roles",
        users_boundary=f"{POLICY}/users",
        collector="public:9700",
        users=("bob",),
    )
    assert steps.done[1:4] == [
        (
            "deploy",
            {**CLOSED, "PermissionsBoundaryArn": f"{POLICY}/roles"},
            {"tags": ("a=b",), "monthly_budget": "50", "mail": "a@example.org", "yes": False},
        ),
        ("credentials", {"directory": home, "boundary": f"{POLICY}/users"}),
        ("pool", {"collector": "public:9700", "users": ("bob",), "ask": True}),
    ]


@pytest.mark.parametrize(
    ("deployed", "given", "open_ports", "chosen"),
    [
        (None, {}, False, CLOSED),
        (None, {"CondorCidrs": "192.0.2.0/24"}, False, {"CondorCidrs": "192.0.2.0/24", "SshCidrs": ""}),
        (None, {"Image": "yes"}, False, {**CLOSED, "Image": "yes"}),
        # No start without an image, and condor_annex needs the ports.
        (None, {"Image": "no"}, False, {"Image": "no"}),
        (None, {}, True, {}),
        (a_stack(), {}, False, {}),
        (a_stack(), {"CondorPort": "9700"}, False, {"CondorPort": "9700"}),
    ],
)
def test_only_a_new_stack_that_can_start_closes_its_ports(
    steps: Steps,
    run: Run,
    deployed: Stack | None,
    given: dict[str, str],
    open_ports: bool,
    chosen: dict[str, str],
) -> None:
    steps.deployed = deployed
    run(given, open_ports=open_ports)
    assert [step[1] for step in steps.done if step[0] == "deploy"] == [chosen]


def test_no_user_is_made_where_that_is_asked_for(steps: Steps, run: Run) -> None:
    done = run(without_user=True)
    assert "credentials" not in [step[0] for step in steps.done]
    assert (done.credentials, done.complete) == (None, True)


@pytest.mark.parametrize(("declined", "ok"), [(True, True), (False, False)])
def test_it_stops_where_the_stack_does_not_stand(
    steps: Steps, run: Run, home: Path, capsys: pytest.CaptureFixture[str], declined: bool, ok: bool
) -> None:
    steps.stack = SimpleNamespace(declined=declined, ok=ok)
    done = run(collector="public", users=("a", "b"), without_user=True, open_ports=True)
    assert steps.done[-1][0] == "deploy"
    assert done == SetupResult("123456789012", "us-east-1", deployment=steps.stack)  # type: ignore[arg-type]  # what deploy gave
    assert (done.ok, done.credentials, done.pool, done.doctor) == (False, None, None, None)
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Stopped. annex-bootstrap setup --collector public --user a --user b --without-user --open-ports "
        f"--config {home}/user_config goes on from here."
    )


@pytest.mark.parametrize(
    ("changed", "complete", "goes_on"), [(True, True, False), (False, False, False), (False, True, True)]
)
def test_after_a_change_of_the_pool_it_stops_before_the_check(
    steps: Steps, run: Run, changed: bool, complete: bool, goes_on: bool
) -> None:
    steps.pool = SimpleNamespace(changed=changed, complete=complete)
    done = run()
    assert (steps.done[-1][0] == "doctor") is goes_on
    assert done.ok is goes_on


def test_a_problem_that_the_check_finds_is_left_to_do(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.diagnosis = SimpleNamespace(ok=False)
    assert not run().ok
    assert (
        capsys.readouterr().out.splitlines()[-1].startswith("Solve the problems above, then run annex-bootstrap setup")
    )


@pytest.mark.parametrize(
    ("failing", "where"),
    [
        ("deploy", "step 2 of 5 (Stack)"),
        ("credentials", "step 3 of 5 (Who starts annexes)"),
        ("pool", "step 4 of 5 (Pool)"),
        ("doctor", "step 5 of 5 (Check)"),
    ],
)
def test_a_step_that_fails_is_named_with_the_line_that_goes_on(
    steps: Steps, run: Run, screen: Screen, failing: str, where: str
) -> None:
    steps.failing = failing
    with pytest.raises(UserError) as failed:
        run()
    assert str(failed.value).startswith(f"{where}: it fails; then run annex-bootstrap setup --config ")
    assert not screen.quiet


def test_the_pool_is_configured_here_where_its_file_or_the_directory_for_one_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here: dict[str, tuple[int, int, int] | None] = {"version": None}
    asked, allowed = list[tuple[Path, int]](), True

    def access(path: Path, mode: int) -> bool:
        asked.append((path, mode))
        return allowed

    monkeypatch.setattr(module, "version", lambda: here["version"])
    monkeypatch.setattr(module, "find_pool_file", lambda _: tmp_path / "pool")
    monkeypatch.setattr(os, "access", access)
    assert module._pool_is_elsewhere() == "there is no HTCondor on this machine"
    here["version"] = (23, 9, 6)
    assert module._pool_is_elsewhere() == ""
    (tmp_path / "pool").write_text("")
    allowed = False
    assert module._pool_is_elsewhere() == f"{tmp_path / 'pool'} belongs to somebody else"
    assert asked == [(tmp_path, os.W_OK), (tmp_path / "pool", os.W_OK)]


def test_where_the_pool_is_elsewhere_what_to_run_there_is_said(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.elsewhere = "it belongs to somebody else"
    assert run(collector="public").complete
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("Skipped: it belongs to somebody else.")
    assert lines[at + 2 : at + 4] == [
        "  annex-bootstrap pool-config --collector public --print  # shows what it changes",
        "  annex-bootstrap pool-config --collector public",
    ]
    steps.version = (23, 9, 6)
    run()
    assert "  annex-bootstrap pool-config --user alice" in capsys.readouterr().out.splitlines()
    steps.lets_start = True
    run()
    assert "already lets you start annexes." in capsys.readouterr().out


DENIED = DeniedError("denied", code="UnauthorizedOperation", reason="not yours")
UNKNOWN = AwsError("no answer", code="", reason="")
ATTACH = "aws iam attach-{0}-policy --{0}-name {1} --policy-arn arn:aws:iam::123456789012:policy/annex-bootstrap/"
ATTACH += "annex-bootstrap-StartPolicy-A"


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Press Enter at every question, and keep each with what Enter means."""
    asked: list[tuple[str, str]] = []

    def ask(_: Screen, question: str, default: str, read: Callable[[str], Any], option: str) -> Any:
        asked.append((question, default))
        assert option == "--starter"
        return read(default)

    monkeypatch.setattr(Screen, "ask", ask)
    return asked


@pytest.mark.parametrize(
    ("refusal", "yes", "questions", "granted"),
    [
        (None, False, [("Who else? user/NAME, role/NAME or group/NAME; Enter for nobody", "")], []),
        (None, True, [], []),
        (DENIED, False, [("Who starts annexes? user/NAME, role/NAME or group/NAME", "user/alice")], ["user/alice"]),
        (DENIED, True, [], ["user/alice"]),
        (UNKNOWN, False, [("Who starts annexes? user/NAME, role/NAME or group/NAME; Enter for nobody", "")], []),
        (UNKNOWN, True, [], []),
    ],
)
def test_who_starts_annexes_is_asked_and_gets_the_right(
    steps: Steps,
    run: Run,
    answer: list[tuple[str, str]],
    refusal: AwsError | None,
    yes: bool,
    questions: list[tuple[str, str]],
    granted: list[str],
) -> None:
    steps.refusal = refusal
    starting = run(yes=yes).starting
    assert starting is not None
    assert answer == questions
    assert [who for step, *who in steps.done if step == "grant"] == [[who] for who in granted]
    assert starting.granted == tuple(granted)
    assert starting.caller_may is (None if refusal is UNKNOWN else refusal is None)


def test_those_who_are_named_get_the_right_without_a_question(
    steps: Steps, run: Run, answer: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    steps.diagnosis = SimpleNamespace(ok=False)
    done = run(starters=[Starter("user", "bob"), Starter("group", "lab")], without_user=True)
    assert answer == []
    assert done.starting == Starting(True, ("user/bob", "group/lab"))
    lines = capsys.readouterr().out.splitlines()
    assert "group/lab has the policy annex-bootstrap-StartPolicy-A." in lines
    assert "annex-bootstrap setup --without-user --starter user/bob --starter group/lab --config" in lines[-1]


def test_an_administrator_gets_the_lines_for_those_whom_this_user_may_not_grant_it(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.refusal = steps.granting = DENIED
    done = run(starters=[Starter("user", "bob"), Starter("group", "lab")])
    expected = [ATTACH.format("user", "bob"), ATTACH.format("group", "lab")]
    assert done.starting == Starting(False, (), tuple(expected))
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("So that user/bob and group/lab may start annexes, an administrator runs:")
    assert lines[at - 1 : at + 3] == [
        "Your AWS credentials may not start annexes yet.",
        lines[at],
        *(f"  {line}" for line in expected),
    ]


def test_where_the_stacks_roles_have_a_boundary_nobody_but_an_administrator_grants_it(steps: Steps, run: Run) -> None:
    steps.found = a_stack(parameters={"PermissionsBoundaryArn": f"{POLICY}/roles"})
    done = run(starters=[Starter("role", "lab")])
    assert "grant" not in [step[0] for step in steps.done]
    assert done.starting is not None
    assert done.starting.commands[0].startswith("aws iam put-role-permissions-boundary --role-name lab")


def test_a_stack_without_machines_for_start_needs_no_right(steps: Steps, run: Run) -> None:
    outputs = {name: value for name, value in steps.found.outputs.items() if name != "StartPolicyARN"}
    steps.found = replace(steps.found, outputs=outputs)
    assert run().starting is None


@pytest.mark.parametrize(
    ("so_far", "options", "asks"),
    [
        ([], {}, True),
        ([], {"yes": True}, False),
        ([], {"users": ("bob",)}, False),
        (["alice"], {}, False),
    ],
)
def test_where_nobody_is_known_to_start_annexes_in_the_pool_that_is_asked(
    steps: Steps, run: Run, monkeypatch: pytest.MonkeyPatch, so_far: list[str], options: dict[str, Any], asks: bool
) -> None:
    def ask(_: Screen, question: str, default: str, read: Callable[[str], Any], option: str) -> Any:
        if option == "--starter":
            return []
        assert (question, default, option) == (
            "Which users of this pool start annexes? NAME; Enter for nobody",
            "",
            "--user",
        )
        return read("carol, dave@other")

    monkeypatch.setattr(Screen, "ask", ask)
    steps.so_far = so_far
    run(**options)
    (given,) = [step[1]["users"] for step in steps.done if step[0] == "pool"]
    assert given == (("carol", "dave@other") if asks else options.get("users", ()))
