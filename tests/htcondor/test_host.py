"""What a stand-in sees of the test's machine."""

from __future__ import annotations

from pathlib import Path

from tests.htcondor.host import Host

DISK = ["mknod", "/dev/nvme1n1", "b", "7", "0"]
"""Makes what HTCondor 25's boot script looks for: here the first loop device, which every kernel may have."""


def test_a_stand_in_sees_none_of_the_machines_disks(htcondor_root: Path) -> None:
    with Host(htcondor_root, "machine.example.org") as host:
        # Not find's own -type, which takes a device that is mounted on a file for the file.
        disks, others = (
            host.must(["find", "/dev", "-exec", "test", kind, "{}", ";", "-print"]) for kind in ("-b", "-c")
        )
    assert disks == ""
    devices = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts/ptmx"}
    assert set(others.split()) == {f"/dev/{name}" for name in devices}


def test_a_stand_in_can_use_the_devices_that_programs_expect(htcondor_root: Path) -> None:
    with Host(htcondor_root, "machine.example.org") as host:
        read = host.must(["sh", "-c", "head -c 4 /dev/urandom | wc -c; echo lost > /dev/null; echo kept > /dev/shm/it"])
    assert read == "4\n"


def test_a_disk_that_is_made_in_a_stand_in_cannot_be_opened(htcondor_root: Path) -> None:
    with Host(htcondor_root, "machine.example.org") as host:
        host.must(DISK)
        opened = {path: host.run(["dd", f"if={path}", "count=0"]) for path in ("/dev/nvme1n1", "/dev/zero")}
        host.must(["mknod", "/root/disk", "b", "7", "0"])
        elsewhere = host.run(["dd", "if=/root/disk", "count=0"])
    assert opened["/dev/zero"].returncode == 0
    assert "Permission denied" in opened["/dev/nvme1n1"].stderr
    assert "Permission denied" in elsewhere.stderr
