"""What a machine decides at boot, and what it does with real files."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_contract.lease import TARBALL_PATTERN, annex_of, machine_key
from annex_contract.machine_policies import configuration_policy
from annex_contract.stack import ANNEX_TAG, CONFIGURATION_TAG
from machine_image import annex_machine
from machine_image.annex_machine import (
    CONDOR,
    INSTANCE_STORE,
    JOBS_LABEL,
    GiveUpError,
    annex_of_token,
    configure_once,
    holds_anything,
    instance_config,
    instance_store,
    is_ours_or_blank,
    mode_of,
    own_tarball,
    tarball_of,
    target_of,
    unpack,
)
from machine_image.aws_calls import RefusedError

BEFORE_24_11 = {"00ec2-dynamic.config": "A = 1", "password_file.pl": "made-up secret"}
SINCE_24_11 = {
    "config.d/00ec2-dynamic.config": "A = 1",
    "passwords.d/POOL": "made-up secret",
    "tokens.d/first.scientist@pool.example.org": "made-up token",
}


def _tarball(path: Path, members: dict[str, str], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.uname = kind, 0o666, 1000, "scientist"
            info.size = len(text) if kind == tarfile.REGTYPE else 0
            info.linkname = "" if kind == tarfile.REGTYPE else "/etc/shadow"
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def _unpacked(directory: Path) -> dict[str, tuple[str, int]]:
    return {
        path.relative_to(directory).as_posix(): (path.read_text(), path.stat().st_mode & 0o777)
        for path in directory.rglob("*")
        if path.is_file()
    }


@given(st.text(max_size=60))
def test_a_machine_reads_a_client_token_as_the_lease_function_does(token: str) -> None:
    assert annex_of_token(token) == annex_of(None, token, ours=True)


@pytest.mark.parametrize(
    ("token", "annex_id"), [("first_1-2-3", "first"), ("my_annex_1-2", "my_annex"), ("1-2-3", None), ("", None)]
)
def test_the_annex_id_ends_before_the_last_underscore(token: str, annex_id: str | None) -> None:
    assert annex_of_token(token) == annex_id


def test_the_machine_and_the_stack_name_the_same_tag() -> None:
    assert annex_machine.ANNEX_TAG == ANNEX_TAG
    assert annex_machine.CONFIGURATION_TAG == CONFIGURATION_TAG


def test_a_machine_looks_where_the_client_puts_its_configuration() -> None:
    assert own_tarball("a-bucket/AROA1", "first", "i-1") == ("a-bucket", machine_key("first", "AROA1", "i-1"))


class Objects:
    """The calls of a machine whose configuration comes at a later try, or never."""

    def __init__(self, content: bytes, tries: int) -> None:
        self.content, self.tries, self.calls = content, tries, list[str]()

    def read_object(self, bucket: str, key: str) -> bytes:
        """Refuse so many times, and then answer."""
        self.calls.append(f"read {bucket} {key}")
        if len(self.calls) <= self.tries:
            raise RefusedError("s3 GetObject: 403 AccessDenied")
        return self.content

    def delete_object(self, bucket: str, key: str) -> None:
        """Note it."""
        self.calls.append(f"delete {bucket} {key}")


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that names the machine whose configuration is unpacked; what is unpacked goes beside it."""
    path = tmp_path / "configured"
    monkeypatch.setattr(annex_machine, "CONFIGURED", path)
    monkeypatch.setattr(annex_machine, "_unpack_once", lambda content, _: (tmp_path / "unpacked").write_bytes(content))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return path


def configure(objects: Objects, seconds: float = 60) -> None:
    configure_once(objects, "b", "k", "i-1", time.monotonic() + seconds)  # type: ignore[arg-type]  # two of its calls


def test_a_machine_waits_for_its_configuration_reads_it_once_and_deletes_it(configured: Path) -> None:
    objects = Objects(b"made up", 2)
    configure(objects)
    assert objects.calls == ["read b k"] * 3 + ["delete b k"]
    assert (configured.read_text(), configured.with_name("unpacked").read_bytes()) == ("i-1", b"made up")
    # When it boots again there is none, and it needs none.
    configure(objects)
    assert len(objects.calls) == 4


def test_the_image_of_a_machine_makes_no_machine_that_is_configured(configured: Path) -> None:
    configured.write_text("i-0")
    objects = Objects(b"made up", 0)
    configure(objects)
    assert objects.calls == ["read b k", "delete b k"]


def test_a_machine_whose_configuration_never_comes_gives_up_and_says_so(configured: Path) -> None:
    with pytest.raises(
        GiveUpError, match=r"the client that started this machine has not put its configuration at s3://b/k"
    ):
        configure(Objects(b"", 100), 0.5)
    assert not configured.exists()


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_the_tarball_is_found_in_the_policy_that_the_stack_makes(partition: str) -> None:
    policies = [configuration_policy(f"arn:{partition}:s3:::a-bucket/{TARBALL_PATTERN}")]
    assert tarball_of(policies) == ("a-bucket", TARBALL_PATTERN)


