"""``launch-url``, ``generate-role``, ``local``, ``demo`` and ``completion``: commands that ask no stack."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from annex_bootstrap.commands import launch_url as launch_url_module
from annex_bootstrap.commands.completion import completion
from annex_bootstrap.commands.demo import demo
from annex_bootstrap.commands.generate_role import generate_role
from annex_bootstrap.commands.launch_url import LaunchUrl, launch_url
from annex_bootstrap.commands.local import local, local_extra
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.main import commands
from annex_bootstrap.policies.generate_role import role_template
from annex_bootstrap.target import Target

URL = "https://bucket.s3.amazonaws.com/annex-bootstrap.template.json"


@pytest.mark.parametrize(("given", "found"), [("eu-west-1", "eu-west-1"), (None, "us-east-1")])
def test_the_link_fills_in_the_stack_in_the_region_of_the_profile(
    screen: Screen,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    narrow: Callable[[], None],
    given: str | None,
    found: str,
) -> None:
    def open_session(region: str | None, profile: str | None) -> Any:
        assert (region, profile) == (given, "me")
        return SimpleNamespace(region_name=region or "us-east-1")

    monkeypatch.setattr(launch_url_module, "open_session", open_session)
    target = Target("mine", (given,) if given else (), "me")
    link = (
        f"https://console.aws.amazon.com/cloudformation/home?region={found}"
        "#/stacks/create/review?templateURL=https%3A%2F%2Fbucket.s3.amazonaws.com%2Fannex-bootstrap.template.json"
        "&stackName=mine&param_CondorPort=9700"
    )
    narrow()
    assert launch_url(screen, target, URL, {"CondorPort": "9700"}) == LaunchUrl(found, "mine", link)
    assert capsys.readouterr().out == f"{link}\n"


@pytest.mark.parametrize(
    ("region", "url", "parameters", "text"),
    [
        (None, URL, {}, "no AWS region is chosen: add --region, or set AWS_REGION"),
        ("us-east-1", "http://x", {}, "http://x"),
        ("us-east-1", URL, {"NoSuch": "1"}, "there is no parameter NoSuch"),
        ("mars-north-1", URL, {}, "mars-north-1"),
    ],
)
def test_a_link_that_cannot_work_is_refused(
    screen: Screen,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    region: str | None,
    url: str,
    parameters: dict[str, str],
    text: str,
) -> None:
    monkeypatch.setattr(launch_url_module, "open_session", lambda *_: SimpleNamespace(region_name=region))
    with pytest.raises(UserError, match=text):
        launch_url(screen, Target(), url, parameters)
    assert capsys.readouterr().out == ""


def test_the_role_of_the_guide_is_printed(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    generate_role(screen, "a-bucket", "config-*.tar.gz")
    expected = role_template("a-bucket", "config-*.tar.gz")
    assert capsys.readouterr().out == json.dumps(expected, indent=2) + "\n"


class Unavailable(Exception):  # noqa: N818 (stands in for the local AWS's)
    """This computer cannot run machines."""


class LocalAws:
    """The local AWS, as far as the command starts it.

    Attributes:
        started: how much faster schedules run, and the machines' settings, of each start.
        ended: how many have ended.
        problem: why this computer cannot run machines.
    """

    def __init__(self) -> None:
        self.started: list[tuple[int, Any]] = []
        self.ended = 0
        self.problem = ""

    @contextmanager
    def local_aws(self, speed: int, *, machines: Any) -> Iterator[Any]:
        self.started.append((speed, machines))
        yield SimpleNamespace(root="root", environ=lambda who: {"AWS_KEY": f"of {who}", "AWS_URL": "http://x"})
        self.ended += 1

    @contextmanager
    def machines_here(self) -> Iterator[str]:
        if self.problem:
            raise Unavailable(self.problem)
        yield "settings"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> LocalAws:
    made = LocalAws()
    content: dict[str, dict[str, Any]] = {
        "local_aws.launcher": {"local_aws": made.local_aws},
        "local_aws.machines.debian": {"UnavailableError": Unavailable},
        "local_aws.machines.here": {"machines_here": made.machines_here},
        "local_aws.demo.walkthrough": {"run": lambda: made.started.append((0, "demo"))},
    }
    for name, members in content.items():
        module = ModuleType(name)
        for key, value in members.items():
            setattr(module, key, value)
        monkeypatch.setitem(sys.modules, name, module)

    def wait(_event: threading.Event) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Event, "wait", wait)
    return made


@pytest.mark.parametrize(("machines", "settings"), [(False, None), (True, "settings")])
def test_a_local_aws_runs_until_ctrl_c_and_its_exports_are_printed(
    screen: Screen, aws: LocalAws, capsys: pytest.CaptureFixture[str], machines: bool, settings: str | None
) -> None:
    local(screen, 60, machines)
    assert (aws.started, aws.ended) == ([(60, settings)], 1)
    assert capsys.readouterr().out.splitlines() == [
        "# Paste these lines into another terminal. The keys are made up and end with this server.",
        "export AWS_KEY='of root'",
        "export AWS_URL=http://x",
        "# Running. Ctrl-C ends it and everything in it.",
        "",
        "# Ended.",
    ]


def test_where_machines_cannot_run_that_is_said_and_nothing_starts(screen: Screen, aws: LocalAws) -> None:
    aws.problem = "there is no QEMU"
    with pytest.raises(UserError, match="there is no QEMU"):
        local(screen, 1, True)
    assert aws.started == []


def test_the_demo_runs_the_walkthrough(screen: Screen, aws: LocalAws) -> None:
    demo(screen)
    assert aws.started == [(0, "demo")]


@pytest.mark.parametrize("missing", ["local_aws", "ministack", "trustme"])
def test_what_the_local_aws_needs_is_named_where_it_is_missing(missing: str) -> None:
    with (
        pytest.raises(UserError, match="in the checkout, run pipx inject annex-bootstrap"),
        local_extra(),
    ):
        raise ModuleNotFoundError(name=missing)


def test_another_module_that_is_missing_is_an_error_of_ours() -> None:
    with pytest.raises(ModuleNotFoundError), local_extra():
        raise ModuleNotFoundError(name="annex_bootstrap.nowhere")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_the_shell(shell: str) -> None:
    done = CliRunner().invoke(commands, ["completion", shell])
    assert (done.exit_code, done.output[-1:]) == (0, "\n")
    assert f"_ANNEX_BOOTSTRAP_COMPLETE={shell}_complete" in done.output
    assert "annex-bootstrap" in done.output


def test_there_is_none_for_other_shells(screen: Screen) -> None:
    with pytest.raises(click.UsageError, match="there is no completion for tcsh"):
        completion(screen, "tcsh")
