"""What the doctor's checks read of the pool and of the user's files, and the facts that they make of it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.aws import Account
from annex_bootstrap.doctor import check as check_module
from annex_bootstrap.doctor import file_checks, pool_checks
from annex_bootstrap.doctor.check import Level, Setup
from annex_bootstrap.doctor.file_checks import ConfigurationCheck, FleetFile, FleetImages, FleetTypes, Keys
from annex_bootstrap.doctor.pool_checks import (
    AnnexFeature,
    AnnexPassword,
    Collector,
    HTCondor,
    PoolPassword,
    PoolUsers,
    Token,
)
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool.htcondor import Configuration
from annex_bootstrap.stack.connectivity import Reach
from annex_contract.knobs import KNOBS
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, a_stack
from tests.unit.recorded import Recorded

OLD, LTS, NEW = (23, 9, 6), (25, 0, 13), (25, 14, 1)
PATH = Path("user_config")


def setup(aws: Recorded | None = None, **facts: Any) -> Setup:
    """Return a setup of which some facts were read already."""
    made = Setup((aws or Recorded()).account(), "annex-bootstrap", PATH, facts.pop("given", ""))
    vars(made).update({"deployed": a_stack(), "condor": LTS, **facts})
    return made


@pytest.fixture
def in_force(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The configuration that is in force, by knob."""
    values: dict[str, str] = {}
    monkeypatch.setattr(Configuration, "ask", lambda _, knob: values.get(knob, ""))
    return values


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """HTCondor's commands that were run; each prints a token for alice."""
    commands: list[Sequence[str]] = []

    def run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        commands.append(arguments)
        claims = base64.urlsafe_b64encode(json.dumps({"sub": "alice@pool.example"}).encode()).decode().rstrip("=")
        return subprocess.CompletedProcess(arguments, 0, f"header.{claims}.signature\n", "")

    monkeypatch.setattr(pool_checks, "run", run)
    return commands


@pytest.mark.parametrize("check", [ConfigurationCheck, Collector])
def test_without_a_stack_nothing_is_read(check: Any) -> None:
    assert check.read(setup(deployed=None)) is None


def test_htcondor_is_what_there_is() -> None:
    assert HTCondor.read(setup()) == HTCondor(LTS)
    assert HTCondor.read(setup(condor=None)) == HTCondor(None)


def test_htcondor_annex_is_read_where_there_is_one(in_force: dict[str, str]) -> None:
    in_force.update(HPC_ANNEX_ENABLED=" Yes ", ANNEX_USE_OLD_CREATE="f")
    assert AnnexFeature.read(setup()) == AnnexFeature(LTS, " Yes ", "f")
    assert AnnexFeature.read(setup(condor=OLD)) is None
    assert AnnexFeature.read(setup(condor=None)) is None
    assert [AnnexFeature.works_in(setup(condor=version)) for version in (None, OLD, LTS, NEW)] == [
        *(False, False, True, False)
    ]
    in_force["ANNEX_USE_OLD_CREATE"] = "t"
    assert AnnexFeature.works_in(setup(condor=NEW)) is True
    assert AnnexFeature(NEW, "1", "true").works is True
    assert AnnexFeature(NEW, "2", "true").works is False


