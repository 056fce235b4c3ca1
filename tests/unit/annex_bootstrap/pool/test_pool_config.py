from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from annex_bootstrap.commands.pool_config import command
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool import pool_config, pool_password
from annex_bootstrap.pool.htcondor import DAEMONS
from annex_bootstrap.pool.security import add_methods


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, and no HTCondor in the PATH until a test puts one there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def put_program(home: Path, name: str, script: str) -> None:
    """A program of HTCondor's name, for what a real one cannot be made to do here."""
    path = home / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(0o755)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(command, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


COMMON = {
    "DAEMON_LIST": "MASTER COLLECTOR NEGOTIATOR SCHEDD",
    "COLLECTOR_HOST": "cm.example.org:9618",
    "UID_DOMAIN": "example.org",
    "USE_SHARED_PORT": "true",
    "SHARED_PORT_PORT": "9618",
    "SEC_TOKEN_POOL_SIGNING_KEY_FILE": "/etc/condor/passwords.d/POOL",
    "SEC_DEFAULT_AUTHENTICATION_METHODS": "FS, IDTOKENS",
    "ALLOW_DAEMON": "condor@example.org",
    "ALLOW_READ": "*",
}
"""What all daemons of a small pool read."""


def a_pool(changes: Mapping[str, str] | None = None, **wishes: Any) -> pool_config.Pool:
    """Return a pool of one machine, with some knobs changed for all daemons."""
    own = dict.fromkeys(DAEMONS, COMMON | dict(changes or {}))
    return pool_config.Pool(Path("/p"), own, **wishes)


def settings_of(block: str) -> dict[str, str]:
    """Return the knobs that a block sets."""
    return dict(re.findall(r"^ *([A-Z][\w.]*) = (.*)$", block, re.MULTILINE))


def test_collectors_and_ports_are_left_alone_unless_asked_for() -> None:
    for pool in (a_pool(), a_pool({"COLLECTOR_HOST": "cm1:9614, cm2:9614", "SHARED_PORT_PORT": "9614"})):
        set_up = settings_of(pool_config.render(pool))
        assert {"COLLECTOR_HOST", "CONDOR_HOST", "USE_SHARED_PORT", "SHARED_PORT_PORT"} & set_up.keys() == set()


def test_another_port_is_every_collectors_port() -> None:
    pool = a_pool({"COLLECTOR_HOST": "cm1:9618, [2001:db8::1], <192.0.2.1:9618?sock=collector>"}, port=9700)
    set_up = settings_of(pool_config.render(pool))
    assert set_up["SHARED_PORT_PORT"] == "9700"
    assert set_up["COLLECTOR_HOST"] == "cm1:9700, [2001:db8::1]:9700, 192.0.2.1:9700?sock=collector"


def test_a_pool_without_a_shared_port_gets_one_where_its_collector_is() -> None:
    pool = a_pool({"USE_SHARED_PORT": "false", "COLLECTOR_HOST": "cm.example.org:9614"})
    set_up = settings_of(pool_config.render(pool))
    assert (set_up["USE_SHARED_PORT"], set_up["SHARED_PORT_PORT"]) == ("True", "9614")
    assert pool.annex_port == 9614


@pytest.mark.parametrize(("known", "port"), [("9700", 9700), ("", 9618), ("$(PORT)", 9618)])
def test_an_access_point_that_is_no_central_manager_has_the_port_that_its_daemons_share(known: str, port: int) -> None:
    assert a_pool({"DAEMON_LIST": "MASTER SCHEDD", "SHARED_PORT_PORT": known}).annex_port == port


@pytest.mark.parametrize("what", ["AUTHENTICATION", "ENCRYPTION", "INTEGRITY"])
def test_what_the_pool_never_does_becomes_optional_because_machines_ask_for_it(what: str) -> None:
    set_up = settings_of(pool_config.render(a_pool({f"SEC_DEFAULT_{what}": "NEVER"})))
    levels = ("DAEMON", "READ", "NEGOTIATOR", "CLIENT")
    assert {knob: value for knob, value in set_up.items() if knob.endswith(f"_{what}")} == {
        f"SEC_{level}_{what}": "OPTIONAL" for level in levels
    }


def test_a_public_name_of_the_collector_is_for_machines_only() -> None:
    set_up = settings_of(pool_config.render(a_pool(collector="pool.example.org")))
    assert set_up["ANNEX_BOOTSTRAP_COLLECTOR"] == "pool.example.org:9618"
    assert {"COLLECTOR_HOST", "CONDOR_HOST"} & set_up.keys() == set()


def test_a_pool_that_signs_tokens_keeps_the_key() -> None:
    set_up = settings_of(pool_config.render(a_pool({"SEC_TOKEN_POOL_SIGNING_KEY_FILE": "/etc/condor/key"})))
    assert set_up["SEC_TOKEN_POOL_SIGNING_KEY_FILE"] == "/etc/condor/key"


def test_a_pool_that_uses_a_password_keeps_it() -> None:
    pool = a_pool({"SEC_DEFAULT_AUTHENTICATION_METHODS": "password, FS", "SEC_PASSWORD_FILE": "/etc/condor/theirs"})
    assert pool.uses_password
    set_up = settings_of(pool_config.render(pool))
    assert {"SEC_PASSWORD_FILE", "SEC_TOKEN_POOL_SIGNING_KEY_FILE"} & set_up.keys() == set()
    assert set_up["SEC_DAEMON_AUTHENTICATION_METHODS"] == "PASSWORD, FS, IDTOKENS"
    assert "condor@password" not in pool_config.render(pool)


def test_nobody_is_asked_for_more_than_before_and_what_is_never_done_may_be_done() -> None:
    assert "REQUIRED" not in pool_config.render(a_pool({"SEC_DEFAULT_AUTHENTICATION": "OPTIONAL"}))
    set_up = settings_of(pool_config.render(a_pool({"SEC_DEFAULT_ENCRYPTION": "never"})))
    assert set_up["SEC_DAEMON_ENCRYPTION"] == "OPTIONAL"
    assert "SEC_DAEMON_AUTHENTICATION" not in set_up


@pytest.mark.parametrize(
    ("own", "knob", "value"),
    [
        ({}, "ALLOW_ADVERTISE_STARTD", "$(ALLOW_DAEMON)"),
        ({"ALLOW_ADVERTISE_STARTD": "x"}, "ALLOW_ADVERTISE_STARTD", "$(ALLOW_ADVERTISE_STARTD)"),
        ({"ALLOW_ADVERTISE_STARTD_COLLECTOR": "x"}, "ALLOW_ADVERTISE_STARTD_COLLECTOR", None),
        ({"COLLECTOR.ALLOW_ADVERTISE_STARTD": "x"}, "COLLECTOR.ALLOW_ADVERTISE_STARTD", None),
        ({"ALLOW_DAEMON_COLLECTOR": "x"}, "ALLOW_ADVERTISE_STARTD", "$(ALLOW_DAEMON_COLLECTOR)"),
        (
            {"ALLOW_DAEMON": "", "LEGACY_ALLOW_SEMANTICS": "true", "ALLOW_WRITE": "x"},
            "ALLOW_ADVERTISE_STARTD",
            "$(ALLOW_WRITE)",
        ),
        ({"ALLOW_DAEMON": "", "ALLOW_DEFAULT": "x"}, "ALLOW_ADVERTISE_STARTD", "$(ALLOW_DEFAULT)"),
    ],
)
def test_the_knob_that_counts_is_extended(own: dict[str, str], knob: str, value: str | None) -> None:
    set_up = settings_of(pool_config.render(a_pool(own, users=["ann"])))
    assert set_up[knob] == f"{value or f'$({knob})'} condor_pool@* condor@password ann@$(UID_DOMAIN)"


def test_those_who_may_advertise_already_are_not_named_again() -> None:
    set_up = settings_of(pool_config.render(a_pool({"ALLOW_ADVERTISE_STARTD": "*"}, users=["ann"])))
    assert "ALLOW_ADVERTISE_STARTD" not in set_up
    assert "ALLOW_ADVERTISE_MASTER" in set_up


def test_methods_are_added_where_they_count() -> None:
    own = {"SEC_ADVERTISE_STARTD_AUTHENTICATION_METHODS": "SSL", "SEC_READ_AUTHENTICATION_METHODS_COLLECTOR": "SSL"}
    set_up = settings_of(pool_config.render(a_pool(own)))
    for knob in own:
        assert set_up[knob] == "SSL, IDTOKENS, FS, PASSWORD"
    assert set_up["SEC_DAEMON_AUTHENTICATION_METHODS"] == "FS, IDTOKENS, PASSWORD"


@pytest.mark.parametrize(
    ("own", "result"),
    [
        ("FS,IDTOKENS,KERBEROS,SCITOKENS,SSL", "FS, IDTOKENS, KERBEROS, SCITOKENS, SSL, PASSWORD"),
        ("SSL, SCITOKENS, FS", "SSL, SCITOKENS, FS, IDTOKENS, PASSWORD"),
        ("PASSWORD, FS, IDTOKENS", "PASSWORD, FS, IDTOKENS"),
        ("kerberos password token", "KERBEROS, PASSWORD, IDTOKENS, FS"),
        ("PASSWORD", "PASSWORD, IDTOKENS, FS"),
    ],
)
def test_annexes_get_their_methods_and_the_pool_keeps_its_own_in_order(own: str, result: str) -> None:
    assert add_methods(own) == result


@given(st.lists(st.sampled_from(["FS", "IDTOKENS", "PASSWORD", "SSL", "SCITOKENS", "KERBEROS", "MUNGE"])))
def test_methods_are_added_once_and_none_is_lost(own: list[str]) -> None:
    added = add_methods(", ".join(own))
    assert add_methods(added) == added
    names = added.split(", ")
    assert set(names) == {*own, "FS", "IDTOKENS", "PASSWORD"}
    assert len(names) == len(set(names))
    assert names[: len(dict.fromkeys(own))] == list(dict.fromkeys(own))


def test_htcondors_annex_feature_belongs_to_the_machine_with_the_schedd() -> None:
    central_manager = a_pool({"DAEMON_LIST": "MASTER COLLECTOR NEGOTIATOR"})
    assert "HPC_ANNEX" not in pool_config.render(central_manager)
    access_point = a_pool({"DAEMON_LIST": "MASTER SCHEDD"}, collector="cm.example.org")
    block = pool_config.render(access_point)
    assert "use feature:HPC_ANNEX\n" in block
    assert "ANNEX_COLLECTOR" not in settings_of(block)


def test_htcondors_annex_feature_is_not_used_twice() -> None:
    block = pool_config.render(a_pool({"HPC_ANNEX_ENABLED": "True"}, collector="pool.example.org", port=9700))
    assert "use feature" not in block
    assert "\n  ANNEX_USE_OLD_CREATE = True\n" in block
    assert "\n  ANNEX_COLLECTOR = pool.example.org:9700?sock=ap_collector\n" in block


def test_a_machines_token_outlives_the_longest_lease_by_an_hour() -> None:
    assert "\n  ANNEX_TOKEN_LIFETIME = 90000\n" in run("--print")
    assert "\n  ANNEX_TOKEN_LIFETIME = 9000\n" in run("--print", "--longest-lease", "1h30m")
    with pytest.raises(UserError, match="not a duration"):
        run("--print", "--longest-lease", "soon")


def test_passwords_are_long_and_never_the_same() -> None:
    made = {pool_password.new_password() for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 43


def test_our_file_goes_into_the_last_configuration_directory(home: Path) -> None:
    for name in ("first", "last"):
        (home / name).mkdir()
    put_program(home, "condor_config_val", f'test "$1" = LOCAL_CONFIG_DIR && echo "{home}/first, {home}/last"')
    assert pool_config.find_pool_file(None) == home / "last" / "90-annex-pool.config"


def test_without_a_directory_the_local_file_is_taken(home: Path) -> None:
    put_program(home, "condor_config_val", 'test "$1" = LOCAL_CONFIG_FILE && echo /a/one, /a/two')
    assert pool_config.find_pool_file(None) == Path("/a/two")


def test_without_htcondor_the_file_must_be_given() -> None:
    with pytest.raises(UserError, match="give --config"):
        pool_config.find_pool_file(None)


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (b"made up\n", 0o640, "mode 0640"),
        (b"\nmade up\n", 0o600, "1 to 255 characters"),
        (b"x" * 256, 0o600, "1 to 255 characters"),
        (b"\xff\xfe", 0o600, "other bytes than ASCII"),
    ],
)
def test_an_unusable_password_file_is_refused(home: Path, content: bytes, mode: int, says: str) -> None:
    path = home / "password"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(UserError, match=says):
        pool_password.read_password(path)


