"""How a machine is started."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from local_aws.machines.qemu import Guest, command, credentials, mac_of, write_tables


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
