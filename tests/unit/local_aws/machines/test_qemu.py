"""How a machine is started."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from local_aws.machines.qemu import STORE_UNIT, Guest, command, credentials, mac_of, write_tables
from local_aws.server_settings import Hardware


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    """A machine with two open ports."""
    instance_id = "i-0123456789abcdef0"
    return Guest(
        instance_id, tmp_path / "root.qcow2", "54.0.0.1", (22, 9618), tmp_path, mac_of(instance_id), trusted="CA"
    )


def test_a_machine_has_its_own_address_on_the_network() -> None:
    assert mac_of("i-0123456789abcdef0") == "0e:01:23:45:67:89"
    assert mac_of("i-1") == "0e:00:00:00:00:01"


def test_the_firmware_says_what_cloud_init_looks_for(guest: Guest) -> None:
    # dscheck_Ec2 in cloud-init's tools/ds-identify: both begin with ec2, in either case, and are equal.
    (system,) = [part for part in command(guest, []) if part.startswith("type=1,")]
    given = dict(pair.split("=", 1) for pair in system.split(",")[1:])
    assert given["uuid"] == given["serial"]
    assert given["uuid"].startswith("ec2")
    assert [len(part) for part in given["uuid"].split("-")] == [8, 4, 4, 4, 12]


def test_the_open_ports_and_no_others_are_forwarded(guest: Guest) -> None:
    (network,) = [part for part in command(guest, []) if part.startswith("user,")]
    assert network == "user,id=network,hostfwd=tcp:54.0.0.1:22-:22,hostfwd=tcp:54.0.0.1:9618-:9618"


def test_what_the_disk_does_not_have_comes_in_the_firmwares_tables(guest: Guest) -> None:
    texts = {path.name: path.read_text() for path in write_tables(guest)}
    for name, value in credentials(guest).items():
        encoded = base64.b64encode(value.encode()).decode()
        assert texts[f"{name}.smbios"] == f"io.systemd.credential.binary:{name}={encoded}"
    assert base64.b64encode(b"CA").decode() in credentials(guest)["tmpfiles.extra"]
    assert "Wants=local-aws-shell.service" in credentials(guest)["systemd.unit-dropin.sysinit.target"]


def test_a_machine_has_what_it_is_given(guest: Guest) -> None:
    lean = replace(guest, hardware=Hardware(clock="2026-01-01T00:00:00", processors=1, without=["apparmor.service"]))
    assert command(guest, [])[5:7] == ["-smp", "2"]
    assert command(lean, [])[5:7] == ["-smp", "1"]
    assert "base=2026-01-01T00:00:00" in command(lean, [])
    assert credentials(lean)["systemd.unit-dropin.apparmor.service"] == "[Unit]\nConditionPathExists=!/\n"
    assert Hardware.from_json(lean.hardware.to_json()) == lean.hardware


def test_a_disk_of_the_instance_store_is_a_second_one_and_says_its_model(guest: Guest) -> None:
    stored = replace(guest, instance_store=guest.directory / "store.qcow2")
    assert [part for part in command(stored, []) if part.startswith("nvme,")] == [
        "nvme,drive=root,bootindex=0,serial=vol0123456789abcdef0",
        "nvme,drive=store,serial=instance-store",
    ]
    unit = credentials(stored)[f"systemd.extra-unit.{STORE_UNIT}"]
    assert 'echo "Amazon EC2 NVMe Instance Storage" > /run/instance-store-model' in unit
    assert credentials(stored)["systemd.unit-dropin.annex-boot.service"] == f"[Unit]\nRequires={STORE_UNIT}\n"
    assert not any(name.endswith(STORE_UNIT) for name in credentials(guest))
