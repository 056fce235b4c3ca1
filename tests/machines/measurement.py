"""``make vm ARGS=--measure``: what machines of annexes take, beside Debian without us, all in one run.

One machine runs at a time, with one processor, plain ones and ours by turns. Processor time is QEMU's, and
systemd's count within the machine. The table goes into docs/performance.md. Nothing here asserts a time.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from local_aws.server_settings import Hardware
from machine_image.user_data import ImageInputs, read_outcome, render_script
from tests.htcondor.stand_in import ADMINISTRATOR
from tests.htcondor.testbed import CHECKOUT
from tests.machines.given import read
from tests.machines.laboratory import (
    BASE_IMAGE,
    BOOT_COMMANDS,
    LASTING,
    Laboratory,
    Machine,
    StillWaitingError,
    keep,
    opened,
    packages,
    patched,
    wait_until,
    without_sequences,
)

PAGE = CHECKOUT / "docs" / "performance.md"
BEGIN = "<!-- measured by make vm -->"

ROUNDS = 3
ONE_PROCESSOR = Hardware(processors=1)
UNITS = ("annex-boot.service", "condor.service")
"""What runs on our machines only."""

INSTALLED = "all packages are installed"

# As the builder does it: no daemon starts, the output stays off the console, and no service is stopped in order.
_INSTALL = f"""\
#!/bin/bash
exec < /dev/null > /run/install.log 2>&1
trap 'grep -E "Need to get|disk space|^E:" /run/install.log > /dev/console; sync; systemctl poweroff --force' EXIT
set -eu
export DEBIAN_FRONTEND=noninteractive HOME=/root
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get update
apt-get --yes upgrade --with-new-pkgs
apt-get --yes install --no-install-recommends {{condor}}
apt-get --yes install {{more}}
echo '{INSTALLED}' > /dev/console
"""

_WHERE_TIME_GOES = """\
systemctl is-system-running --wait
systemd-analyze time
systemd-analyze critical-chain condor.service --no-pager
systemd-analyze blame --no-pager | head -n 20
"""


@dataclass(frozen=True)
class Taken:
    """What a machine has taken since power on.

    Attributes:
        seconds: of the clock.
        busy: of a processor, by its QEMU.
    """

    seconds: float
    busy: float


@dataclass(frozen=True)
class Built:
    """What a machine took until everything was installed, and the bytes of its disk above the base's."""

    taken: Taken
    written: int


def process_of(machine: Machine) -> Path:
    """Return the directory in /proc of a machine's QEMU, when that runs."""
    disk = f"file={machine.directory}/root.qcow2,".encode()

    def found() -> list[Path]:
        return [path for path in Path("/proc").glob("[0-9]*") if disk in _read(path / "cmdline")]

    wait_until(found, f"{machine.instance_id} is on", seconds=60)
    return found()[0]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def taken_until(machine: Machine, happened: Callable[[], object] | None = None) -> Taken:
    """Wait for something, and return what the machine had taken then.

    Args:
        machine: that is on.
        happened: whether it has; by default, whether the machine is off.

    Raises:
        StillWaitingError: the machine is off, and it has not.
    """
    process = process_of(machine)
    while stat := _read(process / "stat"):
        taken = _taken(stat.decode())
        if happened and happened():
            return taken
        time.sleep(0.5)
    if happened:
        raise StillWaitingError(machine.last_words())
    return taken


