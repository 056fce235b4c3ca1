"""The disks of machines."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from local_aws.machines.running import new_disk


@pytest.mark.skipif(not shutil.which("qemu-img"), reason="needs qemu-img, which make vm installs")
@pytest.mark.parametrize(("asked", "size"), [(8, 16), (16, 16), (20, 20)])
def test_a_disk_is_never_smaller_than_its_image(tmp_path: Path, asked: int, size: int) -> None:
    base, disk = tmp_path / "base.qcow2", tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(base), "16G"], check=True)
    new_disk(base, disk, asked)
    info = subprocess.run(["qemu-img", "info", "--output=json", str(disk)], check=True, capture_output=True)
    assert json.loads(info.stdout)["virtual-size"] == size << 30
