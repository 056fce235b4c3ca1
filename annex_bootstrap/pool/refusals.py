"""What a collector's log says of machines that it turned away.

Source of the words: ``DaemonCore::Verify`` in HTCondor's src/condor_daemon_core.V6/daemon_core.cpp, and
daemon_command.cpp beside it; 23.9.6 and 25.14.1 have the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from annex_bootstrap.pool.htcondor import IN_FORCE, Daemon

PATTERN = "PERMISSION DENIED|DC_AUTHENTICATE: .*(failed|aborting)"
"""What lines that refuse somebody look like, for ``grep -E``."""

LOG_BYTES = 1_000_000
"""How much of the end of a log is read."""

_REFUSES = re.compile(PATTERN)


def log_path(daemon: Daemon) -> str:
    """Return where a collector writes its log; nothing where no HTCondor on this machine says so."""
    return IN_FORCE.look_up("COLLECTOR_LOG", daemon).text


def read_refusals(path: str) -> list[str] | None:
    """Return the lines at the end of a collector's log that refuse somebody; None where it cannot be read.

    Args:
        path: of the log.
    """
    try:
        with Path(path).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_BYTES))
            text = log.read(LOG_BYTES).decode(errors="replace")
    except OSError:
        return None
    # Anyone who is refused chose a part of the line.
    return ["".join(filter(str.isprintable, line)) for line in text.splitlines() if _REFUSES.search(line)]


def last_refusal(lines: Iterable[str], addresses: Iterable[str]) -> str:
    """Return the last line that refuses a host; nothing where none does.

    Args:
        lines: that refuse somebody, the newest last.
        addresses: of the host, of IPv4 and IPv6.
    """
    # The port follows an IPv4 address; an IPv6 address that has a port is in brackets.
    names = [rf"(?<![\w.:]){re.escape(address)}(?![\w.{':' * (':' in address)}])" for address in addresses]
    host = re.compile("|".join(names))
    return next((line for line in reversed(list(lines)) if names and host.search(line)), "")
