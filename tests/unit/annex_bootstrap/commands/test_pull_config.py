"""``pull-config``: what it writes, compares and prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from annex_bootstrap.commands.pull_config import Comparison, pull_config
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool import blocks
from annex_bootstrap.target import Target
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, a_stack, described
from tests.unit.recorded import Recorded, RefusedError

EAST = blocks.section("annex-bootstrap", "us-east-1", OUTPUTS)
BLOCK = blocks.render_block(blocks.Block((EAST,)))
KNOB = f"{blocks.local_name('us-east-1')}.ANNEX_DEFAULT_S3_BUCKET"
TWO = blocks.Block((EAST, blocks.section("annex-bootstrap", "eu-west-1", OUTPUTS)))

Run = Callable[..., Comparison]


@pytest.fixture
def run(screen: Screen, targeted: Callable[..., Target], monkeypatch: pytest.MonkeyPatch) -> Run:
    # The same stack in every region: that its outputs are of another one is tried elsewhere.
    monkeypatch.setattr("annex_bootstrap.stack.read.find_foreign_output", lambda *_: "")

    def run(*regions: str, answer: Any = None, **options: Any) -> Comparison:
        absent = RefusedError("ValidationError", "no such resource")
        aws = Recorded(DescribeStacks=answer or described(a_stack()), DescribeStackResource=absent)
        return pull_config(screen, targeted(aws, *regions), **options)

    return run


def test_the_block_is_written_once_and_the_rest_of_the_file_stays(
    run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home / "user_config"
    file.write_text("MINE = 1\n")
    assert run() == Comparison(file, True, True, BLOCK)
    assert file.read_text().startswith("MINE = 1\n")
    assert BLOCK in file.read_text()
    assert capsys.readouterr().out == f"{file} now names the stack annex-bootstrap in us-east-1.\n"
    assert run() == Comparison(file, True, False, BLOCK)
    assert capsys.readouterr().out == f"{file} already names the stack annex-bootstrap in us-east-1.\n"


def test_a_line_that_has_no_effect_is_warned_of(run: Run, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / "user_config"
    run()
    file.write_text(f"{file.read_text()}{KNOB} = other\n")
    done = run()
    assert (done.ok, done.changed) == (True, False)
    assert done.warnings == (
        (
            f"{file} has lines outside the stack's block that override it in us-east-1, as condor_annex -setup writes "
            f"them: delete {KNOB}"
        ),
    )
    assert capsys.readouterr().err == f"annex-bootstrap: warning: {done.warnings[0]}\n"


def test_two_regions_are_written_and_one_of_them_is_preferred(
    run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home / "user_config"
    done = run("us-east-1", "eu-west-1", default_region="eu-west-1")
    assert capsys.readouterr().out == f"{file} now names the stack annex-bootstrap in us-east-1 and eu-west-1.\n"
    assert done.block == blocks.render_block(TWO.prefer("eu-west-1"))
    assert done.block in file.read_text()
    assert run("us-east-1", "eu-west-1").changed is False
    assert run("us-east-1", "eu-west-1", default_region="us-east-1").block == blocks.render_block(
        TWO.prefer("us-east-1")
    )


def test_a_comparison_writes_nothing_and_fails_where_the_file_differs(
    run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home / "user_config"
    done = run(check=True)
    assert (done, done.ok) == (Comparison(file, False, False, BLOCK), False)
    assert not file.exists()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["--- file", "+++ stack"]
    assert [line[1:] for line in lines if line.startswith("+")][1:] == BLOCK.splitlines()
    assert lines[-1] == f"{file} differs from the stack annex-bootstrap."
    run()
    capsys.readouterr()
    assert run(check=True) == Comparison(file, True, False, BLOCK)
    assert capsys.readouterr().out == f"{file} matches the stack annex-bootstrap.\n"


def test_the_block_alone_is_printed(run: Run, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(print_only=True) == Comparison(home / "user_config", True, False, BLOCK)
    assert capsys.readouterr().out == BLOCK
    assert not (home / "user_config").exists()


def test_comparing_and_printing_exclude_each_other(run: Run) -> None:
    with pytest.raises(click.UsageError, match="give either --check or --print"):
        run(check=True, print_only=True, answer=AssertionError("AWS is asked"))


@pytest.mark.parametrize("options", [{"check": True}, {"print_only": True}])
def test_a_file_that_cannot_be_written_can_be_compared_and_printed(
    run: Run, home: Path, options: dict[str, bool]
) -> None:
    (home / "user_config").mkdir()
    with pytest.raises(UserError, match="is a directory: give --config a file in it"):
        run(answer=AssertionError("AWS is asked"))
    (home / "user_config").rmdir()
    assert run(**options).changed is False


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            RefusedError("ValidationError", "Stack with id annex-bootstrap does not exist"),
            "there is no stack annex-bootstrap in us-east-1: run annex-bootstrap deploy first",
        ),
        (
            described(a_stack(parameters={"BucketName": "theirs"})),
            "the output S3BucketName of the stack annex-bootstrap is not what annex-bootstrap puts there",
        ),
    ],
)
def test_a_stack_that_is_missing_or_whose_outputs_are_not_its_own_is_refused(
    run: Run, home: Path, answer: Any, text: str
) -> None:
    with pytest.raises(UserError, match=text):
        run(answer=answer)
    assert not (home / "user_config").exists()
