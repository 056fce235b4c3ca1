"""``annex-bootstrap local --machines`` on a computer that cannot run machines."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from annex_bootstrap.commands.local import local
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.errors import UserError
from local_aws.machines import here
from local_aws.machines.debian import UnavailableError


def test_a_user_who_is_not_root_gets_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match=r"^Virtual machines need root rights, .*: run as root\.$"):
        local(Screen(), schedule_speed=1, machines=True)


def test_a_machine_of_a_cloud_keeps_its_own_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as its_own:
        port = its_own.getsockname()[1]
        connect = socket.create_connection
        monkeypatch.setattr(socket, "create_connection", lambda _, timeout: connect(("127.0.0.1", port), timeout))
        with pytest.raises(UnavailableError, match="has a metadata service of its own at 169"):
            here.check_metadata()


def test_the_command_does_not_load_the_server_which_would_write_its_log_on_the_terminal() -> None:
    ask = "import sys, local_aws.machines.here; sys.exit('ministack' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", ask], check=False).returncode == 0
