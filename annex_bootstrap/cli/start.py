"""``annex-bootstrap start``."""

from __future__ import annotations

import re

import click
from annex_bootstrap.console.options import complete_annex, regions_options, yes_option

from annex_bootstrap.console.screen import Screen, output_option

_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([GM])i?B?")


def read_memory(_context: click.Context, _option: click.Parameter, text: str) -> int:
    """Return MiB of a text such as ``2G`` or ``1500M``.

    Raises:
        click.BadParameter: it is something else, or nothing.
    """
    found = _MEMORY.fullmatch(text.strip())
    mebibytes = round(float(found[1]) * (1024 if found[2] == "G" else 1)) if found else 0
    if not mebibytes:
        raise click.BadParameter(f"{text!r} is no size of memory: give one such as 2G or 1500M")
    return mebibytes


@click.command(name="start")
@click.argument("name", shell_complete=complete_annex)
@click.option("--count", type=click.IntRange(1), help="How many machines.")
@click.option("--cores", type=click.IntRange(1), help="How many cores (vCPUs) in all; AWS chooses among all types.")
@click.option(
    "--memory-per-core",
    default="2G",
    show_default=True,
    metavar="SIZE",
    callback=read_memory,
    help="Memory for each core at least, with --cores.",
)
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Instance type, with --count; may be given again.")
@click.option("--spot", is_flag=True, help="Spot machines: cheaper, and AWS may take them back.")
@click.option("--duration", default="8h", show_default=True, help="How long the lease lasts, such as 8h or 1d12h.")
@click.option("--idle", default="15m", show_default=True, help="A machine without a job for so long goes.")
@click.option("--owner", default="", metavar="USER", help="Whose jobs the machines run. Default: yours.")
@click.option("--open", "everybody", is_flag=True, help="The machines run everybody's jobs.")
@click.option("--collector", default="", metavar="HOST[:PORT]", help="The pool's collector, as AWS reaches it.")
@click.option("--skip-pool-check", is_flag=True, help="Do not check that AWS reaches the pool.")
@click.option("--dry-run", is_flag=True, help="Only show what would be started.")
@yes_option
@regions_options
@output_option
def command(
    name: str,
    count: int | None,
    cores: int | None,
    memory_per_core: int,
    types: tuple[str, ...],
    spot: bool,
    duration: str,
    idle: str,
    owner: str,
    everybody: bool,
    collector: str,
    skip_pool_check: bool,
    dry_run: bool,
    yes: bool,
    regions: tuple[str, ...],
    profile: str | None,
    stack_name: str,
    screen: Screen,
) -> None:
    """Start machines for the annex NAME, or add some to it. They join this machine's pool.

    Shows what starts, where and at what price, and asks. The machines have a lease before the first of them starts.
    With several regions, the next one is tried where one has no machine.
    """
    from annex_bootstrap.commands.start import StartOptions, start
    from annex_bootstrap.machines.capacity import Wanted

    if (count is None) == (cores is None):
        raise click.UsageError("give either --count or --cores")
    if cores is not None and types:
        raise click.UsageError("--type goes with --count: with --cores, AWS chooses the types")
    start(
        StartOptions(
            name=name,
            stack_name=stack_name,
            regions=regions,
            profile=profile,
            wanted=Wanted(count or 0, cores or 0, memory_per_core, types, spot),
            duration=duration,
            idle=idle,
            owner=owner,
            everybody=everybody,
            collector=collector,
            check_pool=not skip_pool_check,
            dry_run=dry_run,
            yes=yes,
        ),
        screen,
    )
