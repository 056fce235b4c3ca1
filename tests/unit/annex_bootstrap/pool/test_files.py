from __future__ import annotations

from pathlib import Path

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.pool import files
from annex_bootstrap.pool.files import read_private, why_not_private, write_private


def test_a_written_file_is_private_and_so_is_its_new_directory(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    write_private(path, b"made up")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert why_not_private(path) == ""


def test_another_users_file_is_not_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    write_private(path, b"made up")
    owner = path.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    assert why_not_private(path) == f"{path} belongs to another user (ID {owner})"


def test_a_file_that_was_open_to_others_is_closed_when_written_again(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o644)
    assert "mode 0644" in why_not_private(path)
    write_private(path, b"new")
    assert (path.read_bytes(), why_not_private(path)) == (b"new", "")


def test_nothing_else_is_left_in_the_directory(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", b"1")
    write_private(tmp_path / "secret", b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_missing_file_is_not_mistaken_for_an_unreadable_one(tmp_path: Path) -> None:
    assert read_private(tmp_path / "secret") is None
    (tmp_path / "directory").mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        read_private(tmp_path / "directory")
    assert "cannot be read" in why_not_private(tmp_path / "secret")


def test_a_file_in_the_place_of_the_directory_is_an_error_a_person_can_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        write_private(tmp_path / "file" / "secret", b"made up")


def test_what_a_killed_writer_left_of_a_secret_is_gone_after_the_next_write(tmp_path: Path) -> None:
    (tmp_path / ".secret.annex-bootstrap-new").write_bytes(b"half a sec")
    write_private(tmp_path / "secret", b"made up")
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_all_directories_above_a_file_are_made(tmp_path: Path) -> None:
    write_private(tmp_path / "one" / "two" / "secret", b"made up")
    files.make_private_directory(tmp_path / "one" / "two" / "three" / "four")
    assert (tmp_path / "one" / "two" / "three" / "four").stat().st_mode & 0o777 == 0o700
    (tmp_path / "open").mkdir(mode=0o755)
    files.make_private_directory(tmp_path / "open")
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o755
