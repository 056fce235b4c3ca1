"""``annex-bootstrap`` alone: where one stands, and the one next command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from annex_bootstrap.annexes.leases import Lease
from annex_bootstrap.annexes.overview import Overview
from annex_bootstrap.commands import overview as module
from annex_bootstrap.commands.overview import show_overview
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.pool import blocks
from annex_bootstrap.pool.blocks import Section
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, a_stack

AT_1033 = 1_800_009_180


@pytest.fixture
def config(home: Path) -> Path:
    """A configuration that names one stack in each of two regions."""
    path = home / ".condor" / "user_config"
    path.parent.mkdir()
    block = blocks.Block(tuple(blocks.section("mine", region, OUTPUTS) for region in ("eu-west-1", "us-east-1")))
    path.write_text(blocks.render_block(block.prefer("us-east-1")))
    return path


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], known: Overview, region: str = "us-east-1"
) -> list[str]:
    """Return what is printed where AWS answers so."""

    def ask(section: Section) -> Overview:
        assert (section.stack_name, section.region) == ("mine", region)
        return known

    monkeypatch.setattr(module, "ask_overview", ask)
    show_overview(Screen())
    return capsys.readouterr().out.splitlines()


WHERE = "--stack-name mine --region us-east-1"
WITHOUT_START = replace(a_stack(), outputs={name: value for name, value in OUTPUTS.items() if name != "StartPolicyARN"})


def test_without_a_stack_setup_comes_next(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_overview(Screen())
    assert capsys.readouterr().out.splitlines() == [
        f"No stack is named in {home}/.condor/user_config.",
        "Next:",
        "  annex-bootstrap setup  # does everything; shows each step and asks first",
    ]


def test_the_stack_of_the_machines_configuration_is_for_all_its_users(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "shared_sections", lambda: [Section("mine", "", "us-east-1")])
    said = shown(monkeypatch, capsys, Overview(a_stack()))
    assert said[:3] == [
        "The stack mine in us-east-1 is named in this machine's HTCondor configuration.",
        "Ready. No annex runs.",
        "Next:",
    ]
    assert said[3].startswith(f"  annex-bootstrap start my-first-annex --count 1 {WHERE}  # ")


def test_what_is_not_known_is_for_the_doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    assert shown(monkeypatch, capsys, Overview(error="AWS did not answer within a second")) == [
        f"The stack mine in us-east-1 is named in {config}.",
        "Whether annexes run is not known: AWS did not answer within a second.",
        "Next:",
        f"  annex-bootstrap doctor {WHERE}  # finds out why",
    ]


@pytest.mark.parametrize("count", [1, 4, 5, 7])
def test_four_annexes_are_named_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path, count: int
) -> None:
    leases = tuple(Lease(f"annex{number}", AT_1033 if number else None, {}) for number in range(count))
    lines = shown(monkeypatch, capsys, Overview(a_stack(), leases))
    assert lines[0] == f"The stack mine in us-east-1 is named in {config}."
    assert lines[1:-2] == [
        "  annex0 runs until an unknown time",
        *(f"  annex{number} runs until 2027-01-15 10:33 UTC" for number in range(1, min(count, 4))),
        *([f"  and {count - 4} more"] if count > 4 else []),
    ]
    assert lines[-2:] == ["Next:", f"  annex-bootstrap leases {WHERE}  # shows machines and cost"]


def test_where_annexes_need_keys_credentials_come_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    assert shown(monkeypatch, capsys, Overview(WITHOUT_START))[1:] == [
        "There are no keys for running annexes yet.",
        "Next:",
        f"  annex-bootstrap credentials {WHERE}  # makes them",
    ]
    config.write_text(config.read_text() + "us_east_1.ANNEX_DEFAULT_ACCESS_KEY_FILE = /key\n")
    assert shown(monkeypatch, capsys, Overview(WITHOUT_START))[1:] == [
        "Ready. No annex runs.",
        "Next:",
        "  condor_annex -count 1 -annex-name my-first-annex  # rents one machine",
    ]


def test_where_start_works_it_comes_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    assert config.exists()
    assert shown(monkeypatch, capsys, Overview(a_stack()))[1:] == [
        "Ready. No annex runs.",
        "Next:",
        (
            f"  annex-bootstrap start my-first-annex --count 1 {WHERE}  # rents one machine; needs the policy that "
            "StartPolicyARN names"
        ),
    ]
    # It cannot make tokens.
    monkeypatch.setattr(module, "version", lambda: (8, 8, 0))
    assert shown(monkeypatch, capsys, Overview(a_stack()))[1] == "There are no keys for running annexes yet."