def test_the_password_goes_through_a_pipe_and_is_never_printed(home: Path) -> None:
    put_program(
        home,
        "condor_store_cred",
        'umask 077; echo "$@" > "$HOME/arguments"; cat > "$HOME/piped"; cp "$HOME/piped" "$6"',
    )
    stored = home / "new" / "stored"
    printed = run("--config", str(home / "config"), "--stored-password", str(stored))
    password = (home / "piped").read_text()
    assert len(password) == 43
    assert password not in printed
    assert (home / "arguments").read_text() == f"add -c -i - -f {stored}\n"
    assert f"SEC_PASSWORD_FILE = {stored}\n" in (home / "config").read_text()


def test_a_stored_password_stays(home: Path) -> None:
    put_program(home, "condor_store_cred", "exit 1")
    stored = home / "stored"
    stored.write_text("made up")
    assert "already holds" in run("--config", str(home / "config"), "--stored-password", str(stored))
    assert stored.read_text() == "made up"


def test_a_second_run_changes_nothing(home: Path) -> None:
    arguments = ("--config", str(home / "config"), "--stored-password", str(home / "stored"))
    (home / "config").write_text("MINE = 1\n")
    run(*arguments)
    first = (home / "config").read_text()
    password = (home / "stored.txt").read_text()
    assert first.startswith("MINE = 1\n# BEGIN annex-pool")
    assert "already lets" in run(*arguments)
    assert ((home / "config").read_text(), (home / "stored.txt").read_text()) == (first, password)


