"""How a stack's events look on a terminal and in a pipe."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from annex_bootstrap.console import progress
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.stack.read import Event

BEGAN = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def event(resource: str, status: str, seconds: float = 0, reason: str = "") -> Event:
    kind = "AWS::CloudFormation::Stack" if resource == "annex-bootstrap" else "AWS::IAM::Role"
    at = BEGAN + timedelta(seconds=seconds)
    return Event(f"{resource}-{status}", at, resource, kind, status, reason)


def draw(board: progress.Board, width: int, height: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, height=height, force_terminal=True, color_system=None).print(board)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("height", [10, 24, 50])
def test_the_table_always_fits_the_terminal(width: int, height: int) -> None:
    regions = ["us-east-1", "ap-southeast-2"]
    board = progress.Board(regions, dict.fromkeys(regions, 40))
    for region in regions:
        watch = board.watcher(region)
        watch(event("annex-bootstrap", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"))
        for number in range(40):
            watch(event(f"ConnectivityExecRole{number}", "CREATE_IN_PROGRESS", number))
            watch(event(f"ConnectivityExecRole{number}", "CREATE_COMPLETE", number + 1))
    lines = draw(board, width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert "40 of 40" in lines[0]


def test_at_sixty_columns_the_names_of_resources_are_whole() -> None:
    board = progress.Board(["us-east-1"], {"us-east-1": 53})
    watch = board.watcher("us-east-1")
    now = (datetime.now(UTC) - BEGAN).total_seconds()
    watch(event("annex-bootstrap", "CREATE_IN_PROGRESS", now))
    watch(event("SecurityGroupFunctionPolicy", "CREATE_IN_PROGRESS", now))
    lines = draw(board, 60, 24)
    assert lines[0].split()[-3:] == ["0", "of", "53"]
    assert lines[1].split()[:2] == ["SecurityGroupFunctionPolicy", "CREATE_IN_PROGRESS"]


def test_what_is_in_progress_comes_last_and_is_never_cut() -> None:
    board = progress.Board(["us-east-1"], {})
    watch = board.watcher("us-east-1")
    watch(event("annex-bootstrap", "CREATE_IN_PROGRESS"))
    watch(event("Slow", "CREATE_IN_PROGRESS"))
    for number in range(30):
        watch(event(f"Quick{number}", "CREATE_COMPLETE", number))
    lines = draw(board, 80, 24)
    assert lines[0].split()[:2] == ["annex-bootstrap", "CREATE_IN_PROGRESS"]
    assert lines[-1].split()[:2] == ["Slow", "CREATE_IN_PROGRESS"]
    assert "us-east-1" not in "".join(lines)


def test_after_ctrl_c_only_unfinished_stacks_are_named() -> None:
    board = progress.Board(["us-east-1", "eu-west-1"], {})
    for region, status in (("us-east-1", "CREATE_COMPLETE"), ("eu-west-1", "ROLLBACK_IN_PROGRESS")):
        board.watcher(region)(event("annex-bootstrap", "CREATE_IN_PROGRESS"))
        board.watcher(region)(event("annex-bootstrap", status, 1))
    assert board.unfinished() == [("eu-west-1", "annex-bootstrap", "ROLLBACK_IN_PROGRESS")]


def test_a_pipe_gets_only_what_is_done_and_no_colour(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with Screen().progress(["us-east-1"]) as board:
        for happened in (
            event("annex-bootstrap", "CREATE_IN_PROGRESS"),
            event("Role", "CREATE_IN_PROGRESS"),
            event("Role", "CREATE_COMPLETE", 1),
            event("Bucket", "CREATE_FAILED", 2, "no"),
            event("annex-bootstrap", "ROLLBACK_COMPLETE", 3),
        ):
            board.watcher("us-east-1")(happened)
    assert capsys.readouterr().out.splitlines() == [
        "  12:00:01  CREATE_COMPLETE   Role",
        "  12:00:02  CREATE_FAILED     Bucket  no",
    ]
