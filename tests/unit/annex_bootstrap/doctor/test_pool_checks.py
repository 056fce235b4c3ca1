"""What the doctor says about the pool's side, by version of HTCondor."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from annex_bootstrap.aws import Account
from annex_bootstrap.doctor.check import Finding, Level, Setup
from annex_bootstrap.doctor.pool_checks import (
    AccessPointCollector,
    AnnexDirectory,
    AnnexFeature,
    AnnexPassword,
    HTCondor,
    Token,
    UsersImage,
)

OLD, LTS, NEW = (23, 9, 6), (25, 0, 13), (25, 14, 1)
USER = "scientist@pool.example.org"


def setup(region: str = "us-east-1", **facts: object) -> Setup:
    """Return a setup of which some facts were read already."""
    made = Setup(Account(boto3.Session(), region), "s", Path("c"))
    vars(made).update(facts)
    return made


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
    assert f"where {command} starts annexes" in HTCondor(version).judge().detail


def test_without_htcondor_the_pool_is_skipped() -> None:
    assert HTCondor(None).judge().level is Level.SKIPPED


@pytest.mark.parametrize(
    ("version", "enabled", "for_aws", "says"),
    [
        (LTS, "false", "True", "not switched on"),
        (NEW, "", "True", "not switched on"),
        (NEW, "True", "False", "nothing on AWS unless ANNEX_USE_OLD_CREATE"),
    ],
)
def test_an_access_point_that_cannot_start_annexes_on_aws_is_a_problem(
    version: tuple[int, int, int], enabled: str, for_aws: str, says: str
) -> None:
    assert says in problem(AnnexFeature(version, enabled, for_aws).judge())


def test_before_25_14_aws_needs_no_switch_of_its_own() -> None:
    assert AnnexFeature(LTS, "True", "").judge().level is Level.OK
    assert AnnexFeature(NEW, "True", "True").judge().level is Level.OK


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
def test_a_collector_needs_exactly_one_schedd(address: str, schedds: list[str] | None, says: str) -> None:
    assert says in problem(AccessPointCollector(address, schedds).judge())


def test_a_collector_with_one_schedd_is_ok() -> None:
    assert AccessPointCollector("pool:9618?sock=ap_collector", ["one"]).judge().level is Level.OK


@pytest.mark.parametrize(("subject", "says"), [(None, "gives"), ("condor@password", "never get a job")])
def test_a_token_that_does_not_speak_for_its_user_is_a_problem(subject: str | None, says: str) -> None:
    assert says in problem(Token(USER, subject).judge())


def test_a_token_that_speaks_for_its_user_is_ok() -> None:
    assert Token(USER, USER).judge().level is Level.OK


@pytest.mark.parametrize(("mode", "level"), [(0o400, Level.OK), (0o600, Level.OK), (0o640, Level.PROBLEM)])
def test_an_annex_password_must_be_private(tmp_path: Path, mode: int, level: Level) -> None:
    path = tmp_path / "annex_password_file"
    path.write_bytes(b"made up")
    path.chmod(mode)
    assert AnnexPassword(path).judge().level is level


def test_an_annex_password_may_be_missing_before_the_first_annex(tmp_path: Path) -> None:
    finding = AnnexPassword(tmp_path / "annex_password_file").judge()
    assert finding.level is Level.SKIPPED
    assert "head -c 16 /dev/urandom" in finding.advice


def test_the_annex_directory_must_be_there_where_htcondor_does_not_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(AnnexFeature, "works_in", lambda _setup: True)
    path = tmp_path / ".hpc-annex"
    assert AnnexDirectory.read(setup(condor=NEW)) is None
    assert AnnexDirectory.read(setup(condor=LTS)) == AnnexDirectory(LTS, path)
    assert "25.0.13 does not make it" in problem(AnnexDirectory(LTS, path).judge())
    path.mkdir()
    assert AnnexDirectory(LTS, path).judge().level is Level.OK


def test_an_image_that_htcondors_own_overrides_is_a_problem() -> None:
    plain = b"ANNEX_DEFAULT_ODI_IMAGE_ID = ami-mine\n"
    image = UsersImage.read(setup(content=plain))
    assert image is not None
    finding = image.judge()
    assert "ami-mine is not what starts" in problem(finding)
    assert "us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-mine" in finding.advice


@pytest.mark.parametrize(
    ("content", "region"),
    [
        (b"", "us-east-1"),
        (b"ANNEX_DEFAULT_ODI_IMAGE_ID = ami-mine\n", "eu-south-1"),
        (b"ANNEX_DEFAULT_ODI_IMAGE_ID = ami-mine\nus_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-mine\n", "us-east-1"),
    ],
)
def test_an_image_that_starts_is_not_reported(content: bytes, region: str) -> None:
    assert UsersImage.read(setup(region, content=content)) is None


def test_a_regions_own_knob_counts_before_the_common_one_also_where_htcondor_was_asked() -> None:
    values = {"US_EAST_1.A": "own", "A": "common", "B": "common", "US_EAST_1.C": "", "C": "common"}
    asked = setup(_values=values, content=b"")
    assert [asked.knob(name) for name in ("A", "B", "C", "D")] == ["own", "common", "", ""]
