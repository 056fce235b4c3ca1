"""``annex-bootstrap pull-config``."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annex_bootstrap.cli.options import config_option, regions_options
from annex_bootstrap.cli.output import Screen, output_option

if TYPE_CHECKING:
    from annex_bootstrap.aws import Account
    from annex_bootstrap.pool.blocks import Block


@click.command(name="pull-config", short_help="Write the stack's outputs into the pool's configuration.")
@regions_options
@click.option(
    "--default-region",
    metavar="REGION",
    help="The region of annexes for which condor_annex gets none. Default: what it was, else the first one.",
)
@config_option
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 where the file differs from the stacks.")
@click.option("--print", "print_only", is_flag=True, help="Write nothing; print the block.")
@output_option
def command(
    regions: tuple[str, ...],
    profile: str | None,
    stack_name: str,
    default_region: str | None,
    config: Path | None,
    check: bool,
    print_only: bool,
    screen: Screen,
) -> None:
    """Write the stacks' outputs as HTCondor knobs into one marked block of the configuration.

    Regions that are not named keep their part of the block. Everything else in the file is kept to the byte.
    """
    from annex_bootstrap.aws import connect_all
    from annex_bootstrap.pool import blocks, config_file

    if check and print_only:
        raise click.UsageError("--check and --print exclude each other")
    accounts = connect_all(regions, profile)
    if not (check or print_only):
        screen.document(pull(screen, accounts, stack_name, config, default_region))
        return
    path = config_file.find_file(config)
    edit = config_file.preview(path, _change(accounts, stack_name, default_region))
    if print_only:
        text = blocks.render_block(blocks.read_block(edit.new))
        if not screen.json:
            click.echo(text, nl=False)
        screen.document({"path": str(path), "block": text})
        return
    for line in difflib.unified_diff(_shown(edit.old), _shown(edit.new), "file", "stack", n=0, lineterm=""):
        screen.say(line)
    screen.say(f"{path} {'differs from' if edit.changes else 'is as'} the stack {stack_name}.")
    screen.document({"path": str(path), "differs": edit.changes})
    if edit.changes:
        sys.exit(1)


def _shown(content: bytes) -> list[str]:
    from annex_bootstrap.pool import blocks

    return blocks.render_block(blocks.read_block(content)).splitlines()


def _change(accounts: Sequence[Account], stack_name: str, default_region: str | None) -> Callable[[Block], Block]:
    """Read the stacks, and return what they make of the block."""
    from annex_bootstrap.pool import blocks
    from annex_bootstrap.stack.read import find_deployed

    sections = [blocks.section(stack_name, each.region, find_deployed(each, stack_name).outputs) for each in accounts]

    def change(block: Block) -> Block:
        for section in sections:
            block = block.put(section)
        return block.prefer(default_region) if default_region else block

    return change


def pull(
    screen: Screen,
    accounts: Sequence[Account],
    stack_name: str,
    config: Path | None,
    default_region: str | None = None,
) -> dict[str, Any]:
    """Write the block into the configuration, say so, and return the same as data."""
    from annex_bootstrap.pool import config_file

    path = config_file.find_file(config)
    changed = config_file.update(path, _change(accounts, stack_name, default_region))
    where = " and ".join(each.region for each in accounts)
    screen.say(f"{path} {'now names' if changed else 'already names'} the stack {stack_name} in {where}.")
    return {"path": str(path), "changed": changed}
