"""The token of a machine says who and what, and a wrong one never leaves."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
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
        (token(sub=ALICE), "what came is not a token with a subject and scopes"),
        ("nonsense", "what came is not a token with a subject and scopes"),
        ("a.!.b", "what came is not a token with a subject and scopes"),
        ("", "what came is not a token with a subject and scopes"),
    ],
)
def test_only_a_narrow_token_for_the_owner_is_taken(text: str, problem: str) -> None:
    assert tokens.find_problem(text, ALICE) == problem


class Pool:
    """Answers for HTCondor's commands."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.asked: list[Sequence[str]] = []

    def run(self, arguments: Sequence[str], _environment: object = None) -> CompletedProcess[str]:
        self.asked.append(arguments)
        text = self.answers.get(" ".join([arguments[0], *arguments[5:]]), self.answers.get(arguments[0], ""))
        failed = not text or "failed!" in text
        return CompletedProcess(arguments, int(failed), text, "" if text else "no key here\n")


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Pool:
    pool = Pool({})
    monkeypatch.setattr(tokens, "run", pool.run)
    return pool


def test_the_pools_key_is_used_where_it_can_be_read(answer: Pool) -> None:
    answer.answers["condor_token_create"] = token(sub=ALICE, scope=NARROW)
    tokens.make_token(ALICE, 60, 3600, [], own=False)
    (asked,) = answer.asked
    assert asked[:5] == ["condor_token_create", "-identity", ALICE, "-lifetime", "3600"]
    assert asked[5:] == ["-authz", "ADVERTISE_MASTER", "-authz", "ADVERTISE_STARTD", "-authz", "READ"]


def test_a_daemon_is_asked_for_the_users_own_token_only(answer: Pool) -> None:
    answer.answers["condor_token_fetch"] = token(sub=ALICE, scope=NARROW)
    tokens.make_token(ALICE, 60, 3600, [], own=True)
    assert [asked[0] for asked in answer.asked] == ["condor_token_create", "condor_token_fetch"]
    with pytest.raises(UserError, match="run this command as root on the central manager with --owner"):
        tokens.make_token(ALICE, 60, 3600, [], own=False)


def test_a_token_that_speaks_for_somebody_else_is_refused_with_its_subject(answer: Pool) -> None:
    answer.answers["condor_token_fetch"] = token(sub="condor@password", scope=NARROW)
    with pytest.raises(UserError, match="from the collector: the token is for condor@password"):
        tokens.make_token(ALICE, 60, 3600, [], own=True)


def test_a_token_that_ends_before_the_lease_is_refused() -> None:
    short = token(sub=ALICE, scope=NARROW, exp=1_000)
    assert tokens.find_problem(short, ALICE, 1_000) == ""
    assert "before the lease" in tokens.find_problem(short, ALICE, 1_001)
    assert "SEC_ISSUED_TOKEN_EXPIRATION" in tokens.find_problem(short, ALICE, 1_001)


UNAUTHENTICATED = (
    "ADVERTISE_STARTD failed!\nAUTHENTICATE:1003:Failed to authenticate with any method\n"
    "AUTHENTICATE:1004:Failed to authenticate using IDTOKENS\n"
)
KNOWN = 'IssuerKeys = "POOL, LOCAL"\nTrustDomain = "pool.example.org"\n'


