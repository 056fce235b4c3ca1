"""What the doctor says about the pool's side, by version of HTCondor."""

from __future__ import annotations

from pathlib import Path

import pytest

from annex_bootstrap.doctor import pool_checks
from annex_bootstrap.doctor.checks import Finding, Level
from annex_bootstrap.doctor.pool_checks import BOOT_SECONDS, Machine

OLD, LTS, NEW = (23, 9, 6), (25, 0, 13), (25, 14, 1)
ON = {"HPC_ANNEX_ENABLED": "True", "ANNEX_USE_OLD_CREATE": "True"}
USER = "scientist@pool.example.org"


def problem(finding: Finding | None) -> str:
    """Return the detail of a finding that must be a problem with advice."""
    assert finding is not None
    assert finding.level is Level.PROBLEM
    assert finding.advice
    return finding.detail


@pytest.mark.parametrize(
    ("version", "command"),
    [((24, 10, 9), "condor_annex"), ((24, 11, 2), "htcondor annex create"), (NEW, "htcondor annex create")],
)
def test_the_command_that_starts_annexes_is_named_by_version(version: tuple[int, int, int], command: str) -> None:
    assert f"where {command} starts annexes" in pool_checks.check_version(version).detail


def test_a_machine_without_htcondor_cannot_tell_about_the_pool() -> None:
    assert pool_checks.check_version(None).level is Level.SKIPPED


@pytest.mark.parametrize(
    ("version", "changes", "says"),
    [
        (LTS, {"HPC_ANNEX_ENABLED": "false"}, "not switched on"),
        (NEW, {"HPC_ANNEX_ENABLED": ""}, "not switched on"),
        (NEW, {"ANNEX_USE_OLD_CREATE": "False"}, "nothing on AWS unless ANNEX_USE_OLD_CREATE"),
    ],
)
def test_an_access_point_that_cannot_start_annexes_on_aws_is_reported(
    version: tuple[int, int, int], changes: dict[str, str], says: str
) -> None:
    assert says in problem(pool_checks.check_feature(version, ON | changes))


def test_before_25_14_aws_needs_no_switch_of_its_own() -> None:
    assert pool_checks.check_feature(LTS, ON | {"ANNEX_USE_OLD_CREATE": ""}).level is Level.OK
    assert pool_checks.check_feature(NEW, ON).level is Level.OK


@pytest.mark.parametrize(
    ("address", "schedds", "says"),
    [
        ("", [], "names no host"),
        (":9618?sock=ap_collector", ["one"], "names no host"),
        ("pool:9618?sock=ap_collector", None, "does not answer"),
        ("pool:9618?sock=ap_collector", [], "knows no schedd"),
        ("pool:9618?sock=ap_collector", ["one", "two"], "knows 2 schedds (one, two)"),
    ],
)
def test_a_collector_without_exactly_one_schedd_is_reported(address: str, schedds: list[str] | None, says: str) -> None:
    assert says in problem(pool_checks.check_schedds(address, schedds))


def test_a_collector_with_one_schedd_is_right() -> None:
    assert pool_checks.check_schedds("pool:9618?sock=ap_collector", ["one"]).level is Level.OK


@pytest.mark.parametrize(("subject", "says"), [(None, "gives"), ("condor@password", "never get a job")])
def test_a_token_that_does_not_speak_for_its_user_is_reported(subject: str | None, says: str) -> None:
    assert says in problem(pool_checks.check_token(USER, subject))


def test_a_token_that_speaks_for_its_user_is_right() -> None:
    assert pool_checks.check_token(USER, USER).level is Level.OK


@pytest.mark.parametrize(("mode", "level"), [(0o400, Level.OK), (0o600, Level.OK), (0o640, Level.PROBLEM)])
def test_an_annex_password_must_be_private(tmp_path: Path, mode: int, level: Level) -> None:
    path = tmp_path / "annex_password_file"
    path.write_bytes(b"made up")
    path.chmod(mode)
    assert pool_checks.check_annex_password(path).level is level


def test_an_annex_password_may_be_missing_before_the_first_annex(tmp_path: Path) -> None:
    finding = pool_checks.check_annex_password(tmp_path / "annex_password_file")
    assert finding.level is Level.SKIPPED
    assert "head -c 16 /dev/urandom" in finding.advice


def test_the_annex_directory_must_be_there_where_htcondor_does_not_make_it(tmp_path: Path) -> None:
    path = tmp_path / ".hpc-annex"
    assert pool_checks.check_directory(NEW, path) is None
    assert "25.0.13 does not make it" in problem(pool_checks.check_directory(LTS, path))
    path.mkdir()
    finding = pool_checks.check_directory(LTS, path)
    assert finding is not None
    assert finding.level is Level.OK


def test_an_image_that_htcondors_own_beats_is_reported() -> None:
    plain = b"ANNEX_DEFAULT_ODI_IMAGE_ID = ami-mine\n"
    finding = pool_checks.check_image(plain, "us-east-1")
    assert "ami-mine is not what starts" in problem(finding)
    assert finding is not None
    assert "us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-mine" in finding.advice


@pytest.mark.parametrize(
    ("content", "region"),
    [
        (b"", "us-east-1"),
        (b"ANNEX_DEFAULT_ODI_IMAGE_ID = ami-mine\n", "eu-south-1"),
        (b"ANNEX_DEFAULT_ODI_IMAGE_ID = ami-mine\nus_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-mine\n", "us-east-1"),
    ],
)
def test_an_image_that_starts_is_not(content: bytes, region: str) -> None:
    assert pool_checks.check_image(content, region) is None


def test_machines_that_have_joined_are_right() -> None:
    machines = [Machine("i-1", "first", 5), Machine("i-2", "first", 5000)]
    assert pool_checks.check_joined(NEW, machines, ["i-2", "i-1"]).level is Level.OK
    assert pool_checks.check_joined(NEW, [], []).level is Level.OK


@pytest.mark.parametrize(("version", "side"), [(OLD, "older than 24.11"), (NEW, "24.11 or later")])
def test_a_machine_that_never_joins_may_be_of_the_wrong_side_of_24_11(version: tuple[int, int, int], side: str) -> None:
    machines = [Machine("i-1", "first", BOOT_SECONDS), Machine("i-2", "first", 5)]
    finding = pool_checks.check_joined(version, machines, [])
    assert "i-1 of first, i-2 of first" in problem(finding)
    assert f"must be {side}" in finding.advice


def test_a_machine_may_take_its_time_to_boot() -> None:
    finding = pool_checks.check_joined(NEW, [Machine("i-1", "first", BOOT_SECONDS - 1)], [])
    assert finding.level is Level.SKIPPED
    assert "24.11 or later" in finding.advice


def test_nothing_is_said_about_machines_where_no_collector_answers() -> None:
    assert pool_checks.check_joined(NEW, [Machine("i-1", "first", 5000)], None).level is Level.SKIPPED
    assert pool_checks.check_joined(None, [Machine("i-1", "first", 5000)], []).level is Level.SKIPPED
