"""What grub starts from on Debian's disk."""

from __future__ import annotations

import struct

from local_aws.machines.base_disk import boot_sector, core_image


def test_the_first_sector_leaves_the_partition_table_and_names_the_second_stage() -> None:
    boot = bytes(range(256)) * 2
    code = boot_sector(boot)
    assert len(code) == 440
    assert struct.unpack_from("<Q", code, 0x5C) == (2048,)
    assert code[0x66:0x68] == b"\x90\x90"


def test_the_second_stage_says_where_the_rest_of_it_is() -> None:
    core = bytes(512 * 3 + 1)
    start, sectors = struct.unpack_from("<QH", core_image(core), 512 - 12)
    assert (start, sectors) == (2049, 3)
