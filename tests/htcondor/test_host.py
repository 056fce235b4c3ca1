"""What a stand-in sees of the test's machine."""

from __future__ import annotations

from pathlib import Path

from tests.htcondor.host import Host


def test_a_stand_in_sees_none_of_the_machines_disks_and_cannot_open_one_that_it_makes(htcondor_root: Path) -> None:
    with Host(htcondor_root, "machine.example.org") as host:
        # Not find's own -type, which takes a device that is mounted on a file for the file.
        disks, others = (
            host.must(["find", "/dev", "-exec", "test", kind, "{}", ";", "-print"]) for kind in ("-b", "-c")
        )
        assert disks == ""
        devices = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts/ptmx"}
        assert set(others.split()) == {f"/dev/{name}" for name in devices}
        for path in ("/dev/nvme1n1", "/root/disk"):
            # The first loop device, which every kernel may have; nothing is read from it.
            host.must(["mknod", path, "b", "7", "0"])
            assert "Permission denied" in host.run(["dd", f"if={path}", "count=0"]).stderr


def test_a_stand_in_can_use_the_devices_that_programs_expect(htcondor_root: Path) -> None:
    with Host(htcondor_root, "machine.example.org") as host:
        read = host.must(["sh", "-c", "head -c 4 /dev/urandom | wc -c; echo lost > /dev/null; echo kept > /dev/shm/it"])
    assert read == "4\n"
