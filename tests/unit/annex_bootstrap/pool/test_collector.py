"""Where a pool's collectors are, as people write it, and whether AWS can reach an address."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool import collector
from annex_bootstrap.pool.collector import Address, parse_collectors, reachable_from_aws

POOL = Address("pool.example.org", 9618)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", []),
        ("pool.example.org", [POOL]),
        ("pool.example.org:9700?sock=collector", [Address("pool.example.org", 9700, "collector")]),
        (":9618?sock=ap_collector", [Address("", 9618, "ap_collector")]),
        ("<192.0.2.1:9700>", [Address("192.0.2.1", 9700)]),
        (
            "<192.0.2.1:9618?addrs=192.0.2.1-9618+[2001-db8--1]-9618&alias=pool.example.org&noUDP&sock=collector>",
            [Address("192.0.2.1", 9618, "collector")],
        ),
        ("[2001:db8::1]:9700, other", [Address("2001:db8::1", 9700), Address("other", 9618)]),
        ("[2001:db8::1]", [Address("2001:db8::1", 9618)]),
        ("2001:db8::1", [Address("2001:db8::1", 9618)]),
        ("cm1:9614, cm2", [Address("cm1", 9614), Address("cm2", 9618)]),
        ("cm1:9614 cm2:9615", [Address("cm1", 9614), Address("cm2", 9615)]),
    ],
)
def test_every_collector_is_read_with_its_port(text: str, addresses: list[Address]) -> None:
    assert parse_collectors(text) == addresses
    assert parse_collectors(", ".join(map(str, addresses))) == addresses


@pytest.mark.parametrize("text", ["pool:port", "a:1:b", "[2001:db8::1"])
def test_what_is_not_an_address_is_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match="is not a collector's address: give one such as"):
        parse_collectors(text)


@pytest.mark.parametrize(
    ("address", "reachable"),
    [
        *(("8.8.8.8", True), ("2600::1", True), ("pool.example.org", True), ("999.1.1.1", True)),
        *((address, False) for address in ("10.0.0.1", "100.64.0.1", "169.254.1.1", "127.0.0.1", "fd00::1")),
    ],
)
def test_only_global_addresses_are_reachable(address: str, reachable: bool) -> None:
    assert reachable_from_aws(address) == reachable


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What condor_status prints, how it ends, and what it was asked."""
    answer: dict[str, Any] = {"text": "", "code": 0, "asked": []}

    def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        answer["asked"].append(arguments)
        return subprocess.CompletedProcess(arguments, answer["code"], answer["text"], "")

    monkeypatch.setattr(collector, "run", run)
    return answer


def test_a_collector_is_asked_for_an_attribute(printed: dict[str, Any]) -> None:
    printed["text"] = "i-1\nundefined\ni-2\n"
    assert collector.ask_collector("cm", "EC2InstanceID") == ["i-1", "i-2"]
    assert collector.ask_collector("cm", "Name", "-schedd") == ["i-1", "i-2"]
    ask = ["condor_status", "-pool", "cm"]
    assert printed["asked"] == [[*ask, "-af", "EC2InstanceID"], [*ask, "-schedd", "-af", "Name"]]
    printed["code"] = 1
    assert collector.ask_collector("cm", "Name") is None


def test_access_points_that_nobody_outside_reaches_are_named(printed: dict[str, Any]) -> None:
    printed["text"] = (
        "ap1 <10.0.0.5:9618?sock=schedd>\n"
        "ap2 <10.0.0.6:9618?CCBID=192.0.2.1:9618%3faddrs#1&sock=schedd>\n"
        "ap3 <8.8.8.8:9618?sock=schedd>\n"
        "ap4 <[fd00::5]:9618>\n"
        "ap5 undefined\n"
    )
    assert collector.private_schedds("cm") == [("ap1", "10.0.0.5"), ("ap4", "[fd00::5]")]
    assert printed["asked"] == [["condor_status", "-pool", "cm", "-schedd", "-af", "Name", "MyAddress"]]
    printed["code"] = 1
    assert collector.private_schedds("cm") == []
