"""A user whom the machine does not know, as in many containers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.local_user import expand_home, owners_of, user_name

KNOWN = ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the machine know nothing about the user, not even by ``/etc/passwd``."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("nobody")
def test_a_user_without_name_or_home_gets_one_sentence_about_each() -> None:
    with pytest.raises(UserError, match=f"the user with the ID {os.getuid()} has no name on this machine: set LOGNAME"):
        user_name()
    with pytest.raises(UserError, match=r"has no home directory on this machine, for ~/.condor/x: set HOME"):
        expand_home(Path("~/.condor/x"))


@pytest.mark.usefixtures("nobody")
def test_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "made-up")
    monkeypatch.setenv("HOME", "/made/up")
    assert (user_name(), expand_home(Path("~/x"))) == ("made-up", Path("/made/up/x"))


@pytest.mark.usefixtures("nobody")
def test_whose_jobs_count_is_given_or_the_users_own_and_for_root_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "alice")
    for user, owners in ((0, ()), (1, ("alice",))):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert owners_of(()) == owners
        assert owners_of(("bob", "carol")) == ("bob", "carol")
