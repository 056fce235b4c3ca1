"""``annex-bootstrap leases``."""

from __future__ import annotations

import time
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from annex_bootstrap.cli.options import aws_options, yes_option
from annex_bootstrap.cli.output import Screen, output_option

if TYPE_CHECKING:
    from annex_bootstrap.annexes.leases import Leases


@click.group(name="leases", invoke_without_command=True, short_help="List the annexes that run; extend or end one.")
@aws_options
@output_option
@click.pass_context
def command(context: click.Context, region: str | None, profile: str | None, stack_name: str, screen: Screen) -> None:
    """List the annexes that hold a lease: kind, machines, time left, cost.

    The cost is what the machines cost on demand; spot instances cost that at most, unless a fleet bids more.
    """
    if context.invoked_subcommand is None:
        _list(screen, _find(region, profile, stack_name))
        return
    # Options may stand before the command's name as well as after it, where they win.
    given = {
        "region": region,
        "profile": profile,
        "stack_name": stack_name,
        "screen": "json" if screen.json else "text",
    }
    context.default_map = {context.invoked_subcommand: given}


@command.command(name="extend", short_help="Let an annex run for some time from now.")
@click.argument("name")
@click.argument("duration")
@aws_options
@output_option
def extend(name: str, duration: str, region: str | None, profile: str | None, stack_name: str, screen: Screen) -> None:
    """Let the annex NAME run for DURATION from now, such as 2h, 90m or 1d12h. Never shortens a lease."""
    from annex_bootstrap.annexes.leases import parse_duration
    from annex_bootstrap.errors import UserError

    until = int(time.time()) + parse_duration(duration)
    leases = _find(region, profile, stack_name)
    lease = leases.find(name)
    if lease.expiration is not None and lease.expiration > until:
        raise UserError(
            f"{name} already runs until {_clock(lease.expiration)}, which is later: "
            "to end it sooner use annex-bootstrap leases end"
        )
    leases.extend(lease, until)
    screen.say(f"{lease.annex_id} now runs until {_clock(until)}.")
    screen.document({"annex": lease.annex_id, "lease_expiration": until})


@command.command(name="end", short_help="End an annex now.")
@click.argument("name")
@aws_options
@yes_option
@output_option
def end(name: str, region: str | None, profile: str | None, stack_name: str, yes: bool, screen: Screen) -> None:
    """End the annex NAME now: its machines, its tarball, then its lease."""
    from annex_bootstrap.annexes.leases import NOTHING

    leases = _find(region, profile, stack_name)
    lease = leases.find(name)
    count = leases.machines().get(lease.annex_id, NOTHING).count
    screen.say(f"Ends the annex {lease.annex_id} with its {_machines(count)}, and the jobs that run there.")
    if not (yes or screen.confirm("Go ahead?", default=False)):
        screen.say("Nothing was changed.")
        screen.document({"annex": lease.annex_id, "ended": False})
        return
    leases.end(lease, int(time.time()))
    screen.say("Its lease has ended. The lease function ends the machines now, and looks again every five minutes.")
    screen.document({"annex": lease.annex_id, "ended": True})


def _find(region: str | None, profile: str | None, stack_name: str) -> Leases:
    from annex_bootstrap.annexes import leases
    from annex_bootstrap.aws import connect
    from annex_bootstrap.stack.read import find_deployed
    from annex_contract.stack import Output

    account = connect(region, profile)
    return leases.Leases(account, find_deployed(account, stack_name).outputs[Output.LEASE_FUNCTION_ARN])


def _list(screen: Screen, leases: Leases) -> None:
    from annex_bootstrap.annexes.leases import NOTHING
    from annex_bootstrap.errors import UserError
    from annex_bootstrap.fleet import prices

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
    screen.document({"region": leases.account.region, "leases": rows})
    if not rows:
        screen.say(f"No annex holds a lease in {leases.account.region}.")
        return
    screen.say(f"{'ANNEX':<27}  {'KIND':<9}  {'MACHINES':>8}  {'TIME LEFT':>9}  {'$/HOUR':>9}")
    for row in rows:
        left = row["seconds_left"]
        screen.say(
            f"{row['annex']:<27}  {row['kind']:<9}  {row['machines']:>8}"
            f"  {_left(left if isinstance(left, int) else None):>9}  {row['dollars_an_hour'] or 'unknown':>9}"
        )
    if unpriced:
        screen.fail(f"no prices: {unpriced}")


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
