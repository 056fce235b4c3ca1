"""The message for a computer without QEMU, or with too little memory."""

from __future__ import annotations

import os
import platform
import shutil
from types import SimpleNamespace

import pytest

from local_aws.machines import debian, requirements
from local_aws.machines.debian import UnavailableError


def test_a_computer_with_too_little_memory_fails_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(UnavailableError, match=r"^Virtual machines need 1,537,024 MiB of free memory, and [\d,]+ are"):
        requirements.check(1000)


def test_a_user_who_is_not_root_gets_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnavailableError, match="need root rights, for their disks and networks: run as root"):
        requirements.check(1)


def test_a_computer_with_another_processor_fails_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(UnavailableError, match=r"^Virtual machines have amd64 processors, .* \(aarch64\) cannot run"):
        requirements.check(1)


def test_a_full_disk_fails_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 << 30))
    with pytest.raises(
        UnavailableError, match=r"^Virtual machines need 12,288 MiB of free disk, and 5,120 are free in"
    ):
        requirements.check(1)


def test_a_computer_without_qemu_and_apt_fails_and_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UnavailableError, match=r"^made-up cannot be found: use a Debian machine with qemu\.$"):
        debian.install(["made-up"], ["qemu"])