@pytest.mark.parametrize(
    ("said", "claims", "advice"),
    [
        (
            'ADVERTISE_STARTD failed!\nSECMAN:2010:Received "DENIED" from server for user a@ap using method IDTOKENS.',
            {},
            "on the central manager run annex-bootstrap pool-config --user a@ap, and see that no DENY_ADVERTISE_STARTD",
        ),
        (UNAUTHENTICATED, {"iss": "ap.example.org"}, "set TRUST_DOMAIN = pool.example.org on this machine"),
        (UNAUTHENTICATED, {"iss": "pool.example.org", "kid": "AP"}, "signed with the key AP, and the collector"),
        (UNAUTHENTICATED, {"iss": "pool.example.org"}, "its key POOL is another one than this machine's"),
    ],
)
def test_a_token_that_the_collector_refuses_comes_with_what_to_do(
    answer: Pool, said: str, claims: dict[str, str], advice: str
) -> None:
    """The words are those of 23.9.6 and 25.14.1."""
    answer.answers["condor_ping -verbose ADVERTISE_STARTD"] = said
    answer.answers["condor_ping -long READ"] = KNOWN
    key = claims.pop("kid", "POOL")
    made = token(sub=ALICE, scope=NARROW, **claims)
    header = base64.urlsafe_b64encode(json.dumps({"kid": key}).encode()).rstrip(b"=").decode()
    answer.answers["condor_token_create"] = ".".join([header, *made.split(".")[1:]])
    with pytest.raises(UserError) as refused:
        tokens.make_token(ALICE, 60, 3600, ["cm.example.org:9618"], own=False)
    assert advice in str(refused.value)


def test_a_collector_that_does_not_answer_is_not_asked(answer: Pool) -> None:
    answer.answers["condor_token_create"] = token(sub=ALICE, scope=NARROW)
    assert tokens.make_token(ALICE, 60, 3600, ["192.0.2.99:9618"], own=False)


