"""The configuration file: an interruption anywhere leaves the old file or the new one."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool import config_file, files
from annex_bootstrap.pool.blocks import Block, read_block, render_block
from tests.unit.annex_bootstrap.pool.test_blocks import a_section

NEW = Block((a_section("us-east-1"),))
OLD = b"# mine\nCONDOR_HOST = pool.example.org\n"

CALLS = (
    (os, "open"),
    (os, "fdopen"),
    (os, "fchmod"),
    (os, "fsync"),
    (fcntl, "flock"),
    (Path, "replace"),
    (Path, "unlink"),
    (Path, "mkdir"),
    (Path, "read_bytes"),
)
"""Every call of the module that changes something or may be refused."""


class KilledError(BaseException):
    """Stands for an interruption."""


def put_new(_block: Block) -> Block:
    return NEW


def interrupt_at(patch: pytest.MonkeyPatch, moment: int, error: BaseException, after: bool) -> Callable[[], int]:
    """Let the call number ``moment`` raise, before or after it did its work. Returns how many calls were made."""
    made = 0

    def count(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal made
            made += 1
            if made == moment and not after:
                raise error
            result = function(*arguments, **named)
            if made == moment:
                raise error
            return result

        return counted

    for owner, name in CALLS:
        patch.setattr(owner, name, count(getattr(owner, name)))
    return lambda: made


def calls_of_one_update(path: Path) -> int:
    path.write_bytes(OLD)
    with pytest.MonkeyPatch.context() as patch:
        made = interrupt_at(patch, 0, KilledError(), after=False)
        config_file.update(path, put_new)
    return made()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [KilledError(), OSError(errno.ENOSPC, "No space left on device")])
def test_an_interruption_at_any_call_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, error: BaseException, after: bool
) -> None:
    path = tmp_path / "user_config"
    new = OLD + render_block(NEW).encode()
    moments = calls_of_one_update(path)
    assert moments > 10
    for moment in range(1, moments + 1):
        path.write_bytes(OLD)
        with pytest.MonkeyPatch.context() as patch:
            interrupt_at(patch, moment, error, after)
            with pytest.raises((KilledError, UserError)):
                config_file.update(path, put_new)
        assert path.read_bytes() in (OLD, new), moment
        # What an interruption leaves does not stand in the next one's way.
        config_file.update(path, put_new)
        assert path.read_bytes() == new


def test_no_space_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "user_config"
    path.write_bytes(OLD)
    with pytest.raises(UserError, match="user_config cannot be written: No space left on device; check who owns it"):
        config_file.update(path, put_new)
    assert [file.name for file in tmp_path.iterdir()] == ["user_config"]


@settings(max_examples=50)
@given(
    content=st.binary().filter(lambda raw: b"annex-bootstrap" not in raw),
    mode=st.sampled_from([0o600, 0o640, 0o644, 0o664]),
)
def test_mode_owner_and_the_last_version_are_kept(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, mode: int
) -> None:
    path = tmp_path_factory.mktemp("config") / "user_config"
    path.write_bytes(content)
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, 12345, 23456)
    known = path.stat()
    assert config_file.update(path, put_new)
    backup = path.parent / ".annex-bootstrap" / "user_config"
    assert backup.read_bytes() == content
    for written in (path, backup):
        now = written.stat()
        assert (now.st_mode, now.st_uid, now.st_gid) == (known.st_mode, known.st_uid, known.st_gid)
    assert path.read_bytes().startswith(content)


def test_a_missing_file_and_its_directory_are_made(tmp_path: Path) -> None:
    path = tmp_path / ".condor" / "user_config"
    assert config_file.update(path, put_new)
    assert path.read_text() == render_block(NEW)
    assert path.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in path.parent.iterdir()] == ["user_config"]


def when_written(path: Path) -> tuple[int, ...]:
    """Return what changes with a file's content, owner or mode; reading changes other times of it."""
    now = path.stat()
    return now.st_ino, now.st_mode, now.st_size, now.st_mtime_ns, now.st_ctime_ns


