"""``pool-config``: what it stores, writes, asks and removes, and what it says comes next."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from annex_bootstrap.commands import pool_config as module
from annex_bootstrap.commands.pool_config import PoolConfiguration, lets_start, pool_config
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool import pool_config as block
from annex_bootstrap.pool import pool_password
from annex_bootstrap.pool.htcondor import DAEMONS, Version
from annex_bootstrap.pool.pool_survey import Change, Effect
from tests.unit.annex_bootstrap.commands.conftest import Asked
from tests.unit.annex_bootstrap.pool.test_pool_config import COMMON

CHANGES = (Change("ALLOW_X", "a", "a, b", ("COLLECTOR", "SCHEDD")), Change("SEC_Y", "", "c\n d"))
SHOWN = ["ALLOW_X: a -> a, b  (COLLECTOR, SCHEDD)", "SEC_Y: (not set) -> c d"]


class Machine:
    """A machine with HTCondor, as far as the command asks.

    Attributes:
        own: what its daemons read.
        effect: what the block does.
        wishes: what was wanted of the pool.
        effects: for which file and block it was asked what they do.
        has_condor: whether HTCondor can store passwords.
        stored: passwords, and where HTCondor keeps them.
        token: with which the collector is asked; None where there is no key.
        refusal: why the collector does not let machines join.
        asked: of the collector, and the identities of the tokens.
        version: of HTCondor.
        uid: of the user.
    """

    def __init__(self) -> None:
        self.own: Mapping[str, str] = COMMON
        self.effect = Effect(CHANGES, (), needs_restart=False)
        self.wishes: list[block.Pool] = []
        self.effects: list[tuple[Path, str]] = []
        self.has_condor = True
        self.stored: list[tuple[str, Path]] = []
        self.token: str | None = "made-up"
        self.refusal = ""
        self.asked: list[tuple[str, ...]] = []
        self.version: Version | None = (24, 12, 0)
        self.uid = 1000

    def survey(self, _path: Path, wishes: block.Pool) -> block.Pool:
        self.wishes.append(wishes)
        return replace(wishes, own=dict.fromkeys(DAEMONS, self.own) if self.own else {})

    def effect_of(self, path: Path, text: str, _pool: block.Pool) -> Effect:
        self.effects.append((path, text))
        return self.effect

    def store(self, password: str, path: Path) -> None:
        self.stored.append((password, path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"scrambled")

    def make_token(self, identity: str, seconds: int) -> str | None:
        self.asked.append((identity, str(seconds)))
        return self.token

    def find_refusal(self, collector: str, token: str) -> str:
        self.asked.append((collector, token))
        return self.refusal


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(module, "survey", made.survey)
    monkeypatch.setattr(module, "effect_of", made.effect_of)
    monkeypatch.setattr(module, "local_token", made.make_token)
    monkeypatch.setattr(module, "find_refusal", made.find_refusal)
    monkeypatch.setattr(module, "version", lambda: made.version)
    monkeypatch.setattr(module, "user_name", lambda: "alice")
    # Not of the whole process, whose files are its own.
    monkeypatch.setattr(module, "os", SimpleNamespace(geteuid=lambda: made.uid, environ=os.environ))
    monkeypatch.setattr(pool_password, "can_store", lambda: made.has_condor)
    monkeypatch.setattr(pool_password, "store_password", made.store)
    monkeypatch.setattr(pool_password, "new_password", lambda: "new")
    monkeypatch.delenv("SUDO_USER", raising=False)
    return made


@pytest.fixture
def file(home: Path) -> Path:
    return home / "pool" / "90-annex-pool.config"


@pytest.fixture
def kept(home: Path) -> Path:
    return home / ".condor" / "annex_pool_password"


Run = Callable[..., PoolConfiguration]


@pytest.fixture
def run(screen: Screen, file: Path) -> Run:
    return lambda **options: pool_config(screen, file, **options)


def test_a_password_is_made_and_stored_and_the_block_is_written_once(
    run: Run, machine: Machine, file: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run()
    text = block.render(machine.survey(file, machine.wishes[0]))
    assert machine.wishes[0] == block.Pool(kept, users=["alice"], longest_lease=24 * 3600)
    assert machine.effects == [(file, text)]
    assert machine.stored == [("new", kept)]
    assert file.read_text() == text
    assert done == PoolConfiguration(file, text, True, True, CHANGES, (), False, True, kept, None)
    assert machine.asked == [("alice@example.org", "300"), ("cm.example.org:9618", "made-up")]
    assert capsys.readouterr().out.splitlines() == [
        f"{kept} now holds the pool password.",
        f"{file} now lets annexes join through port 9618.",
        "Next: condor_reconfig, so that the pool uses it. Nothing has to be restarted.",
        "The running collector lets machines of alice join.",
    ]
    again = run()
    assert again == replace(done, changed=False)
    assert len(machine.stored) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{kept} already holds the pool password.",
        f"{file} already lets annexes join through port 9618.",
        "The running collector lets machines of alice join.",
    ]


def test_every_option_reaches_the_block(run: Run, machine: Machine, home: Path) -> None:
    secret = home / "secret"
    secret.write_text("given\n")
    secret.chmod(0o600)
    elsewhere = home / "elsewhere"
    run(
        password_file=secret,
        stored_password=elsewhere,
        port=9700,
        collector="public.example.org",
        longest_lease="2d",
        users=("bob", "carol@other.org"),
    )
    assert machine.wishes == [
        block.Pool(
            elsewhere,
            port=9700,
            collector="public.example.org",
            longest_lease=2 * 86400,
            users=("bob", "carol@other.org"),
        )
    ]
    assert machine.stored == [("given", elsewhere)]


def test_a_password_that_waits_as_text_is_stored(run: Run, machine: Machine, kept: Path) -> None:
    pool_password.write_password("waits", pool_password.plain_file(kept))
    run()
    assert machine.stored == [("waits", kept)]


def test_without_htcondor_the_password_waits_as_text(
    run: Run, machine: Machine, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has_condor, machine.own = False, {}
    plain = kept.with_name("annex_pool_password.txt")
    done = run()
    assert (done.password_waits_in, done.complete, done.accepted) == (plain, True, None)
    assert (plain.read_text().strip(), machine.stored, machine.asked) == ("new", [], [])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        f"{plain} holds the pool password as text, since there is no condor_store_cred here.",
        f"Copy it to the pool's machine, and run there: condor_store_cred add -c -i {plain.name} -f {kept}",
    ]


@pytest.mark.parametrize(
    ("uid", "sudo", "users"),
    [(1000, "", ["alice"]), (1000, "bob", ["alice"]), (0, "bob", ["bob"]), (0, "root", []), (0, "", [])],
)
def test_who_runs_it_may_start_annexes_also_through_sudo(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch, home: Path, uid: int, sudo: str, users: list[str]
) -> None:
    monkeypatch.setenv("SUDO_USER", sudo)
    machine.uid = uid
    run(stored_password=home / "kept")
    assert machine.wishes[0].users == users


def test_those_named_before_stay_and_where_nobody_is_that_is_said(
    run: Run, machine: Machine, file: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(users=("bob", "carol"))
    run()
    assert machine.wishes[1].users == ["bob", "carol"]
    file.unlink()
    machine.uid = 0
    run(stored_password=home / "kept")
    assert (
        "Nobody may start annexes with annex-bootstrap start yet: name who may with pool-config --user NAME.\n"
        in capsys.readouterr().out
    )
    assert len(machine.asked) == 4


@pytest.mark.parametrize("root", [True, False])
def test_roots_password_is_htcondors_and_others_have_their_own(
    run: Run, machine: Machine, kept: Path, root: bool
) -> None:
    machine.uid = 0 if root else 1000
    run(print_only=True)
    assert machine.wishes[0].password_file == (Path("/etc/condor/annex_pool_password") if root else kept)


def test_printing_shows_the_block_what_it_changes_and_writes_nothing(
    run: Run, machine: Machine, file: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.refusal = "it says no"
    machine.effect = Effect(CHANGES, ("a problem",), needs_restart=True)
    done = run(print_only=True)
    assert (done.changed, done.complete, done.accepted, done.ok) == (False, False, False, False)
    assert (done.problems, done.needs_restart) == (("a problem",), True)
    said = capsys.readouterr()
    assert said.out == "".join(
        [
            done.block,
            *(f"# {line}\n" for line in SHOWN),
            "# The running collector does not let annexes join yet: it says no.\n",
        ]
    )
    assert said.err == "annex-bootstrap: warning: a problem\n"
    assert (file.exists(), kept.exists(), machine.stored) == (False, False, [])


def test_printing_says_nothing_of_a_collector_that_cannot_be_asked(
    run: Run, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.token = None
    assert run(print_only=True).accepted is None
    assert "collector does" not in capsys.readouterr().out


def test_printing_and_removing_exclude_each_other(run: Run, machine: Machine) -> None:
    with pytest.raises(click.UsageError, match="give either --print or --remove"):
        run(print_only=True, remove=True)
    assert machine.wishes == []


@pytest.mark.parametrize("answer", [True, False])
def test_before_a_change_it_asks_where_that_is_wanted(
    run: Run,
    machine: Machine,
    asked: Asked,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    answer: bool,
) -> None:
    asked.answer = answer
    machine.effect = Effect(CHANGES, ("a problem",), needs_restart=False)
    done = run(ask=True)
    assert asked.questions == [("Change the pool's configuration?", True)]
    said = capsys.readouterr()
    assert said.out.splitlines()[:3] == [f"In {file}:", *(f"  {line}" for line in SHOWN)]
    assert "annex-bootstrap: warning: a problem\n" in said.err
    assert (done.changed, done.complete, file.exists(), bool(machine.stored)) == (answer, answer, answer, answer)
    if answer:
        run(ask=True)
        assert len(asked.questions) == 1
    else:
        assert said.out.splitlines()[-1] == "Nothing was changed."


def test_a_problem_is_said_and_the_command_fails(
    run: Run, machine: Machine, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.effect = Effect((), ("a problem",), needs_restart=True)
    assert run().ok is False
    said = capsys.readouterr()
    assert f"{file} now has the block, but annexes cannot join yet: see above.\n" in said.out
    assert "Next: condor_restart, so that the pool uses it. For the port, condor_reconfig is not enough.\n" in said.out
    assert said.err == "annex-bootstrap: warning: a problem\n"
    run()
    assert f"{file} has the block, but annexes cannot join yet: see above.\n" in capsys.readouterr().out


def test_a_collector_that_refuses_is_expected_after_a_change_and_warned_of_later(
    run: Run, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.refusal = "it says no"
    assert run().accepted is False
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "The running collector does not let annexes join yet."
    assert said.err == ""
    assert run().accepted is False
    assert capsys.readouterr().err == (
        "annex-bootstrap: warning: The running collector does not let annexes join yet: it says no.\n"
    )


@pytest.mark.parametrize(
    ("own", "lines"),
    [
        (
            {"DAEMON_LIST": "MASTER COLLECTOR NEGOTIATOR"},
            ["This machine has no schedd. On every access point that starts annexes: {copy}."],
        ),
        (
            {"DAEMON_LIST": "MASTER SCHEDD"},
            [
                "This machine has no collector. On the central manager: {copy}.",
                "If this machine has another name on the Internet, set TCP_FORWARDING_HOST to it.",
            ],
        ),
        (
            {"COLLECTOR_HOST": "a.example.org:9618, b.example.org:9618"},
            ["The pool has 2 collectors. On each of their machines: {copy}."],
        ),
        ({}, []),
    ],
)
def test_where_else_the_block_belongs_is_said(
    run: Run,
    machine: Machine,
    kept: Path,
    capsys: pytest.CaptureFixture[str],
    own: dict[str, str],
    lines: list[str],
) -> None:
    machine.own = COMMON | own
    machine.token = None
    run()
    copy = f"copy {kept} there, still closed to others, and run annex-bootstrap pool-config"
    said = capsys.readouterr().out.splitlines()
    assert said[3:] == [line.format(copy=copy) for line in lines]


@pytest.mark.parametrize(
    ("uid", "version", "collector", "count"),
    [
        (0, (23, 9, 6), "public.example.org", 4),
        (0, (23, 9, 6), "", 3),
        (0, None, "", 3),
        (0, (24, 11, 2), "", 0),
        (1000, (23, 9, 6), "", 0),
    ],
)
def test_users_of_condor_annex_need_copies_of_roots_password(
    run: Run,
    machine: Machine,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    uid: int,
    version: Version | None,
    collector: str,
    count: int,
) -> None:
    machine.uid, machine.version, machine.token = uid, version, None
    kept = home / "kept"
    run(stored_password=kept, collector=collector, users=("bob",))
    assert (
        capsys.readouterr().out.splitlines()[3:]
        == [
            "Every user who runs condor_annex needs a private copy of the pool password:",
            f"  install -D -m 600 -o USER {kept} ~USER/.condor/annex_pool_password",
            "  and in ~USER/.condor/user_config: SEC_PASSWORD_FILE = the path of that copy",
            f"  and, since condor_annex knows no other name: COLLECTOR_HOST = {collector}:9618",
        ][:count]
    )


def test_lines_to_paste_stay_whole_on_a_narrow_terminal(
    run: Run, machine: Machine, home: Path, narrow: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    machine.uid, machine.version, machine.token = 0, (23, 9, 6), None
    kept = home / "kept"
    narrow()
    run(stored_password=kept, collector="a-name-that-is-longer-than-that.example.org", users=("bob",))
    lines = capsys.readouterr().out.splitlines()
    assert f"  install -D -m 600 -o USER {kept} ~USER/.condor/annex_pool_password" in lines
    assert lines[-1].endswith(": COLLECTOR_HOST = a-name-that-is-longer-than-that.example.org:9618")


@pytest.fixture
def with_password(machine: Machine, home: Path) -> Path:
    """A pool that authenticates with a password already."""
    known = home / "known"
    machine.own = COMMON | {"SEC_DEFAULT_AUTHENTICATION_METHODS": "PASSWORD", "SEC_PASSWORD_FILE": str(known)}
    known.write_text("scrambled")
    return known


def test_a_pool_keeps_the_password_that_it_has(run: Run, machine: Machine, with_password: Path, kept: Path) -> None:
    done = run()
    assert (done.stored_password, machine.stored, kept.exists()) == (with_password, [], False)
    assert run(stored_password=with_password).complete
    assert run(remove=True).stored_password != with_password
    assert with_password.exists()


def test_another_password_would_lose_the_pools_daemons(run: Run, with_password: Path, home: Path, file: Path) -> None:
    for options in ({"password_file": home / "other"}, {"stored_password": home / "other"}):
        with pytest.raises(UserError, match=f"this pool authenticates with the password in {with_password}, and its"):
            run(**options)
    with_password.unlink()
    with pytest.raises(UserError, match=f"{with_password} does not exist on this machine: copy it from the central"):
        run()
    assert not file.exists()


def test_removing_makes_the_file_what_it_was_and_deletes_the_password_that_was_made(
    run: Run, machine: Machine, file: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.parent.mkdir()
    file.write_text("MINE = 1\n")
    run()
    machine.effect = Effect((), ("a problem",), needs_restart=True)
    capsys.readouterr()
    done = run(remove=True)
    assert (done.block, done.changed, done.complete, done.problems, done.ok) == ("", True, False, (), True)
    assert machine.effects[-1] == (file, "")
    assert (file.read_text(), kept.exists()) == ("MINE = 1\n", False)
    assert sorted(path.name for path in file.parent.iterdir() if not path.name.startswith(".")) == [file.name]
    assert capsys.readouterr().out.splitlines() == [
        f"{file} is what it was before pool-config.",
        f"{kept} is deleted.",
        "Next: condor_restart, so that the pool notices.",
    ]
    machine.effect = Effect((), (), needs_restart=False)
    assert run(remove=True).changed is False
    assert capsys.readouterr().out.splitlines() == [f"{file} has no block of pool-config."]


def test_a_file_of_the_block_alone_goes_and_a_password_that_was_named_stays(
    run: Run, file: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = home / "named"
    run(stored_password=named)
    run(stored_password=named, remove=True)
    assert (file.exists(), named.exists()) == (False, True)
    assert "Next: condor_reconfig, so that the pool notices.\n" in capsys.readouterr().out


def test_who_may_start_is_whom_the_block_names(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(given: Path | None, *, read_only: bool = False) -> Path:
        assert (given, read_only) == (None, True)
        return file

    run(users=("bob",))
    monkeypatch.setattr(block, "find_pool_file", find)
    assert [lets_start(user) for user in ("bob", "alice")] == [True, False]