def test_without_condor_store_cred_the_password_waits_as_private_text(home: Path) -> None:
    printed = run("--config", str(home / "config"), "--stored-password", str(home / "stored"))
    waiting = home / "stored.txt"
    assert stat.S_IMODE(waiting.stat().st_mode) == 0o600
    assert waiting.read_text().strip() not in printed
    assert "condor_store_cred add -c -i stored.txt" in printed


def test_a_refusal_of_condor_store_cred_is_reported_and_nothing_is_configured(home: Path) -> None:
    put_program(home, "condor_store_cred", "echo no such luck >&2; exit 1")
    with pytest.raises(UserError, match="no such luck"):
        run("--config", str(home / "config"), "--stored-password", str(home / "stored"))
    assert not (home / "config").exists()


def test_the_block_can_be_read_before_it_is_written(home: Path) -> None:
    assert run("--print", "--stored-password", "/p").startswith("# BEGIN annex-pool")
    assert list(home.iterdir()) == []


def test_those_who_may_advertise_machines_still_may_and_so_may_those_who_start_annexes() -> None:
    for pool in (a_pool(users=["ann", "bob"]), pool_config.Pool(Path("/p"), users=["ann", "bob"])):
        set_up = settings_of(pool_config.render(pool))
        for knob in ("ALLOW_ADVERTISE_STARTD", "ALLOW_ADVERTISE_MASTER"):
            holders = "condor_pool@* condor@password"
            assert set_up[knob] == f"$(ALLOW_DAEMON) {holders} ann@$(UID_DOMAIN) bob@$(UID_DOMAIN)"
        # What is allowed for daemons is not widened.
        assert "ALLOW_DAEMON" not in set_up


