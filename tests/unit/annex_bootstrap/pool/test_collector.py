"""Where a pool's collector is."""

from __future__ import annotations

import pytest

from annex_bootstrap.pool.collector import collector_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ("", 9618, "")),
        ("pool.example.org", ("pool.example.org", 9618, "")),
        ("pool.example.org:9700?sock=collector", ("pool.example.org", 9700, "collector")),
        (":9618?sock=ap_collector", ("", 9618, "ap_collector")),
        ("<192.0.2.1:9700>", ("192.0.2.1", 9700, "")),
        ("[2001:db8::1]:9700, other", ("2001:db8::1", 9700, "")),
        ("[2001:db8::1]", ("2001:db8::1", 9618, "")),
    ],
)
def test_the_first_collector_is_asked_at_its_port(text: str, address: tuple[str, int, str]) -> None:
    assert collector_address(text) == address
