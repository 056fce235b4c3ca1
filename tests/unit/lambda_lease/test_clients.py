"""The clients of the lease function."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_lease.clients import Clients


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Clients:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    return Clients()


def test_each_client_is_made_once_in_the_functions_region_and_waits_half_a_minute_at_most(clients: Clients) -> None:
    made = [clients.events, clients.ec2, clients.cloudformation, clients.s3]
    assert [client.meta.service_model.service_name for client in made] == ["events", "ec2", "cloudformation", "s3"]
    for client in made:
        config: Any = client.meta.config
        assert (client.meta.region_name, config.connect_timeout, config.read_timeout) == ("eu-west-1", 5, 30)
        assert config.retries == {"mode": "standard", "total_max_attempts": 5}
    assert (clients.events, clients.ec2, clients.cloudformation, clients.s3) == tuple(made)


def test_prices_are_asked_for_where_they_are(clients: Clients) -> None:
    client = clients.pricing("ap-south-1")
    assert (client.meta.service_model.service_name, client.meta.region_name) == ("pricing", "ap-south-1")
