"""The systemd unit."""

from __future__ import annotations

import sys

import pytest

from annex_bootstrap.errors import UserError
from annex_bootstrap.growth import unit as module
from annex_bootstrap.growth.unit import Unit, quoted


def test_it_runs_the_same_command_line_with_the_places_of_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in module.KEYS + module.PASSED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_PROFILE", "pool")
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/annex-bootstrap")
    monkeypatch.setattr(sys, "argv", ["x", "grow", "--max-cores", "8", "--only", 'A == "50%"', "--install", "--yes"])
    text = Unit.of_this_process(("--install", "--yes")).render()
    assert 'ExecStart="/usr/bin/annex-bootstrap" "grow" "--max-cores" "8" "--only" "A == \\"50%%\\""\n' in text
    assert 'Environment="AWS_PROFILE=pool"\n' in text


def test_keys_of_a_shell_go_into_no_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    with pytest.raises(UserError, match="keys belong in no unit"):
        Unit.of_this_process(())


@pytest.mark.parametrize(("root", "place"), [(True, "/etc/systemd/system/"), (False, "/.config/systemd/user/")])
def test_it_is_the_machines_or_the_users(root: bool, place: str) -> None:
    unit = Unit(["grow"], {}, root)
    assert place in str(unit.path)
    assert f"WantedBy={'multi-user' if root else 'default'}.target\n" in unit.render()


@pytest.mark.parametrize(("word", "text"), [("a b", '"a b"'), ("$x", '"$$x"'), ("\\", '"\\\\"'), ("100%", '"100%%"')])
def test_words_are_quoted_as_systemd_reads_them(word: str, text: str) -> None:
    assert quoted(word) == text