def test_a_token_is_fetched_by_the_user_and_not_by_root(
    in_force: dict[str, str], asked: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(pool_checks, "user_name", lambda: "alice")
    in_force.update(UID_DOMAIN="pool.example")
    assert Token.read(setup()) is None
    in_force.update(HPC_ANNEX_ENABLED="True")
    assert Token.read(setup()) == Token("alice@pool.example", "alice@pool.example")
    in_force.update(ANNEX_TOKEN_KEY_NAME="MINE")
    Token.read(setup())
    fetch = ["condor_token_fetch", "-lifetime", "60", "-key"]
    assert asked == [[*fetch, "AP", "-authz", "WRITE"], [*fetch, "MINE", "-authz", "WRITE"]]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert Token.read(setup()) == Token("", None)
    assert len(asked) == 2


@pytest.mark.parametrize("printed", ["", "no token", "a.b.c", "a.e30.c", "a.W10.c"])
def test_what_is_not_a_token_has_no_subject(
    in_force: dict[str, str], monkeypatch: pytest.MonkeyPatch, printed: str
) -> None:
    in_force.update(HPC_ANNEX_ENABLED="True", UID_DOMAIN="pool.example")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(pool_checks, "run", lambda arguments: subprocess.CompletedProcess(arguments, 0, printed, ""))
    read = Token.read(setup())
    assert read is not None
    assert read.token_subject is None


def test_the_annex_password_is_looked_for_in_the_home(
    in_force: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert AnnexPassword.read(setup()) is None
    in_force.update(HPC_ANNEX_ENABLED="True")
    assert AnnexPassword.read(setup()) == AnnexPassword(tmp_path / ".condor/annex_password_file")


def test_the_pool_password_is_named_by_the_user_or_by_the_pool(in_force: dict[str, str]) -> None:
    in_force.update(SEC_PASSWORD_FILE="/etc/pool")
    assert PoolPassword.read(setup(condor=OLD, _values={})) == PoolPassword("/etc/pool")
    assert PoolPassword.read(setup(condor=OLD, _values={"SEC_PASSWORD_FILE": "/mine"})) == PoolPassword("/mine")
    assert PoolPassword.read(setup(condor=LTS, _values={})) is None


REACHED, UNREACHED = Reach("cm.pool.example", ""), Reach("", "no answer")


def collector(monkeypatch: pytest.MonkeyPatch, made: Setup, reached: str = "") -> tuple[list[Any], Any]:
    """Return who is asked for, and what is read, where AWS reaches one host."""
    asked: list[Any] = []

    def reach(functions: Any, outputs: Any, host: str, port: int, socket_name: str) -> Reach:
        assert (functions.meta.service_model.service_name, outputs) == ("lambda", OUTPUTS)
        asked.append((host, port, socket_name))
        return REACHED if host == reached else UNREACHED

    monkeypatch.setattr(pool_checks, "reach", reach)
    return asked, Collector.read(made)


def test_aws_is_asked_for_each_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    both = "one:9000, two?sock=collector"
    asked, read = collector(monkeypatch, setup(collector=both), "two")
    assert asked == [("one", 9000, ""), ("two", 9618, "collector")]
    assert read == Collector("two:9618", REACHED)
    assert collector(monkeypatch, setup(collector=both)) == (asked, Collector("one:9000", UNREACHED))
    given = setup(collector=both, given="three")
    assert collector(monkeypatch, given, "three") == ([("three", 9618, "")], Collector("three:9618", REACHED))
    for unknown in ("", ":9618"):
        assert collector(monkeypatch, setup(collector=unknown)) == ([], Collector("", None))


BLOCK = "# BEGIN annex-pool\n# Who may start annexes, beside those who hold the pool password: {}\n# END annex-pool\n"


def test_who_may_start_annexes_is_read_from_the_block_of_pool_config(
    in_force: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force["LOCAL_CONFIG_DIR"] = str(tmp_path)
    facts: dict[str, Any] = {"only_starts": False, "_values": {}, "content": b""}
    assert PoolUsers.read(setup(**facts)) is None
    (tmp_path / "90-annex-pool.config").write_text(BLOCK.format("alice bob@other"))
    assert PoolUsers.read(setup(**facts)) == PoolUsers(["alice", "bob@other"])
    assert PoolUsers.read(setup(**facts, deployed=None)) is None
    assert PoolUsers.read(setup(**facts, condor=(8, 8, 0))) is None
    assert PoolUsers.read(setup(**facts, condor=None)) is None
    with_keys = setup(**facts | {"_values": {"ANNEX_DEFAULT_ACCESS_KEY_FILE": "/key"}})
    assert PoolUsers.read(with_keys) == PoolUsers(["alice", "bob@other"], has_keys=True)
    monkeypatch.setattr(pool_checks, "user_name", lambda: "carol")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert PoolUsers.read(setup(**facts | {"only_starts": True})) == PoolUsers(["alice", "bob@other"], "carol")


@pytest.mark.parametrize(
    ("check", "level", "detail", "line"),
    [
        (PoolUsers(["alice", "bob"]), Level.OK, "the pool lets alice and bob start annexes", ""),
        (PoolUsers(["bob@other"], "bob"), Level.OK, "the pool lets bob@other start annexes", ""),
        (PoolUsers([]), Level.PROBLEM, "the pool lets nobody use annex-bootstrap start", " --user NAME"),
        (PoolUsers([], has_keys=True), Level.SKIPPED, "the pool lets nobody use annex-bootstrap start", " --user NAME"),
        (
            PoolUsers(["alice"], "carol"),
            Level.PROBLEM,
            "the pool lets alice start annexes, not carol",
            " --user alice --user carol",
        ),
        (
            PoolUsers([], "carol"),
            Level.PROBLEM,
            "the pool lets nobody start annexes, not carol",
            " --user carol",
        ),
    ],
)
def test_a_pool_that_lets_nobody_start_annexes_is_named_with_the_line_that_does(
    check: PoolUsers, level: Level, detail: str, line: str
) -> None:
    finding = check.judge()
    assert (finding.level, finding.detail) == (level, detail)
    assert finding.advice == (line and f"as root run annex-bootstrap pool-config{line}, then condor_reconfig")


def test_the_collector_is_the_annexes_own_or_the_public_or_the_pools(in_force: dict[str, str]) -> None:
    in_force.update(COLLECTOR_HOST="pool")
    assert setup().collector == "pool"
    in_force.update(ANNEX_BOOTSTRAP_COLLECTOR="public")
    assert setup().collector == "public"
    in_force.update(ANNEX_COLLECTOR="own")
    assert setup().collector == "own"
    assert setup(condor=OLD).collector == "public"
    assert setup(condor=None).has_htcondor_annex is False


def test_the_configuration_is_read_knob_by_knob() -> None:
    values = {KNOBS[0].name.upper(): "common", f"US_EAST_1.{KNOBS[1].name.upper()}": "own"}
    read = ConfigurationCheck.read(setup(_values=values, content=b"include : other"))
    expected = {knob.name: "" for knob in KNOBS} | {KNOBS[0].name: "common", KNOBS[1].name: "own"}
    assert read == ConfigurationCheck(PATH, b"include : other", "us-east-1", OUTPUTS, expected, "")
    read = ConfigurationCheck.read(setup(_values=None, content=b"include : other"))
    assert read is not None
    assert read.unevaluated == " (not evaluated: that needs HTCondor, which is not on this machine)"
    assert setup(_values=None, content=b"A = 1").unevaluated == ""


def test_the_configuration_is_that_of_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "user_config"
    made = Setup(Recorded().account(), "annex-bootstrap", file)
    assert made.content == b""
    file.write_bytes(b"A = 1\n")
    again = Setup(Recorded().account("eu-west-1"), "annex-bootstrap", file)
    asked: list[Any] = []

    def evaluate(*arguments: Any) -> dict[str, str]:
        asked.append(arguments)
        return {"A": "from HTCondor"}

    monkeypatch.setattr(check_module, "evaluate", evaluate)
    assert (again.content, again.knob("a")) == (b"A = 1\n", "from HTCondor")
    assert asked == [(file, b"A = 1\n", "eu-west-1")]
    monkeypatch.setattr(check_module, "evaluate", lambda *_: None)
    plain = Setup(Recorded().account(), "annex-bootstrap", file)
    assert (plain.knob("A"), plain.knob("B")) == ("1", "")


ACCESS, SECRET = "ANNEX_DEFAULT_ACCESS_KEY_FILE", "ANNEX_DEFAULT_SECRET_KEY_FILE"


def test_the_keys_are_needed_where_start_cannot_do_without() -> None:
    values = {ACCESS: "/a", SECRET: "/b"}
    assert Keys.read(setup(_values=values)) == Keys("/a", "/b", "", needed=False)
    assert Keys.read(setup(_values=values, deployed=None)) == Keys("/a", "/b", "", needed=True)
    assert Keys.read(setup(_values=values, condor=(8, 9, 13))) == Keys("/a", "/b", "", needed=True)
    unevaluated = Keys.read(setup(_values=None, content=f"{ACCESS} = $(HERE)/a".encode()))
    said = " (not evaluated: that needs HTCondor, which is not on this machine)"
    assert unevaluated == Keys("$(HERE)/a", "", said, needed=False)


FLEET: dict[str, Any] = {
    "SpotPrice": "0.05",
    "IamFleetRole": "made-up-arn",
    "LaunchSpecifications": [
        {"ImageId": "ami-1", "InstanceType": "c7i.large", "WeightedCapacity": "2"},
        {"ImageId": "ami-2", "InstanceType": "c7i.large", "WeightedCapacity": "2"},
        {},
    ],
}


def test_the_fleet_file_is_the_one_that_the_configuration_names(tmp_path: Path) -> None:
    file = tmp_path / "fleet.json"
    named: dict[str, Any] = {"_values": {"ANNEX_DEFAULT_SFR_CONFIG_FILE": str(file)}}
    assert FleetFile.read(setup(_values={})) == FleetFile("", None)
    assert FleetFile.read(setup(**named)) == FleetFile(str(file), None)
    file.write_bytes(b"\xff")
    assert FleetFile.read(setup(**named)) == FleetFile(str(file), None)
    file.write_text("{}")
    assert FleetFile.read(setup(**named)) == FleetFile(str(file), "{}")


def test_images_and_types_of_a_good_fleet_file_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def offered_zones(account: Account, zones: set[str]) -> dict[str, set[str]]:
        assert (account.region, zones) == ("us-east-1", {"us-east-1a", "us-east-1b"})
        return {"c7i.large": zones, "m7i.large": zones}

    monkeypatch.setattr(file_checks, "offered_zones", offered_zones)
    subnets = {"Subnets": [{"AvailabilityZone": f"us-east-1{zone}"} for zone in "aba"]}
    aws = Recorded(DescribeImages={"Images": [{"ImageId": "ami-1"}]}, DescribeSubnets=subnets)
    made = setup(aws, fleet_text=json.dumps(FLEET))
    assert FleetImages.read(made) == FleetImages({"ami-1", "ami-2"}, {"ami-1"})
    assert FleetTypes.read(made) == FleetTypes({"c7i.large"}, {"c7i.large", "m7i.large"})
    assert aws.calls == [
        ("DescribeImages", {"Filters": [{"Name": "image-id", "Values": ["ami-1", "ami-2"]}]}),
        ("DescribeSubnets", {}),
    ]
    for text in (None, "{}", "nonsense"):
        assert FleetImages.read(setup(fleet_text=text)) is None


def test_a_knob_that_cannot_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(*_: Any) -> dict[str, str]:
        raise UserError("HTCondor cannot read this configuration")

    monkeypatch.setattr(check_module, "evaluate", evaluate)
    made = setup(content=b"")
    with pytest.raises(UserError):
        FleetFile.read(made)


def test_the_version_of_htcondor_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def version() -> tuple[int, int, int]:
        asked.append(1)
        return NEW

    monkeypatch.setattr(check_module, "version", version)
    made = Setup(Recorded().account(), "annex-bootstrap", PATH)
    assert (made.condor, made.has_htcondor_annex, made.condor) == (NEW, True, NEW)
    assert asked == [1]


def test_root_is_told_who_should_run_doctor() -> None:
    finding = Token("", None).judge()
    assert (finding.level, finding.detail, finding.advice) == (
        *(Level.SKIPPED, "root starts no annexes", "run doctor as the user who does"),
    )


def test_a_password_that_others_can_read_comes_with_the_command_that_closes_it(tmp_path: Path) -> None:
    path = tmp_path / "annex_password_file"
    path.write_bytes(b"made up")
    path.chmod(0o644)
    finding = AnnexPassword(path).judge()
    assert finding.level is Level.PROBLEM
    assert finding.advice == f"run chmod 400 {path} if it is yours; else delete it"


def test_keys_whose_names_have_macros_are_judged_where_htcondor_is() -> None:
    finding = Keys("$(HERE)/a", "$(HERE)/b").judge()
    said = "$(HERE)/a and $(HERE)/b were not evaluated: that needs HTCondor, which is not on this machine"
    assert (finding.level, finding.detail) == (Level.SKIPPED, said)
    assert finding.advice == "run doctor where condor_config_val is in the PATH"


@pytest.mark.parametrize(
    "name", ["ImageId", "InstanceType", "SpotPrice", "KeyName", "SubnetId", "UserData", "WeightedCapacity"]
)
def test_what_condor_annex_reads_as_text_must_be_text(name: str) -> None:
    fleet = FLEET | {"LaunchSpecifications": [{name: 2}]}
    assert file_checks.fleet_problems(json.dumps(fleet)) == [f"{name} must be a string in every launch specification"]
    assert file_checks.fleet_problems(json.dumps(FLEET)) == []
