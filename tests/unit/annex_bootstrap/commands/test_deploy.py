"""``deploy``: what it asks, in which order things happen, and what it leaves where it is not to go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.commands import deploy as module
from annex_bootstrap.commands.deploy import Deployment, RegionDeployment, deploy
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines import prices
from annex_bootstrap.pool.pull import Pulled
from annex_bootstrap.stack import budget, deployment
from annex_bootstrap.stack.change_set import ChangeSet
from annex_bootstrap.stack.deployment import DeployRequest, Preview
from annex_bootstrap.stack.image import Base
from annex_bootstrap.stack.plan import Change, Step
from annex_bootstrap.stack.read import Stack
from annex_bootstrap.stack.template import plan_parameters
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, STACK_ID, Asked, a_stack
from tests.unit.annex_bootstrap.stack.sample_stack import TEMPLATE
from tests.unit.recorded import Recorded

ADDED = Change("Add", "Bucket", "Custom::AnnexBucket", False, ())
CHANGE_SET = ChangeSet("arn:change-set", STACK_ID, (ADDED,))


class Steps:
    """What the command does, instead of doing it.

    Attributes:
        done: in order.
        previews: by region.
        failing: what fails.
        requests: what was asked for.
        pulled: the stacks that the configuration was to name.
        pulled_anything: whether that changes it.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self.previews = {"us-east-1": preview(Step.CREATE)}
        self.failing: set[str] = set()
        self.requests: list[DeployRequest] = []
        self.pulled: list[Any] = []
        self.pulled_anything = True

    def _do(self, what: str) -> None:
        if what.partition(" ")[0] in self.failing:
            raise UserError(f"{what} fails")
        self.done.append(what)

    def preview(self, account: Any, request: DeployRequest, _watcher: object) -> Preview:
        self.requests.append(request)
        self._do(f"preview {account.region}")
        return self.previews[account.region]

    def execute(self, account: Any, _request: object, ahead: Preview, _watcher: object) -> Stack:
        assert ahead == self.previews[account.region]
        self._do(f"execute {account.region}")
        return a_stack("CREATE_COMPLETE")

    def discard(self, account: Any, name: str, change_set: str) -> None:
        assert change_set == self.requests[0].change_set
        self._do(f"discard {name} {account.region}")

    def pull(self, stacks: Any, path: Path) -> Pulled:
        self.pulled.append(stacks)
        self._do("pull")
        return Pulled(path, True, ("a warning",)) if self.pulled_anything else Pulled(path, False)

    def set_budget(self, account: Any, _stack: Stack, wanted: budget.Budget) -> bool:
        self._do(f"budget {wanted.monthly} {wanted.mail} {account.region}")
        return True


CLOSED = {"CondorCidrs": "", "SshCidrs": ""}


def preview(
    step: Step,
    stack: Stack | None = None,
    change_set: ChangeSet | None = CHANGE_SET,
    given: dict[str, str] | None = None,
    **more: Any,
) -> Preview:
    parameters = plan_parameters(TEMPLATE, stack, given or {})
    return Preview("annex-bootstrap", step, stack, parameters, change_set, "", **more)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    monkeypatch.setattr(deployment, "preview", made.preview)
    monkeypatch.setattr(deployment, "execute", made.execute)
    monkeypatch.setattr(budget, "set_budget", made.set_budget)
    monkeypatch.setattr(module, "discard_change_set", made.discard)
    monkeypatch.setattr(module, "pull", made.pull)
    monkeypatch.setattr(module, "version", lambda: None)
    monkeypatch.setattr(prices, "on_demand", lambda *_: {})
    return made


Run = Callable[..., Deployment]


@pytest.fixture
def run(screen: Screen, targeted: Callable[..., Target]) -> Run:
    def run(*regions: str, parameters: dict[str, str] | None = None, yes: bool = True, **options: Any) -> Deployment:
        account = Recorded(ListAccountAliases={"AccountAliases": []})
        return deploy(screen, targeted(account, *regions), parameters or {}, yes=yes, **options)

    return run


