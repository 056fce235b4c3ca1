"""``fleet-config``: choose what a spot fleet may use, write its file, and name it in the configuration."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click

from annex_bootstrap.aws import Account, find_image, newest_image
from annex_bootstrap.console.command import OUTPUT, Command
from annex_bootstrap.console.result import Result
from annex_bootstrap.console.screen import Screen
from annex_bootstrap.console.tables import Column
from annex_bootstrap.errors import UserError
from annex_bootstrap.local_user import expand_home
from annex_bootstrap.machines import fleet_file
from annex_bootstrap.machines.instance_types import MIB_PER_GIB, Slot
from annex_bootstrap.machines.offers import MOST_SPECIFICATIONS, Offer, find_offers, within_limits
from annex_bootstrap.machines.subnets import find_subnets, stack_subnets
from annex_bootstrap.options import CONFIG, ONE_REGION, parse_memory
from annex_bootstrap.pool import config_file
from annex_bootstrap.pool.file_knobs import write_knobs
from annex_bootstrap.stack.read import find_deployed
from annex_bootstrap.target import Target
from annex_contract.knobs import FLEET_KNOBS
from annex_contract.stack import Output
from annex_contract.tags import tags_of_stack

COLUMNS = [
    Column("TYPE"),
    Column("CPUS", number=True),
    Column("MEMORY", number=True),
    Column("SLOTS", number=True),
    Column("$/SLOT-HOUR", number=True),
    Column("ZONES", number=True),
]


@dataclass(frozen=True)
class OfferedType:
    """An instance type in the fleet file.

    Attributes:
        instance_type: its name.
        vcpus: how many.
        memory_mib: MiB.
        slots: how many it holds.
        dollars_per_slot_hour: on demand; None where it is not known.
        subnets: IDs of the subnets in zones that offer it.
    """

    instance_type: str
    vcpus: int
    memory_mib: int
    slots: int
    dollars_per_slot_hour: Decimal | None
    subnets: tuple[str, ...]


@dataclass(frozen=True)
class FleetConfig(Result):
    """The fleet file.

    Attributes:
        image_id: of the machines' image.
        dollars_per_slot_hour_most: what the fleet pays at most.
        offered_types: in the file, the cheapest slot first.
        types_left_out: how many more expensive types exceed the limits of one fleet.
        file: where it was written; None where it was only printed.
        config: the configuration file that names it; None where it was only printed.
        content: of the file.
        tag_options: of condor_annex, with which its machines get the stack's tags: the file cannot hold them.
    """

    image_id: str
    dollars_per_slot_hour_most: Decimal
    offered_types: tuple[OfferedType, ...]
    types_left_out: int
    file: Path | None
    config: Path | None
    content: str
    tag_options: tuple[str, ...]


def default_file(region: str) -> Path:
    """Return where a region's spot fleet file is, unless it is put elsewhere."""
    return Path(f"~/.condor/annex-fleet-{region}.json")


def fleet_config(
    screen: Screen,
    target: Target,
    *,
    image: str = "",
    image_name: str = "",
    owners: tuple[str, ...] = ("self", "amazon"),
    cpus: int = 1,
    memory: int = 2 * MIB_PER_GIB,
    arch: str = "x86_64",
    types: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    subnet_ids: tuple[str, ...] = (),
    max_price: Decimal | None = None,
    path: Path | None = None,
    print_only: bool = False,
) -> FleetConfig:
    """Write the spot fleet file and name it in the configuration; or print it.

    Args:
        screen: where to print.
        target: the stack, and the configuration file.
        image: the machines' image; empty to find it by name, or for the stack's own.
        image_name: a pattern; the newest image that matches is used.
        owners: whose images the name may match.
        cpus: of a slot.
        memory: of a slot, in MiB.
        arch: ``x86_64`` or ``arm64``.
        types: patterns of instance types; empty for all.
        exclude: patterns of instance types to leave out.
        subnet_ids: subnets to choose from; empty for the stack's SubnetIds, else all of the VPC.
        max_price: dollars a slot-hour to pay at most; None for each type's on-demand price.
        path: the file to write; None for the default.
        print_only: only print the file's content.

    Raises:
        click.UsageError: options that exclude each other.
        UserError: there is no stack, nothing fits the options, AWS refused, or a file cannot be written.
    """
    if image and image_name:
        raise click.UsageError("give either --image or --image-name, or neither for the stack's image")
    config = config_file.find_file(target.config)
    if not print_only:
        config_file.check(config)
    account = target.connect()
    stack = find_deployed(account, target.stack_name)
    outputs = stack.outputs
    group_id = outputs[Output.SECURITY_GROUP_ID]
    image_id = image or ("" if image_name else outputs.get(Output.IMAGE_ID, ""))
    if not image_id and not image_name:
        raise UserError(
            f"the stack {target.stack_name} has no image: give --image or --image-name, "
            "or run annex-bootstrap deploy --param Image=yes"
        )
    chosen_id, chosen_name = _image(account, image_id, image_name, owners, arch)
    subnets = {subnet.zone: subnet for subnet in find_subnets(account, group_id, subnet_ids or stack_subnets(stack))}
    slot = Slot(cpus, memory)
    offers = find_offers(account, slot, arch, types, exclude, subnets, stack.limits, prices_needed=max_price is None)
    kept = within_limits(offers)
    parts = fleet_file.Parts(
        chosen_id,
        outputs[Output.IAM_FLEET_ROLE_ARN],
        outputs[Output.INSTANCE_CONFIGURATION_PROFILE],
        group_id,
        outputs.get(Output.KEY_PAIR_NAME, ""),
    )
    content = fleet_file.render(kept, parts, max_price)
    most, left_out = fleet_file.bid(kept, max_price), len(offers) - len(kept)
    options, untold = fleet_file.tag_options(tags_of_stack(stack.parameters))
    if untold:
        screen.warn(f"condor_annex cannot give a spot fleet a tag whose value has a blank: {', '.join(untold)}")
    if print_only:
        screen.result(content)
        return FleetConfig(chosen_id, most, tuple(map(_offered, kept)), left_out, None, None, content, options)
    file = expand_home(path or default_file(account.region)).absolute()
    config_file.rewrite_file(file, lambda _: content.encode())
    write_knobs(config, account.region, dict.fromkeys(FLEET_KNOBS, str(file)))
    screen.table(COLUMNS, [_row(offer) for offer in kept])
    screen.say()
    screen.say(f"Image    {chosen_id} {chosen_name}")
    screen.say(f"Pays     at most ${most:f} per slot-hour")
    if left_out:
        screen.say(
            f"Left out {left_out} more expensive types: a fleet has at most "
            f"{MOST_SPECIFICATIONS} pairs of type and subnet"
        )
    screen.say(f"Fleet    {file}")
    screen.say(f"Knobs    {config}")
    if options:
        screen.say(f"Tags     give condor_annex {shlex.join(options)}", wrap=False)
    return FleetConfig(chosen_id, most, tuple(map(_offered, kept)), left_out, file, config, content, options)