def test_writing_the_same_again_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "user_config"
    config_file.update(path, put_new)
    known = when_written(path)
    assert not config_file.update(path, put_new)
    assert when_written(path) == known


def test_taking_the_block_out_of_a_file_that_is_not_there_makes_none(tmp_path: Path) -> None:
    assert not config_file.update(tmp_path / ".condor" / "user_config", lambda _: Block())
    assert list(tmp_path.iterdir()) == []


def test_a_backup_of_an_earlier_version_is_moved_to_where_htcondor_does_not_read_it(tmp_path: Path) -> None:
    path = tmp_path / "user_config"
    (tmp_path / "user_config.annex-bootstrap-backup").write_bytes(OLD)
    path.write_bytes(OLD + render_block(NEW).encode())
    assert config_file.update(path, put_new)
    assert not (tmp_path / "user_config.annex-bootstrap-backup").exists()
    assert config_file.backup_of(path).name == "user_config"
    assert config_file.backup_of(path).read_bytes() == OLD


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(OLD)
    (tmp_path / "user_config").symlink_to("real")
    config_file.update(tmp_path / "user_config", put_new)
    assert (tmp_path / "user_config").is_symlink()
    assert (tmp_path / "real").read_bytes() == OLD + render_block(NEW).encode()


def test_a_link_that_somebody_laid_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / f".user_config{files.NEW_SUFFIX}").symlink_to("victim")
    config_file.update(tmp_path / "user_config", put_new)
    assert (tmp_path / "victim").read_text() == "precious"


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "user_config"
    regions = [f"xx-test-{number}" for number in range(8)]

    def put(region: str) -> None:
        config_file.update(path, lambda block: block.put(a_section(region)))

    threads = [threading.Thread(target=put, args=[region]) for region in regions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    edit = config_file.preview(path, lambda block: block)
    assert {section.region for section in read_block(edit.old).sections} == set(regions)


def test_a_writer_that_holds_the_lock_too_long_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOCK_TIMEOUT", 0.0)
    holder = os.open(tmp_path / f".user_config{files.LOCK_SUFFIX}", os.O_RDWR | os.O_CREAT)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        with pytest.raises(UserError, match=r"another annex-bootstrap is writing .*user_config"):
            config_file.update(tmp_path / "user_config", put_new)
    finally:
        os.close(holder)


@pytest.mark.parametrize("act", [config_file.check, lambda path: config_file.update(path, put_new)])
def test_a_directory_in_the_files_place_is_one_sentence(tmp_path: Path, act: Callable[[Path], object]) -> None:
    (tmp_path / "user_config").mkdir()
    with pytest.raises(
        UserError, match=r"user_config is a directory: give --config a file in it, such as .*user_config/user_config$"
    ):
        act(tmp_path / "user_config")


@pytest.mark.parametrize("act", [config_file.check, lambda path: config_file.update(path, put_new)])
def test_a_path_below_a_file_is_one_sentence(tmp_path: Path, act: Callable[[Path], object]) -> None:
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(UserError, match="cannot be read: Not a directory"):
        act(tmp_path / "file" / "user_config")


def test_a_damaged_block_is_reported_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "user_config"
    path.write_text("# END annex-bootstrap\n")
    with pytest.raises(UserError, match=r"user_config: its annex-bootstrap block is damaged"):
        config_file.update(path, put_new)


def test_the_file_that_htcondor_names_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "condor_config_val"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", "/home/someone")
    default = Path("/home/someone/.condor/user_config")
    assert config_file.find_file(None) == default
    for answer, found in (
        ("echo /etc/condor/mine", Path("/etc/condor/mine")),
        ("echo '~/mine'", Path("/home/someone/mine")),
        ("echo mine", Path("/home/someone/.condor/mine")),
        ("echo Not defined; exit 1", default),
    ):
        tool.write_text(f"#!/bin/sh\n[ $1 = USER_CONFIG_FILE ] || exit 2\n{answer}\n")
        tool.chmod(0o755)
        assert config_file.find_file(None) == found
    assert config_file.find_file(Path("given")) == Path("given")
