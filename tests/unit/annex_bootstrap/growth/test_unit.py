"""The systemd unit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(
    ("root", "place", "target"),
    [
        (True, "/etc/systemd/system", "multi-user.target"),
        (False, "/home/alice/.config/systemd/user", "default.target"),
    ],
)
def test_it_is_the_machines_or_the_users(monkeypatch: pytest.MonkeyPatch, root: bool, place: str, target: str) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    unit = Unit(["/bin/program", "grow"], {"AWS_PROFILE": "a b"}, root)
    assert str(unit.path) == f"{place}/annex-bootstrap-grow.service"
    assert unit.render() == (
        "[Unit]\n"
        "Description=Machines on AWS for the jobs that wait\n"
        "Documentation=https://htcondor.readthedocs.io/\n"
        "Wants=network-online.target\n"
        "After=network-online.target condor.service\n"
        "\n"
        "[Service]\n"
        'ExecStart="/bin/program" "grow"\n'
        'Environment="AWS_PROFILE=a b"\n'
        "Restart=on-failure\n"
        "RestartSec=60\n"
        "NoNewPrivileges=yes\n"
        "\n"
        "[Install]\n"
        f"WantedBy={target}\n"
    )


class Systemd:
    """What systemctl is called for, and how it ends."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.failing = ""

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert options["stdin"] == subprocess.DEVNULL
        self.asked.append(command)
        if self.failing == "missing":
            raise FileNotFoundError(2, "No such file or directory")
        fails = bool(self.failing) and self.failing in command
        return subprocess.CompletedProcess(command, int(fails), "", "no\n bus\n" if fails else "")


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Systemd:
    """A machine with systemd, and with a home and a root directory that are empty."""
    made = Systemd()
    monkeypatch.setattr(subprocess, "run", made.run)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(module, "SYSTEM", tmp_path / "etc")
    return made


@pytest.mark.parametrize(("root", "command"), [(True, ["systemctl"]), (False, ["systemctl", "--user"])])
def test_it_is_installed_as_often_as_somebody_asks_and_deleted_once(
    systemd: Systemd, root: bool, command: list[str]
) -> None:
    unit = Unit(["grow"], {}, root)
    assert not unit.uninstall()
    assert systemd.asked == []
    for _ in range(2):
        systemd.asked.clear()
        unit.install()
        assert unit.path.read_text() == unit.render()
        assert systemd.asked == [
            [*command, "daemon-reload"],
            [*command, "enable", "--now", "annex-bootstrap-grow.service"],
        ]
    systemd.asked.clear()
    assert unit.uninstall()
    assert not unit.path.exists()
    assert systemd.asked == [
        [*command, "disable", "--now", "annex-bootstrap-grow.service"],
        [*command, "daemon-reload"],
    ]


def test_what_systemd_or_the_disk_refuses_is_one_sentence(systemd: Systemd, tmp_path: Path) -> None:
    unit = Unit(["grow"], {}, True)
    systemd.failing = "enable"
    with pytest.raises(UserError, match=r"^systemctl enable --now annex-bootstrap-grow\.service failed: no bus$"):
        unit.install()
    systemd.failing = "missing"
    with pytest.raises(UserError, match=r"there is no systemd here \(No such file or directory\): run annex-bootstrap"):
        unit.install()
    (tmp_path / "etc" / "annex-bootstrap-grow.service").unlink()
    (tmp_path / "etc").rmdir()
    (tmp_path / "etc").write_text("")
    with pytest.raises(UserError, match=r"annex-bootstrap-grow\.service cannot be written: File exists"):
        unit.install()


@pytest.mark.parametrize(("word", "text"), [("a b", '"a b"'), ("$x", '"$$x"'), ("\\", '"\\\\"'), ("100%", '"100%%"')])
def test_words_are_quoted_as_systemd_reads_them(word: str, text: str) -> None:
    assert quoted(word) == text
