from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
from hypothesis import given
from hypothesis import strategies as st

from annex_bootstrap.aws import Account
from annex_bootstrap.policies.users import Key, KeyFiles, plan_rotation

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def keys(*ages: int) -> list[Key]:
    return [Key(f"AKIAMADEUP{number}", NOW - timedelta(days=age)) for number, age in enumerate(ages)]


def test_a_single_key_goes_only_after_the_new_one_is_there() -> None:
    rotation = plan_rotation(keys(3), "AKIAMADEUP0")
    assert (rotation.before, rotation.after) == ((), ("AKIAMADEUP0",))


def test_the_key_in_the_files_outlives_the_other() -> None:
    rotation = plan_rotation(keys(3, 1), "AKIAMADEUP0")
    assert (rotation.before, rotation.after) == (("AKIAMADEUP1",), ("AKIAMADEUP0",))


def test_of_two_unknown_keys_the_older_goes_first() -> None:
    rotation = plan_rotation(keys(1, 3), "")
    assert (rotation.before, rotation.after) == (("AKIAMADEUP1",), ("AKIAMADEUP0",))


@given(st.lists(st.integers(0, 1000), max_size=2), st.sampled_from(["", "AKIAMADEUP0", "AKIAMADEUP1"]))
def test_there_is_always_room_for_the_new_key_and_no_old_one_stays(ages: list[int], in_files: str) -> None:
    had = keys(*ages)
    rotation = plan_rotation(had, in_files)
    assert len(had) - len(rotation.before) <= 1
    assert sorted(rotation.before + rotation.after) == sorted(key.key_id for key in had)


def test_files_that_lack_the_secret_hold_no_key(tmp_path: Path) -> None:
    files = KeyFiles.below(tmp_path, "us-east-1")
    files.write("AKIAMADEUP0", "made-up-secret")
    assert files.key_id() == "AKIAMADEUP0"
    files.secret.unlink()
    assert files.key_id() == ""


def test_files_without_the_form_of_a_key_hold_none_and_aws_is_not_asked(tmp_path: Path) -> None:
    files = KeyFiles.below(tmp_path, "us-east-1")
    for text in ("hello world", "AKIA", "AKIAMADEUP0000000\n[x]", "\xff" * 20):
        files.write(text, "made-up-secret")
        assert files.holder(Account(boto3.Session(), "us-east-1")) == ""
