from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from annex_bootstrap.commands.pool_config import command
from annex_bootstrap.errors import UserError
from annex_bootstrap.pool import pool_config, pool_password


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


def test_the_collectors_address_is_left_alone_unless_asked_for() -> None:
    block = pool_config.render(pool_config.Pool(Path("/p")))
    assert "COLLECTOR_HOST" not in block
    assert "CONDOR_HOST" not in block
    assert "\nSHARED_PORT_PORT = 9618\n" in block


def test_another_port_is_the_collectors_too() -> None:
    assert "\nCOLLECTOR_HOST = $(CONDOR_HOST):9700\n" in pool_config.render(pool_config.Pool(Path("/p"), port=9700))


def test_a_named_collector_is_the_pools_host() -> None:
    block = pool_config.render(pool_config.Pool(Path("/p"), collector="pool.example.org"))
    assert "\nCONDOR_HOST = pool.example.org\nCOLLECTOR_HOST = $(CONDOR_HOST):9618\n" in block


def test_a_pool_that_signs_tokens_with_its_password_keeps_the_key() -> None:
    block = pool_config.render(pool_config.Pool(Path("/new"), signing_key_file="/etc/condor/passwords.d/POOL"))
    assert "\nSEC_TOKEN_POOL_SIGNING_KEY_FILE = /etc/condor/passwords.d/POOL\n" in block


@pytest.mark.parametrize(
    ("own", "result"),
    [
        ("FS,IDTOKENS,KERBEROS,SCITOKENS,SSL", "FS, IDTOKENS, KERBEROS, SCITOKENS, SSL, PASSWORD"),
        ("SSL, SCITOKENS, FS", "FS, SSL, SCITOKENS, IDTOKENS, PASSWORD"),
        ("PASSWORD, FS, IDTOKENS", "FS, IDTOKENS, PASSWORD"),
        ("kerberos password token", "FS, KERBEROS, IDTOKENS, PASSWORD"),
        ("PASSWORD", "FS, IDTOKENS, PASSWORD"),
    ],
)
def test_annexes_get_their_methods_and_the_pool_keeps_its_own_in_order(own: str, result: str) -> None:
    assert pool_config.add_methods(own) == result


@given(st.lists(st.sampled_from(["FS", "IDTOKENS", "PASSWORD", "SSL", "SCITOKENS", "KERBEROS", "MUNGE"])))
def test_methods_are_added_once_and_none_is_lost(own: list[str]) -> None:
    added = pool_config.add_methods(", ".join(own))
    assert pool_config.add_methods(added) == added
    names = added.split(", ")
    assert set(names) == {*own, "FS", "IDTOKENS", "PASSWORD"}
    assert len(names) == len(set(names))
    assert (names[0], names[-1]) == ("FS", "PASSWORD")


def test_htcondors_annex_feature_belongs_to_the_machine_with_the_schedd() -> None:
    central_manager = pool_config.Pool(Path("/p"), daemons=["MASTER", "COLLECTOR", "NEGOTIATOR"])
    assert "HPC_ANNEX" not in pool_config.render(central_manager)
    access_point = pool_config.Pool(Path("/p"), daemons=["MASTER", "SCHEDD"], collector="cm.example.org")
    block = pool_config.render(access_point)
    assert "use feature:HPC_ANNEX\n" in block
    assert "\nCONDOR_HOST = cm.example.org\n" in block
    assert "ANNEX_COLLECTOR" not in block


def test_htcondors_annex_feature_is_not_used_twice() -> None:
    block = pool_config.render(pool_config.Pool(Path("/p"), feature_on=True, collector="pool.example.org", port=9700))
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
    assert password not in (home / "arguments").read_text()
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
    assert "ADVERTISE" not in pool_config.render(pool_config.Pool(Path("/p")))
    block = pool_config.render(pool_config.Pool(Path("/p"), users=["ann", "bob"]))
    for knob in ("ALLOW_ADVERTISE_STARTD", "ALLOW_ADVERTISE_MASTER"):
        assert f"\n{knob} = $(ALLOW_DAEMON) ann@$(UID_DOMAIN) bob@$(UID_DOMAIN)\n" in block
    # A macro stands for its value at this line, so the annexes' own identities come first.
    assert block.index("\nALLOW_DAEMON = ") < block.index("\nALLOW_ADVERTISE_STARTD = ")
    own: dict[str, str] = dict.fromkeys(pool_config.ADVERTISING, "ALLOW_ADVERTISE_STARTD")
    assert "\nALLOW_ADVERTISE_STARTD = $(ALLOW_ADVERTISE_STARTD) ann@$(UID_DOMAIN)\n" in pool_config.render(
        pool_config.Pool(Path("/p"), advertising=own, users=["ann"])
    )


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
    assert "ADVERTISE" not in (home / "config").read_text()


def test_a_user_with_a_domain_or_a_space_is_refused(home: Path) -> None:
    for user in ("ann@example.org", "ann bob", "*"):
        done = CliRunner().invoke(command, ["--config", str(home / "config"), "--user", user])
        assert done.exit_code == 2
        assert "is not a user name" in done.output
    assert not (home / "config").exists()
