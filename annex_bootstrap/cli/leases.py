"""``annex-bootstrap leases``."""

from __future__ import annotations

import click

from annex_bootstrap.cli.options import aws_options, complete_annex, yes_option
from annex_bootstrap.cli.output import Screen, output_option


@click.group(name="leases", invoke_without_command=True)
@aws_options
@output_option
@click.pass_context
def command(context: click.Context, region: str | None, profile: str | None, stack_name: str, screen: Screen) -> None:
    """List the annexes that hold a lease: kind, machines, time left, cost.

    The cost is the on-demand price; spot instances cost at most that, unless a fleet bids more.
    """
    from annex_bootstrap.commands.leases import LeasesOptions, list_leases

    if context.invoked_subcommand is None:
        list_leases(LeasesOptions(stack_name, region, profile), screen)
        return
    # Options may come before the subcommand's name or after it; those after it win.
    given = {
        "region": region,
        "profile": profile,
        "stack_name": stack_name,
        "screen": "json" if screen.json else "text",
    }
    context.default_map = {context.invoked_subcommand: given}


@command.command(name="extend", short_help="Let an annex run for some time from now.")
@click.argument("name", shell_complete=complete_annex)
@click.argument("duration")
@aws_options
@output_option
def extend(name: str, duration: str, region: str | None, profile: str | None, stack_name: str, screen: Screen) -> None:
    """Let the annex NAME run for DURATION from now, such as 2h, 90m or 1d12h. Never shortens a lease."""
    from annex_bootstrap.commands.leases import LeasesOptions, extend_lease

    extend_lease(name, duration, LeasesOptions(stack_name, region, profile), screen)


@command.command(name="end", short_help="End an annex now.")
@click.argument("name", required=False, shell_complete=complete_annex)
@click.option("--all", "everything", is_flag=True, help="End every annex of the stack.")
@aws_options
@yes_option
@output_option
def end(
    name: str | None,
    everything: bool,
    region: str | None,
    profile: str | None,
    stack_name: str,
    yes: bool,
    screen: Screen,
) -> None:
    """End the annex NAME now, or with --all every one: its machines, its tarball, then its lease."""
    from annex_bootstrap.commands.leases import LeasesOptions, end_all_leases, end_lease

    options = LeasesOptions(stack_name, region, profile)
    if (name is None) != everything:
        raise click.UsageError("give either the name of an annex or --all")
    if name is None:
        end_all_leases(options, screen, yes=yes)
    else:
        end_lease(name, options, screen, yes=yes)
