"""How a machine is started: QEMU's command line, and what the firmware tells the system in it.

cloud-init takes a machine for EC2's where its firmware says so. What a test or the local AWS needs in it, and no
machine on AWS has, comes as credentials of systemd in the firmware's tables, so that the disk stays as it is.

Sources: ``tools/ds-identify`` of cloud-init, https://systemd.io/CREDENTIALS/,
https://www.freedesktop.org/software/systemd/man/latest/systemd.system-credentials.html
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local_aws.server_settings import Hardware

MEMORY_MIB = 1536

SHELL_UNIT = "local-aws-shell.service"

_SHELL = """\
[Unit]
DefaultDependencies=no
After=local-fs.target
Conflicts=shutdown.target

[Service]
ExecStart=/bin/sh
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
# A shell that reads from a terminal ignores SIGTERM, and would keep the machine up for 90 seconds.
SendSIGHUP=yes
Restart=always
RestartSec=0
"""

# systemd waits 90 seconds for a disk or a service, and boots into a shell for emergencies where the former is late. An
# emulated machine on a busy processor needs that long. A name that ends with a dash is that of all units that begin so:
# https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html
_PATIENT = {
    "systemd.unit-dropin.dev-.device": "[Unit]\nJobRunningTimeoutSec=15min\n",
    "systemd.unit-dropin.systemd-.service": "[Service]\nTimeoutStartSec=15min\n",
}

STORE_UNIT = "local-aws-instance-store.service"
STORE_SERIAL = "instance-store"

# QEMU's disks all say that they are of one model. In this machine the kernel says of this one what it says on EC2:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/add-instance-store-volumes.html
_STORE = f"""\
[Unit]
DefaultDependencies=no
After=systemd-udev-settle.service local-fs.target
Wants=systemd-udev-settle.service
Before=annex-boot.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -euc 'echo "Amazon EC2 NVMe Instance Storage" > /run/instance-store-model; \\
    mount --bind /run/instance-store-model \\
        "$$(dirname "$$(realpath "$$(grep -l {STORE_SERIAL} /sys/block/*/device/serial)")")/model"'
"""


@dataclass(frozen=True)
class Guest:
    """A machine, as QEMU starts it.

    Attributes:
        instance_id: of the instance.
        disk: its root volume, a qcow2 file.
        public_address: where its ports are reached.
        ports: TCP ports on which it is reached there.
        directory: for its console, its shell's socket, and its tables.
        mac: of its network interface.
        trusted: a certificate authority, as PEM, that its programs trust besides the public ones.
        hardware: what it has that differs from other machines.
        instance_store: a qcow2 file that it finds as a disk of the instance store.
    """

    instance_id: str
    disk: Path
    public_address: str
    ports: Sequence[int]
    directory: Path
    mac: str
    trusted: str = ""
    hardware: Hardware = field(default_factory=Hardware)
    instance_store: Path | None = None

    @property
    def console(self) -> Path:
        """What the machine says on its first serial line."""
        return self.directory / "console.log"

    @property
    def shell(self) -> Path:
        """The Unix socket of a root shell on its second serial line."""
        return self.directory / "shell.sock"


def mac_of(instance_id: str) -> str:
    """Return the MAC address of an instance's network interface; locally administered, as EC2's are."""
    digits = instance_id.removeprefix("i-")[:10].rjust(10, "0")
    return ":".join(("0e", *(digits[place : place + 2] for place in range(0, 10, 2))))


def credentials(guest: Guest) -> dict[str, str]:
    """Return the credentials of systemd that a machine is given, by name."""
    given = {
        f"systemd.extra-unit.{SHELL_UNIT}": _SHELL,
        "systemd.unit-dropin.sysinit.target": f"[Unit]\nWants={SHELL_UNIT}\n",
        **_PATIENT,
    }
    for unit in guest.hardware.without:
        given[f"systemd.unit-dropin.{unit}"] = "[Unit]\nConditionPathExists=!/\n"
    if guest.instance_store:
        given[f"systemd.extra-unit.{STORE_UNIT}"] = _STORE
        given["systemd.unit-dropin.annex-boot.service"] = f"[Unit]\nRequires={STORE_UNIT}\n"
    if guest.trusted:
        encoded = base64.b64encode(guest.trusted.encode()).decode()
        given["tmpfiles.extra"] = f"w+~ /etc/ssl/certs/ca-certificates.crt - - - - {encoded}\n"
    return given


def write_tables(guest: Guest) -> list[Path]:
    """Write the credentials as strings of the firmware's table 11, one file each."""
    paths = []
    for name, text in credentials(guest).items():
        path = guest.directory / f"{name}.smbios"
        path.write_text(f"io.systemd.credential.binary:{name}={base64.b64encode(text.encode()).decode()}")
        paths.append(path)
    return paths


def command(guest: Guest, tables: Sequence[Path]) -> list[str]:
    """Return QEMU's command line.

    Args:
        guest: the machine.
        tables: the files of ``write_tables``.
    """
    # Byte by byte the beginning of what EC2 gives: cloud-init looks at the first three letters of both.
    uuid = f"ec2{guest.instance_id.removeprefix('i-').rjust(17, '0')[:5]}-0000-4000-8000-{guest.mac.replace(':', '')}"
    store = (
        *("-drive", f"file={guest.instance_store},if=none,id=store,format=qcow2,cache=unsafe,discard=unmap"),
        *("-device", f"nvme,drive=store,serial={STORE_SERIAL}"),
    )
    forwards = "".join(f",hostfwd=tcp:{guest.public_address}:{port}-:{port}" for port in guest.ports)
    return [
        *(
            "qemu-system-x86_64",
            "-accel",
            "tcg,thread=multi",
            "-machine",
            "q35",
            "-smp",
            str(guest.hardware.processors),
        ),
        *(
            "-m",
            str(MEMORY_MIB),
            "-nodefaults",
            "-display",
            "none",
            "-vga",
            "none",
            "-rtc",
            f"base={guest.hardware.clock}",
        ),
        *("-smbios", f"type=1,manufacturer=Amazon EC2,product=m7i.large,uuid={uuid},serial={uuid}"),
        *("-smbios", "type=3,manufacturer=Amazon EC2,asset=Amazon EC2"),
        *(part for path in tables for part in ("-smbios", f"type=11,path={path}")),
        *("-drive", f"file={guest.disk},if=none,id=root,format=qcow2,cache=unsafe,discard=unmap"),
        # The firmware tries one disk only; without an order that is the one that answers first.
        *("-device", f"nvme,drive=root,bootindex=0,serial=vol{guest.instance_id.removeprefix('i-')}"),
        *(store if guest.instance_store else ()),
        *("-netdev", f"user,id=network{forwards}", "-device", f"virtio-net-pci,netdev=network,mac={guest.mac}"),
        *("-device", "virtio-rng-pci"),
        *("-serial", f"file:{guest.console}", "-serial", f"unix:{guest.shell},server=on,wait=off"),
    ]
