"""``pull-config``: write, compare or print the block that the stacks' outputs make in the pool's configuration."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import click

from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.options import CONFIG, MANY_REGIONS
from annex_bootstrap.pool import blocks, config_file
from annex_bootstrap.pool.pull import pull, put_stacks
from annex_bootstrap.pool.shared import share
from annex_bootstrap.stack.read import check_outputs, find_deployed
from annex_bootstrap.target import Target


@dataclass(frozen=True)
class Comparison(Result):
    """The configuration beside the stacks' outputs.

    Attributes:
        config: the file.
        matches: whether it names the stacks now.
        changed: whether it was written.
        block: the stacks' block as it is now, or would be written.
        warnings: what the file says without effect; a sentence each.
    """

    config: Path
    matches: bool
    changed: bool
    block: str
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a comparison found no difference, or none was asked for."""
        return self.matches


def pull_config(
    screen: Screen,
    target: Target,
    default_region: str | None = None,
    *,
    check: bool = False,
    print_only: bool = False,
) -> Comparison:
    """Write the stacks' outputs into the pool's configuration; or compare, or print.

    Args:
        screen: where to print.
        target: the stacks and the configuration.
        default_region: the region of annexes for which condor_annex gets none; None keeps what the file has.
        check: only compare the file with the stacks.
        print_only: only print the block.

    Raises:
        click.UsageError: both are asked for.
        UserError: a stack or the configuration cannot be read, or the configuration cannot be written.
    """
    if check and print_only:
        raise click.UsageError("give either --check or --print")
    path = config_file.find_file(target.config)
    if not (check or print_only):
        config_file.check(path)
    stacks = {
        account.region: check_outputs(account, find_deployed(account, target.stack_name))
        for account in target.connect_all()
    }
    edit = config_file.preview(path, put_stacks(stacks, default_region))
    block = blocks.render_block(blocks.read_block(edit.new))
    if print_only:
        screen.result(block)
        return Comparison(path, matches=True, changed=False, block=block)
    if check:
        for line in difflib.unified_diff(_shown(edit.old), _shown(edit.new), "file", "stack", n=0, lineterm=""):
            screen.say(line)
        screen.say(f"{path} {'differs from' if edit.changes else 'matches'} the stack {target.stack_name}.")
        return Comparison(path, matches=not edit.changes, changed=False, block=block)
    pulled = pull(stacks, path, default_region)
    named = "now names" if pulled.changed else "already names"
    screen.say(f"{path} {named} the stack {target.stack_name} in {' and '.join(stacks)}.")
    for warning in pulled.warnings:
        screen.fail(f"warning: {warning}")
    if shared := share(target.config):
        screen.say(f"{shared} says so to all users of this machine.")
    return Comparison(path, matches=True, changed=pulled.changed, block=block, warnings=pulled.warnings)


def _shown(content: bytes) -> list[str]:
    return blocks.render_block(blocks.read_block(content)).splitlines()


command = Command(
    "pull-config",
    pull_config,
    *MANY_REGIONS,
    click.Option(
        ["--default-region"],
        metavar="REGION",
        help="The region that condor_annex uses when it is given none. Default: unchanged, else the first one.",
    ),
    CONFIG,
    click.Option(["--check"], is_flag=True, help="Write nothing; exit with 1 if the file differs from the stacks."),
    click.Option(["--print", "print_only"], is_flag=True, help="Write nothing; print the block."),
    *OUTPUT,
    help="""Write the stacks' outputs as HTCondor knobs into one marked block of the configuration.

    Other regions keep their part of the block. Everything else in the file is kept byte for byte.
    """,
)
