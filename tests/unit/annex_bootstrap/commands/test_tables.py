"""The tables of commands: their headings, which columns are numbers, and which a narrow terminal leaves out."""

from __future__ import annotations

import pytest

from annex_bootstrap.commands import fleet_config, grow, leases, watch
from annex_bootstrap.console.tables import Column


@pytest.mark.parametrize(
    ("columns", "headings"),
    [
        (fleet_config.COLUMNS, "TYPE, CPUS#, MEMORY#, SLOTS#, $/SLOT-HOUR#, ZONES#"),
        (grow.COLUMNS, "JOBS OF, LIKE, IDLE#, AT HOME#, BOOTING#, MISSING#, WHY"),
        (leases.COLUMNS, "ANNEX, KIND, MACHINES#, TIME LEFT#, $/HOUR#, STARTED BY"),
        (
            watch.COLUMNS,
            "ANNEX, PENDING#, RUNNING#, JOINED#, BUSY#, TIME LEFT#, $/HOUR#?, $ SO FAR#, STARTED BY?",
        ),
    ],
)
def test_numbers_are_marked_and_so_is_what_may_be_left_out(columns: list[Column], headings: str) -> None:
    assert ", ".join(f"{column.name}{'#' * column.number}{'?' * column.optional}" for column in columns) == headings
