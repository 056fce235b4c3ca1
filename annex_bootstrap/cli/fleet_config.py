"""``annex-bootstrap fleet-config``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import click

from annex_bootstrap.cli.options import aws_options, config_option
from annex_bootstrap.cli.output import Screen, output_option

if TYPE_CHECKING:
    from annex_bootstrap.fleet.fleet_file import Offer

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
    return tuple(each.strip() for value in values for each in value.split(",") if each.strip())


@click.command(name="fleet-config", short_help="Write the spot fleet file that condor_annex reads.")
@aws_options
@config_option
@click.option("--image", metavar="AMI", default="", help="The machines' image.")
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
    from annex_bootstrap.aws import connect
    from annex_bootstrap.fleet import fleet_file, sources
    from annex_bootstrap.fleet.instance_types import Slot
    from annex_bootstrap.pool import config_file
    from annex_bootstrap.pool.file_knobs import FLEET_KNOBS, write_knobs
    from annex_bootstrap.stack.read import find_deployed
    from annex_contract.stack import Output

    if bool(image) == bool(image_name):
        raise click.UsageError("give either --image or --image-name")
    account = connect(region, profile)
    outputs = find_deployed(account, stack_name).outputs
    group_id = outputs[Output.SECURITY_GROUP_ID]
    chosen = sources.find_image(account.ec2, image, image_name, owners, arch)
    subnets = sources.find_subnets(account.ec2, group_id, subnet_ids)
    found = sources.find_offers(
        account, Slot(cpus, memory), arch, types, exclude, subnets, prices_needed=max_price is None
    )
    offers = fleet_file.within_limits(found)
    parts = fleet_file.Parts(
        chosen.image_id,
        outputs[Output.IAM_FLEET_ROLE_ARN],
        outputs[Output.INSTANCE_CONFIGURATION_PROFILE],
        group_id,
        outputs.get(Output.KEY_PAIR_NAME, ""),
    )
    text = fleet_file.render(offers, parts, max_price)
    if print_only:
        screen.say(text, nl=False)
        screen.document({"fleet": json.loads(text)})
        return
    target = (path or Path(f"~/.condor/annex-fleet-{account.region}.json")).expanduser().absolute()
    config_file.rewrite_file(target, lambda _: text.encode())
    configuration = config_file.find_file(config)
    write_knobs(configuration, account.region, dict.fromkeys(FLEET_KNOBS, str(target)))
    _show(screen, offers)
    screen.say()
    screen.say(f"Image    {chosen.image_id} {chosen.name}")
    screen.say(f"Pays     at most {fleet_file.bid(offers, max_price):f} $ a slot-hour")
    if len(found) > len(offers):
        screen.say(
            f"Left out {len(found) - len(offers)} dearer types: a fleet has at most 300 pairs of type and subnet"
        )
    screen.say(f"Fleet    {target}")
    screen.say(f"Knobs    {configuration}")
    screen.document(
        {
            "image": chosen.image_id,
            "most_a_slot_hour": str(fleet_file.bid(offers, max_price)),
            "types": [_row(offer) for offer in offers],
            "types_left_out": len(found) - len(offers),
            "file": str(target),
            "config": str(configuration),
        }
    )


def _row(offer: Offer) -> dict[str, object]:
    return {
        "instance_type": offer.machine.name,
        "vcpus": offer.machine.vcpus,
        "memory_mib": offer.machine.memory,
        "slots": offer.slots,
        "slot_hour": None if offer.slot_price is None else str(offer.slot_price),
        "subnets": list(offer.subnets),
    }


def _show(screen: Screen, offers: Sequence[Offer]) -> None:
    screen.say(f"{'TYPE':<18} {'CPUS':>4} {'MEMORY':>9} {'SLOTS':>5} {'$/SLOT-HOUR':>11} {'ZONES':>5}")
    for offer in offers:
        price = "unknown" if offer.slot_price is None else f"{offer.slot_price:f}"
        screen.say(
            f"{offer.machine.name:<18} {offer.machine.vcpus:>4} {offer.machine.memory / 1024:>5.4g} GiB"
            f" {offer.slots:>5} {price:>11} {len(offer.subnets):>5}"
        )
