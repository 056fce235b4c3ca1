"""``annex-bootstrap leases``."""

from __future__ import annotations

import json
import time
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from annex_bootstrap.cli.options import aws_options, yes_option

if TYPE_CHECKING:
    from annex_bootstrap.leases import Leases


@click.group(
    name="leases", short_help="List, extend and end the annexes that hold a lease.", invoke_without_command=True
)
@aws_options
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="Form of the list.")
@click.pass_context
def command(context: click.Context, region: str | None, profile: str | None, stack_name: str, output: str) -> None:
    """List the annexes that hold a lease: kind, machines, time left, cost.

    The cost is what the machines cost on demand; spot instances cost that at most, unless a fleet bids more.
    """
    from annex_bootstrap import deploy, leases
    from annex_bootstrap.aws import connect
    from annex_bootstrap.contract import Output

    account = connect(region, profile)
    found = leases.Leases(account, deploy.find_deployed(account, stack_name).outputs[Output.LEASE_FUNCTION_ARN])
    context.obj = found
    if context.invoked_subcommand is None:
        _list(found, output)


@command.command(name="extend")
@click.argument("name")
@click.argument("duration")
@click.pass_obj
def extend(leases: Leases, name: str, duration: str) -> None:
    """Let the annex NAME run for DURATION from now, such as 2h, 90m or 1d12h."""
    from annex_bootstrap.errors import UserError
    from annex_bootstrap.leases import parse_duration

    until = int(time.time()) + parse_duration(duration)
    lease = leases.find(name)
    if lease.expiration is not None and lease.expiration > until:
        raise UserError(
            f"{name} already runs until {_clock(lease.expiration)}, which is later: "
            "to end it sooner use annex-bootstrap leases end"
        )
    leases.extend(lease, until)
    click.echo(f"{lease.annex_id} now runs until {_clock(until)}.")


@command.command(name="end")
@click.argument("name")
@yes_option
@click.pass_obj
def end(leases: Leases, name: str, yes: bool) -> None:
    """End the annex NAME now: its machines, its tarball, then its lease."""
    from annex_bootstrap.leases import NOTHING

    lease = leases.find(name)
    count = leases.machines().get(lease.annex_id, NOTHING).count
    click.echo(f"Ends the annex {lease.annex_id} with its {_machines(count)}, and the jobs that run there.")
    if not (yes or click.confirm("Go ahead?", default=False)):
        click.echo("Nothing was changed.")
        return
    leases.end(lease, int(time.time()))
    click.echo("Its lease has ended. The lease function ends the machines now, and looks again every five minutes.")


def _list(leases: Leases, output: str) -> None:
    from annex_bootstrap import prices
    from annex_bootstrap.errors import UserError
    from annex_bootstrap.leases import NOTHING

    held = leases.list()
    running = leases.machines() if held else {}
    annexes = [(lease, running.get(lease.annex_id, NOTHING)) for lease in held]
    types = {name for _, machines in annexes for name in machines.types}
    known: dict[str, Decimal] = {}
    unpriced = ""
    try:
        known = prices.on_demand(leases.account, types)
    except UserError as error:
        unpriced = str(error)
    now = int(time.time())
    rows = [
        {
            "annex": lease.annex_id,
            "kind": machines.kind,
            "machines": machines.count,
            "lease_expiration": lease.expiration,
            "seconds_left": None if lease.expiration is None else lease.expiration - now,
            "dollars_an_hour": None if (cost := machines.cost(known)) is None else f"{cost:.4f}",
        }
        for lease, machines in annexes
    ]
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo(f"No annex holds a lease in {leases.account.region}.")
        return
    click.echo(f"{'ANNEX':<27}  {'KIND':<9}  {'MACHINES':>8}  {'TIME LEFT':>9}  {'$/HOUR':>9}")
    for row in rows:
        left = row["seconds_left"]
        click.echo(
            f"{row['annex']:<27}  {row['kind']:<9}  {row['machines']:>8}"
            f"  {_left(left if isinstance(left, int) else None):>9}  {row['dollars_an_hour'] or 'unknown':>9}"
        )
    if unpriced:
        click.echo(f"No prices: {unpriced}", err=True)


def _left(seconds: int | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 0:
        return "ending"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours // 24}d {hours % 24}h" if hours >= 48 else f"{hours}h {minutes:02}m"


def _machines(count: int) -> str:
    return "1 machine" if count == 1 else f"{count} machines"


def _clock(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M %Z}"