def test_users_are_kept_until_others_are_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    arguments = ("--config", str(home / "config"), "--stored-password", str(home / "stored"))

    def allowed() -> list[str]:
        return pool_config.users_of((home / "config").read_bytes())

    run(*arguments)
    assert allowed() == ["ann"]
    monkeypatch.setenv("SUDO_USER", "bob")
    assert "already lets" in run(*arguments)
    run(*arguments, "--user", "bob", "--user", "cleo")
    assert allowed() == ["bob", "cleo"]


def test_root_learns_that_nobody_may_start_annexes_yet(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    arguments = ("--config", str(home / "config"), "--stored-password", str(home / "stored"))
    assert "--user NAME" in run(*arguments)
    assert "$(UID_DOMAIN)" not in (home / "config").read_text()


def test_a_user_of_another_domain_is_named_with_it() -> None:
    pool = a_pool(users=["ann", "bob@ap.example.org"])
    assert settings_of(pool_config.render(pool))["ALLOW_ADVERTISE_STARTD"].endswith(
        " ann@$(UID_DOMAIN) bob@ap.example.org"
    )
    assert pool_config.users_of(pool_config.render(pool).encode()) == ["ann", "bob@ap.example.org"]


def test_what_is_not_a_user_is_refused(home: Path) -> None:
    for user in ("ann@*", "@example.org", "ann bob", "*"):
        done = CliRunner().invoke(command, ["--config", str(home / "config"), "--user", user])
        assert done.exit_code == 2
        assert "is not a user name" in done.output
    assert not (home / "config").exists()
