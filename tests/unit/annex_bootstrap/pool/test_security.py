"""Which knob decides, and whom a list names: as HTCondor 23.9.6 and 25.14.1 have it."""

from __future__ import annotations

import pytest

from annex_bootstrap.pool.htcondor import AP_COLLECTOR, COLLECTOR, Daemon, parse_dump
from annex_bootstrap.pool.security import Setting, covers, find_setting

DUMP = """\
# Configuration from machine: vm
ALLOW_DAEMON =  condor@*  condor_pool@* me
COLLECTOR.ALLOW_DAEMON =  condor@*  condor_pool@* me
D =
FOO @=end
 a
 b
@end
TRUST_DOMAIN = vm
"""


def test_a_dump_is_read_with_its_empty_and_long_values() -> None:
    knobs = parse_dump(DUMP)
    assert knobs["ALLOW_DAEMON"] == knobs["COLLECTOR.ALLOW_DAEMON"] == "condor@*  condor_pool@* me"
    assert (knobs["D"], knobs["TRUST_DOMAIN"]) == ("", "vm")
    assert " a\n b" in knobs["FOO"]


@pytest.mark.parametrize(
    ("values", "daemon", "knob", "own"),
    [
        ({}, COLLECTOR, "", "ALLOW_ADVERTISE_STARTD"),
        ({"ALLOW_DEFAULT": "x"}, COLLECTOR, "ALLOW_DEFAULT", "ALLOW_ADVERTISE_STARTD"),
        ({"ALLOW_DAEMON": "x", "ALLOW_DEFAULT": "x"}, COLLECTOR, "ALLOW_DAEMON", "ALLOW_ADVERTISE_STARTD"),
        ({"ALLOW_WRITE": "x"}, COLLECTOR, "", "ALLOW_ADVERTISE_STARTD"),
        (
            {"ALLOW_WRITE": "x", "LEGACY_ALLOW_SEMANTICS": "TRUE"},
            COLLECTOR,
            "ALLOW_WRITE",
            "ALLOW_ADVERTISE_STARTD",
        ),
        (
            {"AP_COLLECTOR.ALLOW_ADVERTISE_STARTD": "x", "ALLOW_ADVERTISE_STARTD": "y"},
            AP_COLLECTOR,
            "AP_COLLECTOR.ALLOW_ADVERTISE_STARTD",
            "AP_COLLECTOR.ALLOW_ADVERTISE_STARTD",
        ),
        (
            {"AP_COLLECTOR.ALLOW_ADVERTISE_STARTD": "x", "ALLOW_ADVERTISE_STARTD": "y"},
            COLLECTOR,
            "ALLOW_ADVERTISE_STARTD",
            "ALLOW_ADVERTISE_STARTD",
        ),
    ],
)
def test_the_knob_that_decides_is_found(values: dict[str, str], daemon: Daemon, knob: str, own: str) -> None:
    assert find_setting(values, "ALLOW_{}", "ADVERTISE_STARTD", daemon) == Setting(knob, values.get(knob, ""), own)


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        (["*"], True),
        (["ann@example.org"], True),
        (["*@example.org"], True),
        (["ANN@Example.org/*"], True),
        (["*/*"], True),
        (["ann@example.org/192.0.2.1"], False),
        (["bob@example.org", "ann@other"], False),
        (["192.0.2.*", "*.example.org", "cm.example.org"], False),
        ([], False),
    ],
)
def test_a_list_names_somebody_wherever_they_are(entries: list[str], named: bool) -> None:
    assert covers(entries, "ann@example.org") == named


def test_what_nothing_decides_is_written_for_the_level_that_others_inherit_from() -> None:
    methods = find_setting({}, "SEC_{}_AUTHENTICATION_METHODS", "ADVERTISE_STARTD", COLLECTOR)
    assert methods == Setting("", "", "SEC_DAEMON_AUTHENTICATION_METHODS")
    allowed = find_setting({}, "ALLOW_{}", "ADVERTISE_STARTD", COLLECTOR)
    assert allowed == Setting("", "", "ALLOW_ADVERTISE_STARTD")
