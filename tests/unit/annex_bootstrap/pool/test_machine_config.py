"""What machines are told, as the boot step of the stack's image unpacks it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from annex_bootstrap.pool.machine_config import MachineConfig, start_expression
from machine_image import annex_machine

CONFIG = MachineConfig("first", "pool.example.org:9618", "alice", 900, "0123")


def test_the_boot_step_unpacks_it_in_etc_condor_with_a_token_that_only_root_reads(tmp_path: Path) -> None:
    tarball = tmp_path / "config.tar.gz"
    tarball.write_bytes(CONFIG.pack("made.up.token"))
    names: list[str] = []

    def target(members: Iterable[str]) -> Path:
        names.extend(members)
        return tmp_path

    assert annex_machine.target_of(["config.d/50-annex-bootstrap.config"]) == annex_machine.CONDOR
    annex_machine.unpack(tarball, target)
    assert names == ["config.d/50-annex-bootstrap.config", "tokens.d/annex-bootstrap"]
    token = tmp_path / "tokens.d/annex-bootstrap"
    assert token.read_text() == "made.up.token\n"
    assert token.stat().st_mode & 0o777 == 0o600


def test_the_same_content_is_the_same_archive() -> None:
    assert CONFIG.pack("t") == CONFIG.pack("t")


def test_machines_need_no_way_in_and_run_only_the_owners_jobs() -> None:
    text = CONFIG.render()
    assert "CCB_ADDRESS = $(COLLECTOR_HOST)\n" in text
    assert "PRIVATE_NETWORK_NAME = annex-0123\n" in text
    assert 'TARGET.Owner =?= "alice"' in text
    open_to_all = MachineConfig("first", "pool.example.org:9618", "", 900, "0123").render()
    assert "TARGET.Owner" not in open_to_all
    assert "TARGET.TargetAnnexName =?= MY.AnnexName" in open_to_all


def test_a_machine_says_that_it_is_of_an_annex_and_goes_without_jobs() -> None:
    lines = [line for line in CONFIG.render().splitlines() if not line.startswith("#")]
    assert lines == [
        "COLLECTOR_HOST = pool.example.org:9618",
        "CCB_ADDRESS = $(COLLECTOR_HOST)",
        "TCP_FORWARDING_HOST =",
        "PRIVATE_NETWORK_NAME = annex-0123",
        "SEC_CLIENT_AUTHENTICATION_METHODS = IDTOKENS",
        'AnnexName = "first"',
        "IsAnnex = True",
        "STARTD_ATTRS = $(STARTD_ATTRS) AnnexName IsAnnex",
        "MASTER_ATTRS = $(MASTER_ATTRS) AnnexName IsAnnex",
        "STARTD_NOCLAIM_SHUTDOWN = 900",
        f"START = {start_expression('alice', '')}",
    ]


def test_a_machine_runs_the_jobs_that_name_its_annex_or_may_use_aws_and_besides_those_that_an_expression_says() -> None:
    usual = (
        "((TARGET.TargetAnnexName =?= MY.AnnexName) || "
        "(TARGET.TargetAnnexName =?= undefined && TARGET.MayUseAWS =?= True)"
    )
    assert start_expression("") == f"{usual})"
    assert start_expression("alice") == f'{usual}) && TARGET.Owner =?= "alice"'
    assert start_expression("alice", "A || B") == f'{usual} || (A || B)) && TARGET.Owner =?= "alice"'
