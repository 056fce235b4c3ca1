"""``pull-config``: write, compare or print the block that the stacks' outputs make in the pool's configuration."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from annex_bootstrap.aws import connect_all
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.pool import blocks, config_file
from annex_bootstrap.pool.pull import pull, read_change


@dataclass(frozen=True)
class PullOptions:
    """The options of ``pull-config``.

    Attributes:
        stack_name: the stack's name.
        regions: where; empty for the one that the environment or the profile names.
        profile: the AWS profile, or None for the environment's.
        default_region: the region of annexes for which condor_annex gets none; None keeps what the file has.
        config: the pool's configuration file, or None for the one that HTCondor names.
        check: only compare the file with the stacks.
        print_only: only print the block.
    """

    stack_name: str
    regions: Sequence[str] = ()
    profile: str | None = None
    default_region: str | None = None
    config: Path | None = None
    check: bool = False
    print_only: bool = False


def pull_config(options: PullOptions, screen: Screen) -> bool:
    """Write the stacks' outputs into the pool's configuration; or compare, or print, as the options say.

    Returns:
        False where a comparison found a difference, else True.

    Raises:
        UserError: a stack or the configuration cannot be read, or the configuration cannot be written.
    """
    writes = not (options.check or options.print_only)
    path = config_file.find_file(options.config)
    if writes:
        config_file.check(path)
    accounts = connect_all(options.regions, options.profile)
    if writes:
        pulled = pull(accounts, options.stack_name, options.config, options.default_region)
        screen.say(str(pulled))
        for warning in pulled.warnings:
            screen.fail(f"warning: {warning}")
        screen.document(pulled.document())
        return True
    edit = config_file.preview(path, read_change(accounts, options.stack_name, options.default_region))
    if options.print_only:
        text = blocks.render_block(blocks.read_block(edit.new))
        screen.result(text)
        screen.document({"path": str(path), "block": text})
        return True
    for line in difflib.unified_diff(_shown(edit.old), _shown(edit.new), "file", "stack", n=0, lineterm=""):
        screen.say(line)
    screen.say(f"{path} {'differs from' if edit.changes else 'matches'} the stack {options.stack_name}.")
    screen.document({"path": str(path), "differs": edit.changes})
    return not edit.changes


def _shown(content: bytes) -> list[str]:
    return blocks.render_block(blocks.read_block(content)).splitlines()