def _image(account: Account, image_id: str, name: str, owners: tuple[str, ...], architecture: str) -> tuple[str, str]:
    """Return ID and name of the image with that ID, or of the newest whose name matches."""
    image = find_image(account, image_id) if image_id else newest_image(account, name, owners, architecture)
    if image is None:
        whose = "" if image_id else f" of {', '.join(owners)}"
        raise UserError(
            f"there is no {architecture} image {image_id or repr(name)}{whose} in {account.region}: "
            "give --image an ID, or --image-name another pattern, or --image-owner the account that shares it"
        )
    if image["Architecture"] != architecture:
        raise UserError(
            f"the image {image['ImageId']} is for {image['Architecture']}: give --arch {image['Architecture']}, "
            "or another image"
        )
    return image["ImageId"], image.get("Name", "")


def _offered(offer: Offer) -> OfferedType:
    machine = offer.machine
    return OfferedType(machine.name, machine.vcpus, machine.memory, offer.slots, offer.slot_price, offer.subnets)


def _row(offer: Offer) -> list[str]:
    return [
        offer.machine.name,
        str(offer.machine.vcpus),
        f"{offer.machine.memory / MIB_PER_GIB:.4g} GiB",
        str(offer.slots),
        "unknown" if offer.slot_price is None else f"{offer.slot_price:f}",
        str(len(offer.subnets)),
    ]


def _parse_price(_context: click.Context, _option: click.Parameter, value: str | None) -> Decimal | None:
    if value is None:
        return None
    try:
        price = Decimal(value)
    except InvalidOperation as error:
        raise click.BadParameter(f"{value!r} is not a price such as 0.05") from error
    if not (price.is_finite() and price > 0):
        raise click.BadParameter(f"{value!r} is not a price: type more than 0, such as 0.05")
    return price


def _parse_patterns(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


command = Command(
    "fleet-config",
    fleet_config,
    *ONE_REGION,
    CONFIG,
    click.Option(["--image"], metavar="AMI", default="", help="The machines' image. Default: the stack's."),
    click.Option(
        ["--image-name"], metavar="PATTERN", default="", help="Or the newest image of that name, as my-annex-*."
    ),
    click.Option(
        ["--image-owner", "owners"],
        multiple=True,
        metavar="ACCOUNT",
        default=("self", "amazon"),
        show_default=True,
        help="Whose images --image-name may match.",
    ),
    click.Option(["--cpus"], type=click.IntRange(min=1), default=1, show_default=True, help="CPUs of a slot."),
    click.Option(
        ["--memory"], default="2G", show_default=True, metavar="SIZE", callback=parse_memory, help="Memory of a slot."
    ),
    click.Option(["--arch"], type=click.Choice(["x86_64", "arm64"]), default="x86_64", show_default=True),
    click.Option(
        ["--types"],
        multiple=True,
        metavar="PATTERN",
        callback=_parse_patterns,
        help="Instance types, such as c7i.*,m7i.*.",
    ),
    click.Option(
        ["--exclude"], multiple=True, metavar="PATTERN", callback=_parse_patterns, help="Instance types to leave out."
    ),
    click.Option(
        ["--subnet", "subnet_ids"],
        multiple=True,
        metavar="ID",
        help="Subnet; repeatable. Default: the stack's, else one of each zone.",
    ),
    click.Option(
        ["--max-price"],
        metavar="DOLLARS",
        callback=_parse_price,
        help="Pay at most this per slot-hour. Default: each type's on-demand price.",
    ),
    click.Option(
        ["--file", "path"],
        type=click.Path(dir_okay=False, path_type=Path),
        help="Default: ~/.condor/annex-fleet-REGION.json.",
    ),
    click.Option(["--print", "print_only"], is_flag=True, help="Print the JSON and write nothing."),
    *OUTPUT,
    help="""Write the spot fleet file that condor_annex reads, and name it in the configuration.

    Takes every current instance type that holds a slot, the cheapest slot first, up to AWS's limit of 300 pairs of
    type and subnet. Burstable and bare metal types only where --types names them.
    """,
)