def _taken(stat: str) -> Taken:
    """Return what a process has taken, by its line in /proc.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    fields, ticks = stat.rpartition(")")[2].split(), os.sysconf("SC_CLK_TCK")
    user, system, start = (int(fields[place]) / ticks for place in (11, 12, 19))
    return Taken(time.clock_gettime(time.CLOCK_BOOTTIME) - start, user + system)


def _console(machine: Machine) -> str:
    return without_sequences(_read(machine.directory / "console.log").decode(errors="replace"))


def boot_debian(laboratory: Laboratory) -> Taken:
    """Return what Debian without us takes from power on to its multi-user target."""
    machine = laboratory.run(BASE_IMAGE)
    taken = taken_until(machine, lambda: "Reached target multi-user.target" in _console(machine))
    _end(laboratory, machine)
    return taken


def boot_ours(laboratory: Laboratory, annex: str) -> tuple[Taken, list[float]]:
    """Return what a machine of ``start`` takes from power on to in the pool, and the processor seconds of UNITS."""
    machine = laboratory.start(annex, *LASTING, "--profile", ADMINISTRATOR)
    taken = taken_until(
        machine,
        lambda: "HTCondor starts" in _console(machine) and machine.instance_id in laboratory.slots("EC2InstanceID"),
    )
    used = machine.must(f"systemctl show --property=CPUUsageNSec --value {' '.join(UNITS)}").split()
    laboratory.testbed.transcript.file("Where the time goes", machine.must(_WHERE_TIME_GOES))
    _end(laboratory, machine)
    return taken, [int(nanoseconds) / 1e9 for nanoseconds in used]


def build_ours(laboratory: Laboratory) -> Built:
    """Return what a builder takes from power on to power off; its disk becomes the image of the other machines."""
    inputs = ImageInputs("measured", packages=packages(laboratory.given), boot_commands=BOOT_COMMANDS)
    machine, taken = _build(laboratory, patched(inputs))
    outcome = read_outcome(_console(machine), "measured")
    assert outcome is not None
    assert outcome.succeeded, outcome.reason
    written = keep(laboratory.given, machine.directory / "root.qcow2")
    _end(laboratory, machine)
    return Built(taken, written)


def install_on_debian(laboratory: Laboratory) -> Built:
    """Return what apt-get takes to install the same packages on the same disk, from power on to power off."""
    found = re.search(r"apt install --no-install-recommends (condor .*)", render_script(ImageInputs("any")))
    assert found
    script = _INSTALL.format(condor=found[1], more=" ".join(packages(laboratory.given)))
    machine, taken = _build(laboratory, script)
    console = _console(machine)
    assert INSTALLED in console, machine.last_words()
    for size in re.findall(r"Need to get .*|After this operation.*", console):
        laboratory.testbed.transcript.note(size.rstrip(".\r"))
    written = (machine.directory / "root.qcow2").stat().st_size
    _end(laboratory, machine)
    return Built(taken, written)


def _build(laboratory: Laboratory, script: str) -> tuple[Machine, Taken]:
    machine = laboratory.run_base(script)
    taken = taken_until(machine)
    machine.wait_until_off("stopped")
    laboratory.testbed.transcript.note(f"a builder: {taken}")
    return machine, taken


def _end(laboratory: Laboratory, machine: Machine) -> None:
    laboratory.testbed.root.client("ec2").terminate_instances(InstanceIds=[machine.instance_id])
    while machine.directory.exists():
        time.sleep(0.5)


def _row(what: str, plain: float, ours: float) -> str:
    return f"| {what} | {plain:.0f} | {ours:.0f} | {ours / plain:.2f} |"


def _medians(measured: Iterable[Taken]) -> Taken:
    seconds, busy = zip(*((taken.seconds, taken.busy) for taken in measured), strict=True)
    return Taken(median(seconds), median(busy))


def boots(laboratory: Laboratory) -> list[str]:
    """Return the rows about machines that boot."""
    plain, ours, units = [], [], []
    for number in range(ROUNDS):
        plain.append(boot_debian(laboratory))
        taken, used = boot_ours(laboratory, f"measured-{number}")
        ours.append(taken)
        units.append(used)
        laboratory.testbed.transcript.note(f"{plain[-1]} beside {taken}; {dict(zip(UNITS, used, strict=True))}")
    debian, annex = _medians(plain), _medians(ours)
    return [
        _row("power on to the multi-user target, and to in the pool, s", debian.seconds, annex.seconds),
        _row("processor time of the machine until then, s", debian.busy, annex.busy),
        *(
            f"| processor time of {unit} in it, s | | {median(used):.1f} | |"
            for unit, used in zip(UNITS, zip(*units, strict=True), strict=True)
        ),
    ]


def builds(plain: Built, ours: Built) -> list[str]:
    """Return the rows about machines on which packages are installed."""
    return [
        _row("power on to off, with the same packages installed, s", plain.taken.seconds, ours.taken.seconds),
        _row("processor time of the machine until then, s", plain.taken.busy, ours.taken.busy),
        _row("written above the base, MB", plain.written / 1e6, ours.written / 1e6),
    ]


def main() -> None:
    """Measure everything in the network of ``python -m tests.machines``, and write it down."""
    given = read()
    assert given is not None
    # No rule of an annex runs its function every few seconds beside what is measured.
    with opened(given, speed=1) as laboratory:
        laboratory.have(ONE_PROCESSOR)
        ours = build_ours(laboratory)
    # Another local AWS, which has the image.
    with opened(given, speed=1) as laboratory:
        laboratory.have(ONE_PROCESSOR)
        laboratory.deploy()
        rows = [*boots(laboratory), *builds(install_on_debian(laboratory), ours)]
    heads = ["| what | Debian without us | ours | ratio |", "| --- | ---: | ---: | ---: |"]
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    last = f"Measured with a load average of {load} in the last 1, 5 and 15 minutes; the machine itself is 1 of it."
    write("\n".join([*heads, *rows, "", last, ""]))


def write(table: str) -> None:
    """Write what was measured into its page."""
    block = rf"({re.escape(BEGIN)}\n).*?(<!-- end -->)"
    text, count = re.subn(block, lambda found: f"{found[1]}{table}{found[2]}", PAGE.read_text(), flags=re.DOTALL)
    assert count == 1
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