class Collectors:
    """Collectors that are asked with a token, and what they got.

    Attributes:
        answers: exit code and standard output, by collector and level.
        asked: command lines.
        seen: the environment of each, with what the files in it hold.
    """

    def __init__(self) -> None:
        """Accept every token."""
        self.answers: dict[tuple[str, str], tuple[int, str]] = {}
        self.asked: list[list[str]] = []
        self.seen: list[dict[str, str]] = []

    def run(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> CompletedProcess[str]:
        self.asked.append(list(arguments))
        if environment:
            directory = Path(environment["_CONDOR_SEC_TOKEN_DIRECTORY"])
            (file,) = directory.iterdir()
            assert file.stat().st_mode & 0o777 == 0o600
            seen = {name: value.replace(str(directory), "DIRECTORY") for name, value in environment.items()}
            self.seen.append(seen | {"token": file.read_text()})
        code, said = self.answers.get((arguments[2], arguments[-1]), (0, ""))
        return CompletedProcess(arguments, code, said, "")


@pytest.fixture
def collectors(monkeypatch: pytest.MonkeyPatch) -> Collectors:
    made = Collectors()
    monkeypatch.setattr(tokens, "run", made.run)
    return made


def test_a_collector_is_asked_with_the_token_and_nothing_else(collectors: Collectors) -> None:
    assert tokens.find_refusal("cm:9618", "a-token") == ""
    ping = ["condor_ping", "-pool", "cm:9618", "-type", "COLLECTOR", "-verbose"]
    assert collectors.asked == [[*ping, "ADVERTISE_MASTER"], [*ping, "ADVERTISE_STARTD"]]
    expected = {
        "_CONDOR_SEC_TOKEN_DIRECTORY": "DIRECTORY",
        "_CONDOR_SEC_TOKEN_SYSTEM_DIRECTORY": "DIRECTORY",
        "_CONDOR_SEC_PASSWORD_DIRECTORY": "DIRECTORY",
        "_CONDOR_SEC_TOKEN_POOL_SIGNING_KEY_FILE": "DIRECTORY/none",
        "_CONDOR_SEC_PASSWORD_FILE": "DIRECTORY/none",
        "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
        "_CONDOR_SEC_CLIENT_AUTHENTICATION": "REQUIRED",
        "token": "a-token\n",
    }
    assert collectors.seen == [expected, expected]


@pytest.mark.parametrize(("code", "said"), [(0, "failed!"), (1, "no route to cm")])
def test_a_collector_that_says_nothing_of_the_token_refuses_nothing(
    collectors: Collectors, code: int, said: str
) -> None:
    collectors.answers["cm:9618", "ADVERTISE_MASTER"] = (code, said)
    assert tokens.find_refusal("cm:9618", "a-token") == ""


@pytest.mark.parametrize(
    ("made", "known", "refusal"),
    [
        (
            token(),
            'TrustDomain = "pool"\n',
            (
                "the token's issuer is nobody, and the collector cm takes only those of pool: set TRUST_DOMAIN = pool "
                "on this machine, if the collector's key signs here"
            ),
        ),
        (
            token(iss="pool"),
            'TrustDomain = "pool"\nIssuerKeys = "A, B"\n',
            (
                "the token is signed with the key POOL, and the collector cm has only A, B: copy that key into its "
                "SEC_PASSWORD_DIRECTORY, or have the collector make the token"
            ),
        ),
        (
            "nonsense",
            "",
            (
                "the collector cm does not take the token (nothing more): its key POOL is another one than this "
                "machine's, or SEC_ADVERTISE_STARTD_AUTHENTICATION_METHODS there lacks IDTOKENS"
            ),
        ),
    ],
)
def test_a_refusal_is_explained_by_what_the_collector_takes(
    collectors: Collectors, made: str, known: str, refusal: str
) -> None:
    collectors.answers["cm", "ADVERTISE_MASTER"] = (1, "ADVERTISE_MASTER failed!\n  nothing more  \n\n")
    collectors.answers["cm", "READ"] = (0, known)
    assert tokens.find_refusal("cm", made) == refusal
    # As whom this user is asked, and not with the token.
    assert collectors.asked[1] == ["condor_ping", "-pool", "cm", "-type", "COLLECTOR", "-long", "READ"]
    assert len(collectors.seen) == 1


def test_the_token_that_is_made_is_returned_and_lives_as_long_as_asked(
    answer: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000.5)
    made = token(sub=ALICE, scope=NARROW, exp=1_060)
    answer.answers["condor_token_create"] = f" {made}\n"
    assert tokens.make_token(ALICE, 60, 3600, [], own=True) == made
    assert [asked[0] for asked in answer.asked] == ["condor_token_create"]
    with pytest.raises(UserError, match=r"the token ends .*, before the lease at"):
        tokens.make_token(ALICE, 61, 3600, [], own=False)


def test_the_daemons_are_asked_in_order_for_the_users_own_token(answer: Pool) -> None:
    with pytest.raises(UserError) as refused:
        tokens.make_token(ALICE, 60, 3600, [], own=True)
    limits = ["-lifetime", "3600", "-authz", "ADVERTISE_MASTER", "-authz", "ADVERTISE_STARTD", "-authz", "READ"]
    assert answer.asked == [
        ["condor_token_create", "-identity", ALICE, *limits],
        ["condor_token_fetch", "-type", "COLLECTOR", *limits],
        ["condor_token_fetch", "-type", "SCHEDD", *limits],
    ]
    assert str(refused.value) == (
        f"could not get a token for {ALICE}; machines need one to join (condor_token_create: no key here; "
        "condor_token_fetch from the collector: no key here; condor_token_fetch from the schedd: no key here): run "
        "annex-bootstrap pool-config on the pool, or run this command as root on the central manager with --owner"
    )


def test_every_collector_must_take_the_token(answer: Pool) -> None:
    answer.answers["condor_token_create"] = token(sub=ALICE, scope=NARROW)
    tokens.make_token(ALICE, 60, 3600, ["one", "two"], own=False)
    assert [asked[2] for asked in answer.asked[1:]] == ["one", "one", "two", "two"]


def test_a_local_token_is_one_of_this_machines_key_or_none(answer: Pool) -> None:
    assert tokens.local_token(ALICE, 60) == ""
    assert answer.asked[0][:5] == ["condor_token_create", "-identity", ALICE, "-lifetime", "60"]
    made = token(sub=ALICE, scope=NARROW)
    answer.answers["condor_token_create"] = f"{made}\n"
    assert tokens.local_token(ALICE, 60) == made
    assert tokens.local_token("bob@pool.example.org", 60) == ""
    assert {asked[0] for asked in answer.asked} == {"condor_token_create"}