def test_a_stack_is_previewed_executed_and_then_named_in_the_configuration(
    steps: Steps, run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(parameters={"CondorPort": "9700"})
    assert steps.done == ["preview us-east-1", "execute us-east-1", "pull"]
    (request,) = steps.requests
    assert (request.stack_name, dict(request.given), request.allow_downgrade) == (
        "annex-bootstrap",
        {"CondorPort": "9700"},
        False,
    )
    assert done.regions == (
        RegionDeployment("us-east-1", "annex-bootstrap", "CREATE_COMPLETE", Step.CREATE, (ADDED,), OUTPUTS),
    )
    assert (done.ok, done.declined, done.configuration) == (
        True,
        False,
        Pulled(home / "user_config", True, ("a warning",)),
    )
    assert steps.pulled == [{"us-east-1": a_stack()}]
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "Creates the stack annex-bootstrap:"
    assert "Where    account 123456789012, us-east-1" in said.out.splitlines()
    assert "CREATE_COMPLETE: annex-bootstrap in us-east-1" in said.out
    assert f"{home}/user_config now names the stack annex-bootstrap in us-east-1." in said.out
    assert "annex-bootstrap: warning: a warning\n" in said.err


def test_no_means_that_the_change_set_is_discarded(
    steps: Steps, run: Run, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.answer = False
    done = run(yes=False)
    assert asked.questions == [("Go ahead in account 123456789012, us-east-1?", False)]
    assert steps.done == ["preview us-east-1", "discard annex-bootstrap us-east-1"]
    assert (done.declined, done.ok, done.configuration) == (True, True, None)
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing was changed."


@pytest.mark.parametrize(
    ("ahead", "default"),
    [
        (preview(Step.CREATE, given={"CondorCidrs": "192.0.2.0/24", "SshCidrs": ""}), True),
        (preview(Step.CREATE, given={"CondorCidrs": "", "SshCidrs": "::/0"}), False),
        (preview(Step.REPLACE_FAILED, a_stack("ROLLBACK_COMPLETE"), None, given={"CondorCidrs": "0.0.0.0/0"}), False),
        (preview(Step.UPDATE, a_stack(parameters=CLOSED), given={"SshCidrs": "192.0.2.0/24"}), True),
        (preview(Step.UPDATE, a_stack(parameters=CLOSED), given={"SshCidrs": "192.0.2.0/24, 0.0.0.0/0"}), False),
        (preview(Step.UPDATE, a_stack(parameters=CLOSED | {"SshCidrs": "0.0.0.0/0"})), True),
    ],
)
def test_enter_is_a_no_where_a_port_opens_to_everyone(
    steps: Steps, run: Run, asked: Asked, ahead: Preview, default: bool
) -> None:
    steps.previews["us-east-1"] = ahead
    run(yes=False)
    assert asked.questions == [("Go ahead in account 123456789012, us-east-1?", default)]


def test_a_dry_run_asks_nothing_and_leaves_no_change_set(steps: Steps, run: Run, asked: Asked) -> None:
    done = run(yes=False, dry_run=True)
    assert (asked.questions, done.declined) == ([], False)
    assert steps.done == ["preview us-east-1", "discard annex-bootstrap us-east-1"]


def test_an_interrupted_preview_leaves_no_change_set(steps: Steps, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_account: Any, request: DeployRequest, _watcher: object) -> Preview:
        steps.requests.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr(deployment, "preview", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert steps.done == ["discard annex-bootstrap us-east-1"]


def test_a_stack_that_is_up_to_date_is_only_named_and_nobody_is_asked(
    steps: Steps, run: Run, asked: Asked, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.previews["us-east-1"] = preview(Step.UPDATE, a_stack(), None)
    steps.pulled_anything = False
    done = run(yes=False)
    assert (asked.questions, steps.done) == ([], ["preview us-east-1", "pull"])
    assert done.regions == (RegionDeployment("us-east-1", "annex-bootstrap", "CREATE_COMPLETE", None, (), OUTPUTS),)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "The stack annex-bootstrap in us-east-1 is up to date.",
        f"{home}/user_config already names the stack annex-bootstrap in us-east-1.",
    ]


def test_the_configuration_is_left_alone_where_that_is_asked_for(steps: Steps, run: Run) -> None:
    assert run(no_pull=True).configuration is None
    assert steps.done == ["preview us-east-1", "execute us-east-1"]


def test_one_regions_failure_does_not_stop_the_others(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.previews["eu-west-1"] = preview(Step.CREATE)

    def execute(account: Any, *_: object) -> Stack:
        if account.region == "eu-west-1":
            raise UserError("no room")
        return a_stack()

    monkeypatch.setattr(deployment, "execute", execute)
    done = run("eu-west-1", "us-east-1")
    assert [(region.region, region.status, region.error) for region in done.regions] == [
        ("eu-west-1", None, "no room"),
        ("us-east-1", "CREATE_COMPLETE", None),
    ]
    assert (done.ok, list(steps.pulled[0])) == (False, ["us-east-1"])
    assert "annex-bootstrap: eu-west-1: no room\n" in capsys.readouterr().err


def test_a_preview_that_fails_changes_nothing(steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    steps.failing = {"preview"}
    done = run()
    assert (done.ok, done.configuration, steps.done) == (False, None, [])
    assert done.regions == (RegionDeployment("us-east-1", "annex-bootstrap", error="preview us-east-1 fails"),)
    assert capsys.readouterr().err == "annex-bootstrap: preview us-east-1 fails\n"


def test_a_budget_is_shown_before_and_set_after(steps: Steps, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(monthly_budget="49.90", mail="a@example.org")
    assert steps.done == ["preview us-east-1", "execute us-east-1", "budget 49.90 a@example.org us-east-1", "pull"]
    lines = capsys.readouterr().out.splitlines()
    assert (
        "Budget   49.90 US dollars a month: mail to a@example.org at 50, 80 and 100% of the actual cost, and when 100% "
        "is forecast"
    ) in lines
    assert "The budget annex-bootstrap-us-east-1 is set." in lines


WARNS = "         CloudFormation warns: Role: a quota"


@pytest.mark.parametrize(
    ("ahead", "lines"),
    [
        (
            preview(Step.REPLACE_FAILED, a_stack("ROLLBACK_COMPLETE"), None),
            [
                "Creates again, after a creation that failed, the stack annex-bootstrap:",
                "Deletes  what the failed creation left (ROLLBACK_COMPLETE)",
            ],
        ),
        (
            preview(Step.UPDATE, a_stack(), base=Base("ami-1", "a note")),
            ["Updates the stack annex-bootstrap:", "Changes  creates 1 resource", "Note     a note"],
        ),
        (
            preview(
                Step.UPDATE, a_stack(), replace(CHANGE_SET, warnings=("Role: a quota",)), base=Base("ami-1", "a note")
            ),
            ["Updates the stack annex-bootstrap:", "Changes  creates 1 resource", "Note     a note", WARNS],
        ),
    ],
)
def test_a_preview_says_what_happens(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str], ahead: Preview, lines: list[str]
) -> None:
    steps.previews["us-east-1"] = ahead
    run(dry_run=True)
    assert capsys.readouterr().out.splitlines()[: len(lines)] == lines


def test_verbose_names_every_resource_and_what_a_creation_costs_is_said(
    steps: Steps, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "on_demand", lambda _account, types: dict.fromkeys(types, Decimal("0.12")))
    run(dry_run=True, verbose=True)
    assert "Each     Add     Bucket  Custom::AnnexBucket" in capsys.readouterr().out.splitlines()
    assert steps.done == ["preview us-east-1", "discard annex-bootstrap us-east-1"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"parameters": {"CondorPort": "none"}}, "CondorPort"),
        ({"parameters": {"NoSuch": "1"}}, "NoSuch"),
        ({"monthly_budget": "5"}, "--monthly-budget and --mail belong together"),
    ],
)
def test_what_is_wrong_with_the_options_is_said_before_anything_is_asked_of_aws(
    steps: Steps, run: Run, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(UserError, match=text):
        run(**options)
    assert steps.done == []