@pytest.mark.parametrize(
    "resource",
    [
        [],
        None,
        "*",
        "arn:aws:s3:::a-bucket",
        "arn:aws:s3:::a-bucket/*",
        "arn:aws:s3:::*/config-*.tar.gz",
        "arn:aws:s3:::a-bucket/config-*.tar.gz.old",
        "arn:aws:s3:::a-bucket/folder/config-*.tar.gz",
    ],
)
def test_no_other_resource_is_taken_for_a_tarball(resource: object) -> None:
    assert tarball_of([{"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}}]) is None


def test_the_tarball_is_found_among_several_policies_statements_and_resources() -> None:
    wanted = "arn:aws:s3:::a-bucket/config-*.tar.gz"
    several = {"Statement": [{"Resource": "*"}, {"Resource": ["arn:aws:s3:::b", wanted]}]}
    assert tarball_of([{"Statement": []}, several]) == ("a-bucket", "config-*.tar.gz")


@pytest.mark.parametrize(
    ("members", "directory"),
    [(BEFORE_24_11, CONDOR / "config.d"), (SINCE_24_11, CONDOR), ({"./config.d/x.config": ""}, CONDOR)],
)
def test_a_tarball_goes_where_its_htcondor_expects_it(members: dict[str, str], directory: Path) -> None:
    assert target_of(members) == directory


@pytest.mark.parametrize("members", [BEFORE_24_11, SINCE_24_11])
def test_the_secrets_of_a_tarball_become_readable_only_by_root(members: dict[str, str], tmp_path: Path) -> None:
    seen: list[str] = []

    def target(names: Iterable[str]) -> Path:
        seen.extend(names)
        return tmp_path / "condor"

    assert unpack(_tarball(tmp_path / "config.tar.gz", members), target) == tmp_path / "condor"
    assert seen == list(members)
    expected = {name: (text, mode_of(name)) for name, text in members.items()}
    assert _unpacked(tmp_path / "condor") == expected
    assert {mode for name, (_, mode) in expected.items() if "secret" in expected[name][0]} == {0o600}


@pytest.mark.parametrize("name", ["../outside", "/../../outside", "a/../../outside"])
def test_a_member_cannot_leave_its_directory(name: str, tmp_path: Path) -> None:
    with pytest.raises(GiveUpError, match="cannot be unpacked"):
        unpack(_tarball(tmp_path / "config.tar.gz", {name: "x"}), lambda _: tmp_path / "condor")
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_tarball_with_anything_but_files_is_refused(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(GiveUpError, match="neither a file nor a directory"):
        unpack(_tarball(tmp_path / "config.tar.gz", {"x": ""}, kind), lambda _: tmp_path / "condor")
    assert not (tmp_path / "condor").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00"])
def test_what_is_not_an_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    tarball = tmp_path / "config.tar.gz"
    tarball.write_bytes(content)
    with pytest.raises(GiveUpError, match=r"^config\.tar\.gz cannot be unpacked: "):
        unpack(tarball, lambda _: tmp_path / "condor")


def test_a_machine_without_a_public_address_forwards_nothing() -> None:
    own = 'EC2InstanceID = "i-1"\nMASTER_NAME = i-1\nSTARTD_NAME = i-1\n'
    assert instance_config("i-1", None, "2001:db8::1") == own
    assert instance_config("i-1", "192.0.2.1", "2001:db8::1") == f"{own}TCP_FORWARDING_HOST = 192.0.2.1\n"


def test_a_machine_advertises_no_ipv6_address_that_ec2_does_not_know() -> None:
    assert instance_config("i-1", "192.0.2.1", None).endswith("TCP_FORWARDING_HOST = 192.0.2.1\nENABLE_IPV6 = False\n")


def test_the_instance_store_is_known_by_its_model_and_never_by_its_name(tmp_path: Path) -> None:
    models = {
        "nvme0n1": "Amazon Elastic Block Store              ",
        "nvme1n1": "Amazon Elastic Block Store              ",
        "nvme2n1": f"{INSTANCE_STORE}        \n",
        "sda": "QEMU HARDDISK   ",
    }
    for name, model in models.items():
        (tmp_path / name / "device").mkdir(parents=True)
        (tmp_path / name / "device/model").write_text(model)
    (tmp_path / "loop0").mkdir()
    assert instance_store(tmp_path) == ["nvme2n1"]


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs the programs that a machine has")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A file that stands for a disk: the same programs read it."""
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(8 * 2**20)
    return path


@linux_only
def test_a_blank_disk_may_be_used(disk: Path) -> None:
    assert not holds_anything(str(disk))
    assert is_ours_or_blank(str(disk))


@linux_only
def test_a_disk_with_the_file_system_of_an_earlier_boot_may_be_used(disk: Path) -> None:
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-L", JOBS_LABEL, str(disk)], check=True, timeout=20)
    assert holds_anything(str(disk))
    assert is_ours_or_blank(str(disk))


@linux_only
@pytest.mark.parametrize(
    "fill",
    [
        ["/usr/sbin/mkfs.ext4", "-q"],
        ["/usr/sbin/mkfs.ext4", "-q", "-L", "somebodys"],
        ["/usr/sbin/mkswap", "-L", JOBS_LABEL[:4]],
    ],
)
def test_a_disk_that_holds_anything_else_is_left_alone(disk: Path, fill: list[str]) -> None:
    subprocess.run([*fill, str(disk)], check=True, capture_output=True, timeout=20)
    assert holds_anything(str(disk))
    assert not is_ours_or_blank(str(disk))


@linux_only
def test_a_disk_with_a_partition_table_is_left_alone(disk: Path) -> None:
    partition = bytes.fromhex("00 000200 83 000000 00080000 00100000")
    content = bytearray(disk.read_bytes())
    content[446:462], content[510:512] = partition, b"\x55\xaa"
    disk.write_bytes(content)
    assert holds_anything(str(disk))
    assert not is_ours_or_blank(str(disk))
