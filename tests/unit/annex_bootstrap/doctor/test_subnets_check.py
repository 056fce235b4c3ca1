"""What doctor says of the subnets that a stack names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.doctor import stack_checks
from annex_bootstrap.doctor.check import Finding, Level, Setup
from annex_bootstrap.doctor.stack_checks import Subnets
from annex_bootstrap.errors import UserError
from annex_bootstrap.machines.subnets import Endpoint
from annex_bootstrap.stack.read import Stack
from tests.unit.annex_bootstrap.answers import answering

OUT = {"0.0.0.0/0": "nat-1", "10.1.0.0/16": "pcx-1"}
CAMPUS = {"172.16.0.0/12": "tgw-1", "pl-1": "vpce-1"}
NEEDS = "machines need EC2, S3 and the pool's port"
OTHERS = "add a NAT gateway, or deploy with --param SubnetIds= and other subnets"
ASK = (
    "ask who runs the network whether EC2 (an interface endpoint), S3 (a gateway endpoint) and the pool's port are"
    " among these"
)
STACK = Stack("arn", "s", "CREATE_COMPLETE", "", {}, {"Version": "1"}, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("ways", "builds", "level", "detail", "advice"),
    [
        ({"a": OUT, "b": OUT}, True, Level.OK, "a: everything by nat-1; b: everything by nat-1", ""),
        (
            {"a": OUT, "b": None},
            True,
            Level.PROBLEM,
            "b is gone",
            "deploy with --param SubnetIds= and those that are there",
        ),
        ({"a": OUT, "b": {}}, False, Level.PROBLEM, "a: everything by nat-1; b: nothing", f"{NEEDS}: {OTHERS}"),
        (
            {"a": CAMPUS},
            True,
            Level.PROBLEM,
            "a: only 172.16.0.0/12 by tgw-1, pl-1 by vpce-1",
            f"{NEEDS}, and the image's builder Debian's packages: {OTHERS}, or --param Image= and an image of yours",
        ),
        (
            {"a": CAMPUS},
            False,
            Level.SKIPPED,
            "a: only 172.16.0.0/12 by tgw-1, pl-1 by vpce-1",
            ASK,
        ),
    ],
)
def test_what_a_subnet_leads_to_is_said(ways: Any, builds: bool, level: Level, detail: str, advice: str) -> None:
    assert Subnets(ways, builds).judge() == Finding("subnets", "subnets", level, detail, advice)


def test_an_internet_gateway_is_no_way_out_for_the_connectivity_function() -> None:
    ways = {"a": {"0.0.0.0/0": "igw-1"}, "b": OUT}
    but = " except from the connectivity function, which has no public address"
    for asks, said in ((True, but), (False, "")):
        assert Subnets(ways, False, asks=asks).judge().detail == f"a: everything by igw-1{said}; b: everything by nat-1"


S3, OTHERS_S3 = Endpoint("vpce-1", "s3", gateway=True), Endpoint("vpce-9", "s3", gateway=True)
EC2, LOGS = Endpoint("vpce-2", "ec2", gateway=False), Endpoint("vpce-3", "logs", gateway=False)


@pytest.mark.parametrize(
    ("ways", "endpoints", "detail", "advice"),
    [
        (
            CAMPUS,
            [EC2, LOGS, S3, OTHERS_S3],
            "EC2 by vpce-2, S3 by vpce-1, 172.16.0.0/12 by tgw-1",
            "whether the pool's port is among these",
        ),
        (
            CAMPUS,
            [S3],
            "S3 by vpce-1, 172.16.0.0/12 by tgw-1",
            "whether EC2 (an interface endpoint) and the pool's port are among these",
        ),
        (
            {"172.16.0.0/12": "tgw-1"},
            [EC2, S3],
            "EC2 by vpce-2, 172.16.0.0/12 by tgw-1",
            "whether S3 (a gateway endpoint) and the pool's port are among these",
        ),
        # A pool in the same VPC is reached all the same.
        ({"pl-1": "vpce-1"}, [EC2, S3], "EC2 by vpce-2, S3 by vpce-1", "whether the pool's port is among these"),
        ({"pl-1": "vpce-1"}, None, "pl-1 by vpce-1", ASK.removeprefix("ask who runs the network ")),
    ],
)
def test_endpoints_are_named_and_only_what_is_not_known_is_asked_for(
    ways: dict[str, str], endpoints: list[Endpoint] | None, detail: str, advice: str
) -> None:
    finding = Subnets({"a": ways, "b": OUT}, False, endpoints=endpoints).judge()
    assert finding == Finding(
        "subnets",
        "subnets",
        Level.SKIPPED,
        f"a: only {detail}; b: everything by nat-1",
        f"ask who runs the network {advice}",
    )


@pytest.mark.parametrize("endpoints", [[EC2], [S3], [EC2, OTHERS_S3], [LOGS], []])
def test_a_subnet_that_leads_to_nothing_but_one_service_is_a_problem(endpoints: list[Endpoint]) -> None:
    ways = {"pl-1": "vpce-1"} if S3 in endpoints else {}
    finding = Subnets({"a": ways}, False, endpoints=endpoints).judge()
    assert (finding.level, finding.advice) == (Level.PROBLEM, f"{NEEDS}: {OTHERS}")


def test_endpoints_that_cannot_be_read_are_not_held_against_a_subnet() -> None:
    assert Subnets({"a": {"pl-1": "vpce-1"}}, False, endpoints=None).judge().level is Level.SKIPPED
    assert Subnets({"a": {}}, False, endpoints=None).judge().level is Level.PROBLEM


def test_with_a_proxy_only_it_and_the_pool_have_to_be_reached() -> None:
    advice = "ask who runs the network whether http://proxy:3128 and the pool's port are reached from there"
    finding = Subnets({"a": OUT, "b": {}}, True, "http://proxy:3128").judge()
    assert finding == Finding("subnets", "subnets", Level.SKIPPED, "a: everything by nat-1; b: nothing", advice)
    assert Subnets({"a": OUT}, True, "http://proxy:3128").judge().level is Level.OK


def setup(account: Any, subnets: str) -> Setup:
    made = Setup(account, "s", Path("config"))
    # A cached property, which is read from AWS otherwise.
    parameters = {"SubnetIds": subnets, "Image": "yes", "HttpProxy": "http://p", "ConnectivityVpc": "yes"}
    vars(made)["deployed"] = replace(STACK, parameters=parameters)
    return made


DESCRIBED = (
    "describe_subnets",
    {"Filters": [{"Name": "subnet-id", "Values": ["subnet-a", "subnet-b"]}]},
    {"Subnets": [{"SubnetId": "subnet-a", "VpcId": "vpc-1"}]},
)


def test_named_subnets_are_looked_up_and_one_that_is_gone_is_noticed() -> None:
    route = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}
    tables = {"RouteTables": [{"Associations": [{"Main": True}], "Routes": [route]}]}
    vpc = {"Filters": [{"Name": "vpc-id", "Values": ["vpc-1"]}]}
    with answering(ec2=[DESCRIBED, ("describe_route_tables", vpc, tables)]) as account:
        assert Subnets.read(setup(account, "subnet-a, subnet-b")) == Subnets(
            {"subnet-a": {"0.0.0.0/0": "nat-1"}, "subnet-b": None}, builds=True, proxy="http://p", asks=True
        )


def test_endpoints_are_read_where_a_subnet_does_not_lead_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(stack_checks, "route_tables", lambda *_: [])
    monkeypatch.setattr(stack_checks, "find_endpoints", lambda _, vpc: asked.append(vpc))
    with answering(ec2=[DESCRIBED]) as account:
        assert Subnets.read(setup(account, "subnet-a,subnet-b")) == Subnets(
            {"subnet-a": {}, "subnet-b": None}, builds=True, proxy="http://p", endpoints=None, asks=True
        )
    assert asked == ["vpc-1"]


def test_without_the_right_to_read_routes_the_right_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_checks, "route_tables", lambda *_: None)
    with answering(ec2=[DESCRIBED]) as account, pytest.raises(UserError, match="grant ec2:DescribeRouteTables"):
        Subnets.read(setup(account, "subnet-a,subnet-b"))


def test_a_stack_that_names_none_is_not_asked_about() -> None:
    with answering(ec2=[]) as account:
        assert Subnets.read(setup(account, "")) is None
