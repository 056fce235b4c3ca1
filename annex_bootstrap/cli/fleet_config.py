"""``annex-bootstrap fleet-config``."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click
from annex_bootstrap.console.options import aws_options, config_option

from annex_bootstrap.console.screen import Screen, output_option

_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?(MiB|GiB|TiB)", re.IGNORECASE)
_MIB = {"mib": 1, "gib": 1024, "tib": 1024 * 1024}


def _parse_memory(_context: click.Context, _option: click.Parameter, value: str) -> int:
    """Read an amount of memory as MiB."""
    found = _MEMORY.fullmatch(value)
    amount = int(float(found[1]) * _MIB[found[2].lower()]) if found else 0
    if amount < 1:
        raise click.BadParameter(f"{value!r} is not an amount such as 2GiB or 512MiB")
    return amount


def _parse_price(_context: click.Context, _option: click.Parameter, value: str | None) -> Decimal | None:
    """Read dollars."""
    if value is None:
        return None
    try:
        price = Decimal(value)
    except InvalidOperation as error:
        raise click.BadParameter(f"{value!r} is not a price such as 0.05") from error
    if not (price.is_finite() and price > 0):
        raise click.BadParameter("a price is above 0")
    return price


def _parse_patterns(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


@click.command(name="fleet-config")
@aws_options
@config_option
@click.option("--image", metavar="AMI", default="", help="The machines' image. Default: the stack's.")
@click.option("--image-name", metavar="PATTERN", default="", help="Or the newest image of that name, as my-annex-*.")
@click.option(
    "--image-owner",
    "owners",
    multiple=True,
    metavar="ACCOUNT",
    default=("self", "amazon"),
    show_default=True,
    help="Whose images --image-name may match.",
)
@click.option("--cpus", type=click.IntRange(min=1), default=1, show_default=True, help="CPUs of a slot.")
@click.option("--memory", default="2GiB", show_default=True, callback=_parse_memory, help="Memory of a slot.")
@click.option("--arch", type=click.Choice(["x86_64", "arm64"]), default="x86_64", show_default=True)
@click.option(
    "--types", multiple=True, metavar="PATTERN", callback=_parse_patterns, help="Instance types, such as c7i.*,m7i.*."
)
@click.option(
    "--exclude", multiple=True, metavar="PATTERN", callback=_parse_patterns, help="Instance types to leave out."
)
@click.option("--subnet", "subnet_ids", multiple=True, metavar="ID", help="Subnets. Default: one of each zone.")
@click.option(
    "--max-price",
    metavar="DOLLARS",
    callback=_parse_price,
    help="Pay at most this a slot-hour. Default: each type's on-demand price.",
)
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Default: ~/.condor/annex-fleet-REGION.json.",
)
@click.option("--print", "print_only", is_flag=True, help="Print the JSON and write nothing.")
@output_option
def command(
    region: str | None,
    profile: str | None,
    stack_name: str,
    config: Path | None,
    image: str,
    image_name: str,
    owners: tuple[str, ...],
    cpus: int,
    memory: int,
    arch: str,
    types: tuple[str, ...],
    exclude: tuple[str, ...],
    subnet_ids: tuple[str, ...],
    max_price: Decimal | None,
    path: Path | None,
    print_only: bool,
    screen: Screen,
) -> None:
    """Write the spot fleet file that condor_annex reads, and name it in the configuration.

    Takes every current instance type that holds a slot, the cheapest slot first, up to AWS's limit of 300 pairs of
    type and subnet. Burstable and bare metal types only where --types names them.
    """
    from annex_bootstrap.commands.fleet_config import FleetOptions, fleet_config
    from annex_bootstrap.machines.instance_types import Slot

    if image and image_name:
        raise click.UsageError("give either --image or --image-name, or neither for the stack's image")
    options = FleetOptions(
        stack_name=stack_name,
        region=region,
        profile=profile,
        config=config,
        image=image,
        image_name=image_name,
        owners=owners,
        slot=Slot(cpus, memory),
        architecture=arch,
        types=types,
        excluded=exclude,
        subnet_ids=subnet_ids,
        max_price=max_price,
        path=path,
        print_only=print_only,
    )
    fleet_config(options, screen)
