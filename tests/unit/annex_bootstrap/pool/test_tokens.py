"""The token of a machine says who and what, and a wrong one never leaves."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from subprocess import CompletedProcess
from typing import Any

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool import tokens

ALICE = "alice@pool.example.org"
NARROW = "condor:/ADVERTISE_MASTER condor:/ADVERTISE_STARTD condor:/READ"


def token(**claims: Any) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts), "x"]
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (token(sub=ALICE, scope=NARROW), ""),
        (token(sub="condor@password", scope=NARROW), "the token is for condor@password"),
        (token(sub=ALICE, scope=f"{NARROW} condor:/WRITE"), "the token allows condor:/WRITE as well"),
        # Without scopes it allows everything.
        (token(sub=ALICE), "what came is no token with a subject and scopes"),
        ("nonsense", "what came is no token with a subject and scopes"),
        ("a.!.b", "what came is no token with a subject and scopes"),
        ("", "what came is no token with a subject and scopes"),
    ],
)
def test_only_a_narrow_token_for_the_owner_is_taken(text: str, problem: str) -> None:
    assert tokens.find_problem(text, ALICE) == problem


class Pool:
    """Answers for HTCondor's commands."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.asked: list[Sequence[str]] = []

    def run(self, arguments: Sequence[str]) -> CompletedProcess[str]:
        self.asked.append(arguments)
        text = self.answers.get(arguments[0], "")
        return CompletedProcess(arguments, 0 if text else 1, text, "" if text else "no key here\n")


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Pool:
    pool = Pool({})
    monkeypatch.setattr(tokens, "run", pool.run)
    return pool


def test_the_pools_key_is_used_where_it_can_be_read(answer: Pool) -> None:
    answer.answers["condor_token_create"] = token(sub=ALICE, scope=NARROW)
    tokens.make_token(ALICE, 3600, own=False)
    (asked,) = answer.asked
    assert asked[:5] == ["condor_token_create", "-identity", ALICE, "-lifetime", "3600"]
    assert asked[5:] == ["-authz", "ADVERTISE_MASTER", "-authz", "ADVERTISE_STARTD", "-authz", "READ"]


def test_a_daemon_is_asked_where_the_key_is_root_s_but_for_nobody_else(answer: Pool) -> None:
    answer.answers["condor_token_fetch"] = token(sub=ALICE, scope=NARROW)
    tokens.make_token(ALICE, 3600, own=True)
    assert [asked[0] for asked in answer.asked] == ["condor_token_create", "condor_token_fetch"]
    with pytest.raises(UserError, match="run this command as root on the central manager with --owner"):
        tokens.make_token(ALICE, 3600, own=False)


def test_a_token_that_speaks_for_somebody_else_is_refused_with_its_subject(answer: Pool) -> None:
    answer.answers["condor_token_fetch"] = token(sub="condor@password", scope=NARROW)
    with pytest.raises(UserError, match="from the collector: the token is for condor@password"):
        tokens.make_token(ALICE, 3600, own=True)
