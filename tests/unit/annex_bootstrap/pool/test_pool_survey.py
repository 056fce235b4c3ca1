"""What every daemon would make of the block: what changes, what must not change, and what keeps annexes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool import pool_survey
from annex_bootstrap.pool.htcondor import AP_COLLECTOR, COLLECTOR, DAEMONS, MASTER, SCHEDD, TOOL, Daemon, Value
from annex_bootstrap.pool.pool_config import Pool, render
from annex_bootstrap.pool.pool_survey import Change, Effect, effect_of, survey
from tests.unit.annex_bootstrap.pool.test_pool_config import COMMON, a_pool

DIRECTORY = "/etc/condor/config.d"


class Fake:
    """A configuration that each daemon reads as said.

    Attributes:
        knobs: of all daemons.
        special: of single daemons.
        places: which file sets a knob.
        raw: what is not expanded; else as ``knobs``.
    """

    files: tuple[str, ...] = ("/etc/condor/condor_config",)

    def __init__(self, knobs: Mapping[str, str], special: Mapping[Daemon, Mapping[str, str]] | None = None) -> None:
        self.knobs, self.special = dict(knobs), dict(special or {})
        self.places: dict[str, str] = {}
        self.raw: dict[str, str] | None = None

    def values(self, daemon: Daemon, *, raw: bool = False) -> dict[str, str]:
        if raw and self.raw is not None:
            return self.raw
        return self.knobs | dict(self.special.get(daemon, {}))

    def look_up(self, knob: str, daemon: Daemon = TOOL) -> Value:
        return Value(self.values(daemon).get(knob, ""), self.places.get(knob, ""))

    def parts(self, knob: str) -> list[str]:
        return [DIRECTORY] if knob == "LOCAL_CONFIG_DIR" else []


class Machine:
    """A machine with HTCondor.

    Attributes:
        now: its configuration.
        then: what it would be with the block.
        own: what it is without one.
        copy: what our copy of it says.
        contents: of the file, as it was asked about.
    """

    def __init__(self) -> None:
        self.now = Fake(COMMON)
        self.then = Fake(COMMON | READY)
        self.own = Fake(COMMON)
        self.copy = self.now
        self.contents: list[bytes | None] = []
        self.version: tuple[int, int, int] | None = (23, 9, 6)


METHODS = {
    f"SEC_{level}_AUTHENTICATION_METHODS": "FS, IDTOKENS, PASSWORD"
    for level in ("CLIENT", "DAEMON", "NEGOTIATOR", "READ")
}
READY = METHODS | {
    "ALLOW_ADVERTISE_STARTD": "condor_pool@*, condor@password",
    "ALLOW_ADVERTISE_MASTER": "condor_pool@*, condor@password",
}
"""What the block makes of the knobs that it names."""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Fake, "parts", lambda _, knob: [str(tmp_path)] if knob == "LOCAL_CONFIG_DIR" else [])
    return tmp_path / "90-annex-pool.config"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()

    @contextmanager
    def with_content(_path: Path, content: bytes | None, *, ignored: str = "") -> Iterator[Fake]:
        made.contents.append(content)
        if not ignored:
            yield made.copy
        else:
            yield made.then if content is not None and b"BEGIN annex-pool" in content else made.own

    monkeypatch.setattr(pool_survey, "with_content", with_content)
    monkeypatch.setattr(pool_survey, "IN_FORCE", made.now)
    monkeypatch.setattr(pool_survey, "version", lambda: made.version)
    return made


def effect(_machine: Machine, path: Path, **wishes: Any) -> Effect:
    pool = a_pool(**wishes)
    return effect_of(path, render(pool), pool)


def test_a_pool_is_what_every_daemon_reads_without_our_block(machine: Machine, path: Path) -> None:
    wishes = Pool(Path("/p"), port=9700)
    path.write_text(f"MINE = 1\n{render(a_pool())}")
    found = survey(path, wishes)
    assert found == Pool(Path("/p"), dict.fromkeys(DAEMONS, COMMON), port=9700)
    assert machine.contents == [path.read_bytes(), b"MINE = 1\n"]


def test_a_file_that_holds_nothing_else_is_left_out_and_so_is_one_that_is_not_there(
    machine: Machine, path: Path
) -> None:
    survey(path, Pool(Path("/p")))
    path.write_text(render(a_pool()))
    survey(path, Pool(Path("/p")))
    assert machine.contents == [None, b"", path.read_bytes(), None]


def test_without_htcondor_there_is_nothing_to_survey(machine: Machine, path: Path) -> None:
    machine.version = None
    wishes = Pool(Path("/p"))
    assert survey(path, wishes) is wishes
    assert effect_of(path, render(wishes), wishes) == Effect((), (), needs_restart=True)
    assert machine.contents == []


@pytest.mark.parametrize("name", ["CONFIG_ROOT", "LOCAL_CONFIG_DIR", "LOCAL_CONFIG_FILE", "PID", "PPID"])
def test_what_differs_between_two_processes_is_no_difference(machine: Machine, path: Path, name: str) -> None:
    machine.copy = Fake(COMMON | {name: "9"})
    survey(path, Pool(Path("/p")))
    machine.then = Fake(COMMON | {name: "9"})
    assert effect(machine, path).changes == ()


def test_where_our_copy_of_the_configuration_says_something_else_nothing_is_computed(
    machine: Machine, path: Path
) -> None:
    machine.copy = Fake(COMMON | {"A": "1", "B": "2", "C": "3", "D": "4", "PID": "9"})
    machine.now.places["A"] = "/etc/x, line 1"
    with pytest.raises(UserError, match=r"something else for A, B, C \(/etc/x, line 1\); give --config a file in one"):
        survey(path, Pool(Path("/p")))


def test_what_the_block_changes_is_named_once_with_its_readers(machine: Machine, path: Path) -> None:
    machine.then.special = {SCHEDD: {"SEC_READ_AUTHENTICATION_METHODS": "IDTOKENS"}}
    found = effect(machine, path)
    others = tuple(str(daemon) for daemon in DAEMONS if daemon != SCHEDD)
    assert found.changes == (
        Change("ALLOW_ADVERTISE_MASTER", "", "condor_pool@*, condor@password"),
        Change("ALLOW_ADVERTISE_STARTD", "", "condor_pool@*, condor@password"),
        Change("SEC_CLIENT_AUTHENTICATION_METHODS", "", "FS, IDTOKENS, PASSWORD"),
        Change("SEC_DAEMON_AUTHENTICATION_METHODS", "", "FS, IDTOKENS, PASSWORD"),
        Change("SEC_NEGOTIATOR_AUTHENTICATION_METHODS", "", "FS, IDTOKENS, PASSWORD"),
        Change("SEC_READ_AUTHENTICATION_METHODS", "", "FS, IDTOKENS, PASSWORD", others),
        Change("SEC_READ_AUTHENTICATION_METHODS", "", "IDTOKENS", ("SCHEDD",)),
    )
    assert found.problems == ()
    assert not found.needs_restart


def test_random_knobs_and_what_follows_them_are_no_changes(machine: Machine, path: Path) -> None:
    machine.now.raw = {"DICE": "$RANDOM_CHOICE(1,2)", "FOLLOWS": "$(DICE)", "FURTHER": "a$(follows)"}
    machine.now.knobs |= {"DICE": "1", "FOLLOWS": "1", "FURTHER": "a1"}
    machine.own.knobs |= {"DICE": "1", "FOLLOWS": "1", "FURTHER": "a1"}
    machine.then.knobs |= {"DICE": "2", "FOLLOWS": "2", "FURTHER": "a2", "LOCAL_CONFIG_DIR": "/tmp/mirror"}
    changed = [change.knob for change in effect(machine, path).changes]
    assert changed == sorted(READY)


@pytest.mark.parametrize(
    ("daemons", "restart"), [(DAEMONS, True), ((MASTER,), True), ((SCHEDD,), False), ((MASTER, SCHEDD), True)]
)
def test_a_port_that_the_master_reads_needs_a_restart(
    machine: Machine, path: Path, daemons: tuple[Daemon, ...], restart: bool
) -> None:
    machine.now.special = {daemon: {"USE_SHARED_PORT": "false"} for daemon in daemons}
    assert effect(machine, path).needs_restart is restart


def test_a_block_that_changes_what_it_does_not_say_is_refused(machine: Machine, path: Path) -> None:
    machine.then.knobs["OTHER"] = "new"
    machine.then.places["OTHER"] = "/etc/condor/x, line 3"
    with pytest.raises(UserError) as refused:
        effect(machine, path)
    assert str(refused.value) == (
        "the block would also change OTHER: OTHER from (not set) to new (/etc/condor/x, line 3); nothing was changed: "
        "let that line not depend on what the block sets, then try again"
    )


@pytest.mark.parametrize(
    ("knob", "refused"),
    [
        ("DERIVED", False),
        ("SEC_READ_INTEGRITY", True),
        ("TRUST_DOMAIN", True),
        ("DENY_READ", True),
        ("UID_DOMAIN_X", True),
    ],
)
def test_what_htcondor_derives_may_follow_but_nothing_of_who_may_do_what(
    machine: Machine, path: Path, knob: str, refused: bool
) -> None:
    machine.then.knobs[knob] = "new"
    if refused:
        with pytest.raises(UserError, match=f"the block would also change {knob}"):
            effect(machine, path)
    else:
        assert Change(knob, "", "new") in effect(machine, path).changes


def test_a_daemon_that_the_block_adds_may_read_what_it_likes(machine: Machine, path: Path) -> None:
    machine.then.special = {AP_COLLECTOR: {"OTHER": "new"}}
    machine.then.places["OTHER"] = "/etc/condor/x, line 3"
    assert Change("OTHER", "", "new", ("AP_COLLECTOR",)) in effect(machine, path).changes
    pool = a_pool({"DAEMON_LIST": "MASTER COLLECTOR SCHEDD AP_COLLECTOR"})
    with pytest.raises(UserError, match="the block would also change"):
        effect_of(path, render(pool), pool)


Plant = Callable[[Machine], None]


def later(knob: str, value: str, daemon: Daemon | None = None) -> Plant:
    """Let a later file set a knob."""

    def plant(machine: Machine) -> None:
        if daemon is None:
            machine.then.knobs[knob] = machine.own.knobs[knob] = value
        else:
            machine.then.special[daemon] = machine.own.special[daemon] = {knob: value}
        machine.then.places[knob] = "/etc/condor/z"

    return plant


@pytest.mark.parametrize(
    ("plant", "problem"),
    [
        (
            later("SEC_DAEMON_AUTHENTICATION_METHODS", "FS"),
            "z sets SEC_DAEMON_AUTHENTICATION_METHODS to FS, without IDTOKENS, which machines need (COLLECT",
        ),
        (
            later("SEC_DEFAULT_INTEGRITY", "never", SCHEDD),
            "/etc/condor/z sets SEC_DEFAULT_INTEGRITY to never, but machines need it (SCHEDD, DAEMON)",
        ),
        (
            later("ALLOW_ADVERTISE_STARTD", "condor@password"),
            "/etc/condor/z sets ALLOW_ADVERTISE_STARTD to condor@password, without condor_pool@*",
        ),
        (
            later("DENY_READ", "condor_pool@*"),
            "/etc/condor/z sets DENY_READ to condor_pool@*, which refuses condor_pool@*",
        ),
        (later("USE_SHARED_PORT", "false"), "sets USE_SHARED_PORT to false, so that daemons have other ports"),
        (later("SHARED_PORT_PORT", "9700"), "sets SHARED_PORT_PORT to 9700, not to 9618"),
        (later("HPC_ANNEX_ENABLED", "true"), "sets DAEMON_LIST to MASTER COLLECTOR NEGOTIATOR SCHEDD, without AP_COLL"),
        (later("TCP_FORWARDING_HOST", ""), "/etc/condor/z defines TCP_FORWARDING_HOST with no value"),
    ],
)
def test_what_keeps_annexes_from_working_is_named_with_its_file(
    machine: Machine, path: Path, plant: Plant, problem: str
) -> None:
    plant(machine)
    machine.now.knobs, machine.now.special = dict(machine.then.knobs), dict(machine.then.special)
    pool = Pool(Path("/p"), {daemon: machine.own.values(daemon) for daemon in DAEMONS})
    found = effect_of(path, render(a_pool()), pool).problems
    assert any(problem in each for each in found), found


def test_a_file_that_htcondor_does_not_read_is_the_only_problem(machine: Machine, tmp_path: Path) -> None:
    other = tmp_path / "other.config"
    machine.then = Fake(COMMON)
    assert effect(machine, other).problems == (
        f"HTCondor does not read {other}: add it to LOCAL_CONFIG_FILE, or leave out --config",
    )


def test_a_pool_that_is_ready_has_no_problem_also_with_users(machine: Machine, path: Path) -> None:
    allowed = "condor_pool@*, condor@password, alice@example.org"
    machine.then.knobs |= {"ALLOW_ADVERTISE_STARTD": allowed, "ALLOW_ADVERTISE_MASTER": allowed}
    assert effect(machine, path, users=("alice",)).problems == ()
    missing = effect(machine, path, users=("bob",)).problems
    assert [each.partition(", without ")[2].partition(":")[0] for each in missing] == ["bob@example.org"] * 2
    assert COLLECTOR in DAEMONS
