"""The stacks that root's configuration names, for all users of the machine: one line in HTCondor's configuration.

``~/.condor/user_config`` is each user's own, and so nobody else learns from root's which stack there is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from annex_bootstrap.pool.blocks import Section, replace_block
from annex_bootstrap.pool.config_file import known_sections, rewrite_file
from annex_bootstrap.pool.htcondor import IN_FORCE
from annex_bootstrap.pool.pool_config import find_pool_file
from annex_contract.knobs import Macro

BLOCK = "annex-stacks"

_BEGIN = f"# BEGIN {BLOCK}: written by `annex-bootstrap pull-config` as root; do not edit between BEGIN and END."
_END = f"# END {BLOCK}"
_ENTRY = re.compile(r"([A-Za-z][A-Za-z0-9-]*)@([a-z0-9-]+)")


def share(given: Path | None) -> Path | None:
    """Let all users of this machine know the stacks that root's configuration file names, as root.

    Args:
        given: the configuration file that the user named; None for the own one that HTCondor reads.

    Returns:
        The file with the line where it was changed; None where it was not: for other users, for a file that was named,
        where all is said already, and where HTCondor has no configuration directory.

    Raises:
        UserError: a file cannot be read or written.
    """
    if given is not None or os.geteuid() != 0 or not IN_FORCE.ask(Macro.LOCAL_CONFIG_DIR):
        return None
    entries = [f"{each.stack_name}@{each.region}" for each in known_sections()]
    line = f"{Macro.ANNEX_BOOTSTRAP_STACKS} = {' '.join(entries)}"
    text = "".join(f"{each}\n" for each in (_BEGIN, line, _END)) if entries else ""
    path = find_pool_file(None)
    changed = rewrite_file(path, lambda content: replace_block(content, text, BLOCK), unlink_empty=True)
    return path if changed else None


def shared_sections() -> Sequence[Section]:
    """Return the stacks that this machine's configuration names, the default region's first."""
    found = (_ENTRY.fullmatch(entry) for entry in IN_FORCE.parts(Macro.ANNEX_BOOTSTRAP_STACKS))
    return [Section(entry[1], "", entry[2]) for entry in found if entry]
