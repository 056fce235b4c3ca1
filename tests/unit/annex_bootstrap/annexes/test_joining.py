"""The pool that machines join: which address they get, for whom their token is, and whether AWS reaches the pool."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from annex_bootstrap.annexes import joining
from annex_bootstrap.annexes.joining import Pool, check_reachable, find_pool
from annex_bootstrap.errors import UnavailableError, UserError
from annex_bootstrap.pool.collector import Address
from annex_bootstrap.pool.htcondor import Configuration
from tests.unit.annex_bootstrap.commands.conftest import OUTPUTS, a_stack
from tests.unit.recorded import Recorded


class Here:
    """The HTCondor on this machine.

    Attributes:
        version: of it; None where there is none.
        knobs: of its configuration.
        made: the arguments of each token.
    """

    def __init__(self) -> None:
        self.version: tuple[int, int, int] | None = (23, 9, 6)
        self.knobs = {"COLLECTOR_HOST": "cm.example.org", "UID_DOMAIN": "example.org"}
        self.made: list[tuple[Any, ...]] = []

    def make_token(self, *arguments: Any, own: bool) -> str:
        self.made.append((*arguments, own))
        return "made-up"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    made = Here()
    monkeypatch.setattr(joining, "version", lambda: made.version)
    monkeypatch.setattr(Configuration, "ask", lambda _, knob: made.knobs.get(knob, ""))
    monkeypatch.setattr(joining, "make_token", made.make_token)
    monkeypatch.setattr(joining, "user_name", lambda: "alice")
    return made


def test_machines_join_the_pool_of_this_machine_with_a_token_that_outlives_the_lease_by_a_day(here: Here) -> None:
    assert find_pool("", "alice", 3600) == Pool((Address("cm.example.org", 9618),), "alice@example.org", "made-up")
    assert here.made == [("alice@example.org", 3600, 3600 + 86400, ["cm.example.org:9618"], True)]


def test_an_address_for_aws_is_what_machines_get_and_the_one_here_is_asked(here: Here) -> None:
    here.knobs |= {"COLLECTOR_HOST": "cm:9700", "ANNEX_BOOTSTRAP_COLLECTOR": "public.example.org"}
    assert find_pool("", "alice", 60).address == "public.example.org:9700"
    assert find_pool("one:9618, two", "bob", 60).address == "one:9618, two:9700"
    assert here.made == [
        ("alice@example.org", 60, 86460, ["cm:9700"], True),
        ("bob@example.org", 60, 86460, ["cm:9700"], False),
    ]


def test_without_a_collector_here_the_given_one_is_asked(here: Here) -> None:
    here.knobs["COLLECTOR_HOST"] = ""
    assert find_pool("given", "alice", 60).address == "given:9618"
    assert here.made == [("alice@example.org", 60, 86460, ["given:9618"], True)]


@pytest.mark.parametrize(
    ("version", "knobs", "text"),
    [
        (None, {}, "there is no HTCondor on this machine"),
        ((8, 9, 13), {}, r"HTCondor 8\.9\.13 makes no tokens for machines"),
        ((9, 0, 0), {"COLLECTOR_HOST": ""}, "does not say where the pool's collector is"),
        ((9, 0, 0), {"COLLECTOR_HOST": ":9618"}, "does not say where the pool's collector is"),
        ((9, 0, 0), {"UID_DOMAIN": ""}, "has no UID_DOMAIN"),
    ],
)
def test_what_is_missing_here_is_said_before_a_token_is_made(
    here: Here, version: tuple[int, int, int] | None, knobs: dict[str, str], text: str
) -> None:
    here.version = version
    here.knobs |= knobs
    with pytest.raises(UserError, match=text):
        find_pool("", "alice", 60)
    assert here.made == []


POOL = Pool((Address("one", 9618), Address("two", 9700, "collector")), "alice@pool", "made-up")


def aws(*answers: dict[str, Any]) -> Recorded:
    return Recorded(Invoke=[{"Payload": io.BytesIO(json.dumps(answer).encode())} for answer in answers])


def test_the_first_collector_that_answers_is_enough() -> None:
    account = aws({"success": "0", "description": "no route"}, {"success": "1"})
    check_reachable(account.client("lambda"), a_stack(), POOL)
    assert [json.loads(call.pop("Payload")) for call in account.of("Invoke")] == [
        {"timeout": 5, "condor_host": "one", "condor_port": 9618},
        {"timeout": 5, "condor_host": "two", "condor_port": 9700, "condor_socket": "collector"},
    ]
    assert account.of("Invoke") == [{"FunctionName": OUTPUTS["ConnectivityFunctionARN"]}] * 2


def test_where_none_answers_each_is_named_with_its_reason() -> None:
    account = aws({"success": "0", "description": "no route"}, {"errorMessage": "no module"})
    with pytest.raises(UnavailableError) as refused:
        check_reachable(account.client("lambda"), a_stack(), POOL)
    assert str(refused.value) == (
        "the pool's collector one:9618 cannot be reached from us-east-1: no route; the pool's collector "
        "two:9700?sock=collector cannot be reached from us-east-1: no module; open that port to AWS, give --collector "
        "its public name, or give --skip-pool-check if only the machines reach it"
    )


def test_no_answer_is_no_success() -> None:
    with pytest.raises(UnavailableError, match="the connectivity function gave no answer"):
        check_reachable(aws({}).client("lambda"), a_stack(), Pool(POOL.collectors[:1], "", ""))
